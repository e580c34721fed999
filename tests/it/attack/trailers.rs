//! Trailers, both ways: what may cross, and nothing that would mean something in a header.

use super::fixture::{Fixture, KEY, MESSAGES};
use crate::support::talk::{End, Talk, find};
use crate::support::wire::{After, Exchange};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

/// Lines that stay behind, whichever way they go.
const STAYS: &[&str] = &[
    "Content-Length: 3",
    "Content-Type: text/html",
    "Content-Encoding: gzip",
    "Transfer-Encoding: chunked",
    "Host: evil",
    "Authorization: Basic eDp5",
    "Proxy-Authorization: Basic eDp5",
    "Cookie: a=b",
    "Set-Cookie: a=b",
    "Connection: close",
    "Trailer: X-Passes",
    "TE: trailers",
    "Upgrade: h2c",
    "Expect: 100-continue",
    "If-Match: x",
    "Range: bytes=0-1",
    "Cache-Control: no-store",
    "Location: https://evil.example/",
    "Retry-After: 1",
    "X-Forwarded-For: 1.2.3.4",
    "X-HTTP-Method-Override: DELETE",
    "I-Twilio-Auth-Account: AC00000000000000000000000000000002",
    "Sidekey-Error: no_key",
    "Sidekey-Request-Id: 0",
    "Content_Length: 3",
    "X-Odd: caf\u{e9}",
];

/// Lines that cross, and how.
const CROSSES: &[(&str, &str)] =
    &[("X-Passes:1", "X-Passes: 1"), ("x-passes: \t 2 \t", "x-passes: 2"), ("X-Empty:", "X-Empty: ")];

fn block() -> String {
    let crossing = CROSSES.iter().map(|(said, _)| *said);
    STAYS.iter().copied().chain(crossing).map(|line| format!("{line}\r\n")).collect()
}

fn crossed() -> String {
    CROSSES.iter().map(|(_, heard)| format!("{heard}\r\n")).collect()
}

/// Answers in chunks with the trailers that the request's body holds, behind the lines that `X-Lines` says.
fn say_back(exchange: &mut Exchange) -> After {
    let trailers = exchange.body().to_vec();
    let lines = exchange.heard.value("x-lines").replace('|', "\r\n");
    exchange.say(format!("HTTP/1.1 200 OK\r\n{CHUNKED}{lines}\r\n4\r\nfine\r\n0\r\n"));
    exchange.say([&trailers[..], b"\r\n"].concat());
    After::Keep
}

/// Everything that comes until the broker closes.
fn raw(mut talk: Talk) -> Vec<u8> {
    talk.hang_up();
    talk.everything()
}

/// What stands behind the last chunk of the only answer.
fn trailers(answer: &[u8]) -> &[u8] {
    let at = find(answer, b"\r\n0\r\n").unwrap_or_else(|| panic!("no last chunk: {}", String::from_utf8_lossy(answer)));
    answer[at + 5..].strip_suffix(b"\r\n").expect("an empty line at the end")
}

