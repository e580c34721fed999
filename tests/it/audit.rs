//! The audit trail, seen from outside: a broker that is killed, its files, and the commands that read them.

use crate::support::command::{Running, run, run_with};
use crate::support::raw::ask;
use base64::Engine as _;
use rustix::process::Signal;
use serde_json::Value;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const ACCOUNT: &str = "AC00000000000000000000000000000001";
const AUTH_TOKEN: &str = "0123456789abcdef0123456789abcdef";
const VARIABLES: [(&str, &str); 2] = [("AUTH_TOKEN", AUTH_TOKEN), ("SECRET", "abcdefghijklmnopqrstuvwxyz012345")];

/// A sandbox, and a folder with the config of a broker before it.
struct Scene {
    _sandbox: Running,
    sandbox: SocketAddr,
    folder: tempfile::TempDir,
    token: String,
}

impl Scene {
    fn new(more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let arguments = ["sandbox", "--listen", "127.0.0.1:0", "--account-sid", ACCOUNT, "--auth-token", AUTH_TOKEN];
        let mut sandbox = Running::start(folder.path(), &arguments, &[]);
        let address = sandbox.told("http://");
        let address: SocketAddr = address.trim().parse().unwrap_or_else(|_| panic!("an address: {address:?}"));
        let made = run(folder.path(), &["token", "generate", "--output", "json"]).json();
        let word = |name: &str| made[0][name].as_str().expect("a text").to_owned();
        let config = format!(
            "[listen]\nproxy = \"127.0.0.1:0\"\n\
             [upstream]\naccount_sid = \"{ACCOUNT}\"\nurl = \"http://{address}\"\n\
             [upstream.master]\nusername = \"{ACCOUNT}\"\npassword = \"env:AUTH_TOKEN\"\n\
             [[team]]\nname = \"platform\"\nkind = \"master\"\ntoken_sha256 = [\"{}\"]\n{more}",
            word("sha256")
        );
        std::fs::write(folder.path().join("sidekey.toml"), config).expect("a file");
        Self { _sandbox: sandbox, sandbox: address, folder, token: word("token") }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn broker(&self) -> (Running, SocketAddr) {
        let mut broker = Running::start(self.path(), &["serve"], &VARIABLES);
        let at = broker.told("listening proxy=").parse().expect("an address");
        (broker, at)
    }

    fn proof(&self) -> String {
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("x:{}", self.token)))
    }

    fn records(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path().join("audit.jsonl")).expect("a trail");
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn verify(&self) -> Value {
        let verified = run_with(self.path(), &["audit", "verify", "audit.jsonl", "--output", "json"], &VARIABLES);
        assert_eq!(verified.code, Some(0), "{verified:?}");
        verified.json()
    }
}

/// Asks for one message that is not there: the sandbox hears the path, and so which request it was.
fn request(broker: SocketAddr, proof: &str, number: usize) -> Option<String> {
    let path = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages/SM{number:032x}.json");
    let answered = std::panic::catch_unwind(|| ask(broker, "GET", &path, &[("authorization", proof)], b"")).ok()??;
    answered.header("sidekey-request-id").map(str::to_owned)
}

fn paths(records: &[Value], phase: &str) -> HashSet<String> {
    let of_phase = records.iter().filter(|record| record["phase"] == phase);
    of_phase.filter_map(|record| record["path"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_killed_broker_leaves_no_request_without_its_record() {
    let scene = Scene::new("");
    let proof = scene.proof();
    let mut answered = Vec::new();
    for round in 0..8 {
        let (broker, at) = scene.broker();
        let (stop, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|threads| {
            let callers: Vec<_> = (0..4)
                .map(|caller| {
                    let (proof, stop, answers) = (&proof, &stop, &answers);
                    threads.spawn(move || {
                        let numbers = (0..).take_while(|_| !stop.load(Ordering::Relaxed));
                        numbers
                            .filter_map(|n| request(at, proof, (round * 8 + caller) * 1_000_000 + n))
                            .inspect(|_| {
                                answers.fetch_add(1, Ordering::Relaxed);
                            })
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            // However slow the machine, it is killed while it works.
            while answers.load(Ordering::Relaxed) < 8 {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_millis(37 * round as u64 % 90));
            drop(broker.end(Signal::KILL));
            stop.store(true, Ordering::Relaxed);
            for caller in callers {
                answered.extend(caller.join().expect("a caller"));
            }
        });
    }
    let (broker, _) = scene.broker();
    let records = scene.records();
    let intents = paths(&records, "intent");
    let seen = ask(scene.sandbox, "GET", "/_sandbox/requests", &[], b"").expect("an answer").json();
    let seen = seen.as_array().or_else(|| seen["requests"].as_array()).expect("a list").clone();
    assert!(!seen.is_empty() && !answered.is_empty());
    for request in &seen {
        let path = request["path"].as_str().expect("a path");
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
    let (broker, at) = scene.broker();
    request(at, &scene.proof(), 1).expect("an answer");
    let status = |number: usize| {
        let path = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages/SM{number:032x}.json");
        ask(at, "GET", &path, &[("authorization", &scene.proof())], b"").expect("an answer")
    };
    std::fs::remove_dir_all(&folder).expect("removed");
    let refused = status(2);
    assert_eq!((refused.status, refused.header("sidekey-error")), (503, Some("audit_unavailable")));
    std::fs::create_dir(&folder).expect("made");
    while status(3).status == 503 {
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(broker.end(Signal::TERM));
    let seen = ask(scene.sandbox, "GET", "/_sandbox/requests", &[], b"").expect("an answer");
    let heard = |number: usize| seen.text().contains(&format!("SM{number:032x}"));
    assert!(heard(1) && !heard(2) && heard(3));
    let verified = run_with(scene.path(), &["audit", "verify", "trail/audit.jsonl"], &VARIABLES);
    assert_eq!(verified.code, Some(0), "{verified:?}");
}
