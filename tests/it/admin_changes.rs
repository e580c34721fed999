//! What changes through the admin API leave in the audit, and what is refused.

use crate::support::world::{Broker, World, text};
use serde_json::Value;

fn records(broker: &Broker) -> Vec<String> {
    let answer = broker.ask_admin("GET", "/v1/audit?limit=1000", "").json();
    let all = answer.as_array().expect("records").iter().filter(|record| record["actor"] == "admin");
    let word = |record: &Value, name: &str| text(record, name);
    all.map(|it| format!("{}: {}: {}", word(it, "action"), word(it, "subject"), word(it, "result"))).collect()
}

#[test]
fn what_came_of_a_change_is_recorded() {
    let world = World::new();
    let broker = world.serve();
    let team = r#"{"name":"billing"}"#;
    for (method, path, body, status, record) in [
        ("POST", "/v1/teams", team, 201, "team.create: billing: done"),
        ("POST", "/v1/teams", team, 409, "team.create: billing: team \\u0022billing\\u0022 exists already"),
        ("POST", "/v1/teams/nobody/tokens", "", 404, " of nobody: no team"),
        ("POST", "/v1/teams/nobody/keys", "", 404, "key.create: nobody: no team"),
        ("POST", "/v1/teams/billing/rotate", "", 409, "key.rotate: billing: "),
        ("DELETE", "/v1/teams/nobody", "", 404, "team.delete: nobody: no team"),
        (
            "DELETE",
            "/v1/keys/SK00000000000000000000000000000009",
            "",
            404,
            "key.revoke: SK00000000000000000000000000000009: no key",
        ),
        (
            "PATCH",
            "/v1/teams/billing",
            r#"{"disabled":true,"policy":{"open":["api:SIP.*"]}}"#,
            200,
            "team.change: billing: disabled=true, open=[api:SIP.*], allow=[], deny=[]: done",
        ),
        (
            "PATCH",
            "/v1/teams/billing",
            r#"{"grants":null,"rotate_every":"1d","accounts":[]}"#,
            200,
            "team.change: billing: accounts=[], grants=all, rotate_every=86400s: done",
        ),
    ] {
        let answer = broker.ask_admin(method, path, body);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        let last = records(&broker).pop().expect("a record").replace('"', "\\u0022");
        assert!(last.contains(record) && !last.ends_with(": asked"), "{method} {path}: {last}");
    }
    let found = broker.ask_admin("GET", "/v1/audit?team=billing&limit=1000", "").json().to_string();
    assert!(found.contains("disabled=true"), "a change is found by its team: {found}");
}
