//! HTTP/2 callers that say two things, or what HTTP/2 can't say; at the TLS listener and inside tunnels.

use super::fixture::{Fixture, KEYS, MESSAGES, OURS, THEIRS, agree, basic};
use super::paths::{CORE, TWISTS, cased};
use crate::reach::wire::{Secure, ask};
use crate::support::frames::{CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, Heard, block};

/// Fields that join the usual ones, behind them and before; `{A}` is the proof.
const TWICE: &[(&str, &str)] = &[
    (":method", "GET"),
    (":method", "DELETE"),
    (":scheme", "https"),
    (":path", MESSAGES),
    (":path", KEYS),
    (":authority", "sidekey.test"),
    (":authority", "api.twilio.com"),
    ("authorization", "{A}"),
    ("authorization", "Basic eDp5"),
    ("host", "api.twilio.com"),
    ("host", "other"),
    (":status", "200"),
    (":unknown", "x"),
    (":protocol", "websocket"),
    (":Path", KEYS),
    ("", "x"),
    ("X-Upper", "x"),
    ("Authorization", "{A}"),
    ("x y", "z"),
    ("x\0", "y"),
    ("x\r\ny", "z"),
    ("x:", "y"),
    ("x", "a\r\nHost: evil"),
    ("x", "a\0b"),
    ("x", "a\nb"),
    ("x", "caf\u{e9}"),
    ("x", " a"),
    ("x", "a "),
    ("connection", "close"),
    ("connection", "authorization"),
    ("keep-alive", "timeout=5"),
    ("proxy-connection", "keep-alive"),
    ("transfer-encoding", "chunked"),
    ("transfer-encoding", "identity"),
    ("upgrade", "h2c"),
    ("te", "gzip"),
    ("content-length", "5"),
    ("content-length", "+0"),
    ("content-length", "x"),
    ("expect", "200-ok"),
];

/// Values that take the place of the usual ones.
const INSTEAD: &[(&str, &str)] = &[
    (":method", ""),
    (":method", "CONNECT"),
    (":method", "TRACE"),
    (":method", "GET /x HTTP/1.1"),
    (":method", "GET\r\n"),
    (":method", "get"),
    (":authority", ""),
    (":authority", "other.test"),
    (":authority", "api.twilio.com"),
    (":authority", "u@sidekey.test"),
    (":authority", "sidekey.test/x"),
    (":authority", "sidekey.test:x"),
    (":authority", "sidekey.test, api.twilio.com"),
    (":authority", "sidekey.test\0"),
    (":scheme", ""),
    (":scheme", "https\r\n"),
    (":path", ""),
    (":path", "*"),
    (":path", "2010-04-01/Accounts"),
    (":path", "https://api.twilio.com/2010-04-01/Accounts.json"),
    (":path", "//api.twilio.com/2010-04-01/Accounts.json"),
    (":path", "/2010-04-01/Accounts.json HTTP/1.1\r\nHost: evil"),
    (":path", "/2010-04-01/Accounts.json\0"),
    (":path", "/2010-04-01/Accounts.json\t"),
    (":path", "/caf\u{e9}"),
];

type Fields<'a> = Vec<(&'a str, &'a str)>;

/// A request that is granted.
fn usual(proof: &str) -> Fields<'_> {
    vec![
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "sidekey.test"),
        (":path", MESSAGES),
        ("authorization", proof),
    ]
}

/// The same with other values.
fn with<'a>(usual: &[(&'a str, &'a str)], changes: &[(&'a str, &'a str)]) -> Fields<'a> {
    let changed = |name: &str| changes.iter().find(|(other, _)| *other == name);
    usual.iter().map(|(name, value)| *changed(name).unwrap_or(&(name, value))).collect()
}

/// The same without one.
fn without<'a>(usual: &[(&'a str, &'a str)], name: &str) -> Fields<'a> {
    usual.iter().copied().filter(|(other, _)| *other != name).collect()
}

/// The same with more at the end.
fn and<'a>(usual: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Fields<'a> {
    [usual, more].concat()
}

/// Asks on one connection as long as it lasts.
struct Asker<'f> {
    fixture: &'f Fixture,
    host: Option<&'f str>,
    frames: Frames<Secure>,
}

impl<'f> Asker<'f> {
    /// At the TLS listener, or in a tunnel to a host; where none opens, at the listener under the host's name.
    fn at(fixture: &'f Fixture, host: Option<&'f str>) -> Self {
        Self { fixture, host, frames: Self::connect(fixture, host) }
    }

    fn connect(fixture: &Fixture, host: Option<&str>) -> Frames<Secure> {
        Frames::greet(match host {
            None => fixture.secure("h2"),
            Some(host @ "api.twilio.com") => fixture.tunnel(host, "h2"),
            Some(host) => fixture.named(host, "h2"),
        })
    }

