//! What crosses the broker and what does not, both ways.

use super::fixture::{Fixture, KEY, MASTER, MESSAGES, OURS, agree, basic};
use crate::support::wire::{After, Exchange};

/// Lines of a caller that must not reach the upstream, by their names.
const ENDS_HERE: &[&str] = &[
    "Proxy-Authorization: Basic eDp5",
    "Proxy-Connection: keep-alive",
    "Cookie: session=1",
    "TE: deflate, Trailers",
    "Trailer: X",
    "Keep-Alive: timeout=5",
    "Upgrade: websocket",
    "Upgrade: h2c",
    "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
    "Max-Forwards: 3",
    "X-Original-URL: /2010-04-01/Accounts.json",
    "X-Rewrite-URL: /2010-04-01/Accounts.json",
    "X-Original-Method: DELETE",
    "X-HTTP-Method: DELETE",
    "X-HTTP-Method-Override: DELETE",
    "X-Method-Override: DELETE",
    "I-Twilio-Auth-Account: AC00000000000000000000000000000002",
    "i-twilio-anything: x",
    "X-Forwarded-For: 1.2.3.4",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: evil",
    "X-Forwarded-Port: 1",
    "X-Forwarded-Prefix: /x",
    "X-Forwarded-Uri: /x",
    "X-Forwarded-Method: DELETE",
    "Forwarded: for=1.2.3.4",
    "X-Real-IP: 1.2.3.4",
    "Via: 1.1 x",
    "X_Forwarded_For: 1.2.3.4",
    "X-Auth_User: root",
    "Content_Length: 3",
    "Transfer_Encoding: chunked",
    "Authorization_: x",
    "Host_: evil",
    "Sidekey-Team: platform",
    "Sidekey-Request-Id: 1",
    "Expect: 100-continue",
    "X-Named: x",
    "X-Also-Named: y",
    "Connection: close, Authorization, Host, Content-Length, X-Named, Content-Type",
    "Connection: X-Also-Named, Transfer-Encoding, User-Agent-Not",
    "connection: keep-alive",
];

/// Lines that pass as they are.
const PASSES: &[&str] = &[
    "User-Agent: twilio-python/9.0 (Linux)",
    "Accept: application/json",
    "Content-Type: application/x-www-form-urlencoded",
    "Idempotency-Key: 1",
    "If-Match: \"x\"",
    "X-Twilio-Client: x",
    "X-Custom: one",
    "X-Custom: two",
    "X-Empty: ",
    "Accept-Language: en;q=0.5, de",
    "T-Twilio-Trace: x",
    "Range: bytes=0-1",
];

#[test]
fn what_a_caller_may_not_say_ends_here() {
    let fixture = Fixture::start(agree);
    let lines: String = ENDS_HERE.iter().chain(PASSES).map(|line| format!("{line}\r\n")).collect();
    let answer = fixture.ask("POST", MESSAGES, &lines, b"To=x").expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    let heard = fixture.wire.last();
    let mut want: Vec<String> = PASSES.iter().map(|line| line.trim_end().to_ascii_lowercase()).collect();
    let anew = ["host: api.twilio.com", "content-length: 4", "te: trailers", "connection: te"];
    want.extend(anew.map(str::to_owned));
    let key = format!("Authorization: {}", basic(KEY.0, KEY.1));
    let mut got: Vec<&str> = heard.head.trim_end().split("\r\n").skip(1).collect();
    assert!(got.contains(&&*key), "{heard:?}");
    got.retain(|line| *line != key);
    let mut got: Vec<String> = got.into_iter().map(|line| line.trim_end().to_ascii_lowercase()).collect();
    got.sort();
    want.sort();
    assert_eq!(got, want);
    assert_eq!(heard.line(), format!("POST {MESSAGES}"));
    assert_eq!(&*heard.body, b"To=x");
    fixture.end();
}

