//! The audit trail, seen from outside: a broker that is killed, its files, and the commands that read them.

pub mod disk;
mod hang;
mod scene;

use self::scene::{AUTH_TOKEN, Scene, VARIABLES, path, paths, request};
use crate::support::command::{run, run_with};
use rustix::process::Signal;
use serde_json::Value;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// Rounds, each with a kill. `SIDEKEY_TEST_KILLS` sets another number; the points of time differ in every run.
fn rounds() -> usize {
    std::env::var("SIDEKEY_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(8)
}

/// A moment below this many milliseconds.
fn moment(below: u64) -> Duration {
    let mut random = [0; 8];
    aws_lc_rs::rand::fill(&mut random).expect("random bytes");
    Duration::from_micros(u64::from_le_bytes(random) % (below * 1000))
}

/// Loads a broker with as many callers as keep both cores busy, and kills it while it works; the ids that were answered.
fn killed_under_load(scene: &Scene, round: usize) -> Vec<String> {
    const CALLERS: usize = 8;
    let (broker, at) = scene.broker();
    let (stop, answers, proof) = (AtomicBool::new(false), AtomicUsize::new(0), scene.proof());
    std::thread::scope(|threads| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let (proof, stop, answers) = (&proof, &stop, &answers);
                threads.spawn(move || {
                    let numbers = (0..).take_while(|_| !stop.load(Ordering::Relaxed));
                    let count = |_: &String| {
                        answers.fetch_add(1, Ordering::Relaxed);
                    };
                    let ask = |n| request(at, proof, (round * CALLERS + caller) * 1_000_000 + n);
                    numbers.filter_map(ask).inspect(count).collect::<Vec<_>>()
                })
            })
            .collect();
        // However slow the machine, it is killed while it works.
        while answers.load(Ordering::Relaxed) < CALLERS {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(moment(120));
        drop(broker.end(Signal::KILL));
        stop.store(true, Ordering::Relaxed);
        callers.into_iter().flat_map(|caller| caller.join().expect("a caller")).collect()
    })
}

#[test]
fn a_killed_broker_leaves_no_request_without_its_record() {
    let scene = Scene::new("");
    let (mut answered, mut heard) = (Vec::new(), HashSet::new());
    for round in 0..rounds() {
        answered.extend(killed_under_load(&scene, round));
        // The sandbox remembers so many requests and no more.
        heard.extend(scene.heard());
    }
    let (broker, _) = scene.broker();
    let records = scene.records();
    let intents = paths(&records, "intent");
    assert!(!heard.is_empty() && !answered.is_empty());
    for path in &heard {
        assert!(intents.contains(path), "no intent for {path}");
    }
    let outcomes: Vec<_> = records.iter().filter(|record| record["phase"] == "outcome").collect();
    let by_id: HashSet<_> = outcomes.iter().filter_map(|record| record["id"].as_str()).collect();
    assert_eq!(by_id.len(), outcomes.len(), "one outcome each");
    for id in &answered {
        assert!(by_id.contains(id.as_str()), "no outcome for {id}");
    }
    scene.verify();
    drop(broker.end(Signal::TERM));
    assert_eq!(scene.verify()["closed"], true);
    // Only seen with --nocapture.
    println!("{} kills, {} requests upstream, {} answers", rounds(), heard.len(), answered.len());
}

#[test]
fn a_second_broker_does_not_touch_the_file_of_the_first() {
    let scene = Scene::new("");
    let first = scene.serve();
    assert_eq!(first.ask(1).0, 404);
    let second = run_with(scene.path(), &["serve"], &VARIABLES);
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.stderr.contains("another process writes this audit file"), "{second:?}");
    assert_eq!(first.ask(2).0, 404);
    drop(first.process.end(Signal::TERM));
    assert_eq!(scene.verify()["closed"], true);
    // A replica that comes when the first is gone goes on with its chains.
    let (third, _) = scene.broker();
    drop(third.end(Signal::TERM));
    assert_eq!(scene.verify()["records"], 8);
}

