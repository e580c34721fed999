//! An upstream that sends the credential back, in every way.

use super::fixture::{Fixture, KEY, MESSAGES};
use super::spelled::spellings;
use crate::support::wire::{After, Exchange};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use std::fmt::Write as _;
use std::io::Write as _;

/// What stands around an echo in a body: it must come through whole.
const BEFORE: &str = "{\"before\": \"https://api.twilio.com is text\", \"echo\": \"";
const AFTER: &str = "\", \"after\": true}";

/// Spellings of an echo.
const SPELLED: &[&str] = &[
    "raw",
    "value",
    "base64",
    "base64-1",
    "base64-2",
    "base64-url",
    "hex",
    "HEX",
    "percent",
    "PERCENT",
    "json",
    "JSON",
    "xml",
    "utf-16",
    "head",
    "twice",
];

/// Ways in which a body is sent.
const SENT: &[&str] =
    &["length", "chunked", "chunk-1", "chunk-7", "close", "gzip", "gzip-chunk-1", "deflate", "gzip-members"];

/// Places of a head that hold an echo.
const PLACES: &[&str] = &[
    "X-Echo: {}",
    "{}: x",
    "Location: https://api.twilio.com/{}",
    "Location: https://u:{}@evil/",
    "Set-Cookie: a={}",
    "Twilio-Request-Id: {}",
    "Content-Type: text/{}",
    "ETag: \"{}\"",
    "WWW-Authenticate: Basic realm=\"{}\"",
    "Connection: X-Y\r\nX-Z: {}",
    "Connection: {}",
    "Link: <https://api.twilio.com/{}>; rel=next",
    "Sidekey-Error: {}",
    "X-Twilio-Error-Code: {}",
    "X-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa{}",
];

fn spelled(how: &str, heard: &crate::support::wire::Heard) -> Vec<u8> {
    let value = heard.value("authorization").to_owned();
    let each = |format: &dyn Fn(u8) -> String| KEY.1.bytes().map(format).collect::<String>();
    let text = match how {
        "raw" => KEY.1.to_owned(),
        "value" => value,
        "base64" => STANDARD.encode(KEY.1),
        "base64-1" => STANDARD.encode(format!("x{}", KEY.1)),
        "base64-2" => STANDARD.encode(format!("xx{}y", KEY.1)),
        "base64-url" => URL_SAFE_NO_PAD.encode(format!("{}:{}", KEY.0, KEY.1)),
        "hex" => hex::encode(KEY.1),
        "HEX" => hex::encode_upper(KEY.1),
        "percent" => each(&|byte| format!("%{byte:02x}")),
        "PERCENT" => each(&|byte| format!("%{byte:02X}")),
        "json" => each(&|byte| format!("\\u{byte:04x}")),
        "JSON" => each(&|byte| format!("\\u{byte:04X}")),
        "xml" => each(&|byte| format!("&#{byte};")),
        "utf-16" => each(&|byte| format!("{}\0", char::from(byte))),
        "head" => heard.head.clone(),
        "twice" => format!("{}{}", KEY.1, KEY.1),
        other => panic!("no spelling {other}"),
    };
    text.into_bytes()
}

fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in body.chunks(size) {
        out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(body).expect("memory");
    packed.finish().expect("memory")
}

fn zlib(body: &[u8]) -> Vec<u8> {
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
    packed.write_all(body).expect("memory");
    packed.finish().expect("memory")
}

