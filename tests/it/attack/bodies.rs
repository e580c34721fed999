//! Bodies that name accounts, and bodies that are too large.

use super::fixture::{Fixture, KEYS, MESSAGES, OURS, THEIRS, agree};
use crate::support::talk::End;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use std::io::Write as _;

/// An operation that takes an account in its body.
const NUMBER: &str = "/2010-04-01/Accounts/AC00000000000000000000000000000001/IncomingPhoneNumbers/PN00000000000000000000000000000001.json";

/// Others, by their host prefix.
const TAKERS: &[&str] = &[
    "/supersim.twilio.com/v1/Sims/HS00000000000000000000000000000001",
    "/wireless.twilio.com/v1/Sims/DE00000000000000000000000000000001",
    "/numbers.twilio.com/v2/HostedNumber/Orders",
    "/messaging.twilio.com/v1/Tollfree/Verifications",
    "/insights.twilio.com/v1/Voice/Settings",
];

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
const JSON: &str = "Content-Type: application/json\r\n";
const PARTS: &str = "Content-Type: multipart/form-data; boundary=b\r\n";

/// Forms that name another account; `*` is its SID, `^` the team's own.
const FORMS: &[&str] = &[
    "AccountSid=*",
    "accountsid=*",
    "ACCOUNTSID=*",
    "account_sid=*",
    "Account-Sid=*",
    "Account%53id=*",
    "%41%63%63ountSid=*",
    "Account%2553id=*",
    "AccountSid%5B%5D=*",
    "AccountSid[0]=*",
    "+AccountSid=*",
    "AccountSid+=*",
    "TargetAccountSid=*",
    "SubaccountSid=*",
    "a=b&AccountSid=*",
    "a=b;AccountSid=*",
    "AccountSid=^&AccountSid=*",
    "AccountSid=*&AccountSid=^",
    "AccountSid=~",
    "AccountSid=^x",
    "AccountSid=^%00",
    "AccountSid=^,*",
    "AccountSid=%41C00000000000000000000000000000002",
    "&&&AccountSid=*&&&",
    "AccountSid%00=*",
    "Account%E2%84%AAAccountSid=*",
];

/// JSON bodies that do.
const OBJECTS: &[&str] = &[
    r#"{"AccountSid": "*"}"#,
    r#"{"account_sid": "*"}"#,
    r#"{"a": {"b": [{"accountSid": "*"}]}}"#,
    r#"{"AccountSid": "^", "AccountSid": "*"}"#,
    r#"{"\u0041ccountSid": "*"}"#,
    r#"{"AccountSid": ["^", "*"]}"#,
    r#"{"AccountSid": {"x": "y"}}"#,
    r#"[{"AccountSid": "*"}]"#,
    r#"{"AccountSid": "\u0041C00000000000000000000000000000002"}"#,
    r#"{"AccountSid": 7}"#,
];

/// Bodies that can't be read in one way: header lines, body.
const UNREADABLE: &[(&str, &str)] = &[
    (FORM, "_method=DELETE"),
    (JSON, "{\"a\": 1} {}"),
    (JSON, "{\"a\": 1"),
    (JSON, "{a: 1}"),
    (JSON, "\u{feff}{}"),
    (PARTS, "--c\r\n\r\n"),
    (PARTS, "AccountSid=AC00000000000000000000000000000002"),
    (PARTS, "--b\r\nContent-Disposition: form-data; name=AccountSid\r\n\r\nx\r\n--b--"),
    (PARTS, "--b\r\nContent-Disposition: form-data; name*=utf-8''AccountSid\r\n\r\nx\r\n--b--"),
    (PARTS, "--b\r\nContent-Disposition: form-data; name=\"a\"\r\nContent-Transfer-Encoding: base64\r\n\r\nx\r\n--b--"),
    (PARTS, "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx"),
    ("Content-Type: multipart/form-data\r\n", "--b\r\n"),
    ("Content-Type: text/plain\r\n", "a=b"),
    ("Content-Type: text/xml\r\n", "<AccountSid>x</AccountSid>"),
    ("Content-Type: application/x-www-form-urlencoded; charset=utf-16\r\n", "a=b"),
    ("Content-Type: application/x-www-form-urlencoded; charset=utf-7\r\n", "a=b"),
    ("Content-Type: application/x-www-form-urlencoded\r\nContent-Type: application/json\r\n", "{}"),
    ("Content-Type: application/json, application/x-www-form-urlencoded\r\n", "{}"),
    ("Content-Type: application/x-www-form-urlencoded\r\nContent-Encoding: br\r\n", "a=b"),
    ("Content-Type: application/x-www-form-urlencoded\r\nContent-Encoding: gzip\r\n", "a=b"),
    ("Content-Type: application/x-www-form-urlencoded\r\nContent-Encoding: gzip\r\nContent-Encoding: gzip\r\n", "a=b"),
    ("", "{\"AccountSid\": \"x\"}"),
    ("", "plain text"),
];