#[test]
fn the_commands_read_what_the_broker_wrote() {
    let scene = Scene::new("");
    let (broker, at) = scene.broker();
    let id = request(at, &scene.proof(), 7).expect("an answer");
    request(at, "Basic eDp5", 8).expect("an answer");
    drop(broker.end(Signal::TERM));
    let ask = |arguments: &[&str]| {
        let all = [&["audit"], arguments, &["--output", "json"]].concat();
        let ended = run_with(scene.path(), &all, &VARIABLES);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.json()
    };
    let phases = |found: Value| {
        let list = found.as_array().expect("an array").iter();
        list.map(|record| record["phase"].as_str().unwrap_or("-").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(phases(ask(&["query", "--team", "platform"])), ["intent", "outcome"]);
    assert_eq!(phases(ask(&["query", "--id", &id])), ["intent", "outcome"]);
    assert_eq!(phases(ask(&["query", "--since", "1h", "--operation", "api:Messages:*"])), ["intent", "outcome"]);
    let denied = ask(&["query", "--denied"]);
    assert_eq!((&denied[0]["reason"], &denied[0]["status"]), (&"invalid_proof".into(), &401.into()));
    assert_eq!(phases(ask(&["tail", "-n", "1"])), ["close"]);
    assert_eq!(ask(&["report"])["teams"]["platform"]["requests"], 1);
    let text = run_with(scene.path(), &["audit", "query", "--denied"], &VARIABLES).stdout;
    assert!(text.contains("deny") && text.contains("invalid_proof"), "{text}");
    let whole = std::fs::read_to_string(scene.path().join("audit.jsonl")).expect("a trail");
    for secret in [&scene.token, AUTH_TOKEN, &scene.proof()[6..], "eDp5"] {
        assert!(!whole.contains(secret), "a secret is in the trail");
    }
    // The first wrong line is named.
    std::fs::write(scene.path().join("audit.jsonl"), whole.replacen("platform", "billing!", 1)).expect("written");
    let verified = run_with(scene.path(), &["audit", "verify", "audit.jsonl"], &VARIABLES);
    assert_eq!(
        (verified.code, verified.stdout.as_str()),
        (Some(1), "audit.jsonl:2: edited: its sum does not fit it\n")
    );
    let missing = run(scene.path(), &["audit", "verify", "nothing.jsonl"]);
    assert!(missing.code == Some(1) && missing.stderr.contains("nothing.jsonl"), "{missing:?}");
}

#[test]
fn a_trail_that_can_not_be_written_refuses_requests() {
    let scene = Scene::new("[audit]\nfile = \"trail/audit.jsonl\"\n");
    let folder = scene.path().join("trail");
    std::fs::create_dir(&folder).expect("made");
    let broker = scene.serve();
    assert_eq!(broker.ask(1).0, 404);
    std::fs::remove_dir_all(&folder).expect("removed");
    assert_eq!(broker.ask(2), (503, Some("audit_unavailable".to_owned())));
    std::fs::create_dir(&folder).expect("made");
    let passed = broker.until_passes(3);
    drop(broker.process.end(Signal::TERM));
    let heard = scene.heard();
    assert!(heard.contains(&path(1)) && !heard.contains(&path(2)) && heard.contains(&path(passed)));
    scene.verify_file("trail/audit.jsonl");
}

#[test]
fn what_is_no_trail_is_named_and_not_shown() {
    let scene = Scene::new("");
    let ask = |arguments: &[&str]| run_with(scene.path(), &[&["audit"], arguments].concat(), &VARIABLES);
    std::fs::write(scene.path().join("foreign"), "hello\n\u{1b}[2J\n{\"a\":1}\n[]\n").expect("written");
    for command in ["query", "tail"] {
        let shown = ask(&[command, "foreign"]);
        assert_eq!((shown.code, shown.stdout.as_str()), (Some(0), ""), "{shown:?}");
        let shown = ask(&[command, "foreign", "--output", "json"]);
        assert_eq!(shown.json(), serde_json::json!([]), "{shown:?}");
    }
    // Compressed, and cut.
    std::fs::write(scene.path().join("cut.gz"), [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b]).expect("written");
    for command in ["query", "tail", "report"] {
        for file in ["cut.gz", "."] {
            let told = ask(&[command, file]);
            assert!(told.code == Some(1) && told.stderr.contains(&format!("{file}: ")), "{told:?}");
        }
    }
    let told = ask(&["verify", "cut.gz"]);
    let said = "cut.gz:1: damaged: the compressed file can't be unpacked beyond its byte 11 (";
    assert!(told.code == Some(1) && told.stdout.starts_with(said), "{told:?}");
    assert_eq!(ask(&["verify", "cut.gz", "--output", "json"]).json()["tampering"]["how"], "damaged");
    let told = ask(&["verify", "foreign", "--key", "zz"]);
    assert!(told.code == Some(64) && told.stderr.contains("64 hex digits"), "{told:?}");
}

/// The config names the file without a folder, as the README does.
#[test]
fn rotated_files_are_kept_for_their_retention() {
    let scene = Scene::new("[audit]\nfile = \"audit.jsonl\"\nmax_size = \"64KiB\"\nretention = \"1h\"\n");
    let broker = scene.serve();
    let rotated = || {
        let files = std::fs::read_dir(scene.path()).expect("a folder").map_while(Result::ok);
        files
            .filter_map(|file| file.file_name().into_string().ok())
            .filter(|name| name.starts_with("audit.jsonl."))
            .count()
    };
    // Some 1,200 bytes each: the file is rotated twice, and a sweep follows each time.
    for number in 0..150 {
        assert_eq!(broker.ask(number).0, 404);
    }
    drop(broker.process.end(Signal::TERM));
    assert!(rotated() >= 2, "{} files were rotated and are there", rotated());
    let all = run_with(scene.path(), &["audit", "query", "--phase", "outcome", "--output", "json"], &VARIABLES).json();
    assert_eq!(all.as_array().map(Vec::len), Some(150));
}
