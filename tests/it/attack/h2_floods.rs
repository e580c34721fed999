//! HTTP/2 callers that are many, slow or silent: each costs little, and nobody else waits for them.

use super::fixture::{Fixture, MESSAGES, OURS, agree, basic};
use super::slow::SHORT;
use crate::reach::wire::Secure;
use crate::support::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, Heard, PING, PRIORITY, PUSH_PROMISE,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame,
};
use crate::support::wire::{After, Exchange};
use std::time::Duration;

/// `ENHANCE_YOUR_CALM` (RFC 9113 §7).
const CALM: u32 = 11;

fn get(proof: &str) -> Vec<(&str, &str)> {
    vec![
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "sidekey.test"),
        (":path", MESSAGES),
        ("authorization", proof),
    ]
}

fn greet(fixture: &Fixture) -> Frames<Secure> {
    Frames::greet(impatient(fixture))
}

/// A connection on which a write that nobody reads fails, instead of hanging the test.
fn impatient(fixture: &Fixture) -> Secure {
    let stream = fixture.secure("h2");
    stream.sock.set_write_timeout(Some(Duration::from_secs(5))).expect("an option");
    stream
}

/// Holds that an honest caller is served.
#[track_caller]
fn honest(fixture: &Fixture) {
    let proof = basic(OURS, &fixture.token);
    let mut frames = greet(fixture);
    let number = frames.request(&get(&proof), b"");
    let heard = frames.heard(number);
    assert_eq!(heard.status(), Some(200), "{heard:?}");
}

#[test]
fn requests_that_are_taken_back_at_once_end_their_connection() {
    let fixture = Fixture::start_secure("", agree);
    let proof = basic(OURS, &fixture.token);
    let block = block(&get(&proof));
    let mut frames = greet(&fixture);
    for _ in 0..20 {
        let mut many = Vec::new();
        for _ in 0..100 {
            let number = frames.number();
            many.extend(frame(HEADERS, END_HEADERS | END_STREAM, number, &block));
            many.extend(frame(RST_STREAM, 0, number, &8_u32.to_be_bytes()));
        }
        if !frames.raw(&many) {
            break;
        }
    }
    assert!(frames.end(), "still open");
    // The word may be lost where the broker closes upon more of the same.
    assert!(frames.away.is_none_or(|code| code == CALM), "{:?}", frames.away);
    honest(&fixture);
    let (_, said) = fixture.end();
    assert!(!said.contains("panicked"));
}

#[test]
fn requests_that_are_taken_back_one_after_the_other_end_their_connection_too() {
    // An upstream that takes its time: all of them are under way when they are taken back.
    let fixture = Fixture::start_secure("cores = 1", |exchange: &mut Exchange| {
        std::thread::sleep(Duration::from_millis(200));
        agree(exchange)
    });
    let proof = basic(OURS, &fixture.token);
    let block = block(&get(&proof));
    let mut frames = greet(&fixture);
    let mut sent = 0;
    while sent < 3_000 {
        let numbers: Vec<u32> = (0..20).map(|_| frames.number()).collect();
        let open = numbers.iter().map(|number| frame(HEADERS, END_HEADERS | END_STREAM, *number, &block));
        let reset = numbers.iter().map(|number| frame(RST_STREAM, 0, *number, &8_u32.to_be_bytes()));
        if !frames.raw(&open.collect::<Vec<_>>().concat()) {
            break;
        }
        std::thread::sleep(Duration::from_millis(30));
        if !frames.raw(&reset.collect::<Vec<_>>().concat()) {
            break;
        }
        sent += 20;
    }
    assert!(frames.end(), "still open after {sent}");
    assert!(sent < 3_000, "{sent}");
    honest(&fixture);
    fixture.end();
}

#[test]
fn a_head_without_end_ends_its_connection() {
    let fixture = Fixture::start_secure("", agree);
    let proof = basic(OURS, &fixture.token);
    let start = block(&get(&proof));
    let field = block(&[("x", &"y".repeat(8000)[..])]);
    for piece in [&field[..], b""] {
        let mut frames = greet(&fixture);
        let number = frames.number();
        frames.frame(HEADERS, END_STREAM, number, &start);
        let mut sent = 0;
        while sent < 10_000 && frames.frame(CONTINUATION, 0, number, piece) {
            sent += 1;
        }
        assert!(frames.end(), "{} bytes a piece: still open after {sent}", piece.len());
    }
    // A small head that unpacks to a large one: one entry of the table, named again and again.
    let mut bomb = start.clone();
    bomb.extend_from_slice(&[0x40, 1, b'x', 0x7f, 0x81, 0x1e]);
    bomb.extend_from_slice(&[b'y'; 4000]);
    bomb.extend_from_slice(&[0xbe; 12_000]);
    let mut frames = greet(&fixture);
    let number = frames.number();
    frames.frame(HEADERS, END_STREAM | END_HEADERS, number, &bomb[..16_000]);
    let heard = frames.heard(number);
    assert!(heard.status().is_none_or(|status| status == 431), "{heard:?}");
    assert_eq!(fixture.wire.count(), 0);
    drop(frames);
    honest(&fixture);
    fixture.end();
}

