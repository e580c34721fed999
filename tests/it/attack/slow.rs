//! Callers that are slow, idle or many.

use super::fixture::{Fixture, KEYS, MESSAGES, agree};
use crate::support::talk::{End, Talk};
use std::time::Duration;

/// Ceilings short enough for a test; what must not be cut is far below them.
pub(super) const SHORT: &str = "head_timeout = \"700ms\"\nbody_timeout = \"700ms\"\nidle_timeout = \"1500ms\"";

/// Drips bytes until the connection ends or they do.
fn drip(talk: &mut Talk, bytes: &[u8]) {
    for byte in bytes {
        if !talk.send([*byte]) || !talk.quiet() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_slow_caller_is_cut_off() {
    let fixture = Fixture::start_with("response_timeout = \"30s\"", SHORT, agree);
    // A head that never ends, with and without a beginning.
    let head = fixture.request("GET", MESSAGES, "", b"");
    for start in [&head[..1], &head[..40], &head[..head.len() - 2]] {
        let mut talk = fixture.talk();
        talk.send(start);
        drip(&mut talk, &[b'x'; 60]);
        let answer = talk.answer().expect("an answer");
        fixture.note(&answer);
        assert_eq!((answer.status, answer.header("sidekey-error")), (400, Some("malformed_request")), "{answer:?}");
        assert!(talk.answer().is_none() && talk.end() == Some(End::Closed));
    }
    // A body that stops, of each framing, for an operation that is streamed and for one that is read.
    let number = MESSAGES.replace("Messages", "IncomingPhoneNumbers/PN00000000000000000000000000000001");
    for target in [MESSAGES, &number] {
        for (lines, start) in [("Content-Length: 100\r\n", "abc"), ("Transfer-Encoding: chunked\r\n", "5\r\nab")] {
            let mut talk = fixture.talk();
            let lines = format!("Content-Type: application/x-www-form-urlencoded\r\n{lines}");
            talk.send(fixture.request("POST", target, &lines, start.as_bytes()));
            let answer = talk.answer().expect("an answer");
            fixture.note(&answer);
            assert_eq!(
                (answer.status, answer.header("connection")),
                (400, Some("close")),
                "{target} {lines}{answer:?}"
            );
        }
        // A caller that hangs up in its body is told nothing, and nothing ends as if it were whole.
        let mut talk = fixture.talk();
        talk.send(fixture.request("POST", target, "Content-Length: 100\r\n", b"abc"));
        talk.hang_up();
        assert!(talk.answer().is_none_or(|answer| answer.status >= 400), "{target}");
    }
    // Nothing at all, and nothing after a request.
    let mut talk = fixture.talk();
    assert!(talk.answer().is_none() && talk.end() == Some(End::Closed));
    let mut talk = fixture.talk();
    talk.send(&head);
    fixture.note(&talk.answer().expect("an answer"));
    assert!(talk.answer().is_none() && talk.end() == Some(End::Closed));
    assert!(fixture.wire.heard().iter().all(|heard| heard.line().starts_with("GET") || !heard.whole));
    fixture.end();
}

#[test]
fn a_caller_that_does_not_read_is_cut_off() {
    let fixture = Fixture::start_with("response_timeout = \"30s\"", SHORT, agree);
    let mut talk = fixture.talk();
    // Refusals, one for each request, until nothing more goes out either way: then it is the broker that ends it.
    let many = fixture.request("GET", KEYS, "", b"").repeat(50);
    assert_eq!(talk.pour(&many), End::Closed, "the broker waits for ever");
    let other = fixture.ask("GET", MESSAGES, "", b"").expect("an answer");
    assert_eq!(other.status, 200);
    fixture.end();
}

#[test]
fn a_connection_too_many_is_told_so() {
    let limits = "cores = 1\nmax_connections = 3\nhead_timeout = \"1m\"";
    let fixture = Fixture::start_with("response_timeout = \"30s\"", limits, agree);
    let mut held: Vec<Talk> = (0..3).map(|_| fixture.talk()).collect();
    for talk in &mut held {
        talk.send(fixture.request("GET", MESSAGES, "", b""));
        fixture.note(&talk.answer().expect("an answer"));
    }
    for body in [0, 100_000] {
        let mut more = fixture.talk();
        more.send(fixture.request("POST", MESSAGES, "", &vec![b'x'; body]));
        let answer = more.answer().expect("an answer");
        fixture.note(&answer);
        assert_eq!((answer.status, answer.header("sidekey-error")), (503, Some("overloaded")), "{answer:?}");
        assert_eq!((answer.refusal().1, answer.header("retry-after")), (20503, Some("1")), "{answer:?}");
        assert!(more.answer().is_none() && more.end() == Some(End::Closed));
    }
    // Those that are in still are served, and one that leaves makes room.
    held[1].send(fixture.request("GET", MESSAGES, "", b""));
    fixture.note(&held[1].answer().expect("an answer"));
    let mut first = held.remove(0);
    first.hang_up();
    assert!(first.answer().is_none());
    let room = (0..100).any(|_| {
        let answer = fixture.ask("GET", MESSAGES, "", b"").expect("an answer");
        std::thread::sleep(Duration::from_millis(20));
        answer.status == 200
    });
    assert!(room, "the place of one that left is not given on");
    drop(held);
    fixture.end();
}

#[test]
fn idle_and_half_open_connections_do_no_harm() {
    let fixture = Fixture::start_with("response_timeout = \"30s\"", "head_timeout = \"1m\"", agree);
    let start = fixture.request("GET", MESSAGES, "", b"");
    let held: Vec<Talk> = (0..400)
        .map(|n| {
            let mut talk = fixture.talk();
            talk.send(&start[..n % start.len()]);
            talk
        })
        .collect();
    for _ in 0..20 {
        let answer = fixture.ask("GET", MESSAGES, "", b"").expect("an answer");
        assert_eq!(answer.status, 200);
    }
    drop(held);
    // Connections that are reset in every state leave nothing behind.
    let answer = fixture.ask("GET", MESSAGES, "", b"").expect("an answer");
    assert_eq!(answer.status, 200);
    fixture.end();
}