    fn ask(&mut self, fields: &[(&str, &str)], body: &[u8]) -> Heard {
        if self.frames.over() {
            self.frames = Self::connect(self.fixture, self.host);
        }
        let number = self.frames.request(fields, body);
        self.frames.heard(number)
    }

    /// Holds that a request is refused, by an answer or by the end of its stream, and that nothing of it goes upstream.
    #[track_caller]
    fn refused(&mut self, fields: &[(&str, &str)]) {
        let before = self.fixture.wire.count();
        let heard = self.ask(fields, b"");
        let refused = heard.status().is_none_or(|status| matches!(status, 400 | 401 | 403 | 431));
        assert!(refused, "{fields:?}: {heard:?}");
        assert_eq!(self.fixture.wire.count(), before, "{fields:?} reached the upstream");
    }
}

#[test]
fn a_head_that_says_two_things_is_refused() {
    let fixture = Fixture::start_secure("", agree);
    let proof = basic(OURS, &fixture.token);
    let usual = usual(&proof);
    let mut asker = Asker::at(&fixture, None);
    for missing in [":method", ":scheme", ":path", ":authority", "authorization"] {
        asker.refused(&without(&usual, missing));
    }
    for (name, value) in TWICE {
        let twice = (*name, if *value == "{A}" { &*proof } else { *value });
        asker.refused(&and(&usual, &[twice]));
        asker.refused(&and(&[twice], &usual));
    }
    asker.refused(&and(&usual, &[("content-length", "0"), ("content-length", "0")]));
    asker.refused(&and(&without(&usual, ":authority"), &[("host", "sidekey.test"), ("host", "sidekey.test")]));
    for (name, value) in INSTEAD {
        asker.refused(&with(&usual, &[(*name, *value)]));
    }
    // A tunnel in a stream, and one to elsewhere.
    for host in ["api.twilio.com:443", "127.0.0.1:443"] {
        asker.refused(&[(":method", "CONNECT"), (":authority", host), ("proxy-authorization", &proof)]);
    }
    asker.frames = Asker::connect(&fixture, None);
    // Who proves nothing is told that and nothing else.
    let strange: [&[(&str, &str)]; 2] = [
        &[(":method", "CONNECT"), (":authority", "api.twilio.com:443")],
        &and(&without(&usual, "authorization"), &[("host", "x")]),
    ];
    for headers in strange {
        assert_eq!(asker.ask(headers, b"").status(), Some(401), "{headers:?}");
    }
    assert_eq!(asker.ask(&and(&usual, &[("host", "x")]), b"").status(), Some(400));
    assert_eq!(asker.ask(&and(&usual, &[("te", "trailers"), ("host", "sidekey.test")]), b"").status(), Some(200));
    drop(asker);
    fixture.end();
}

#[test]
fn behind_a_fragment_nothing_is_judged_and_nothing_is_sent() {
    let fixture = Fixture::start_secure("", agree);
    let proof = basic(OURS, &fixture.token);
    let usual = usual(&proof);
    let mut asker = Asker::at(&fixture, None);
    // h2's own type of a URI has no place for a fragment: it is gone before anybody can see it.
    let asked = format!("{MESSAGES}?To=1");
    for path in [MESSAGES, &asked] {
        for rest in ["", "/../Keys.json", "?PageSize=1", &format!("&AccountSid={THEIRS}"), "#", "\u{1}", "caf\u{e9}"] {
            let fragment = format!("{path}#{rest}");
            assert_eq!(asker.ask(&with(&usual, &[(":path", &fragment)]), b"").status(), Some(200), "{fragment:?}");
            assert_eq!(fixture.wire.last().line(), format!("GET {path}"), "{fragment:?}");
        }
    }
    for path in [KEYS.to_owned(), format!("{MESSAGES}?AccountSid={THEIRS}"), format!("{MESSAGES}/../Keys.json")] {
        asker.refused(&with(&usual, &[(":path", &format!("{path}#/../Messages.json"))]));
    }
    drop(asker);
    fixture.end();
}

#[test]
fn no_spelling_reaches_a_management_resource() {
    let fixture = Fixture::start_secure("", agree);
    let proof = basic(OURS, &fixture.token);
    let usual = usual(&proof);
    let mut outside = Asker::at(&fixture, None);
    for (product, before, segment, rest) in CORE {
        let own = format!("{product}.twilio.com");
        let mut inside = Asker::at(&fixture, Some(&own));
        let plain = TWISTS.iter().map(|twist| twist.replace("{}", segment));
        for (n, spelled) in plain.chain(cased(segment)).enumerate() {
            let path = format!("{before}{spelled}{rest}");
            let method = ["GET", "POST", "DELETE", "PUT", "HEAD", "PATCH", "OPTIONS"][n % 7];
            inside.refused(&with(&usual, &[(":method", method), (":authority", &own), (":path", &path)]));
            let prefixed = format!("/{own}{path}");
            outside.refused(&with(&usual, &[(":method", method), (":path", &prefixed)]));
        }
    }
    for query in ["AccountSid=*", "Account%53id=*", "a=b&accountsid=*", "IncludeSubaccounts=true", "_method=DELETE"] {
        let path = format!("{MESSAGES}?{}", query.replace('*', THEIRS));
        outside.refused(&with(&usual, &[(":path", &path)]));
    }
    let theirs = MESSAGES.replace(OURS, THEIRS);
    outside.refused(&with(&usual, &[(":path", &theirs)]));
    drop(outside);
    fixture.end();
}