fn filled(text: &str) -> String {
    text.replace('*', THEIRS).replace('^', OURS)
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(body).expect("memory");
    packed.finish().expect("memory")
}

fn chunked(body: &[u8]) -> Vec<u8> {
    let pieces =
        body.chunks(5).flat_map(|piece| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat());
    pieces.chain(*b"0\r\n\r\n").collect()
}

/// Holds that a body is refused, however it is framed and packed.
#[track_caller]
fn refused(fixture: &Fixture, target: &str, lines: &str, body: &[u8], want: (u16, &str)) {
    let before = fixture.wire.count();
    let zlib = || {
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
        packed.write_all(body).expect("memory");
        packed.finish().expect("memory")
    };
    let raw = || {
        let mut packed = DeflateEncoder::new(Vec::new(), Compression::default());
        packed.write_all(body).expect("memory");
        packed.finish().expect("memory")
    };
    let mut ways = vec![(lines.to_owned(), body.to_vec())];
    ways.push((format!("{lines}Transfer-Encoding: chunked\r\n"), chunked(body)));
    if !lines.contains("Content-Encoding") {
        ways.push((format!("{lines}Content-Encoding: gzip\r\n"), gzip(body)));
        ways.push((format!("{lines}Content-Encoding: deflate\r\n"), zlib()));
        ways.push((format!("{lines}Content-Encoding: deflate\r\n"), raw()));
        ways.push((format!("{lines}Content-Encoding: gzip, gzip\r\n"), gzip(&gzip(body))));
        ways.push((format!("{lines}Content-Encoding: GZIP\r\nTransfer-Encoding: chunked\r\n"), chunked(&gzip(body))));
    }
    for (lines, body) in ways {
        let answer = fixture.ask("POST", target, &lines, &body).expect("an answer");
        let told = (answer.status, answer.header("sidekey-error").unwrap_or_default());
        assert_eq!(told, want, "{lines}{}", String::from_utf8_lossy(&body));
    }
    assert_eq!(fixture.wire.count(), before, "{lines}{}", String::from_utf8_lossy(body));
}

