//! Connections that ask the same again, and nearly the same.

use super::fixture::{Fixture, KEYS, MESSAGES, OURS, THEIRS, agree, basic};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::fmt::Write as _;

/// One that a standard team may use, and whose body may name an account.
const NUMBER: &str = "/2010-04-01/Accounts/AC00000000000000000000000000000001/IncomingPhoneNumbers/PN00000000000000000000000000000001.json";

/// A request on the wire: its method, and its bytes.
type Sent = (&'static str, Vec<u8>);

/// What became of a request: status, reason, and what the upstream heard of it.
type Became = (u16, Option<String>, Option<(String, Vec<u8>)>);

/// Requests that are like each other in all but one thing.
fn requests(fixture: &Fixture) -> Vec<Sent> {
    let with = |method, target: &str, proof: &str, body: Option<&str>| {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: broker:8080\r\nAuthorization: {proof}\r\n");
        if let Some(body) = body {
            write!(head, "Content-Length: {}\r\nX-After: 1\r\n", body.len()).expect("a String takes all");
        }
        (method, format!("{head}\r\n{}", body.unwrap_or_default()).into_bytes())
    };
    let proof = basic(OURS, &fixture.token);
    let mut stranger = fixture.token.clone();
    stranger.replace_range(20..21, if fixture.token.as_bytes()[20] == b'x' { "y" } else { "x" });
    let long = "x".repeat(1000);
    let mut all = vec![
        with("GET", MESSAGES, &proof, None),
        with("GET", MESSAGES, &basic("AC", &fixture.token), None),
        with("GET", MESSAGES, &basic(OURS, &fixture.master), None),
        with("GET", MESSAGES, &basic(OURS, &stranger), None),
        with("GET", &format!("{MESSAGES}?PageSize=5"), &proof, None),
        with("GET", &format!("{MESSAGES}?AccountSid={THEIRS}"), &proof, None),
        with("HEAD", MESSAGES, &proof, None),
        with("GET", KEYS, &proof, None),
        with("POST", MESSAGES, &proof, None),
        with("POST", MESSAGES, &basic(OURS, &stranger), Some("x")),
        with("POST", MESSAGES, &basic(OURS, &fixture.master), Some("x")),
        with("POST", KEYS, &proof, Some("x")),
        with("POST", NUMBER, &proof, Some("")),
        with("POST", NUMBER, &proof, Some(&format!("AccountSid={OURS}"))),
        with("POST", NUMBER, &proof, Some(&format!("AccountSid={THEIRS}"))),
    ];
    all.extend(["", "x", "123456789", "1234567890", &long].map(|body| with("POST", MESSAGES, &proof, Some(body))));
    let (method, last) = with("POST", MESSAGES, &proof, Some("x"));
    let other = String::from_utf8(last).expect("a text").replace("X-After: 1", "X-After: 2");
    all.push((method, other.into_bytes()));
    let chunked = format!(
        "POST {MESSAGES} HTTP/1.1\r\nHost: broker:8080\r\nAuthorization: {proof}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"
    );
    all.push(("POST", chunked.into_bytes()));
    all
}

/// Sends the requests one after the other, on one connection as long as it stays.
fn became(fixture: &Fixture, sent: &[&Sent]) -> Vec<Became> {
    let mut talk = fixture.talk();
    sent.iter()
        .map(|(method, bytes)| {
            let before = fixture.wire.count();
            talk.send(bytes);
            let answer = talk.answer_to(method).expect("an answer");
            fixture.note(&answer);
            if answer.header("connection") == Some("close") {
                talk = fixture.talk();
            }
            let heard = (fixture.wire.count() > before).then(|| fixture.wire.last());
            let reason = answer.header("sidekey-error").map(str::to_owned);
            (answer.status, reason, heard.map(|heard| (heard.head, heard.body)))
        })
        .collect()
}

#[test]
fn what_a_connection_asked_before_changes_nothing() {
    let fixture = Fixture::start(agree);
    let requests = requests(&fixture);
    let alone: Vec<Became> = requests.iter().map(|request| became(&fixture, &[request]).remove(0)).collect();
    let statuses: Vec<u16> = alone.iter().map(|(status, ..)| *status).collect();
    assert_eq!(
        statuses,
        [200, 200, 200, 401, 200, 403, 200, 403, 200, 401, 200, 403, 200, 200, 403, 200, 200, 200, 200, 200, 200, 200]
    );
    // Each may come again, and again.
    let order = proptest::collection::vec((0..requests.len(), 1_usize..4), 1..12);
    let config = ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() };
    let ran = TestRunner::new(config).run(&order, |order| {
        let order: Vec<usize> = order.into_iter().flat_map(|(which, times)| vec![which; times]).collect();
        let sent: Vec<&Sent> = order.iter().map(|which| &requests[*which]).collect();
        let expected: Vec<Became> = order.iter().map(|which| alone[*which].clone()).collect();
        prop_assert_eq!(became(&fixture, &sent), expected);
        Ok(())
    });
    ran.expect("each request is what it would be on a connection of its own");
    let (records, _) = fixture.end();
    // The records of a repeated request tell what those of the first one told.
    let facts = |record: &serde_json::Value| {
        let names = ["team", "token_id", "method", "host", "path", "operation", "account", "key_sid", "decision"];
        names.map(|name| record[name].to_string())
    };
    let told: std::collections::BTreeSet<_> =
        records.iter().filter(|record| record["phase"] == "intent").map(facts).collect();
    // GET and POST of a message as the team and as the master; HEAD; POST of a number.
    assert_eq!(told.len(), 6, "{told:#?}");
}

