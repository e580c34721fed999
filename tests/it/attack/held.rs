//! Bodies that are held in memory until they are judged: how many at once, and whose caller leaves.

use super::fixture::{Fixture, MESSAGES, OURS, agree, basic};
use crate::support::frames::{DATA, END_HEADERS, Frames, HEADERS, block};
use crate::support::raw::Answered;
use crate::support::talk::Talk;
use serde_json::{Value, json};
use std::time::Duration;

/// An operation that takes an account in its body.
const NUMBER: &str = "/2010-04-01/Accounts/AC00000000000000000000000000000001/IncomingPhoneNumbers/PN00000000000000000000000000000001.json";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

/// Begins a body and leaves out its end.
fn begun(fixture: &Fixture, bytes: usize) -> Talk {
    let mut talk = fixture.talk();
    let lines = format!("{FORM}Content-Length: {}\r\n", bytes + 1);
    talk.send(fixture.request("POST", NUMBER, &lines, &vec![b'x'; bytes]));
    talk
}

/// Asks until the answer has this status; `before` each time does something about it.
#[track_caller]
fn until(fixture: &Fixture, status: u16, mut before: impl FnMut()) -> Answered {
    for _ in 0..500 {
        before();
        let answer = fixture.ask("POST", NUMBER, FORM, &vec![b'x'; 60_000]).expect("an answer");
        if answer.status == status {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("never {status}");
}

#[test]
fn bodies_in_memory_have_a_ceiling_together() {
    let limits = "max_body = \"64KiB\"\nmax_body_memory = \"128KiB\"\nbody_timeout = \"1m\"";
    let fixture = Fixture::start_with("response_timeout = \"30s\"", limits, agree);
    // Two fill it, on whichever cores they are; one that comes while another request has the room is refused itself.
    let mut held = Vec::new();
    let answer = until(&fixture, 503, || held.push(begun(&fixture, 60_000)));
    assert_eq!((answer.header("sidekey-error"), answer.header("retry-after")), (Some("overloaded"), Some("1")));
    assert_eq!((answer.refusal().1, answer.header("connection")), (20503, Some("close")), "{answer:?}");
    // What streams takes no part in it, and what needs no body neither.
    let streamed = fixture.ask("POST", MESSAGES, FORM, &vec![b'x'; 60_000]).expect("an answer");
    let bare = fixture.ask("GET", NUMBER, "", b"").expect("an answer");
    assert_eq!((streamed.status, bare.status), (200, 200));
    held.iter_mut().for_each(Talk::hang_up);
    until(&fixture, 200, || ());
    drop(held);
    let (records, _) = fixture.end();
    let outcomes = |reason: &str| {
        let of_reason = records.iter().filter(move |record| record["phase"] == "outcome" && record["reason"] == reason);
        of_reason.cloned().collect::<Vec<_>>()
    };
    assert!(!outcomes("overloaded").is_empty());
    let gone = outcomes("aborted");
    assert!(!gone.is_empty());
    for record in outcomes("overloaded").iter().chain(&gone) {
        let told = ["team", "operation", "account", "method", "path"].map(|name| &record[name]);
        let want = ["billing", "api:IncomingPhoneNumbers:update", OURS, "POST", NUMBER].map(Value::from);
        assert_eq!(told, want.each_ref(), "{record}");
    }
    assert!(gone.iter().all(|record| record["decision"] == Value::Null && record["status"] == json!(null)));
}

#[test]
fn a_stream_that_is_taken_back_in_its_body_is_recorded_with_what_was_known() {
    const RST_STREAM: u8 = 3;
    let fixture = Fixture::start_secure("body_timeout = \"1m\"", agree);
    let proof = basic(OURS, &fixture.token);
    let fields = |method, path| {
        [
            (":method", method),
            (":scheme", "https"),
            (":authority", "sidekey.test"),
            (":path", path),
            ("authorization", &proof),
            ("content-type", "application/x-www-form-urlencoded"),
        ]
    };
    let mut frames = Frames::greet(fixture.secure("h2"));
    let stream = frames.number();
    frames.frame(HEADERS, END_HEADERS, stream, &block(&fields("POST", NUMBER)));
    frames.frame(DATA, 0, stream, b"FriendlyName=");
    // When a later request is answered, this one has begun.
    let later = frames.request(&fields("GET", MESSAGES), b"");
    assert_eq!(frames.heard(later).status(), Some(200));
    frames.frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
    let later = frames.request(&fields("GET", MESSAGES), b"");
    assert_eq!(frames.heard(later).status(), Some(200));
    drop(frames);
    let (records, _) = fixture.end();
    let gone: Vec<_> = records.iter().filter(|record| record["reason"] == "aborted").collect();
    assert_eq!(gone.len(), 1, "{gone:?}");
    let told = ["team", "operation", "account", "path"].map(|name| &gone[0][name]);
    assert_eq!(told, ["billing", "api:IncomingPhoneNumbers:update", OURS, NUMBER].map(Value::from).each_ref());
}