/// Frames that no caller may send, by name; `head` is a good one.
fn broken(head: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let open = |flags| frame(HEADERS, END_HEADERS | flags, 1, head);
    vec![
        ("DATA on no stream", frame(DATA, 0, 0, b"x")),
        ("DATA on an idle stream", frame(DATA, 0, 5, b"x")),
        ("HEADERS on no stream", frame(HEADERS, END_HEADERS, 0, head)),
        ("HEADERS on an even stream", frame(HEADERS, END_HEADERS, 2, head)),
        ("a stream before the last", [frame(HEADERS, END_HEADERS | END_STREAM, 5, head), open(END_STREAM)].concat()),
        ("HEADERS within HEADERS", [frame(HEADERS, 0, 1, head), open(END_STREAM)].concat()),
        ("CONTINUATION of nothing", frame(CONTINUATION, END_HEADERS, 1, head)),
        ("CONTINUATION of another", [frame(HEADERS, 0, 1, head), frame(CONTINUATION, 4, 3, head)].concat()),
        ("a frame that is too large", frame(DATA, 0, 1, &vec![0; 20_000])),
        ("SETTINGS of 5 bytes", frame(SETTINGS, 0, 0, &[0; 5])),
        ("SETTINGS on a stream", frame(SETTINGS, 0, 1, &[])),
        ("an ACK with something in it", frame(SETTINGS, ACK, 0, &[0; 6])),
        ("a window that is too large", frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff])),
        ("a frame size that is too small", frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 1])),
        ("PING of 7 bytes", frame(PING, 0, 0, &[0; 7])),
        ("an increment of nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        ("an increment beyond the end", frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])),
        ("PUSH_PROMISE of a caller", frame(PUSH_PROMISE, END_HEADERS, 1, &[0; 8])),
        ("RST_STREAM of an idle stream", frame(RST_STREAM, 0, 9, &[0; 4])),
        ("padding longer than the frame", frame(HEADERS, END_HEADERS | 8, 1, &[255, 0, 0])),
        ("fields that can't be unpacked", frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff; 40])),
        ("HTTP/1.1", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(3)),
    ]
}

#[test]
fn frames_that_break_the_rules_end_their_connection_and_no_other() {
    let fixture = Fixture::start_secure("", agree);
    let proof = basic(OURS, &fixture.token);
    let head = block(&get(&proof));
    for (name, bytes) in broken(&head) {
        let mut frames = greet(&fixture);
        frames.raw(&bytes);
        // What ends a stream alone is known by the frame behind it, which then goes unanswered or is the last.
        frames.frame(GOAWAY, 0, 0, &[0; 8]);
        assert!(frames.end(), "{name}: still open");
    }
    // A stream that depends on itself, and frames of no known kind, are nothing to end a connection for.
    let mut frames = greet(&fixture);
    frames.frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 15]);
    frames.frame(0xee, 0xff, 0, b"anything");
    let number = frames.request(&get(&proof), b"");
    assert_eq!(frames.heard(number).status(), Some(200));
    drop(frames);
    honest(&fixture);
    fixture.end();
}

#[test]
fn frames_that_ask_for_an_answer_and_read_none_starve_nobody() {
    let fixture = Fixture::start_secure("cores = 1", agree);
    let floods = [
        frame(PING, 0, 0, &[0; 8]).repeat(1000),
        frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]).repeat(1000),
        frame(DATA, 0, 1, b"").repeat(1000),
        frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]).repeat(1000),
    ];
    let head = block(&get("Basic eDp5"));
    for flood in &floods {
        let mut frames = greet(&fixture);
        frames.frame(HEADERS, END_HEADERS, 1, &head);
        for _ in 0..200 {
            if !frames.raw(flood) {
                break;
            }
        }
        honest(&fixture);
    }
    fixture.end();
}

#[test]
fn streams_beyond_the_ceiling_are_refused_one_by_one() {
    let fixture = Fixture::start_secure("", |exchange: &mut Exchange| {
        std::thread::sleep(Duration::from_millis(300));
        agree(exchange)
    });
    let proof = basic(OURS, &fixture.token);
    let mut frames = greet(&fixture);
    let numbers: Vec<u32> = (0..200).map(|_| frames.request(&get(&proof), b"")).collect();
    let heard: Vec<Heard> = numbers.into_iter().map(|number| frames.heard(number)).collect();
    let served = heard.iter().filter(|heard| heard.status() == Some(200)).count();
    // `REFUSED_STREAM`: certainly not processed.
    let refused = heard.iter().filter(|heard| **heard == Heard::Reset(7)).count();
    assert!(served >= 128 && served + refused == 200, "{served} served, {refused} refused");
    drop(frames);
    fixture.end();
}

/// More than any window holds.
fn much(exchange: &mut Exchange) -> After {
    exchange.body();
    exchange.answer("200 OK", "", &vec![b'x'; 4 << 20])
}

#[test]
fn who_reads_nothing_or_says_nothing_is_cut_off() {
    let fixture = Fixture::start_secure(SHORT, much);
    let proof = basic(OURS, &fixture.token);
    // No preface, half of one, a preface and no more, a request and no more.
    let start = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for said in [&b""[..], &start[..9], start] {
        let mut frames = Frames::silent(impatient(&fixture));
        frames.raw(said);
        assert!(frames.end(), "left open after {said:?}");
    }
    let mut frames = greet(&fixture);
    let number = frames.request(&get("Basic eDp5"), b"");
    assert_eq!(frames.heard(number).status(), Some(401));
    assert!(frames.end(), "left open after a request");
    assert_eq!(frames.away, Some(0), "in order");
    let mut frames = greet(&fixture);
    frames.frame(HEADERS, 0, 1, b"");
    assert!(frames.end(), "left open within a head");
    // No window: the answer can't go anywhere.
    let mut frames = Frames::silent(impatient(&fixture));
    frames.raw(start);
    frames.frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
    let number = frames.request(&get(&proof), b"");
    assert_eq!(frames.heard(number).status(), None);
    assert!(frames.end(), "left open with a full pipe");
    let (records, _) = fixture.end();
    assert!(records.iter().any(|record| record["reason"] == "aborted"), "{records:?}");
}