#[test]
fn a_body_reaches_no_other_account() {
    let fixture = Fixture::start(agree);
    let other = (403, "account_not_allowed");
    for form in FORMS {
        refused(&fixture, NUMBER, FORM, filled(form).as_bytes(), other);
    }
    for object in OBJECTS {
        refused(&fixture, NUMBER, JSON, filled(object).as_bytes(), other);
    }
    for name in ["AccountSid", "accountsid", "account_sid", "Account Sid", "AccountSid[]"] {
        let part = format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{THEIRS}\r\n--b--\r\n");
        refused(&fixture, NUMBER, PARTS, part.as_bytes(), other);
        let second = format!("--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n{part}");
        refused(&fixture, NUMBER, PARTS, second.as_bytes(), other);
    }
    for target in TAKERS {
        refused(&fixture, target, FORM, filled("AccountSid=*").as_bytes(), other);
        refused(&fixture, target, JSON, filled(r#"{"AccountSid": "*"}"#).as_bytes(), other);
    }
    // Behind padding that a reader with a small window would not see the end of.
    let padded = format!("Pad={}&AccountSid={THEIRS}", "x".repeat(300_000));
    refused(&fixture, NUMBER, FORM, padded.as_bytes(), other);
    for (lines, body) in UNREADABLE {
        refused(&fixture, NUMBER, lines, body.as_bytes(), (400, "malformed_request"));
    }
    // What says how to read the body stays, whatever Connection names.
    let twisted = format!("[\"&AccountSid={THEIRS}&\"]");
    let lines = format!("{JSON}Connection: close, Content-Type\r\n");
    let answer = fixture.ask("POST", NUMBER, &lines, twisted.as_bytes()).expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(fixture.wire.last().values("content-type"), ["application/json"]);
    let (records, _) = fixture.end();
    let named = |record: &&serde_json::Value| record["team"] == "billing" && record["operation"].is_string();
    assert!(
        records.iter().filter(|record| record["status"] == 403).all(|record| named(&record)),
        "a record without team"
    );
}

#[test]
fn a_body_that_names_no_other_account_goes_through_as_it_is() {
    let fixture = Fixture::start(agree);
    let own = filled("AccountSid=^&FriendlyName=a%20b+c&Empty=");
    let part = format!("--b\r\nContent-Disposition: form-data; name=\"AccountSid\"\r\n\r\n{OURS}\r\n--b--\r\n");
    let object = filled(r#"{"AccountSid": "^", "x": [1, null]}"#);
    for (lines, body) in [(FORM, &own), (PARTS, &part), (JSON, &object), ("", &own), (FORM, &String::new())] {
        for (more, sent, heard) in [
            ("", body.clone().into_bytes(), body.clone().into_bytes()),
            ("Transfer-Encoding: chunked\r\n", chunked(body.as_bytes()), body.clone().into_bytes()),
            ("Content-Encoding: gzip\r\n", gzip(body.as_bytes()), gzip(body.as_bytes())),
        ] {
            let answer = fixture.ask("POST", NUMBER, &format!("{lines}{more}"), &sent).expect("an answer");
            assert_eq!(answer.status, 200, "{lines}{more}{answer:?}");
            assert_eq!(fixture.wire.last().body, heard, "{lines}{more}");
        }
    }
    // The bodies of other operations are nobody's business.
    for (lines, body) in [(FORM, "AccountSid=AC00000000000000000000000000000002"), (JSON, "{\"broken"), ("", "\0\r\n")]
    {
        let answer = fixture.ask("POST", MESSAGES, lines, body.as_bytes()).expect("an answer");
        assert_eq!((answer.status, &*fixture.wire.last().body), (200, body.as_bytes()), "{lines}");
    }
    // A master team that is not pinned reaches every account.
    let proof = super::fixture::basic("x", &fixture.master);
    let mut talk = fixture.talk();
    talk.send(format!(
        "POST {NUMBER} HTTP/1.1\r\nHost: x\r\nAuthorization: {proof}\r\n{FORM}Content-Length: 45\r\n\r\nAccountSid={THEIRS}"
    ));
    let answer = talk.answer().expect("an answer");
    fixture.note(&answer);
    assert_eq!(answer.status, 200, "{answer:?}");
    fixture.end();
}

#[test]
fn a_body_ends_at_its_ceiling() {
    let fixture = Fixture::start_with("response_timeout = \"30s\"", "max_body = \"64KiB\"", agree);
    let (fits, over) = (vec![b'x'; 65536], vec![b'x'; 65537]);
    let too_large = (413, Some("body_too_large"));
    for (target, lines) in [(MESSAGES, FORM), (NUMBER, FORM)] {
        for (framing, body, want) in [
            ("", fits.clone(), (200, None)),
            ("", over.clone(), too_large),
            ("Transfer-Encoding: chunked\r\n", chunked(&fits), (200, None)),
            ("Transfer-Encoding: chunked\r\n", chunked(&over), too_large),
            ("Content-Length: 9999999999999999999\r\n", over.clone(), too_large),
        ] {
            let mut talk = fixture.talk();
            talk.send(fixture.request("POST", target, &format!("{lines}{framing}"), &body));
            let answer = talk.answer().expect("an answer");
            fixture.note(&answer);
            assert_eq!((answer.status, answer.header("sidekey-error")), want, "{target} {framing}{answer:?}");
            if want == too_large {
                assert!(talk.answer().is_none() && talk.end() == Some(End::Closed), "{target} {framing}");
                assert!(!fixture.wire.last().whole || fixture.wire.last().body.len() <= 65536);
            }
        }
    }
    // 403 comes before 413.
    let first = fixture.ask("POST", KEYS, "", &over).expect("an answer");
    assert_eq!(first.header("sidekey-error"), Some("management_resource"));
    // A body that unpacks beyond every measure.
    let bomb = gzip(&gzip(&vec![b'a'; 64 << 20]));
    let packed = format!("{FORM}Content-Encoding: gzip, gzip\r\n");
    let answer = fixture.ask("POST", NUMBER, &packed, &bomb).expect("an answer");
    assert_eq!((answer.status, answer.header("sidekey-error")), (400, Some("malformed_request")), "{answer:?}");
    let (records, _) = fixture.end();
    let large: Vec<_> = records.iter().filter(|record| record["reason"] == "body_too_large").collect();
    let whole = |record: &&&serde_json::Value| {
        record["team"] == "billing" && record["operation"].is_string() && record["path"].is_string()
    };
    assert_eq!(large.iter().filter(whole).count(), 6, "{large:?}");
}
