//! Refreshes by a clock that the test turns, against a key server that the test plays.

use super::*;
use crate::authn::jwks::fetch::FetchFuture;
use crate::authn::testing::{Signer, set};
use std::sync::atomic::AtomicUsize;

/// A key server: answers in order, the last one for ever; counts what was asked and whether two came at once.
struct Server {
    answers: Mutex<Vec<Answer>>,
    asked: AtomicUsize,
    under_way: AtomicUsize,
}

#[derive(Clone)]
enum Answer {
    Body(Vec<u8>),
    Down,
    Hang,
}

impl Server {
    fn new(answers: Vec<Answer>) -> Self {
        Self { answers: Mutex::new(answers), asked: AtomicUsize::default(), under_way: AtomicUsize::default() }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Fetch for Server {
    fn get<'a>(&'a self, _: &'a str, _: usize) -> FetchFuture<'a> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = {
            let mut answers = self.answers.lock().expect("unpoisoned");
            if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() }
        };
        Box::pin(async move {
            assert_eq!(self.under_way.fetch_add(1, Ordering::SeqCst), 0, "fetched twice at once");
            tokio::task::yield_now().await;
            let result = match answer {
                Answer::Body(body) => Ok(body),
                Answer::Down => Err("connection refused".to_owned()),
                Answer::Hang => std::future::pending().await,
            };
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            result
        })
    }
}

fn good() -> Vec<u8> {
    set(&[Signer::p256().jwk])
}

fn remote() -> Remote {
    Remote::new("https://keys.test/jwks", Duration::from_hours(1))
}

/// Runs what is due now.
async fn step(remote: &Remote, server: &Server, clock: &Clock) {
    if remote.due(clock.unix_seconds()) {
        remote.refresh("test", server, clock).await;
    }
}

