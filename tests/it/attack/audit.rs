//! The record of each request, whatever was in it.

use super::fixture::{Fixture, KEYS, MESSAGES, OURS, THEIRS, agree, basic};
use serde_json::Value;

#[test]
fn every_answer_has_one_true_record() {
    let fixture = Fixture::start(agree);
    let proof = fixture.proof();
    // Target, lines; status, reason, team, whether it went upstream.
    let cases = [
        (MESSAGES, &*proof, 200, Value::Null, true, true),
        (KEYS, &proof, 403, "management_resource".into(), true, false),
        ("/2010-04-01//x", &proof, 400, "malformed_request".into(), true, false),
        ("/v1/x", &proof, 403, "host_not_allowed".into(), true, false),
        (MESSAGES, "", 401, "unauthenticated".into(), false, false),
        (MESSAGES, "Authorization: Bearer nobody\r\n", 401, "invalid_proof".into(), false, false),
        ("/.sidekey/whoami", &proof, 200, Value::Null, true, false),
    ];
    let mut ids = Vec::new();
    for (target, lines, status, ..) in &cases {
        let mut talk = fixture.talk();
        talk.send(format!("GET {target}?secret=query HTTP/1.1\r\nHost: broker\r\n{lines}\r\n"));
        let answer = talk.answer().expect("an answer");
        fixture.note(&answer);
        assert_eq!(answer.status, *status, "{target}: {answer:?}");
        ids.push(answer.header("sidekey-request-id").expect("an id").to_owned());
    }
    let (records, said) = fixture.end();
    assert!(!said.contains("secret=query"), "a query in the log");
    for ((target, _, status, reason, team, upstream), id) in cases.iter().zip(&ids) {
        let mine: Vec<&Value> = records.iter().filter(|record| record["id"] == **id).collect();
        let outcome = mine.iter().find(|record| record["phase"] == "outcome").expect("an outcome");
        assert_eq!((&outcome["status"], &outcome["reason"]), (&Value::from(*status), reason), "{outcome}");
        assert_eq!(outcome["team"].is_string(), *team, "{outcome}");
        assert_eq!((&outcome["path"], &outcome["method"]), (&Value::from(*target), &Value::from("GET")), "{outcome}");
        assert_eq!(outcome["key_sid"].is_string(), *upstream, "{outcome}");
        assert_eq!(mine.len(), if *status == 200 { 2 } else { 1 }, "{mine:?}");
        let allowed = if *status == 200 { "allow" } else { "deny" };
        assert_eq!(outcome["decision"], allowed, "{outcome}");
    }
}

#[test]
fn a_refusal_tells_what_was_asked_for() {
    let fixture = Fixture::start(agree);
    let proof = fixture.proof();
    let theirs = MESSAGES.replace(OURS, THEIRS);
    // Target; reason, host, path, operation, account.
    let cases = [
        (KEYS, "management_resource", "api.twilio.com", KEYS, "api:Keys:list", Some(OURS)),
        (&theirs, "account_not_allowed", "api.twilio.com", &theirs, "api:Messages:list", Some(THEIRS)),
        ("/iam.twilio.com/v1/Keys", "management_resource", "iam.twilio.com", "/v1/Keys", "iam:GetKeys:list", None),
    ];
    let mut asked = Vec::new();
    for (target, ..) in &cases {
        let mut talk = fixture.talk();
        talk.send(format!("GET {target} HTTP/1.1\r\nHost: broker:8080\r\n{proof}\r\n"));
        asked.push(talk.answer().expect("an answer"));
    }
    fixture.note_all(&asked);
    let (records, _) = fixture.end();
    for ((target, reason, host, path, operation, account), answer) in cases.iter().zip(&asked) {
        let id = answer.header("sidekey-request-id").expect("an id");
        let outcome = records.iter().find(|record| record["id"] == id).expect("an outcome");
        let told = (&outcome["reason"], &outcome["host"], &outcome["path"], &outcome["account"]);
        assert_eq!(told, (&(*reason).into(), &(*host).into(), &(*path).into(), &(*account).into()), "{target}");
        assert!(outcome["operation"].as_str().is_some_and(|told| told.starts_with(&operation[..4])), "{outcome}");
        assert_eq!(outcome["bytes_out"], answer.text().len(), "{outcome}");
    }
}

#[test]
fn nothing_that_a_caller_says_becomes_a_record() {
    let fixture = Fixture::start(agree);
    let forged = "%0a{\"id\":\"forged\"}";
    let oddities =
        ["\",\"id\":\"forged\"", "\\\",\"x\":\"", "%22%2C%22x%22%3A%22", forged, "%E2%80%A8", "%1b[2J", "\u{ff}\u{fe}"];
    for odd in oddities {
        for text in [
            format!("GET /2010-04-01/Accounts/{odd} HTTP/1.1\r\nHost: broker\r\n{}\r\n", fixture.proof()),
            format!("GET http://{odd}/x HTTP/1.1\r\nHost: {odd}\r\n{}\r\n", fixture.proof()),
            format!("{odd} {MESSAGES} HTTP/1.1\r\nHost: broker\r\n{}\r\n", fixture.proof()),
            format!("GET {MESSAGES} HTTP/1.1\r\nHost: broker\r\nAuthorization: {}\r\n\r\n", basic(odd, odd)),
            format!(
                "GET {MESSAGES} HTTP/1.1\r\nHost: broker\r\nAuthorization: Bearer {odd}\r\nUser-Agent: {odd}\r\n\r\n"
            ),
        ] {
            let mut talk = fixture.talk();
            talk.send(text.chars().filter_map(|c| u8::try_from(u32::from(c)).ok()).collect::<Vec<u8>>());
            talk.hang_up();
            let answers = talk.answers();
            assert!(answers.iter().all(|answer| answer.status >= 400), "{text}{answers:?}");
            assert!(!answers.is_empty(), "{text}");
            fixture.note_all(&answers);
        }
    }
    let (records, said) = fixture.end();
    assert!(records.iter().all(|record| record["id"] != "forged" && record["x"].is_null()), "a forged record");
    assert!(said.lines().all(|line| !line.starts_with('{')) && !said.contains('\u{1b}'), "a forged line");
}

#[test]
fn every_byte_in_every_place_leaves_one_line_of_json() {
    let fixture = Fixture::start(agree);
    for byte in 0..=u8::MAX {
        let odd = |text: &str| text.bytes().map(|b| if b == b'*' { byte } else { b }).collect::<Vec<u8>>();
        let proof = fixture.proof();
        for head in [
            format!("GET {MESSAGES}*x HTTP/1.1\r\nHost: broker\r\n{proof}"),
            format!("G*T {MESSAGES} HTTP/1.1\r\nHost: broker\r\n{proof}"),
            format!("GET {MESSAGES} HTTP/1.1\r\nHost: b*r\r\n{proof}"),
            format!("GET {MESSAGES} HTTP/1.1\r\nHost: broker\r\nX-*: *\r\n{proof}"),
            format!("GET {MESSAGES} HTTP/1.1\r\nHost: broker\r\nAuthorization: Bearer *.a*b.c\r\n"),
        ] {
            let mut talk = fixture.talk();
            talk.send([&odd(&head)[..], b"Connection: close\r\n\r\n"].concat());
            talk.hang_up();
            fixture.note_all(&talk.answers());
        }
    }
    // Each line is one value of JSON, each answer has its outcome, and the trail verifies.
    let (records, _) = fixture.end();
    assert!(records.len() > 1000, "{}", records.len());
}