#[test]
fn a_repeated_head_is_held_to_the_limits_too() {
    let fixture =
        Fixture::start_with("response_timeout = \"30s\"", "max_body = \"100KiB\"\nmax_head = \"8KiB\"", agree);
    let mut talk = fixture.talk();
    for length in [3, 3, 3, 100 * 1024, 100 * 1024 + 1] {
        let before = fixture.wire.count();
        talk.send(fixture.request("POST", MESSAGES, "", &vec![b'x'; length]));
        let answer = talk.answer_to("POST").expect("an answer");
        fixture.note(&answer);
        let expected = if length > 100 * 1024 { (413, Some("body_too_large")) } else { (200, None) };
        assert_eq!((answer.status, answer.header("sidekey-error")), expected, "{length}");
        assert_eq!(fixture.wire.count() - before, usize::from(answer.status == 200), "{length}: what went upstream");
    }
    for length in ["18446744073709551615", "99999999999999999999", "+3", "3,3", "0x3", "", " "] {
        let mut talk = fixture.talk();
        for _ in 0..3 {
            talk.send(fixture.request("POST", MESSAGES, "", b"abc"));
            fixture.note(&talk.answer_to("POST").expect("an answer"));
        }
        let lines = format!("Content-Length: {length}\r\n");
        talk.send(fixture.request("POST", MESSAGES, &lines, b""));
        let answer = talk.answer_to("POST").expect("an answer");
        fixture.note(&answer);
        assert_eq!((answer.status, answer.header("sidekey-error")), (400, Some("malformed_request")), "{length:?}");
    }
    fixture.end();
}

#[test]
fn repeats_may_come_all_at_once_and_in_pieces() {
    let fixture = Fixture::start(agree);
    let (get, post) = (fixture.request("GET", MESSAGES, "", b""), fixture.request("POST", MESSAGES, "", b"abc"));
    // One write for all.
    let mut talk = fixture.talk();
    talk.send([get.repeat(4), post.repeat(4), get.repeat(2)].concat());
    for _ in 0..10 {
        let answer = talk.answer().expect("an answer");
        fixture.note(&answer);
        assert_eq!(answer.status, 200);
    }
    // Byte by byte: a head is looked at before it is whole.
    for request in [&get, &get, &get, &post, &post, &post] {
        for byte in request {
            talk.send([*byte]);
        }
        let answer = talk.answer().expect("an answer");
        fixture.note(&answer);
        assert_eq!(answer.status, 200);
    }
    let heard = fixture.wire.heard();
    let alike = |method: &str, body: &[u8]| {
        let mut alike: Vec<_> = heard.iter().filter(|heard| heard.line().starts_with(method)).collect();
        assert!(alike.iter().all(|heard| heard.body == body));
        let count = alike.len();
        alike.dedup_by(|one, other| one.head == other.head);
        (count, alike.len())
    };
    assert_eq!((alike("GET", b""), alike("POST", b"abc")), ((9, 1), (7, 1)), "each as often as it came, and the same");
    fixture.end();
}
