//! A hostile or broken upstream: no answer of it can desynchronise, hang or kill the broker.

use super::fixture::{Fixture, MESSAGES};
use crate::support::talk::End;
use crate::support::wire::{After, Exchange};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write as _;
use std::time::Duration;

/// Answers that are none, by name: each is a 502 and its connection is not used again.
const BAD: &[(&str, &str)] = &[
    (
        "cl-te",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nX: smuggled\r\n\r\n",
    ),
    ("te-cl", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
    ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"),
    ("other lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"),
    ("length list", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok"),
    ("length sign", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok"),
    ("length text", "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok"),
    ("te in 1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("two codings", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("gzip coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("identity coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok"),
    ("101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"),
    ("101 after 100", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n\r\n"),
    ("NUL in a value", "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok"),
    ("CR in a value", "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok"),
    ("bare LF", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
    ("fold", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok"),
    ("space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok"),
    ("no name", "HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 2\r\n\r\nok"),
    ("no colon", "HTTP/1.1 200 OK\r\nX\r\nContent-Length: 2\r\n\r\nok"),
    ("status 99", "HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("status 000", "HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("status 20", "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("status 2000", "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("HTTP/2.0", "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("SSH", "SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    ("an empty line first", "\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("chunk size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nok\r\n0\r\n\r\n"),
    ("chunk sign", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nok\r\n0\r\n\r\n"),
    ("huge chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nok\r\n0\r\n\r\n"),
    ("close at once", ""),
    ("close in the head", "HTTP/1.1 200 OK\r\nContent-Le"),
    ("close after 100", "HTTP/1.1 100 Continue\r\n\r\n"),
    ("200 lines", "+200 lines"),
    ("huge head", "+huge head"),
    ("endless 1xx", "+endless 1xx"),
];

/// Answers that begin well and end badly: the caller sees a cut, or a refusal if nothing had gone out; never an end.
const CUT: &[(&str, &str)] = &[
    ("short", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"),
    ("chunk cut", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
    ("in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nhello"),
    ("chunk end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n"),
    ("trailers cut", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n"),
];

/// Answers that are whole, whatever stands behind them: the body that the caller gets.
const GOOD: &[(&str, &str, u16, &str)] = &[
    (
        "extra",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled",
        200,
        "ok",
    ),
    ("extra on 204", "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled", 204, ""),
    ("length on 204", "HTTP/1.1 204 No Content\r\nContent-Length: 8\r\n\r\nsmuggled", 204, ""),
    ("length on 304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 8\r\n\r\n", 304, ""),
    (
        "extra chunk",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled",
        200,
        "ok",
    ),
    (
        "some 1xx",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nX: y\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        200,
        "ok",
    ),
    ("until close", "HTTP/1.1 200 OK\r\n\r\nok", 200, "ok"),
    ("HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nok", 200, "ok"),
    ("HTTP/1.0 with length", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok"),
    ("no phrase", "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", 200, "ok"),
    ("odd status", "HTTP/1.1 799 What\r\nContent-Length: 2\r\n\r\nok", 799, "ok"),
    (
        "trailers",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nContent-Length: 9\r\nSidekey-Error: x\r\n\r\n",
        200,
        "ok",
    ),
    ("latin-1", "HTTP/1.1 200 OK\r\nX: caf\u{e9}\r\nContent-Length: 2\r\n\r\nok", 200, "ok"),
    ("redirect", "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/evil\r\nContent-Length: 2\r\n\r\nok", 302, "ok"),
    (
        "307",
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: https://evil/2010-04-01\r\nContent-Length: 2\r\n\r\nok",
        307,
        "ok",
    ),
    ("308", "HTTP/1.1 308 Permanent Redirect\r\nLocation: //evil/x\r\nContent-Length: 2\r\n\r\nok", 308, "ok"),
    ("401 other", "HTTP/1.1 401 Unauthorized\r\nContent-Length: 15\r\n\r\n{\"code\": 70051}", 401, "{\"code\": 70051}"),
    (
        "401 chunked",
        "HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"cod\r\na\r\ne\": 70051}\r\n0\r\n\r\n",
        401,
        "{\"code\": 70051}",
    ),
];

fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).expect("Latin-1")).collect()
}

/// `X-Case` names an entry of a table above; without one, an honest answer that tells the request it is for.
fn hostile(exchange: &mut Exchange) -> After {
    exchange.body();
    let case = exchange.heard.value("x-case").to_owned();
    let known = BAD.iter().chain(CUT).copied().chain(GOOD.iter().map(|(name, text, ..)| (*name, *text)));
    let Some((_, text)) = known.into_iter().find(|(name, _)| *name == case) else {
        let mark = exchange.heard.value("x-mark").to_owned();
        return exchange.answer("200 OK", "", mark.as_bytes());
    };
    match text {
        "+200 lines" => {
            let lines: String = (0..200).map(|n| format!("X-{n}: y\r\n")).collect();
            exchange.answer("200 OK", &lines, b"ok")
        }
        "+huge head" => exchange.answer("200 OK", &format!("X: {}\r\n", "y".repeat(200_000)), b"ok"),
        "+endless 1xx" => {
            while exchange.say(b"HTTP/1.1 102 Processing\r\n\r\n") {}
            After::Close
        }
        text => {
            exchange.say(bytes(text));
            // What is framed well is left open, so that only the broker's own rules keep it from being used again.
            if case.starts_with("extra") || case.contains("length") { After::Keep } else { After::Close }
        }
    }
}

#[test]
fn no_answer_desynchronises_the_next_one() {
    let fixture = Fixture::start(hostile);
    let mut turn = 0;
    let mut honest = || {
        turn += 1;
        let mark = format!("mark-{turn}");
        let answer = fixture.ask("GET", MESSAGES, &format!("X-Mark: {mark}\r\n"), b"").expect("an answer");
        assert_eq!((answer.status, answer.text()), (200, &*mark));
    };
    for (name, _) in BAD {
        for method in ["GET", "POST"] {
            let answer = fixture.ask(method, MESSAGES, &format!("X-Case: {name}\r\n"), b"");
            let answer = answer.unwrap_or_else(|| panic!("no answer: {name}"));
            let told = (answer.status, answer.header("sidekey-error"));
            assert_eq!(told, (502, Some("upstream_unreachable")), "{name}: {answer:?}");
            honest();
        }
    }
    let mut cuts = 0;
    for (name, _) in CUT {
        let mut talk = fixture.talk();
        talk.send(fixture.request("GET", MESSAGES, &format!("X-Case: {name}\r\n"), b""));
        if let Some(answer) = talk.answer() {
            assert_eq!((answer.status, answer.header("sidekey-error")), (502, Some("upstream_unreachable")), "{name}");
        } else {
            assert_eq!(talk.end(), Some(End::Closed), "{name}");
            cuts += 1;
        }
        honest();
    }
    for (name, _, status, body) in GOOD {
        for method in ["GET", "POST", "HEAD"] {
            let answer = fixture.ask(method, MESSAGES, &format!("X-Case: {name}\r\n"), b"").expect("an answer");
            let body = if method == "HEAD" { "" } else { body };
            if method == "HEAD" && *status == 401 {
                // Without a body nothing says that it is not the key that was refused.
                continue;
            }
            assert_eq!((answer.status, answer.text()), (*status, body), "{name} {method}: {answer:?}");
            honest();
        }
    }
    let heads = fixture.wire.heard();
    assert!(heads.iter().all(|heard| !heard.head.contains("evil")), "a redirect was followed");
    let (records, _) = fixture.end();
    let cut: Vec<_> = records.iter().filter(|record| record["reason"] == "cut").collect();
    assert_eq!(cut.len(), cuts, "{cut:?}");
}

/// An answer whose end comes with its beginning, and is none.
fn cut_at_once(exchange: &mut Exchange) -> After {
    exchange
        .say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/plain\r\n\r\n5\r\nhello\r\nxyz\r\n");
    After::Close
}

#[test]
fn an_answer_that_breaks_before_anything_went_out_is_refused() {
    let fixture = Fixture::start(cut_at_once);
    let answer = fixture.ask("GET", MESSAGES, "", b"").expect("an answer");
    let told = (answer.status, answer.header("sidekey-error"), answer.header("content-type"));
    assert_eq!(told, (502, Some("upstream_unreachable"), Some("application/json")), "{answer:?}");
    assert!(!answer.text().contains("hello"), "{answer:?}");
    let (records, said) = fixture.end();
    // The caller is not told why; the audit and the log are.
    let outcome = records.iter().find(|record| record["reason"] == "upstream_unreachable").expect("an outcome");
    assert!(outcome["detail"].as_str().is_some_and(|why| !why.is_empty()), "{outcome}");
    assert!(said.contains("an upstream does not answer"), "{said}");
}

/// Says things about the body that a GET would have.
fn bodiless(exchange: &mut Exchange) -> After {
    let coded = "Content-Type: application/json\r\nContent-Encoding: gzip\r\n";
    exchange.say(format!("HTTP/1.1 200 OK\r\n{coded}Content-Length: 1234\r\n\r\n"));
    After::Keep
}

#[test]
fn a_head_tells_the_length_that_a_get_would_have() {
    let fixture = Fixture::start(bodiless);
    let answer = fixture.ask("HEAD", MESSAGES, "", b"").expect("an answer");
    assert_eq!((answer.status, answer.header("content-length")), (200, Some("1234")), "{answer:?}");
    assert_eq!(answer.headers.iter().filter(|(name, _)| name == "content-length").count(), 1);
    fixture.end();
}

/// A 401 of each kind.
fn unwilling(exchange: &mut Exchange) -> After {
    let json = |code: u32| format!("{{\"code\": {code}, \"message\": \"Authenticate\", \"status\": 401}}");
    let gzip = |text: String| {
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(text.as_bytes()).expect("memory");
        packed.finish().expect("memory")
    };
    let case = exchange.heard.value("x-case").to_owned();
    let status = "401 Unauthorized";
    match &*case {
        "gzip 70051" => exchange.answer(status, "Content-Encoding: gzip\r\n", &gzip(json(70051))),
        "gzip 20003" => exchange.answer(status, "Content-Encoding: gzip\r\n", &gzip(json(20003))),
        "xml 20003" => exchange.answer(
            status,
            "",
            b"<TwilioResponse><RestException><Code>20003</Code></RestException></TwilioResponse>",
        ),
        "xml 70051" => exchange.answer(
            status,
            "",
            b"<TwilioResponse><RestException><Code>70051</Code></RestException></TwilioResponse>",
        ),
        "header 20003" => exchange.answer(status, "X-Twilio-Error-Code: 20003\r\n", b""),
        "header 70051" => exchange.answer(status, "X-Twilio-Error-Code: 70051\r\n", b""),
        "huge" => exchange.answer(status, "", &vec![b'x'; 300_000]),
        "70051" => exchange.answer(status, "WWW-Authenticate: Basic realm=\"Twilio API\"\r\n", json(70051).as_bytes()),
        _ => exchange.answer(status, "", json(20003).as_bytes()),
    }
}

#[test]
fn a_refused_key_is_not_the_callers_fault() {
    let fixture = Fixture::start(unwilling);
    for (case, status, reason) in [
        ("20003", 502, Some("upstream_rejected_key")),
        ("gzip 20003", 502, Some("upstream_rejected_key")),
        ("xml 20003", 502, Some("upstream_rejected_key")),
        ("header 20003", 502, Some("upstream_rejected_key")),
        ("huge", 502, Some("upstream_unreachable")),
        ("70051", 401, None),
        ("gzip 70051", 401, None),
        ("xml 70051", 401, None),
        ("header 70051", 401, None),
    ] {
        let answer = fixture.ask("GET", MESSAGES, &format!("X-Case: {case}\r\n"), b"").expect("an answer");
        assert_eq!((answer.status, answer.header("sidekey-error")), (status, reason), "{case}: {answer:?}");
        assert!(status == 502 || case.starts_with("header") || answer.text().contains("70051"), "{case}: {answer:?}");
    }
    fixture.end();
}

/// Keeps each connection for one request and closes it when the next one comes.
fn stale(exchange: &mut Exchange) -> After {
    if exchange.turn > 0 {
        return After::Close;
    }
    exchange.body();
    exchange.answer("200 OK", "", b"fresh")
}

#[test]
fn what_may_have_been_done_is_not_done_twice() {
    let fixture = Fixture::start_with("response_timeout = \"30s\"", "cores = 1", stale);
    // The first opens a connection, the second finds it closed under its hands.
    for (method, body, status, heard) in [
        ("GET", "", 200, 2),
        ("HEAD", "", 200, 2),
        ("POST", "a=b", 502, 1),
        ("POST", "", 502, 1),
        ("DELETE", "", 502, 1),
        ("PUT", "x", 502, 1),
        ("GET", "x", 502, 1),
    ] {
        // A connection that was opened ahead may take the second one: then nothing is shown, and it is asked again.
        let shown = (0..20).any(|attempt| {
            let first = fixture.ask("GET", MESSAGES, "", b"").expect("an answer");
            assert_eq!(first.status, 200);
            let mark = format!("{method}-{}-{attempt}", body.len());
            let answer = fixture.ask(method, MESSAGES, &format!("X-Mark: {mark}\r\n"), body.as_bytes());
            let answer = answer.expect("an answer");
            let sent = fixture.wire.heard().iter().filter(|heard| heard.value("x-mark") == mark).count();
            if (answer.status, sent) == (200, 1) {
                return false;
            }
            assert_eq!((answer.status, sent), (status, heard), "{method} {body:?}: {answer:?}");
            true
        });
        assert!(shown, "{method} {body:?}: no connection was found closed");
    }
    fixture.end();
}

/// Never answers, or stalls in the head or in the body.
fn slow(exchange: &mut Exchange) -> After {
    match exchange.heard.value("x-case") {
        "head" => drop(exchange.say(b"HTTP/1.1 200 OK\r\nX: ")),
        "100" => drop(exchange.say(b"HTTP/1.1 100 Continue\r\n\r\n")),
        "body" => drop(exchange.say(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")),
        "deaf" => {
            // Reads nothing: a large body can't be sent.
            std::thread::sleep(Duration::from_secs(8));
            return After::Close;
        }
        _ => {}
    }
    while exchange.more() {}
    After::Close
}

#[test]
fn an_upstream_that_is_late_is_a_504() {
    let fixture = Fixture::start_with("response_timeout = \"500ms\"", "body_timeout = \"500ms\"", slow);
    for case in ["silent", "head", "100"] {
        let answer = fixture.ask("POST", MESSAGES, &format!("X-Case: {case}\r\n"), b"x").expect("an answer");
        assert_eq!(
            (answer.status, answer.header("sidekey-error")),
            (504, Some("upstream_timeout")),
            "{case}: {answer:?}"
        );
    }
    let deaf = fixture.ask("POST", MESSAGES, "X-Case: deaf\r\n", &vec![b'x'; 15_000_000]).expect("an answer");
    assert_eq!((deaf.status, deaf.header("sidekey-error")), (504, Some("upstream_timeout")), "{deaf:?}");
    let mut talk = fixture.talk();
    talk.send(fixture.request("GET", MESSAGES, "X-Case: body\r\n", b""));
    assert!(talk.answer().is_none() && talk.end() == Some(End::Closed));
    fixture.end();
}

/// Writes until nobody reads any more, and tells how far it got.
fn flood(exchange: &mut Exchange) -> After {
    const SIZE: usize = 256 << 20;
    exchange.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"));
    let stream = exchange.stream();
    stream.set_write_timeout(Some(Duration::from_secs(2))).expect("an option");
    let (piece, mut sent) = ([b'x'; 16384], 0);
    while sent < SIZE {
        match stream.write(&piece) {
            Ok(written) => sent += written,
            Err(_) => break,
        }
    }
    STUCK.store(sent, std::sync::atomic::Ordering::SeqCst);
    After::Close
}

static STUCK: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

#[test]
fn what_a_caller_does_not_read_is_not_read_from_the_upstream() {
    let fixture = Fixture::start_with("response_timeout = \"30s\"", "body_timeout = \"1m\"", flood);
    let mut talk = fixture.talk();
    talk.send(fixture.request("GET", MESSAGES, "", b""));
    while STUCK.load(std::sync::atomic::Ordering::SeqCst) == 0 {
        std::thread::sleep(Duration::from_millis(50));
    }
    let held = STUCK.load(std::sync::atomic::Ordering::SeqCst);
    // Sockets' own buffers on both sides, and little else.
    assert!(held < 48 << 20, "{held} bytes were taken for a caller that reads none");
    assert!(talk.answer().is_none(), "a cut answer");
    fixture.end();
}

#[test]
fn an_upstream_that_is_not_there_is_a_502() {
    // A port on which nobody listens.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let fixture = Fixture::start_with(&format!("url = \"http://{gone}\""), "", hostile);
    let answer = fixture.ask("POST", MESSAGES, "", b"a=b").expect("an answer");
    assert_eq!((answer.status, answer.header("sidekey-error")), (502, Some("upstream_unreachable")), "{answer:?}");
    assert!(!answer.text().contains(&gone.port().to_string()), "{answer:?}");
    fixture.end();
}