#[test]
fn of_a_requests_trailers_goes_up_what_may() {
    let fixture = Fixture::start(super::fixture::agree);
    for (lines, want) in [
        ("", crossed()),
        ("Connection: keep-alive, TE\r\nTE: trailers\r\n", crossed()),
        // A field that ends at this hop may stand in the trailers: none goes on.
        ("Connection: X-Passes\r\n", String::new()),
    ] {
        let body = format!("5\r\nhello\r\n0\r\n{}\r\n", block());
        let answer = fixture.ask("POST", MESSAGES, &format!("{CHUNKED}{lines}"), body.as_bytes()).expect("an answer");
        assert_eq!(answer.status, 200, "{answer:?}");
        let heard = fixture.wire.last();
        assert_eq!((&*heard.body, heard.whole), (&b"hello"[..], true), "{lines}");
        assert_eq!(heard.trailers, want, "{lines}");
    }
    // No body but trailers, then an honest request on the same connection.
    let mut talk = fixture.talk();
    talk.send(fixture.request("POST", MESSAGES, CHUNKED, b"0\r\nX-Passes: 1\r\n\r\n"));
    talk.send(fixture.request("GET", MESSAGES, "", b""));
    for _ in 0..2 {
        let answer = talk.answer().expect("an answer");
        fixture.note(&answer);
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let heard = fixture.wire.heard();
    assert_eq!(heard[heard.len() - 2].trailers, "X-Passes: 1\r\n");
    // A body that is judged goes on with its length, and without.
    let number = MESSAGES.replace("Messages", "IncomingPhoneNumbers/PN00000000000000000000000000000001");
    let lines = format!("Content-Type: application/x-www-form-urlencoded\r\nTrailer: X-Passes\r\n{CHUNKED}");
    let answer = fixture.ask("POST", &number, &lines, b"3\r\na=b\r\n0\r\nX-Passes: 1\r\n\r\n").expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    let heard = fixture.wire.last();
    assert_eq!((heard.value("content-length"), heard.value("trailer")), ("3", ""), "{heard:?}");
    fixture.end();
}

#[test]
fn a_request_with_too_many_trailers_is_malformed() {
    let fixture = Fixture::start(super::fixture::agree);
    let many = "X: y\r\n".repeat(33);
    let long = format!("X: {}\r\n", "y".repeat(8192));
    for (name, trailers) in [("many", many), ("long", long), ("endless", "X: y\r\n".repeat(4096))] {
        let body = format!("0\r\n{trailers}\r\n");
        fixture.refused(name, &fixture.request("POST", MESSAGES, CHUNKED, body.as_bytes()), "malformed_request");
    }
    let fits = format!("0\r\n{}\r\n", "X: y\r\n".repeat(32));
    assert_eq!(fixture.ask("POST", MESSAGES, CHUNKED, fits.as_bytes()).expect("an answer").status, 200);
    fixture.end();
}

#[test]
fn of_an_answers_trailers_comes_down_what_may_and_no_secret() {
    let fixture = Fixture::start(say_back);
    let ask = |lines: &str, trailers: &str| {
        let mut talk = fixture.talk();
        talk.send(fixture.request("POST", MESSAGES, lines, trailers.as_bytes()));
        raw(talk)
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(text(trailers(&ask("", &block()))), crossed());
    assert_eq!(text(trailers(&ask("X-Lines: Connection: X-Passes|\r\n", &block()))), "");
    let announced = text(&ask("X-Lines: Trailer: Set-Cookie, X-Passes ,x-two|Trailer: Host|\r\n", "x-two: 2\r\n"));
    assert!(announced.contains("\r\nTrailer: X-Passes, x-two\r\n") && !announced.contains("Host"), "{announced}");
    for spelled in [KEY.1.to_owned(), hex::encode(KEY.1), STANDARD.encode(format!("{}:{}", KEY.0, KEY.1))] {
        for line in [format!("X-Echo: {spelled}"), format!("X-{}: x", spelled.trim_end_matches('='))] {
            let answer = ask("", &format!("{line}\r\n"));
            assert_eq!(find(&answer, spelled.as_bytes()), None, "{}", text(&answer));
            assert!(trailers(&answer).contains(&b'*') || line.contains('+'), "{}", text(&answer));
        }
    }
    fixture.end();
}

#[test]
fn a_caller_that_can_hear_no_trailers_gets_none() {
    let fixture = Fixture::start(say_back);
    let mut talk = fixture.talk();
    let proof = fixture.proof();
    talk.send(format!("POST {MESSAGES} HTTP/1.0\r\n{proof}Content-Length: 13\r\n\r\nX-Passes: 1\r\n"));
    let answer = talk.answer().expect("an answer");
    fixture.note(&answer);
    assert_eq!((answer.text(), talk.end()), ("fine", Some(End::Closed)));
    let head = fixture.ask("HEAD", MESSAGES, "X-Lines: Trailer: X-Passes|\r\n", b"").expect("an answer");
    assert_eq!((head.status, head.header("trailer")), (200, None), "{head:?}");
    fixture.end();
}

#[test]
fn an_answer_with_too_many_trailers_is_refused() {
    let fixture = Fixture::start(say_back);
    for trailers in ["X: y\r\n".repeat(33), format!("X: {}\r\n", "y".repeat(8192)), "no colon\r\n".to_owned()] {
        // Cut, where its beginning had gone out by then.
        let answer = fixture.ask("POST", MESSAGES, "", trailers.as_bytes());
        assert!(answer.is_none_or(|answer| answer.status == 502), "{trailers:.30}");
        // Nothing of it is left on a connection that somebody else gets.
        assert_eq!(fixture.ask("POST", MESSAGES, "", b"").expect("an answer").text(), "fine");
    }
    fixture.end();
}