/// `X-Case: body SENT SPELLED`, `head N`, `packed N` or `trailers`.
fn echo(exchange: &mut Exchange) -> After {
    exchange.body();
    let case = exchange.heard.value("x-case").to_owned();
    let mut words = case.split(' ');
    match (words.next(), words.next().unwrap_or_default(), words.next()) {
        (Some("body"), sent, Some(how)) => {
            let echo = spelled(how, &exchange.heard);
            body(exchange, sent, &[BEFORE.as_bytes(), &echo, AFTER.as_bytes()].concat())
        }
        (Some("head"), place, Some(how)) => {
            let echo = String::from_utf8(spelled(how, &exchange.heard)).expect("text");
            let line = PLACES[place.parse::<usize>().expect("an index")].replace("{}", &echo);
            exchange.answer("200 OK", &format!("{line}\r\n"), b"fine")
        }
        (Some("phrase"), ..) => exchange.answer(&format!("200 {}", KEY.1), "", b"fine"),
        (Some("trailers"), ..) => {
            exchange.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Echo\r\n\r\n4\r\nfine\r\n0\r\n");
            exchange.say(format!("X-Echo: {}\r\nX-Plain: y\r\n\r\n", KEY.1));
            After::Keep
        }
        (Some("packed"), lines, _) => {
            let raw = KEY.1.as_bytes();
            let body = match lines {
                "gzip+identity" | "gzip+gzip" | "identity+gzip" | "named" => gzip(raw),
                "gzip,gzip" => gzip(&gzip(raw)),
                "raw-deflate" => {
                    let mut packed = DeflateEncoder::new(Vec::new(), Compression::default());
                    packed.write_all(raw).expect("memory");
                    packed.finish().expect("memory")
                }
                "gzip-tail" => [gzip(b"x"), raw.to_vec()].concat(),
                "gzip-cut" => gzip(raw)[..20].to_vec(),
                _ => raw.to_vec(),
            };
            let encoding = match lines {
                "named" => "Content-Encoding: gzip\r\nConnection: Content-Encoding\r\n".to_owned(),
                "raw-deflate" => "Content-Encoding: deflate\r\n".to_owned(),
                "gzip-tail" | "gzip-cut" | "not-gzip" => "Content-Encoding: gzip\r\n".to_owned(),
                list => list.split('+').map(|one| format!("Content-Encoding: {one}\r\n")).collect(),
            };
            exchange.answer("200 OK", &encoding, &body)
        }
        (Some("status"), status, Some(how)) => {
            let echo = String::from_utf8(spelled(how, &exchange.heard)).expect("text");
            let code = if status == "401" { "70051" } else { "20001" };
            exchange.answer(status, "", format!("{{\"code\": {code}, \"echo\": \"{echo}\"}}").as_bytes())
        }
        (Some("cut"), ..) => {
            exchange.say(format!("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{BEFORE}{}", KEY.1));
            After::Close
        }
        other => panic!("no case {other:?}"),
    }
}

fn body(exchange: &mut Exchange, sent: &str, plain: &[u8]) -> After {
    let kind = "Content-Type: application/json\r\n";
    let (lines, bytes) = match sent {
        "length" => return exchange.answer("200 OK", kind, plain),
        "gzip" => return exchange.answer("200 OK", &format!("{kind}Content-Encoding: gzip\r\n"), &gzip(plain)),
        "deflate" => return exchange.answer("200 OK", &format!("{kind}Content-Encoding: deflate\r\n"), &zlib(plain)),
        "gzip-members" => {
            let members: Vec<u8> = plain.chunks(40).flat_map(gzip).collect();
            return exchange.answer("200 OK", &format!("{kind}Content-Encoding: x-gzip\r\n"), &members);
        }
        "close" => {
            exchange.say([format!("HTTP/1.1 200 OK\r\n{kind}\r\n").as_bytes(), plain].concat());
            return After::Close;
        }
        "chunked" => ("Transfer-Encoding: chunked\r\n", chunked(plain, plain.len())),
        "chunk-1" => ("Transfer-Encoding: chunked\r\n", chunked(plain, 1)),
        "chunk-7" => ("Transfer-Encoding: chunked\r\n", chunked(plain, 7)),
        "gzip-chunk-1" => ("Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n", chunked(&gzip(plain), 1)),
        other => panic!("no way {other}"),
    };
    exchange.say(format!("HTTP/1.1 200 OK\r\n{kind}{lines}\r\n"));
    // In many writes, so that pieces also end where chunks do not.
    bytes.chunks(11).all(|piece| exchange.say(piece));
    After::Keep
}

#[test]
fn an_echo_in_a_body_is_masked_and_the_rest_is_untouched() {
    let fixture = Fixture::start(echo);
    for host in ["", "Host mode"] {
        for sent in SENT {
            for how in SPELLED {
                let case = format!("X-Case: body {sent} {how}\r\n");
                let answer = if host.is_empty() {
                    fixture.ask("GET", MESSAGES, &case, b"")
                } else {
                    let mut talk = fixture.talk();
                    let proof = fixture.proof();
                    talk.send(format!("GET {MESSAGES} HTTP/1.1\r\nHost: api.twilio.com\r\n{proof}{case}\r\n"));
                    talk.answer().inspect(|answer| fixture.note(answer))
                };
                let answer = answer.unwrap_or_else(|| panic!("no answer: {case}"));
                assert_eq!(answer.status, 200, "{case}{answer:?}");
                let text = String::from_utf8_lossy(&answer.body);
                assert!(text.starts_with(BEFORE) && text.ends_with(AFTER), "{case}{text}");
                assert_eq!(answer.header("content-encoding"), None, "{case}");
                for spelling in spellings(KEY.1) {
                    assert_eq!(memchr::memmem::find(&answer.body, &spelling), None, "{case}{text}");
                }
            }
        }
    }
    fixture.end();
}

