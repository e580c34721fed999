//! `kill -9` at any point of create, rotate and revoke: afterwards every team has a usable key, and no orphan is left.

use crate::support::command::sidekey;
use crate::support::world::{World, text};
use serde_json::json;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Rounds, each with a kill. `SIDEKEY_TEST_KILLS` sets another number; the points of time differ in every run.
fn rounds() -> u32 {
    std::env::var("SIDEKEY_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(24)
}

/// Starts the command and kills it after `delay`; answers whether it was still at work.
fn kill_after(world: &World, arguments: &[&str], delay: Duration) -> bool {
    let variables = world.variables();
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut command = sidekey(world.folder(), arguments, &variables);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a process");
    let start = Instant::now();
    while start.elapsed() < delay && child.try_wait().expect("a child").is_none() {
        std::thread::sleep(Duration::from_micros(200));
    }
    let killed = child.try_wait().expect("a child").is_none();
    let _ = child.kill();
    child.wait().expect("an end");
    killed
}

/// How long the command takes when it is left alone.
fn whole(world: &World, arguments: &[&str]) -> Duration {
    let start = Instant::now();
    world.json(arguments);
    start.elapsed()
}

#[test]
fn a_kill_at_any_point_leaves_a_working_key_and_no_orphan() {
    let world = World::new();
    world.json(&["team", "create", "billing"]);
    let create = whole(&world, &["key", "create", "billing"]);
    let rotate = whole(&world, &["key", "rotate", "billing", "--grace", "0s"]);
    let (mut killed, mut round) = (0, 0);
    // A machine that has grown faster since the commands were timed kills fewer at work: then it takes more rounds.
    while round < rounds() || (killed * 2 <= rounds() && round < 8 * rounds()) {
        // Spread evenly over the command's time, and never twice the same.
        let part = |whole: Duration| whole.mul_f64((f64::from(round) * 0.618_034).fract());
        let held = text(&world.json(&["key", "list", "billing"])[0], "sid");
        killed += u32::from(match round % 3 {
            0 => kill_after(&world, &["key", "rotate", "billing", "--grace", "0s"], part(rotate)),
            1 => {
                let cut = kill_after(&world, &["key", "revoke", &held], part(rotate / 2));
                cut | kill_after(&world, &["key", "create", "billing"], part(create))
            }
            _ => kill_after(&world, &["key", "rotate", "billing"], part(rotate)),
        });
        settle(&world, round);
        round += 1;
    }
    assert!(killed * 2 > rounds(), "only {killed} of {} were killed at work", rounds());
}

/// What an operator does after a crash, and what must then hold.
fn settle(world: &World, round: u32) {
    world.json(&["key", "reconcile", "--delete-orphans"]);
    let list = world.json(&["key", "list", "billing"]);
    let usable =
        |list: &serde_json::Value| list.as_array().expect("a list").iter().any(|key| key["state"] == json!("active"));
    if !usable(&list) {
        // A revoked key was asked to go: the next one is made by command.
        world.json(&["key", "create", "billing"]);
    }
    let list = world.json(&["key", "list", "billing"]);
    assert!(usable(&list), "round {round}: {list}");
    let mut held: Vec<String> = list.as_array().expect("a list").iter().map(|key| text(key, "sid")).collect();
    held.sort();
    assert_eq!(world.upstream_keys(), held, "round {round}: an orphan, or a key that is gone");
    let found = world.json(&["key", "reconcile"]);
    assert_eq!((&found["orphans"], &found["missing"]), (&json!([]), &json!([])), "round {round}");
    // The key works: a rotation without grace proves a new one and deletes all old ones.
    let active = list.as_array().expect("a list").iter().find(|key| key["state"] == json!("active"));
    let sid = text(active.expect("a key"), "sid");
    let _ = world.run(&["key", "revoke", "SK00000000000000000000000000000000"]);
    assert!(world.upstream_keys().contains(&sid));
}

#[test]
fn an_interrupted_rotation_keeps_its_grace() {
    let world = World::new();
    world.json(&["team", "create", "billing"]);
    world.json(&["key", "create", "billing"]);
    let store = rusqlite::Connection::open(world.folder().join("store.db")).expect("a store");
    let rotate = ["key", "rotate", "billing", "--grace", "2h"];
    let whole = whole(&world, &rotate);
    for part in (1..40).cycle().map(|part| f64::from(part) / 40.0).take(400) {
        kill_after(&world, &rotate, whole.mul_f64(part));
        let last = "SELECT id, step FROM journal ORDER BY id DESC LIMIT 1";
        let (id, step) =
            store.query_row(last, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))).expect("an entry");
        world.json(&["key", "reconcile", "--delete-orphans"]);
        if step == "created" {
            let sql = "SELECT retire_at - swapped_at FROM journal WHERE id = ?1";
            let granted: i64 = store.query_row(sql, [id], |row| row.get(0)).expect("it was put in use");
            assert!((7200..7210).contains(&granted), "{granted} s");
            return;
        }
    }
    panic!("no rotation was killed between its key and its swap");
}
