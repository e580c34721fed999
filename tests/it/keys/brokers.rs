//! Changes reach brokers that run, and no request is lost when a key changes.

use crate::support::postgres;
use crate::support::world::{World, text};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};

/// Two brokers on one store hear of every change, whichever process makes it.
fn changes_reach_both(world: &World) {
    let brokers = [world.serve(), world.serve()];
    world.json(&["team", "create", "billing"]);
    let token = world.token("billing");
    let until = |token: &str, status: u16| {
        for broker in &brokers {
            broker.until(world, token, status);
        }
    };
    let all = |status: u16| until(&token, status);
    all(503);
    assert_eq!(brokers[0].messages(world, &token).header("sidekey-error"), Some("no_key"));
    let sid = text(&world.json(&["key", "create", "billing"]), "sid");
    all(200);
    world.json(&["team", "disable", "billing"]);
    all(401);
    world.json(&["team", "enable", "billing"]);
    all(200);
    world.json(&["team", "set", "billing", "--deny", "api:Messages:*"]);
    all(403);
    world.json(&["team", "set", "billing", "--deny", ""]);
    all(200);
    world.json(&["token", "revoke", &token]);
    all(401);
    let token = world.token("billing");
    until(&token, 200);
    world.json(&["key", "revoke", &sid]);
    until(&token, 503);
    world.json(&["team", "delete", "billing"]);
    until(&token, 401);
}

#[test]
fn changes_reach_two_brokers_on_one_file() {
    changes_reach_both(&World::new());
}

#[test]
fn changes_reach_two_brokers_on_one_server() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let url = runtime.block_on(postgres::database());
    let world = World::with(&url, "");
    std::fs::write(world.folder().join("root.key"), "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=").expect("a key");
    changes_reach_both(&world);
}

/// Rotations under load, one after the other; `SIDEKEY_TEST_ROTATIONS` sets another number.
fn rotations() -> usize {
    std::env::var("SIDEKEY_TEST_ROTATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(5)
}

#[test]
fn a_key_is_replaced_under_load_and_no_request_is_lost() {
    let world = World::new();
    let broker = world.serve();
    world.json(&["team", "create", "billing"]);
    world.json(&["key", "create", "billing"]);
    let token = world.token("billing");
    broker.until(&world, &token, 200);
    let (stop, at) = (AtomicBool::new(false), broker.address);
    let (sent, keys) = std::thread::scope(|scope| {
        let load = || {
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                let answer = world.messages(at, &token);
                assert_eq!(answer.status, 200, "{answer:?}");
                sent += 1;
            }
            sent
        };
        let callers: Vec<_> = (0..16).map(|_| scope.spawn(load)).collect();
        let rotate = || text(&world.json(&["key", "rotate", "billing", "--grace", "0s"]), "sid");
        let keys: Vec<String> = (0..rotations()).map(|_| rotate()).collect();
        stop.store(true, Ordering::Relaxed);
        let sent: usize = callers.into_iter().map(|caller| caller.join().expect("no request failed")).sum();
        (sent, keys)
    });
    assert!(sent > 50, "{sent} requests are no load");
    assert_eq!(world.upstream_keys(), keys[keys.len() - 1..], "each old key is gone");
    // Every key was used: the changes did reach the broker while it was at work.
    let (_, seen) = world.upstream.sandbox.requests();
    let used = |sid: &String| {
        seen.iter().any(|request| request.path.ends_with("/Messages.json") && request.sid.as_deref() == Some(sid))
    };
    // Of the newest ones: the sandbox remembers so many requests and no more.
    assert!(keys.iter().rev().take(5).filter(|sid| used(sid)).count() >= 4, "the keys were not used");
    let (code, said) = { broker }.process.end(rustix::process::Signal::TERM);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_store_restored_from_an_older_copy_is_heard_in_full() {
    let world = World::new();
    let broker = world.serve();
    world.json(&["team", "create", "billing"]);
    world.json(&["key", "create", "billing"]);
    let kept = world.token("billing");
    broker.until(&world, &kept, 200);
    let newer = world.token("billing");
    broker.until(&world, &newer, 200);
    // The copy was made before the newer token, and knows fewer changes than the broker.
    let file = rusqlite::Connection::open(world.folder().join("store.db")).expect("a store");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, newer.as_bytes());
    assert_eq!(file.execute("DELETE FROM tokens WHERE sha256 = ?1", [digest.as_ref()]), Ok(1));
    file.execute("DELETE FROM changes WHERE id > 2", []).expect("forgotten");
    broker.until(&world, &newer, 401);
    broker.until(&world, &kept, 200);
    let records = broker.ask_admin("GET", "/v1/audit?limit=1000", "");
    assert!(records.text().contains("store.reload"), "{}", records.text());
}

