//! Heads and bodies that could be read in two ways.

use super::fixture::{Fixture, KEYS, MESSAGES, agree};
use crate::support::talk::End;

/// Whole heads. `{P}` is an allowed path, `{H}` the usual lines, `{A}` the proof.
const HEADS: &[(&str, &str)] = &[
    ("bare LF everywhere", "GET {P} HTTP/1.1\nHost: x\n\n"),
    ("bare LF in a line", "GET {P} HTTP/1.1\r\n{H}X: y\n\r\n"),
    ("bare LF at the end", "GET {P} HTTP/1.1\r\n{H}\n"),
    ("bare CR in a value", "GET {P} HTTP/1.1\r\n{H}X: a\rb\r\n\r\n"),
    ("bare CR as a line end", "GET {P} HTTP/1.1\r{H}\r\r"),
    ("NUL in a value", "GET {P} HTTP/1.1\r\n{H}X: a\0b\r\n\r\n"),
    ("NUL in a name", "GET {P} HTTP/1.1\r\n{H}X\0: a\r\n\r\n"),
    ("NUL in the target", "GET {P}\0 HTTP/1.1\r\n{H}\r\n"),
    ("DEL in a value", "GET {P} HTTP/1.1\r\n{H}X: a\x7fb\r\n\r\n"),
    ("ESC in a value", "GET {P} HTTP/1.1\r\n{H}User-Agent: \x1b[2J\r\n\r\n"),
    ("UTF-8 in a value", "GET {P} HTTP/1.1\r\n{H}X: caf\u{e9}\r\n\r\n"),
    ("UTF-8 in a name", "GET {P} HTTP/1.1\r\n{H}caf\u{e9}: x\r\n\r\n"),
    ("NEL before a name", "GET {P} HTTP/1.1\r\n{H}\u{85}X: x\r\n\r\n"),
    ("obs-fold", "GET {P} HTTP/1.1\r\n{H}X: a\r\n b\r\n\r\n"),
    ("obs-fold with a tab", "GET {P} HTTP/1.1\r\n{H}X: a\r\n\tb\r\n\r\n"),
    ("fold before any line", "GET {P} HTTP/1.1\r\n {H}\r\n"),
    ("space before the colon", "GET {P} HTTP/1.1\r\n{H}X : a\r\n\r\n"),
    ("tab before the colon", "GET {P} HTTP/1.1\r\n{H}X\t: a\r\n\r\n"),
    ("no name", "GET {P} HTTP/1.1\r\n{H}: a\r\n\r\n"),
    ("no colon", "GET {P} HTTP/1.1\r\n{H}X\r\n\r\n"),
    ("a space in a name", "GET {P} HTTP/1.1\r\n{H}X Y: a\r\n\r\n"),
    ("brackets in a name", "GET {P} HTTP/1.1\r\n{H}X(Y): a\r\n\r\n"),
    ("HTTP/1.2", "GET {P} HTTP/1.2\r\n{H}\r\n"),
    ("HTTP/2.0", "GET {P} HTTP/2.0\r\n{H}\r\n"),
    ("HTTP/0.9 with a version", "GET {P} HTTP/0.9\r\n{H}\r\n"),
    ("http in lower case", "GET {P} http/1.1\r\n{H}\r\n"),
    ("junk behind the version", "GET {P} HTTP/1.1x\r\n{H}\r\n"),
    ("HTTP/1.10", "GET {P} HTTP/1.10\r\n{H}\r\n"),
    ("space behind the version", "GET {P} HTTP/1.1 \r\n{H}\r\n"),
    ("HTTP/0.9", "GET {P}\r\n{H}\r\n"),
    ("two spaces", "GET  {P} HTTP/1.1\r\n{H}\r\n"),
    ("two spaces before the version", "GET {P}  HTTP/1.1\r\n{H}\r\n"),
    ("tabs for spaces", "GET\t{P}\tHTTP/1.1\r\n{H}\r\n"),
    ("a space first", " GET {P} HTTP/1.1\r\n{H}\r\n"),
    ("a space in the target", "GET {P} x HTTP/1.1\r\n{H}\r\n"),
    ("no method", "{P} HTTP/1.1\r\n{H}\r\n"),
    ("HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("TLS", "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03\r\n\r\n"),
    ("a second HTTP/1.0 with TE", "POST {P} HTTP/1.0\r\n{H}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
];

/// Lines that join the usual ones.
const LINES: &[&str] = &[
    // Content-Length.
    "Content-Length: 5\r\nContent-Length: 5",
    "Content-Length: 5\r\nContent-Length: 6",
    "Content-Length: 5, 5",
    "Content-Length: 5,6",
    "Content-Length: +5",
    "Content-Length: -1",
    "Content-Length: 0x5",
    "Content-Length: 5_0",
    "Content-Length: 5 5",
    "Content-Length:",
    "Content-Length: five",
    "Content-Length: 5.0",
    "Content-Length: 18446744073709551621",
    "Content-Length: 99999999999999999999",
    "Content-Length: 5;",
    "Content-Length : 5",
    "content-length: 5\r\nCONTENT-LENGTH: 5",
    // Transfer-Encoding.
    "Content-Length: 6\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 6",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: ,chunked",
    "Transfer-Encoding: chunked,",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, gzip",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunkedx",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding: chunked;q=1",
    "Transfer-Encoding: chunk",
    "Transfer-Encoding:",
    "Transfer-Encoding: \x0bchunked",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding: gzip",
    // Host.
    "Host: broker:8080",
    "Host: api.twilio.com",
    "host: other",
    // Expect.
    "Expect: 100-continue, x",
    "Expect: y 100-continue",
    "Expect: 200-ok",
    "Expect: 100-continue\r\nExpect: 100-continue",
];

/// Values of the only `Host`.
const HOSTS: &[&str] = &[
    "",
    "u@broker",
    "api.twilio.com@evil",
    "broker/x",
    "a, b",
    "a b",
    "broker:",
    "broker:x",
    "broker:123456",
    "broker?x",
    "broker#x",
    "[::1",
    "http://broker",
    "a%62",
];

/// Targets that are neither a path nor a URL, or that could be read in two ways.
const TARGETS: &[&str] = &[
    "*",
    "x",
    "api.twilio.com:443",
    "http:evil",
    "http:/2010-04-01",
    "ftp://h{P}",
    "//evil{P}",
    "http://{P}",
    "https://api.twilio.com@evil{P}",
    "http://u:p@api.twilio.com{P}",
    "http://api.twilio.com",
    "http://api.twilio.com?x",
    "{P}#frag",
    "{P}\u{e9}",
    "{P}\\x",
    "{P}|",
    "{P}\"",
    "{P}{x}",
    "{P}%zz",
    "{P}%",
    "{P}?a=%zz",
    "{P}?a=#b",
    "{P}<",
    "{P}^",
    "{P}`",
    "?x",
    "/",
];

/// Chunked bodies that are none.
const CHUNKS: &[(&str, &str)] = &[
    ("a prefix", "0x5\r\nhello\r\n0\r\n\r\n"),
    ("a sign", "+5\r\nhello\r\n0\r\n\r\n"),
    ("a minus", "-5\r\nhello\r\n0\r\n\r\n"),
    ("a space behind the size", "5 \r\nhello\r\n0\r\n\r\n"),
    ("a space before the size", " 5\r\nhello\r\n0\r\n\r\n"),
    ("17 digits", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("2^64", "FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n"),
    ("a bare LF", "5\nhello\r\n0\r\n\r\n"),
    ("a bare CR", "5\rhello\r\n0\r\n\r\n"),
    ("a LF behind the data", "5\r\nhello\n0\r\n\r\n"),
    ("nothing behind the data", "5\r\nhello0\r\n\r\n"),
    ("more data than said", "5\r\nhelloXX\r\n0\r\n\r\n"),
    ("no size", "\r\nhello\r\n0\r\n\r\n"),
    ("no size but an extension", ";x\r\nhello\r\n0\r\n\r\n"),
    ("a LF in an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
    ("a NUL in an extension", "5;a\0\r\nhello\r\n0\r\n\r\n"),
    ("letters", "5g\r\nhello\r\n0\r\n\r\n"),
    ("an underscore", "5_\r\nhello\r\n0\r\n\r\n"),
    ("a trailer without colon", "5\r\nhello\r\n0\r\nX\r\n\r\n"),
    ("a trailer with a LF", "5\r\nhello\r\n0\r\nX: y\n\r\n"),
    ("a trailer that folds", "5\r\nhello\r\n0\r\nX: y\r\n z: w\r\n\r\n"),
    ("a request for trailers", "5\r\nhello\r\n0\r\nGET /x HTTP/1.1\r\n\r\n"),
    ("a LF at the end", "5\r\nhello\r\n0\r\n\n"),
];

fn filled(fixture: &Fixture, text: &str) -> String {
    text.replace("{P}", MESSAGES).replace("{H}", &fixture.usual()).replace("{A}", &fixture.proof())
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let fixture = Fixture::start(agree);
    let refused = |name: &str, text: &str| {
        // A second request stands behind each: whatever is wrong with the first, it must not come to life.
        let text = filled(&fixture, &format!("{text}GET {{P}}?smuggled=1 HTTP/1.1\r\n{{H}}\r\n"));
        // Latin-1: a byte for each character.
        let bytes: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).expect("Latin-1")).collect();
        fixture.refused(name, &bytes, "malformed_request");
    };
    for (name, head) in HEADS {
        refused(name, head);
    }
    for line in LINES {
        refused(line, &format!("POST {{P}} HTTP/1.1\r\n{{H}}{line}\r\n\r\n0\r\n\r\n"));
    }
    for host in HOSTS {
        refused(
            &format!("Host: {host}"),
            &format!("GET {{P}} HTTP/1.1\r\nHost: {host}\r\n{{A}}Content-Length: 1\r\n\r\n"),
        );
    }
    refused("no Host", "GET {P} HTTP/1.1\r\n{A}Content-Length: 1\r\n\r\n");
    for (name, chunks) in CHUNKS {
        refused(name, &format!("POST {{P}} HTTP/1.1\r\n{{H}}Transfer-Encoding: chunked\r\n\r\n{chunks}"));
    }
    let many: String = (0..101).map(|n| format!("X-{n}: y\r\n")).collect();
    refused("101 lines", &format!("GET {{P}} HTTP/1.1\r\n{{H}}{many}\r\n"));
    refused("a head of 70 KB", &format!("GET {{P}} HTTP/1.1\r\n{{H}}X: {}\r\n\r\n", "y".repeat(70_000)));
    refused("a line of 70 KB", &format!("GET {{P}}?{} HTTP/1.1\r\n{{H}}\r\n", "y".repeat(70_000)));
    fixture.end();
}

#[test]
fn what_is_no_request_of_ours_is_refused_and_the_next_is_judged_on_its_own() {
    let fixture = Fixture::start(agree);
    let mut talk = fixture.talk();
    let mut ask = |line: &str, want: &[u16]| {
        let before = fixture.wire.count();
        let text = filled(&fixture, &format!("{line} HTTP/1.1\r\n{{H}}\r\n"));
        let bytes: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).expect("Latin-1")).collect();
        if talk.end().is_some() {
            talk = fixture.talk();
        }
        talk.send(bytes);
        let method = line.split(' ').next().unwrap_or_default();
        let answer = talk.answer_to(method).unwrap_or_else(|| panic!("no answer: {line}"));
        fixture.note(&answer);
        assert!(want.contains(&answer.status), "{line}: {answer:?}");
        assert!(answer.header("sidekey-error").is_some(), "{line}: {answer:?}");
        assert_eq!(fixture.wire.count(), before, "{line}: reached the upstream");
        if answer.header("connection") == Some("close") {
            assert!(talk.answer().is_none() && talk.end() == Some(End::Closed), "{line}");
        }
    };
    for target in TARGETS {
        ask(&format!("GET {target}"), &[400, 403]);
    }
    for method in ["TRACE", "TRACK", "CONNECT", "DEBUG", "PRI", "get", "Get", "G!ET", "PROPFIND", "GETT", "BREW"] {
        ask(&format!("{method} {{P}}"), &[400]);
        ask(&format!("{method} api.twilio.com:443"), &[400, 403]);
    }
    for target in ["http://evil{P}", "http://127.0.0.1{P}", "https://api.twilio.com.evil{P}", "http://broker:8080{P}"] {
        let authority = target.split('/').nth(2).and_then(|text| text.split('{').next()).expect("an authority");
        let text =
            filled(&fixture, &format!("GET {target} HTTP/1.1\r\nHost: {authority}\r\n{{A}}Connection: close\r\n\r\n"));
        fixture.refused(target, text.as_bytes(), "host_not_allowed");
    }
    fixture.end();
}

