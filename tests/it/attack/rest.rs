//! Connections at rest: silent for longer than a busy caller's pause, and then used as if they had never been.

use super::fixture::{Fixture, KEYS, MESSAGES, OURS, agree, basic};
use super::slow::SHORT;
use crate::reach::wire::{Secure, ask};
use crate::support::talk::{End, Talk};
use rustix::process::{Resource, getrlimit, setrlimit};
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

/// Long beside the pause of a busy caller.
const LONG: Duration = Duration::from_millis(500);

fn rest() {
    std::thread::sleep(LONG);
}

/// One request on a connection that stays open.
#[track_caller]
fn request(fixture: &Fixture, talk: &mut Talk) {
    assert!(talk.send(fixture.request("GET", MESSAGES, "", b"")), "it was closed");
    answered(fixture, talk);
}

#[track_caller]
fn answered(fixture: &Fixture, talk: &mut Talk) {
    let answer = talk.answer().expect("an answer");
    fixture.note(&answer);
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn a_connection_that_rested_is_used_again() {
    let fixture = Fixture::start(agree);
    let (mut fresh, mut used) = (fixture.talk(), fixture.talk());
    request(&fixture, &mut used);
    for _ in 0..3 {
        rest();
        for talk in [&mut fresh, &mut used] {
            request(&fixture, talk);
            request(&fixture, talk);
        }
    }
    // Requests that come at once, and one in pieces with a rest of its own in between.
    rest();
    let three = fixture.request("GET", MESSAGES, "", b"").repeat(3);
    used.send(&three);
    (0..3).for_each(|_| answered(&fixture, &mut used));
    rest();
    let (first, second) = three.split_at(three.len() / 6);
    used.send(first);
    rest();
    used.send(second);
    (0..3).for_each(|_| answered(&fixture, &mut used));
    // What is refused on it is, and ends it where it must.
    rest();
    used.send(fixture.request("GET", KEYS, "", b""));
    let refused = used.answer().expect("an answer");
    fixture.note(&refused);
    assert_eq!(refused.status, 403, "{refused:?}");
    rest();
    used.send("GET / HTTP/1.1\r\nno field\r\n\r\n");
    let refused = used.answer().expect("an answer");
    fixture.note(&refused);
    assert_eq!((refused.status, used.answer().is_none(), used.end()), (400, true, Some(End::Closed)));
    fixture.end();
}

#[test]
fn callers_are_served_however_many_connections_are_awake() {
    let fixture = Fixture::start_secure("cores = 1\nhead_timeout = \"1m\"", agree);
    // Greetings that stall keep theirs awake; what begins meanwhile is to rest until something comes on it.
    let stalled: Vec<TcpStream> = (0..600)
        .map(|_| {
            let mut stream = fixture.knock();
            stream.write_all(&[22, 3, 1, 2, 0, 1]).expect("sent");
            stream
        })
        .collect();
    // Answered behind them: they are all there.
    let proof = basic(OURS, &fixture.token);
    let fields = [("Host", "sidekey.test"), ("Authorization", &*proof)];
    assert_eq!(ask(&mut fixture.secure("http/1.1"), &format!("GET {MESSAGES}"), &fields, "").status, 200);
    let (mut first, mut second) = (fixture.talk(), fixture.talk());
    for _ in 0..3 {
        request(&fixture, &mut first);
        request(&fixture, &mut second);
        rest();
    }
    drop(stalled);
    fixture.end();
}

#[test]
fn a_secure_connection_that_rested_is_used_again() {
    let fixture = Fixture::start_secure("", agree);
    let proof = basic(OURS, &fixture.token);
    let used = |secure: &mut Secure, host: &str| {
        let fields = [("Host", host), ("Authorization", &proof)];
        let answer = ask(secure, &format!("GET {MESSAGES}"), &fields, "");
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    let (mut direct, mut tunnel) = (fixture.secure("http/1.1"), fixture.tunnel("api.twilio.com", "http/1.1"));
    for _ in 0..3 {
        rest();
        used(&mut direct, "sidekey.test");
        used(&mut tunnel, "api.twilio.com");
    }
    // Closed in order at rest: the broker says goodbye too, or at least ends.
    rest();
    direct.conn.send_close_notify();
    direct.conn.complete_io(&mut direct.sock).expect("sent");
    assert_eq!(std::io::Read::read(&mut direct.sock, &mut [0; 64]).unwrap_or(0) % 64, 0, "more than an end");
    fixture.end();
}

#[test]
fn requests_that_come_while_a_connection_goes_to_rest_are_answered() {
    let fixture = Fixture::start(agree);
    let three = fixture.request("GET", MESSAGES, "", b"").repeat(3);
    // Each is silent for as long as a round takes, 0.1 to 0.3 s: some rest by then, some do not, and some are on their way.
    let mut talks: Vec<Talk> = (0..150).map(|_| fixture.talk()).collect();
    for round in 0..6 {
        for talk in &mut talks {
            std::thread::sleep(Duration::from_micros(700 + 200 * round));
            assert!(talk.send(&three), "it was closed");
        }
        for talk in &mut talks {
            (0..3).for_each(|_| answered(&fixture, talk));
        }
    }
    fixture.end();
}

#[test]
fn a_request_that_begins_after_rest_has_its_time_and_no_more() {
    let fixture = Fixture::start_with("response_timeout = \"30s\"", SHORT, agree);
    let head = fixture.request("GET", MESSAGES, "", b"");
    let (mut fresh, mut used) = (fixture.talk(), fixture.talk());
    request(&fixture, &mut used);
    rest();
    for talk in [&mut fresh, &mut used] {
        talk.send(&head[..head.len() / 2]);
    }
    for talk in [&mut fresh, &mut used] {
        let answer = talk.answer().expect("an answer");
        fixture.note(&answer);
        assert_eq!((answer.status, answer.header("sidekey-error")), (400, Some("malformed_request")), "{answer:?}");
        assert!(talk.answer().is_none() && talk.end() == Some(End::Closed));
    }
    fixture.end();
}

#[test]
fn a_connection_that_ends_at_rest_gives_its_place_on() {
    let limits = "cores = 1\nmax_connections = 3";
    let fixture = Fixture::start_with("response_timeout = \"30s\"", limits, agree);
    let mut held: Vec<Talk> = (0..3).map(|_| fixture.talk()).collect();
    for talk in &mut held {
        request(&fixture, talk);
    }
    rest();
    let refused = fixture.ask("GET", MESSAGES, "", b"").expect("an answer");
    assert_eq!(refused.status, 503, "one at rest counts: {refused:?}");
    drop(held);
    let room = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        fixture.ask("GET", MESSAGES, "", b"").expect("an answer").status == 200
    });
    assert!(room, "the places of those that left are not given on");
    fixture.end();
}

#[test]
fn a_thousand_connections_at_rest_do_not_hold_up_a_stop() {
    // One core, so that most of them come to rest before they are used; a drain that waits for them hangs the test.
    let limits = "cores = 1\ndrain_timeout = \"1h\"\nidle_timeout = \"1h\"";
    // For this process and the broker that it starts.
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files).expect("a limit may be raised to its ceiling");
    let fixture = Fixture::start_with("response_timeout = \"30s\"", limits, agree);
    let mut talks: Vec<Talk> = (0..1000).map(|_| fixture.talk()).collect();
    rest();
    for talk in talks.iter_mut().step_by(2) {
        request(&fixture, talk);
    }
    rest();
    for talk in talks.iter_mut().step_by(3) {
        request(&fixture, talk);
    }
    fixture.end();
    for talk in &mut talks {
        assert!(talk.answer().is_none() && talk.end() == Some(End::Closed));
    }
}
