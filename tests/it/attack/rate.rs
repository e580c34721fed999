//! A team that asks for too much.

use super::fixture::{Fixture, KEYS, MESSAGES, OURS, agree, basic};
use std::time::Duration;

#[test]
fn a_team_beyond_its_rate_is_refused_and_no_other() {
    let fixture = Fixture::start_with("response_timeout = \"30s\"", "team_rate = 2", agree);
    // Refusals are not what the rate counts.
    for _ in 0..20 {
        assert_eq!(fixture.ask("GET", KEYS, "", b"").expect("an answer").status, 403);
    }
    let before = fixture.wire.count();
    let refused = (0..100).find_map(|_| {
        let answer = fixture.ask("POST", MESSAGES, "", b"").expect("an answer");
        (answer.status != 200).then_some(answer)
    });
    let refused = refused.expect("a hundred requests take less than fifty seconds");
    assert_eq!(refused.header("sidekey-error"), Some("rate_limited"));
    assert_eq!((refused.status, refused.refusal().1, refused.header("retry-after")), (429, 20429, Some("1")));
    assert!(fixture.wire.count() >= before + 2, "a second's worth passes");
    // The other team has a rate of its own.
    let mut talk = fixture.talk();
    let proof = basic(OURS, &fixture.master);
    talk.send(format!("GET {MESSAGES} HTTP/1.1\r\nHost: broker\r\nAuthorization: {proof}\r\n\r\n"));
    talk.hang_up();
    let answer = talk.answer_to("GET").expect("an answer");
    fixture.note(&answer);
    assert_eq!(answer.status, 200);
    // It passes again when it has waited.
    let again = (0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        fixture.ask("POST", MESSAGES, "", b"").expect("an answer").status == 200
    });
    assert!(again);
    let (records, _) = fixture.end();
    let recorded = records.iter().find(|record| record["reason"] == "rate_limited").expect("a record");
    assert_eq!(
        (&recorded["decision"], &recorded["operation"]),
        (&"deny".into(), &"api:Messages:create".into()),
        "{recorded}"
    );
}