#[test]
fn pipelined_requests_are_judged_each_on_its_own() {
    let fixture = Fixture::start(agree);
    let get = |target: &str| filled(&fixture, &format!("GET {target} HTTP/1.1\r\n{{H}}\r\n"));
    let post = filled(&fixture, "POST {P} HTTP/1.1\r\n{H}Content-Length: 5\r\n\r\nA=b&c");
    let mut talk = fixture.talk();
    let all = [get(MESSAGES), get(KEYS), post, get("/v1/x"), get("/.sidekey/whoami"), get(MESSAGES)].concat();
    talk.send(&all);
    talk.hang_up();
    let answers = talk.answers();
    fixture.note_all(&answers);
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 403, 200, 403, 200, 200]);
    assert_eq!(fixture.wire.count(), 3);

    // The same, a byte at a time.
    let mut talk = fixture.talk();
    for byte in all.bytes() {
        talk.send([byte]);
    }
    talk.hang_up();
    let answers = talk.answers();
    fixture.note_all(&answers);
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 403, 200, 403, 200, 200]);
    assert_eq!(fixture.wire.heard()[4].body, b"A=b&c");
    fixture.end();
}

#[test]
fn a_refused_body_is_no_request() {
    let fixture = Fixture::start(agree);
    let inner = filled(&fixture, &format!("GET {MESSAGES}?smuggled=1 HTTP/1.1\r\n{{H}}\r\n"));
    let length = format!("Content-Length: {}", inner.len());
    let chunked = format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len());
    let upgrade = format!("Upgrade: websocket\r\nConnection: Upgrade\r\n{length}");
    for (framing, body) in [(&*length, &inner), ("Transfer-Encoding: chunked", &chunked), (&upgrade, &inner)] {
        let post = |target: &str, lines: &str| {
            format!("POST {target} HTTP/1.1\r\n{lines}{framing}\r\n\r\n{body}{inner}").into_bytes()
        };
        let usual = fixture.usual();
        fixture.refused("403", &post(KEYS, &usual), "management_resource");
        fixture.refused("400", &post("/2010-04-01//x", &usual), "malformed_request");
        fixture.refused("401", &post(MESSAGES, "Host: broker\r\n"), "unauthenticated");
        fixture.refused("401", &post(MESSAGES, "Host: broker\r\nAuthorization: Bearer x\r\n"), "invalid_proof");
        let expects = format!("{usual}Expect: 100-continue\r\n");
        fixture.refused("403, expecting", &post(KEYS, &expects), "management_resource");
    }
    // What would be too large is not read.
    let huge = "Content-Length: 16777217\r\n";
    for expects in ["", "Expect: 100-continue\r\n"] {
        let head = format!("POST {MESSAGES} HTTP/1.1\r\n{}{huge}{expects}\r\n{inner}", fixture.usual());
        fixture.refused("413", head.as_bytes(), "body_too_large");
    }
    fixture.end();
}