/// Status and reason of the one answer to a request without the usual lines.
fn only_answer(fixture: &Fixture, target: &str, lines: &str) -> (u16, String) {
    let mut talk = fixture.talk();
    talk.send(format!("GET {target} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n"));
    let answers = talk.answers();
    assert_eq!(answers.len(), 1, "{lines}: {answers:?}");
    fixture.note_all(&answers);
    (answers[0].status, answers[0].header("sidekey-error").unwrap_or_default().to_owned())
}

#[test]
fn a_caller_has_one_proof_and_its_key_goes_upstream() {
    let fixture = Fixture::start(agree);
    let (ours, masters) = (basic(OURS, &fixture.token), basic(OURS, &fixture.master));
    let ask = |target: &str, lines: &str| only_answer(&fixture, target, lines);
    let keys = "/2010-04-01/Accounts.json";
    let host = "Host: broker\r\n";
    for (lines, want) in [
        (format!("Authorization: {ours}\r\n"), (403, "management_resource")),
        (format!("Authorization: {masters}\r\n"), (200, "")),
        (format!("authorization: bearer {}\r\n", fixture.master), (200, "")),
        (format!("Authorization: {ours}\r\nAuthorization: {masters}\r\n"), (400, "malformed_request")),
        (format!("Authorization: {masters}\r\nAuthorization: {masters}\r\n"), (400, "malformed_request")),
        (format!("Authorization: {masters}\r\nauthorization: Basic x\r\n"), (400, "malformed_request")),
        ("Authorization: Basic x\r\nAuthorization: Basic y\r\n".to_owned(), (401, "invalid_proof")),
        (format!("Authorization: {masters}, {masters}\r\n"), (401, "invalid_proof")),
        (format!("Authorization: {masters} x\r\n"), (401, "invalid_proof")),
        (format!("Authorization: Digest {masters}\r\n"), (401, "invalid_proof")),
        (format!("Authorization: {}\r\n", fixture.master), (401, "invalid_proof")),
        (format!("Authorization: {}\r\n", basic(OURS, &format!("{}x", fixture.master))), (401, "invalid_proof")),
        (format!("Authorization: {}\r\n", basic(OURS, &format!("{} ", fixture.master))), (401, "invalid_proof")),
        (format!("Authorization: {}\r\n", basic(OURS, &fixture.master.to_uppercase())), (401, "invalid_proof")),
        (format!("Authorization: {}\r\n", basic(&fixture.master, "x")), (401, "invalid_proof")),
        (format!("Authorization: {}\r\n", basic(KEY.0, KEY.1)), (401, "invalid_proof")),
        (format!("Authorization: {}\r\n", basic(MASTER.0, MASTER.1)), (401, "invalid_proof")),
        ("Authorization: \r\n".to_owned(), (401, "unauthenticated")),
        (format!("Authorization_: {masters}\r\n"), (401, "unauthenticated")),
        (format!("Proxy-Authorization: {masters}\r\n"), (401, "unauthenticated")),
        (format!("Cookie: Authorization={masters}\r\n"), (401, "unauthenticated")),
        (format!("X-Forwarded-Authorization: {masters}\r\n"), (401, "unauthenticated")),
        (
            format!("Authorization: {ours}\r\nX-Original-URL: {MESSAGES}\r\nX-Team: platform\r\n"),
            (403, "management_resource"),
        ),
    ] {
        let (status, reason) = ask(keys, &format!("{host}{lines}"));
        assert_eq!((status, &*reason), want, "{lines}");
    }
    // On an absolute target the proxy's proof decides, and what is inside is only replaced.
    let absolute = "http://api.twilio.com/2010-04-01/Accounts.json";
    let host = "Host: api.twilio.com\r\n";
    for (lines, want) in [
        (format!("Proxy-Authorization: {masters}\r\nAuthorization: {ours}\r\n"), (200, "")),
        (format!("Proxy-Authorization: {ours}\r\nAuthorization: {masters}\r\n"), (403, "management_resource")),
        (format!("Proxy-Authorization: {masters}\r\nProxy-Authorization: {ours}\r\n"), (400, "malformed_request")),
        (format!("Proxy-Authorization: Basic x\r\nAuthorization: {masters}\r\n"), (401, "invalid_proof")),
        (format!("Authorization: {masters}\r\n"), (200, "")),
    ] {
        let (status, reason) = ask(absolute, &format!("{host}{lines}"));
        assert_eq!((status, &*reason), want, "{lines}");
    }
    for heard in fixture.wire.heard() {
        assert_eq!(heard.value("authorization"), basic(MASTER.0, MASTER.1), "{heard:?}");
    }
    let (records, _) = fixture.end();
    for (reason, team) in [("invalid_proof", false), ("unauthenticated", false), ("management_resource", true)] {
        let refused: Vec<_> = records.iter().filter(|record| record["reason"] == reason).collect();
        assert!(refused.len() > 2 && refused.iter().all(|record| record["team"].is_string() == team), "{refused:?}");
    }
}

