use super::super::tests::config;
use super::super::{Denial, Facts, Guard, Outcome, Peer, Recorder, Trail};
use crate::clock::Clock;
use crate::ids::{RequestId, TeamId};
use serde_json::Value;
use std::future::Future;
use std::path::Path;

/// Runs one core with a trail in a throwaway folder and gives the records it left.
fn run<F: Future>(core: impl FnOnce(Recorder, std::path::PathBuf) -> F) -> Vec<Value> {
    let folder = tempfile::tempdir().expect("a throwaway folder");
    let file = folder.path().join("audit.jsonl");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let trail = Trail::open(&config(&file), 1, Clock::system()).expect("a new trail");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        core(trail.recorder(0), file.clone()).await;
    });
    trail.close();
    records(&file)
}

fn records(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).expect("a readable trail");
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).filter(is_request).collect()
}

fn is_request(record: &Value) -> bool {
    record["phase"] == "intent" || record["phase"] == "outcome"
}

fn open(recorder: &Recorder, number: u128) -> Guard {
    recorder.open(RequestId::new(number), Peer::Unix)
}

#[test]
fn an_intent_is_in_the_file_when_it_resolves() {
    run(async |recorder, file| {
        let team = TeamId::parse("billing");
        let facts = Facts { team: team.as_ref(), method: b"POST", path: b"/x?To=secret", ..Facts::default() };
        let mut guard = open(&recorder, 7);
        guard.intent(&facts).await.expect("kept");
        let seen = records(&file);
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0]["team"], "billing");
        assert_eq!(seen[0]["path"], "/x");
        assert_eq!(seen[0]["id"], "00000000000000000000000000000007");
    });
}

#[test]
fn each_guard_leaves_one_outcome() {
    let seen = run(async |recorder, _| {
        let mut closed = open(&recorder, 1);
        closed.intent(&Facts::default()).await.expect("kept");
        closed.outcome(&Outcome { status: 201, ..Outcome::default() }).await.expect("kept");
        let denial = Denial { status: 401, reason: "invalid_proof", detail: Some("expired"), ..Denial::default() };
        open(&recorder, 2).deny(&Facts::default(), &denial).await.expect("kept");
        let mut dropped = open(&recorder, 3);
        dropped.intent(&Facts::default()).await.expect("kept");
        drop(dropped);
        drop(open(&recorder, 4));
    });
    let outcomes: Vec<_> = seen
        .iter()
        .filter(|record| record["phase"] == "outcome")
        .map(|r| (r["id"].as_str().unwrap_or("")[31..].to_owned(), r["decision"].clone(), r["reason"].clone()))
        .collect();
    let want = [("1", Some("allow"), None), ("2", Some("deny"), Some("invalid_proof"))];
    let want = want.into_iter().chain([("3", Some("allow"), Some("aborted")), ("4", None, Some("aborted"))]);
    assert_eq!(
        outcomes,
        want.map(|(id, d, r)| (id.to_owned(), d.into(), r.into())).collect::<Vec<(_, Value, Value)>>()
    );
}

#[test]
fn a_panic_still_closes_the_record() {
    let seen = run(async |recorder, _| {
        let task = tokio::task::spawn_local(async move {
            let mut guard = open(&recorder, 9);
            guard.intent(&Facts::default()).await.expect("kept");
            panic!("a fault in a request");
        });
        task.await.expect_err("the task panicked");
    });
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[1]["reason"], "aborted");
}

#[test]
fn records_of_one_turn_share_a_write() {
    let seen = run(async |recorder, _| {
        let one = |n| {
            let recorder = recorder.clone();
            tokio::task::spawn_local(async move { open(&recorder, n).intent(&Facts::default()).await })
        };
        for task in (0..8).map(one).collect::<Vec<_>>() {
            task.await.expect("no panic").expect("kept");
        }
    });
    // The first line of a write says where the writer's last one ended.
    let writes = seen.iter().filter(|record| !record["at"].is_null()).count();
    assert_eq!(seen.iter().filter(|record| record["phase"] == "intent").count(), 8);
    assert!(writes <= 2, "{writes} writes");
}