#[test]
fn a_copy_that_is_put_in_the_place_of_the_file_is_heard_in_full() {
    let world = World::new();
    let broker = world.serve();
    let file = |name: &str| world.folder().join(name);
    let put = |name: &str| {
        // With its own log, if it has one, and not with that of the file that goes.
        for suffix in ["-wal", "-shm"] {
            let (own, old) = (file(&format!("{name}{suffix}")), file(&format!("store.db{suffix}")));
            let _ = std::fs::remove_file(&old);
            let _ = std::fs::rename(own, old);
        }
        std::fs::rename(file(name), file("store.db")).expect("a copy");
    };
    world.json(&["team", "create", "billing"]);
    world.json(&["key", "create", "billing"]);
    let kept = world.token("billing");
    let store = rusqlite::Connection::open(file("store.db")).expect("a store");
    store.execute("VACUUM INTO ?1", [file("copy.db").to_str()]).expect("a copy");
    drop(store);
    let newer = world.token("billing");
    for token in [&kept, &newer] {
        broker.until(&world, token, 200);
    }
    // What happens to the copy before it is put in place has the number of what the broker has heard already.
    let config = std::fs::read_to_string(file("sidekey.toml")).expect("a config");
    std::fs::write(file("copy.toml"), config.replace("store.db", "copy.db")).expect("a config");
    world.json(&["token", "revoke", &kept, "--config", "copy.toml"]);
    put("copy.db");
    for token in [&kept, &newer] {
        broker.until(&world, token, 401);
    }
    let newest = world.token("billing");
    broker.until(&world, &newest, 200);
    // Without a file, or with one of another store, what is known is served on, and it is said.
    let state = |wanted: &str| {
        for _ in 0..600 {
            let ready = broker.ask_admin("GET", "/readyz", "").json();
            if ready["store"]["state"] == json!(wanted) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("never {wanted}");
    };
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::rename(file(&format!("store.db{suffix}")), file(&format!("copy.db{suffix}")));
    }
    state("lost");
    assert!(!file("store.db").exists(), "a broker makes no new store in its place");
    assert_eq!(broker.ask_admin("GET", "/v1/teams", "").status, 503);
    std::fs::write(file("other.toml"), config.replace("store.db", "other.db")).expect("a config");
    world.json(&["team", "create", "foreign", "--config", "other.toml"]);
    put("other.db");
    let refused = broker.ask_admin("GET", "/v1/teams", "");
    assert!(refused.status == 500 && refused.text().contains("another store"), "{refused:?}");
    state("lost");
    assert_eq!(broker.messages(&world, &newest).status, 200);
    put("copy.db");
    state("ok");
    world.json(&["token", "revoke", &newest]);
    broker.until(&world, &newest, 401);
}

#[test]
fn a_refused_key_is_marked_and_replaced_by_command_alone() {
    let world = World::new();
    let broker = world.serve();
    world.json(&["team", "create", "billing"]);
    let sid = text(&world.json(&["key", "create", "billing"]), "sid");
    let token = world.token("billing");
    broker.until(&world, &token, 200);
    let gone = world.upstream.delete(&world.upstream.owner(), &world.upstream.path(&format!("/Keys/{sid}.json")));
    assert_eq!(gone.status, 204);
    let answer = broker.messages(&world, &token);
    assert_eq!((answer.status, answer.header("sidekey-error")), (502, Some("upstream_rejected_key")));
    let marked = || world.json(&["key", "list", "billing"])[0]["state"] == json!("rejected");
    for _ in 0..600 {
        if marked() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(marked(), "the mark is never written");
    world.json(&["key", "create", "billing"]);
    broker.until(&world, &token, 200);
}

#[test]
fn keys_are_rotated_as_scheduled() {
    let world = World::with("sqlite:store.db", "");
    world.json(&["team", "create", "billing", "--rotate-every", "1s"]);
    let first = text(&world.json(&["key", "create", "billing"]), "sid");
    let broker = world.serve();
    let token = world.token("billing");
    broker.until(&world, &token, 200);
    for _ in 0..600 {
        if !world.upstream_keys().contains(&first) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("the first key is never replaced: {:?}", world.json(&["key", "list"]));
}

#[test]
fn a_key_that_is_due_is_replaced_by_one_broker_alone() {
    let world = World::new();
    let brokers = [world.serve(), world.serve(), world.serve()];
    let teams: Vec<String> = (0..6).map(|number| format!("team-{number}")).collect();
    for team in &teams {
        world.json(&["team", "create", team, "--rotate-every", "4s"]);
        world.json(&["key", "create", team]);
    }
    std::thread::sleep(std::time::Duration::from_secs(11));
    drop(brokers);
    let store = rusqlite::Connection::open(world.folder().join("store.db")).expect("a store");
    let sql = "SELECT started_at FROM journal WHERE op = 'rotate' AND team = ?1 ORDER BY id";
    let mut query = store.prepare(sql).expect("a query");
    for team in &teams {
        let times: Vec<i64> =
            query.query_map([team], |row| row.get(0)).expect("rows").collect::<Result<_, _>>().expect("times");
        assert!(!times.is_empty(), "{team} was never rotated");
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 3), "{team}: {times:?}");
    }
}

#[test]
fn a_rotation_that_can_not_be_recorded_waits() {
    let world = World::new();
    let broker = world.serve();
    world.json(&["team", "create", "billing", "--rotate-every", "2s"]);
    let (file, aside) = (world.folder().join("audit-0.jsonl"), world.folder().join("aside"));
    std::fs::rename(&file, &aside).expect("renamed");
    // Neither a trail nor a file that could become one.
    std::os::unix::fs::symlink("/dev/null", &file).expect("made");
    let token = world.token("billing");
    broker.until(&world, &token, 503);
    let trouble = || broker.ask_admin("GET", "/readyz", "").json()["audit"]["trouble"].clone();
    while trouble().is_null() {
        broker.messages(&world, &token);
    }
    let sid = text(&world.json(&["key", "create", "billing"]), "sid");
    let current = || {
        let keys = world.json(&["key", "list", "billing"]);
        let keys = keys.as_array().expect("a list");
        keys.iter().find(|key| key["state"] == "active").map(|key| text(key, "sid"))
    };
    std::thread::sleep(std::time::Duration::from_secs(5));
    assert_eq!(current().as_ref(), Some(&sid), "it was rotated unrecorded");
    std::fs::remove_file(&file).expect("removed");
    while current().is_none_or(|current| current == sid) {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}