#[test]
fn inside_a_tunnel_http_1_is_read_as_strictly() {
    let fixture = Fixture::start_secure("", agree);
    let host = ("Host", "api.twilio.com");
    let before = KEYS.rsplit_once('/').expect("a path").0;
    for twist in TWISTS {
        let line = format!("GET {before}/{}", twist.replace("{}", "Keys"));
        let answer = ask(&mut fixture.tunnel("api.twilio.com", "http/1.1"), &line, &[host], "");
        assert!(matches!(answer.status, 400 | 403), "{line}: {answer:?}");
    }
    let line = format!("POST {MESSAGES}");
    for lines in [
        vec![("Content-Length", "5"), ("Transfer-Encoding", "chunked")],
        vec![("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")],
        vec![("Content-Length", "5"), ("Content-Length", "5")],
        vec![("Transfer-Encoding", "identity")],
        vec![("X ", "y")],
        vec![host],
        vec![("Host", "evil")],
    ] {
        let lines = [vec![host], lines].concat();
        let answer = ask(&mut fixture.tunnel("api.twilio.com", "http/1.1"), &line, &lines, "");
        assert_eq!((answer.status, answer.header("connection")), (400, Some("close")), "{lines:?}: {answer:?}");
    }
    assert_eq!(fixture.wire.count(), 0, "{:?}", fixture.wire.heard());
    fixture.end();
}

#[test]
fn a_body_that_is_not_as_long_as_it_says_never_arrives_whole() {
    let fixture = Fixture::start_secure("body_timeout = \"700ms\"", agree);
    let proof = basic(OURS, &fixture.token);
    let post = with(&usual(&proof), &[(":method", "POST")]);
    for (length, body) in [("5", "four"), ("3", "four"), ("0", "four"), ("99999999999999999999", "four")] {
        let mut frames = Frames::greet(fixture.secure("h2"));
        let number = frames.request(&and(&post, &[("content-length", length)]), body.as_bytes());
        let heard = frames.heard(number);
        assert!(heard.status().is_none_or(|status| status >= 400), "{length}: {heard:?}");
        assert!(fixture.wire.heard().iter().all(|heard| !heard.whole), "{length}: {:?}", fixture.wire.heard());
    }
    // One of none at all is believed when it ends, and not before.
    let mut frames = Frames::greet(fixture.secure("h2"));
    let stream = frames.number();
    frames.frame(HEADERS, END_HEADERS, stream, &block(&and(&post, &[("content-length", "0")])));
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert!(fixture.wire.heard().iter().all(|heard| !heard.whole), "{:?}", fixture.wire.heard());
    frames.frame(DATA, END_STREAM, stream, b"");
    assert_eq!(frames.heard(stream).status(), Some(200));
    // A body that never ends, with and without a length, for an operation that is streamed and for one that is read.
    let number = MESSAGES.replace("Messages", "IncomingPhoneNumbers/PN00000000000000000000000000000001");
    for path in [MESSAGES, &number] {
        for lines in [vec![("content-length", "100")], vec![]] {
            let lines = [vec![("content-type", "application/x-www-form-urlencoded")], lines].concat();
            let mut frames = Frames::greet(fixture.secure("h2"));
            let stream = frames.number();
            frames.frame(HEADERS, END_HEADERS, stream, &block(&and(&with(&post, &[(":path", path)]), &lines)));
            frames.frame(DATA, 0, stream, b"abc");
            let heard = frames.heard(stream);
            assert_eq!(heard.status(), Some(400), "{path} {lines:?}: {heard:?}");
        }
    }
    // A head in many pieces is one head.
    let mut frames = Frames::greet(fixture.secure("h2"));
    let (stream, block) = (frames.number(), block(&post));
    frames.frame(HEADERS, END_STREAM, stream, &block[..1]);
    frames.frame(CONTINUATION, 0, stream, &block[1..7]);
    frames.frame(CONTINUATION, 0, stream, b"");
    frames.frame(CONTINUATION, END_HEADERS, stream, &block[7..]);
    assert_eq!(frames.heard(stream).status(), Some(200));
    drop(frames);
    fixture.end();
}