#[test]
fn an_echo_in_a_head_is_masked() {
    let fixture = Fixture::start(echo);
    for (n, place) in PLACES.iter().enumerate() {
        for how in ["raw", "hex", "base64-url", "percent"] {
            // What no name of a header may hold is a bad answer.
            let odd = place.starts_with("{}") && how == "base64";
            let answer = fixture.ask("GET", MESSAGES, &format!("X-Case: head {n} {how}\r\n"), b"").expect("an answer");
            assert_eq!(answer.status, if odd { 502 } else { 200 }, "{place} {how}: {answer:?}");
        }
        for method in ["HEAD", "POST"] {
            let answer = fixture.ask(method, MESSAGES, &format!("X-Case: head {n} raw\r\n"), b"").expect("an answer");
            assert_eq!(answer.status, 200, "{place}: {answer:?}");
        }
    }
    for case in [
        "phrase",
        "trailers",
        "status 400 raw",
        "status 401 raw",
        "status 500 value",
        "status 404 head",
        "status 302 hex",
    ] {
        let answer = fixture.ask("GET", MESSAGES, &format!("X-Case: {case}\r\n"), b"").expect("an answer");
        assert!(answer.header("sidekey-error").is_none(), "{case}: {answer:?}");
    }
    fixture.end();
}

#[test]
fn a_body_that_cannot_be_read_is_not_passed_on() {
    let fixture = Fixture::start(echo);
    for how in [
        "br",
        "zstd",
        "compress",
        "gzip,gzip",
        "gzip+gzip",
        "x",
        "raw-deflate",
        "not-gzip",
        "gzip-tail",
        "gzip-cut",
        "br+identity",
    ] {
        let answer = fixture.ask("GET", MESSAGES, &format!("X-Case: packed {how}\r\n"), b"");
        let answer = answer.unwrap_or_else(|| panic!("{how}: no answer"));
        assert_eq!(
            (answer.status, answer.header("sidekey-error")),
            (502, Some("upstream_unreachable")),
            "{how}: {answer:?}"
        );
    }
    for how in ["gzip+identity", "identity+gzip", "named", "identity"] {
        let answer = fixture.ask("GET", MESSAGES, &format!("X-Case: packed {how}\r\n"), b"").expect("an answer");
        assert_eq!((answer.status, answer.text()), (200, &*"*".repeat(32)), "{how}: {answer:?}");
    }
    // A body that is cut: the caller sees a cut.
    assert!(fixture.ask("GET", MESSAGES, "X-Case: cut\r\n", b"").is_none());
    fixture.end();
}

#[test]
fn a_secret_that_a_caller_says_itself_is_recorded_nowhere() {
    let fixture = Fixture::start(echo);
    let token = &fixture.token;
    let mut lines = String::new();
    for header in ["Referer", "User-Agent", "X-Case"] {
        write!(lines, "{header}: {token}\r\n").expect("a String takes all");
    }
    for target in [
        format!("/2010-04-01/Accounts/{token}/Keys.json"),
        format!("/{token}"),
        format!("/2010-04-01/Accounts.json?x={token}"),
        format!("/{}", STANDARD.encode(format!("AC:{token}")).replace('/', "_")),
        format!("/{}", hex::encode(token)),
        format!("/2010-04-01/Accounts/x%20{token}"),
        format!("http://AC:{token}@api.twilio.com/2010-04-01/Accounts.json"),
        format!("http://{token}/x"),
        format!("/2010-04-01/Accounts.json#{token}"),
        token.clone(),
    ] {
        let answer = fixture.ask("GET", &target, &lines, b"").expect("an answer");
        assert!(matches!(answer.status, 400 | 403), "{target}: {answer:?}");
    }
    let odd = fixture.ask(&fixture.token, "/", "", b"").expect("an answer");
    assert_eq!(odd.status, 400);
    fixture.end();
}