#[test]
fn one_normal_form_goes_upstream() {
    let fixture = Fixture::start(agree);
    let lines = "Transfer-Encoding: Chunked\r\nTrailer: Authorization\r\nTE: trailers\r\n";
    let trailers = "Authorization: Basic eA==\r\nContent-Length: 3\r\nHost: evil\r\nX-Twilio: x\r\n";
    let body = format!("5;ext=1\r\nhello\r\n000006;a=\"b\"\r\n world\r\n0;x\r\n{trailers}\r\n");
    let answer = fixture.ask("POST", MESSAGES, lines, body.as_bytes()).expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    let heard = fixture.wire.last();
    assert_eq!((&*heard.body, heard.whole), (&b"hello world"[..], true));
    assert_eq!(heard.trailers, "X-Twilio: x\r\n");
    assert_eq!((heard.values("te"), heard.values("connection")), (vec!["trailers"], vec!["TE"]));
    for name in ["trailer", "x-twilio", "content-length"] {
        assert_eq!(heard.values(name), [""; 0], "{heard:?}");
    }
    assert_eq!(heard.values("transfer-encoding"), ["chunked"]);

    // HTTP/1.0, with and without Host: an answer without chunks, then the end unless asked otherwise.
    for (lines, close) in [("", true), ("Host: broker\r\n", true), ("Connection: keep-alive\r\n", false)] {
        let mut talk = fixture.talk();
        talk.send(format!("GET {MESSAGES} HTTP/1.0\r\n{lines}{}\r\n", fixture.proof()));
        let answer = talk.answer().expect("an answer");
        fixture.note(&answer);
        assert_eq!((answer.status, answer.header("transfer-encoding")), (200, None), "{answer:?}");
        assert_eq!(answer.header("connection"), Some(if close { "close" } else { "keep-alive" }), "{lines}");
        if !close {
            talk.hang_up();
        }
        assert!(talk.answer().is_none() && talk.end() == Some(End::Closed), "{lines}");
    }

    // A caller that says close hears it back, however it says it.
    for line in ["close", "Close", "keep-alive, close", "close, x-y"] {
        let answer = fixture.ask("GET", MESSAGES, &format!("Connection: {line}\r\n"), b"").expect("an answer");
        assert_eq!(answer.header("connection"), Some("close"), "{line}");
    }
    let twice =
        fixture.ask("GET", MESSAGES, "Connection: close\r\nConnection: keep-alive\r\n", b"").expect("an answer");
    assert_eq!(twice.header("connection"), Some("close"));
    fixture.end();
}

#[test]
fn a_caller_that_waits_for_100_gets_it_once() {
    let fixture = Fixture::start(agree);
    let mut talk = fixture.talk();
    for body in ["first", "other"] {
        let head = "Expect: 100-Continue\r\nContent-Length: 5\r\n";
        talk.send(fixture.request("POST", MESSAGES, head, b""));
        assert_eq!(talk.answer().expect("an interim answer").status, 100);
        talk.send(body);
        let answer = talk.answer().expect("an answer");
        fixture.note(&answer);
        assert_eq!((answer.status, &*fixture.wire.last().body), (200, body.as_bytes()));
        assert!(fixture.wire.last().values("expect").is_empty());
    }
    // A body that comes unasked, and none at all.
    for (head, body) in [("Expect: 100-continue\r\nContent-Length: 5\r\n", "early"), ("Expect: 100-continue\r\n", "")] {
        talk.send(fixture.request("POST", MESSAGES, head, body.as_bytes()));
        let answer = talk.answer().expect("an answer");
        fixture.note(&answer);
        assert_eq!((answer.status, &*fixture.wire.last().body), (200, body.as_bytes()));
    }
    fixture.end();
}
