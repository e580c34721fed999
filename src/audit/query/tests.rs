use super::*;
use crate::audit::tests::config;
use crate::audit::{Denial, Facts, Outcome, Peer, Report, Trail, report};
use crate::clock::Clock;
use crate::ids::RequestId;

const ACCOUNT: &str = "AC00000000000000000000000000000001";
const KEY: &str = "SK00000000000000000000000000000002";

/// A trail with an allowed and a refused request, and a phone number.
fn trail(config: &Audit) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let trail = Trail::open(config, 1, Clock::system()).expect("opens");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let recorder = trail.recorder(0);
        let (team, account, key) = (TeamId::parse("billing"), AccountSid::parse(ACCOUNT), KeySid::parse(KEY));
        let facts = Facts {
            judged: false,
            team: team.as_ref(),
            proof_id: Some("t1"),
            method: b"GET",
            host: b"lookups.twilio.com",
            path: b"/v2/PhoneNumbers/+15558675310?Fields=x",
            operation: Some("lookups:PhoneNumbers:fetch"),
            account: account.as_ref(),
            key_sid: key.as_ref(),
        };
        let mut guard = recorder.open(RequestId::new(1), Peer::Unix);
        guard.intent(&facts).await.expect("kept");
        guard.outcome(&Outcome { status: 200, bytes_out: 7, ..Outcome::default() }).await.expect("kept");
        let facts = Facts { judged: false, path: b"/2010-04-01/Accounts/\",\"team\":\"billing", ..Facts::default() };
        let denial = Denial { status: 401, reason: "invalid_proof", detail: Some("expired"), ..Denial::default() };
        recorder.open(RequestId::new(2), Peer::Unix).deny(&facts, &denial).await.expect("kept");
    });
    trail.close();
}

fn found(config: &Audit, query: &Query) -> Vec<String> {
    let mut found = Vec::new();
    let files = files(config.file.as_deref().expect("a file")).expect("listed");
    search(Some(config), &files, query, |line| {
        let value: serde_json::Value = serde_json::from_slice(line).expect("a JSON line");
        found.push(format!(
            "{}{}",
            value["phase"].as_str().unwrap_or("-"),
            value["id"].as_str().map_or("", |id| &id[31..])
        ));
        ControlFlow::Continue(())
    })
    .expect("searched");
    found
}

#[test]
fn every_part_of_a_query_selects() {
    let folder = tempfile::tempdir().expect("a throwaway folder");
    let config = config(&folder.path().join("audit.jsonl"));
    trail(&config);
    let all = ["open", "intent1", "outcome1", "outcome2", "close"];
    let query = Query::default();
    assert_eq!(found(&config, &query), all);
    let of = |query: Query| found(&config, &query);
    let own = ["intent1", "outcome1"];
    assert_eq!(of(Query { team: TeamId::parse("billing"), ..query.clone() }), own);
    assert_eq!(of(Query { account: AccountSid::parse(ACCOUNT), ..query.clone() }), own);
    assert_eq!(of(Query { key: KeySid::parse(KEY), ..query.clone() }), own);
    assert_eq!(of(Query { operation: Some("lookups:*".into()), ..query.clone() }), own);
    assert_eq!(of(Query { operation: Some("lookups:PhoneNumbers:fetch".into()), ..query.clone() }), own);
    assert_eq!(of(Query { phone: Some("+1 (555) 867-5310".into()), ..query.clone() }), own);
    assert_eq!(of(Query { id: Some(RequestId::new(2).to_string()), ..query.clone() }), ["outcome2"]);
    assert_eq!(of(Query { denied: true, ..query.clone() }), ["outcome2"]);
    assert_eq!(of(Query { limit: Some(2), ..query.clone() }), ["outcome2", "close"]);
    assert_eq!(of(Query { phase: Some("outcome".into()), limit: Some(1), ..query.clone() }), ["outcome2"]);
    let soon = Clock::system().unix_micros() + 60_000_000;
    assert_eq!(of(Query { until: Some(soon), ..query.clone() }), all);
    for nothing in [
        Query { operation: Some("lookups".into()), ..query.clone() },
        Query { phone: Some("+1 (555) 867-5311".into()), ..query.clone() },
        Query { since: Some(soon), ..query.clone() },
        Query { until: Some(1), ..query.clone() },
    ] {
        assert!(found(&config, &nothing).is_empty(), "{nothing:?}");
    }
}

#[test]
fn acts_are_found_by_the_team_and_the_key_that_they_are_about() {
    let folder = tempfile::tempdir().expect("a throwaway folder");
    let config = config(&folder.path().join("audit.jsonl"));
    trail(&config);
    let trail = Trail::open(&config, 1, Clock::system()).expect("opens");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let rotated = format!("SK00000000000000000000000000000003 of billing, instead of {KEY}");
    let opened = "billing: open=[api:Tokens:create]";
    let own = ["billing", opened, "t1 of billing", "change 3 of billing's key", &rotated];
    let subjects = own.into_iter().chain(["billing2", "billing2: deny=[]", "billing of other"]);
    runtime.block_on(async {
        for subject in subjects {
            trail.admin_record("sidekey", "test", subject, "done").await.expect("kept");
        }
    });
    trail.close();
    let of_team = Query { team: TeamId::parse("billing"), ..Query::default() };
    assert_eq!(found(&config, &of_team), ["intent1", "outcome1", "admin", "admin", "admin", "admin", "admin"]);
    let of_key = Query { key: KeySid::parse(KEY), ..Query::default() };
    assert_eq!(found(&config, &of_key), ["intent1", "outcome1", "admin"]);
    assert_eq!(found(&config, &Query { phase: Some("admin".into()), ..of_key }), ["admin"]);
}

#[test]
fn a_report_sums_up() {
    let folder = tempfile::tempdir().expect("a throwaway folder");
    let config = config(&folder.path().join("audit.jsonl"));
    trail(&config);
    let files = files(config.file.as_deref().expect("a file")).expect("listed");
    let now = Clock::system().unix_micros();
    let sum = |now| report(Some(&config), &files, &Query::default(), Duration::from_hours(1), now).expect("read");
    let report = sum(now);
    assert_eq!((report.teams["billing"].requests, report.teams["-"].denied), (1, 1));
    assert_eq!(report.teams["billing"].operations["lookups:PhoneNumbers:fetch"], 1);
    assert_eq!(report.teams["billing"].bytes_out, 7);
    assert_eq!(report.denials["invalid_proof: expired"], 1);
    assert!(report.idle_tokens.is_empty());
    let later = sum(now + 7_200_000_000);
    assert_eq!((later.idle_tokens[0].id.as_str(), later.idle_keys[0].id.as_str()), ("t1", KEY));
}

#[test]
fn the_counts_of_a_report_stand_below_each_other() {
    let mut sum = Report::default();
    sum.denials.insert("invalid_proof: expired".to_owned(), 2);
    sum.denials.insert(format!("malformed_request: {}", "x".repeat(60)), 100);
    let text = sum.to_string();
    let lines = text.lines().skip_while(|line| !line.starts_with("denials")).take_while(|line| !line.is_empty());
    let ends: Vec<usize> = lines.map(str::len).collect();
    assert_eq!(ends, [ends[0]; 3], "{text}");
}

#[test]
fn a_line_for_people_steers_no_terminal() {
    let line = br#"{"ts":"2026-01-01T00:00:00.000000Z","phase":"outcome","path":"/\u001b[2J\u000a","status":404}"#;
    let text = describe(line);
    assert!(text.contains("404") && !text.contains(char::is_control), "{text:?}");
}