fn say_much(exchange: &mut Exchange) -> After {
    exchange.body();
    let lines = "Content-Type: text/plain\r\nConnection: X-Hop, keep-alive\r\nX-Hop: x\r\nConnection: X-Other\r\nX-Other: y\r\n\
        Keep-Alive: timeout=5\r\nProxy-Connection: x\r\nProxy-Authenticate: Basic\r\nTE: x\r\nTrailer: X\r\nUpgrade: h2c\r\n\
        Sidekey-Error: no_key\r\nSidekey-Request-Id: 0\r\nX-Passes: 1\r\nX-Passes: 2\r\nSet-Cookie: a=b\r\nETag: \"x\"\r\n\
        Twilio-Request-Id: RQ1\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nServer: twilio\r\nLocation: HTTPS://Messaging.Twilio.com/v1/x\r\n";
    exchange.answer("200 Fine", lines, b"body")
}

#[test]
fn what_an_upstream_may_not_say_ends_here() {
    let fixture = Fixture::start(say_much);
    let answer = fixture.ask("GET", MESSAGES, "", b"").expect("an answer");
    let mut got: Vec<(&str, &str)> = answer.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    got.retain(|(name, _)| *name != "sidekey-request-id");
    let want = [
        ("content-type", "text/plain"),
        ("x-passes", "1"),
        ("x-passes", "2"),
        ("set-cookie", "a=b"),
        ("etag", "\"x\""),
        ("twilio-request-id", "RQ1"),
        ("date", "Mon, 01 Jan 2024 00:00:00 GMT"),
        ("server", "twilio"),
        ("location", "http://broker:8080/messaging.twilio.com/v1/x"),
        ("content-length", "4"),
    ];
    assert_eq!(got, want);
    assert_eq!((answer.status, &*answer.reason, answer.text()), (200, "Fine", "body"));
    assert_eq!(answer.headers.iter().filter(|(name, _)| name == "sidekey-request-id").count(), 1);
    let (records, _) = fixture.end();
    assert!(records.iter().any(|record| record["upstream_request_id"] == "RQ1"));
}

#[test]
fn own_answers_are_whole() {
    let fixture = Fixture::start(agree);
    for (method, target) in [("GET", "/nowhere"), ("HEAD", "/nowhere"), ("GET", "/.sidekey/whoami")] {
        let answer = fixture.ask(method, target, "", b"").expect("an answer");
        assert!(answer.header("date").is_some_and(|date| date.ends_with(" GMT")), "{answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
        let length: usize = answer.header("content-length").and_then(|length| length.parse().ok()).expect("a length");
        assert!(length > 0 && (method == "HEAD" || answer.body.len() == length), "{answer:?}");
        assert_eq!(answer.header("connection"), None, "{answer:?}");
    }
    fixture.end();
}