#[tokio::test]
async fn a_set_serves_until_its_maximum_age_while_the_server_is_down_or_lying() {
    let lies = [&b"<html>maintenance</html>"[..], br#"{"keys":[]}"#, b""].map(|lie| Answer::Body(lie.to_vec()));
    let answers = [vec![Answer::Down, Answer::Body(good())], lies.to_vec(), vec![Answer::Down]].concat();
    let (server, remote, clock) = (Server::new(answers), remote(), Clock::cranked());
    let start = clock.unix_seconds();
    step(&remote, &server, &clock).await;
    assert!(remote.current(start).is_none(), "nothing yet: nothing is accepted");
    clock.turn(2);
    step(&remote, &server, &clock).await;
    let set = remote.current(clock.unix_seconds()).expect("taken");
    let fetched = clock.unix_seconds();
    while clock.unix_seconds() < fetched + 3600 {
        step(&remote, &server, &clock).await;
        let current = remote.current(clock.unix_seconds()).expect("still young enough");
        assert!(Arc::ptr_eq(&set, &current));
        clock.turn(59);
    }
    clock.turn(60);
    assert!(remote.current(clock.unix_seconds()).is_none(), "past its maximum age");
    assert!((10..80).contains(&server.asked()), "tried again, and not in a storm: {}", server.asked());
}

#[tokio::test]
async fn an_unchanged_set_keeps_its_place_and_a_changed_one_takes_it() {
    let (first, second) = (good(), good());
    let answers = vec![Answer::Body(first.clone()), Answer::Body(first), Answer::Body(second)];
    let (server, remote, clock) = (Server::new(answers), remote(), Clock::cranked());
    step(&remote, &server, &clock).await;
    let set = remote.current(clock.unix_seconds()).expect("taken");
    clock.turn(299);
    step(&remote, &server, &clock).await;
    assert_eq!(server.asked(), 1, "not due yet");
    clock.turn(2);
    step(&remote, &server, &clock).await;
    assert!(Arc::ptr_eq(&set, &remote.current(clock.unix_seconds()).expect("taken")));
    clock.turn(3500);
    assert!(remote.current(clock.unix_seconds()).is_some(), "its age begins at the last fetch");
    step(&remote, &server, &clock).await;
    assert!(!Arc::ptr_eq(&set, &remote.current(clock.unix_seconds()).expect("taken")));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_is_given_up_and_the_set_serves_on() {
    let answers = vec![Answer::Body(good()), Answer::Hang];
    let (server, remote, clock) = (Server::new(answers), remote(), Clock::cranked());
    step(&remote, &server, &clock).await;
    clock.turn(301);
    step(&remote, &server, &clock).await;
    assert_eq!(server.asked(), 2);
    assert!(remote.current(clock.unix_seconds()).is_some());
    assert!(!remote.plan().coming);
}

#[tokio::test]
async fn a_key_id_that_is_not_there_is_asked_for_once_in_half_a_minute() {
    let (server, remote, clock) = (Server::new(vec![Answer::Body(good())]), remote(), Clock::cranked());
    step(&remote, &server, &clock).await;
    let mut done = remote.ask("a", clock.unix_seconds()).expect("the first is heard");
    for _ in 0..1000 {
        assert!(remote.ask("a", clock.unix_seconds()).is_some(), "the same one");
    }
    step(&remote, &server, &clock).await;
    assert_eq!(server.asked(), 2);
    done.changed().await.expect("woken");
    for _ in 0..1000 {
        assert!(remote.ask("a", clock.unix_seconds()).is_none(), "it was not there");
    }
    clock.turn(ASK_EVERY.cast_signed() - 1);
    assert!(remote.ask("a", clock.unix_seconds()).is_none());
    clock.turn(1);
    assert!(remote.ask("a", clock.unix_seconds()).is_some());
}

#[tokio::test]
async fn made_up_key_ids_cost_a_few_refreshes_and_then_two_a_minute() {
    let (server, remote, clock) = (Server::new(vec![Answer::Body(good())]), remote(), Clock::cranked());
    step(&remote, &server, &clock).await;
    let mut number = 0;
    let mut flood = async |clock: &Clock| {
        let before = server.asked();
        for _ in 0..500 {
            number += 1;
            remote.ask(&number.to_string(), clock.unix_seconds());
            step(&remote, &server, clock).await;
        }
        server.asked() - before
    };
    assert_eq!(flood(&clock).await, 4);
    assert_eq!(flood(&clock).await, 0);
    let mut minute = 0;
    for _ in 0..60 {
        clock.turn(1);
        minute += flood(&clock).await;
    }
    assert_eq!(minute, 2);
    clock.turn(-7200);
    assert!(flood(&clock).await <= 5, "a clock set back opens nothing wide");
    assert!(remote.plan().asks.seen.len() <= REMEMBERED);
}

#[tokio::test]
async fn who_asks_while_one_is_coming_waits_for_that_one() {
    let (server, remote, clock) = (Server::new(vec![Answer::Body(good())]), remote(), Clock::cranked());
    assert!(remote.ask("a", clock.unix_seconds()).is_some());
    assert_eq!(remote.plan().asks.spent_until, 0, "and asks for no other");
    step(&remote, &server, &clock).await;
    assert!(remote.ask("a", clock.unix_seconds()).is_none(), "not even when it did not bring the key");
}

#[tokio::test]
async fn a_clock_set_back_leaves_no_set_young_for_ever() {
    let (server, remote, clock) = (Server::new(vec![Answer::Body(good())]), remote(), Clock::cranked());
    step(&remote, &server, &clock).await;
    clock.turn(-7200);
    assert!(remote.current(clock.unix_seconds()).is_none());
    step(&remote, &server, &clock).await;
    assert!(remote.current(clock.unix_seconds()).is_some(), "fetched anew at once");
}

#[tokio::test(start_paused = true)]
async fn two_that_tend_one_set_never_fetch_at_once() {
    let (server, remote, clock) = (Server::new(vec![Answer::Body(good())]), remote(), Clock::cranked());
    let (one, two) = (remote.refresh("one", &server, &clock), remote.refresh("two", &server, &clock));
    tokio::join!(one, two);
    assert_eq!(server.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn tending_fetches_at_once_and_hears_who_asks() {
    let (server, clock) = (Arc::new(Server::new(vec![Answer::Body(good())])), Clock::cranked());
    let keys = Arc::new(remote());
    let task = tokio::spawn({
        let (keys, server, clock) = (Arc::clone(&keys), Arc::clone(&server), clock.clone());
        async move { keys.tend("test", &*server, &clock).await }
    });
    while keys.current(clock.unix_seconds()).is_none() {
        tokio::task::yield_now().await;
    }
    let mut done = keys.ask("a", clock.unix_seconds()).expect("heard");
    done.changed().await.expect("refreshed");
    assert_eq!(server.asked(), 2);
    task.abort();
}

#[test]
fn a_file_is_read_again_and_a_bad_one_keeps_the_old() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("jwks.json");
    let jwt = |path: &Path| config::Jwt {
        issuer: "i".to_owned(),
        audience: "a".to_owned(),
        jwks: config::Jwks::File(path.to_owned()),
        jwks_ca: None,
        jwks_token_file: None,
        algorithms: Vec::new(),
        team_claim: None,
        subjects: std::collections::BTreeMap::new(),
        leeway: Duration::ZERO,
        max_age: Duration::from_hours(1),
    };
    let fault = Keys::open(&jwt(&path)).err().map(|fault| fault.to_string()).expect("absent");
    assert!(fault.contains("jwks.json"), "{fault}");
    std::fs::write(&path, good()).expect("writable");
    let keys = Keys::open(&jwt(&path)).map_err(|fault| fault.to_string()).expect("a file");
    std::fs::write(&path, "{}").expect("writable");
    assert!(matches!(keys.poll(), Reload::Refused(_)));
    std::fs::write(&path, good()).expect("writable");
    assert_eq!(keys.poll(), Reload::Replaced);
}
