//! The admin API beside a broker that runs.

use crate::support::postgres::Server;
use crate::support::raw::{Answered, ask};
use crate::support::world::{ADMIN_TOKEN, Broker, World, text};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// The status and, for a problem, its stable word.
fn outcome(answer: &Answered) -> (u16, String) {
    let reason = if answer.status >= 400 { text(&answer.json(), "reason") } else { String::new() };
    (answer.status, reason)
}

#[track_caller]
fn done(broker: &Broker, method: &str, path: &str, body: &str) -> Value {
    let answer = broker.ask_admin(method, path, body);
    assert!(answer.status < 300, "{method} {path}: {answer:?} {}", answer.text());
    if answer.body.is_empty() { Value::Null } else { answer.json() }
}

#[test]
fn only_health_and_metrics_are_open_and_nobody_else_learns_what_exists() {
    let world = World::new();
    let broker = world.serve();
    let with = |headers: &[(&str, &str)], path: &str| ask(broker.admin, "GET", path, headers, b"").expect("an answer");
    assert_eq!(with(&[], "/healthz").text(), "ok\n");
    assert_eq!(with(&[], "/readyz").status, 200);
    assert!(with(&[], "/metrics").text().contains("sidekey_store_up 1\n"));
    let wrong =
        ["Bearer x", "Bearer ", "Basic YTpi", ADMIN_TOKEN, &format!("Bearer {ADMIN_TOKEN}x")].map(str::to_owned);
    for path in ["/v1/teams", "/v1/openapi.json", "/v1/nothing", "/"] {
        let refused = with(&[], path);
        assert_eq!(outcome(&refused), (401, "unauthorized".to_owned()), "{path}");
        assert_eq!(refused.header("content-type"), Some("application/problem+json"));
        assert!(refused.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")));
        for value in &wrong {
            assert_eq!(with(&[("authorization", value)], path).status, 401, "{path} {value}");
        }
        let token = format!("Bearer {ADMIN_TOKEN}");
        let twice = with(&[("authorization", &token), ("authorization", &token)], path);
        assert_eq!(twice.status, 401, "two proofs are none");
    }
    assert_eq!(outcome(&broker.ask_admin("GET", "/v1/nothing", "")), (404, "not_found".to_owned()));
    assert_eq!(outcome(&broker.ask_admin("PUT", "/v1/teams", "")), (405, "method_not_allowed".to_owned()));
    assert_eq!(outcome(&broker.ask_admin("GET", "/v1/teams", "{}")), (400, "invalid".to_owned()));
    let large = " ".repeat(70_000);
    assert_eq!(outcome(&broker.ask_admin("POST", "/v1/teams", &large)), (413, "too_large".to_owned()));
}

#[test]
fn a_probe_may_ask_by_head_and_another_method_is_told_what_there_is() {
    let world = World::new();
    let broker = world.serve();
    let without = |method: &str, path: &str| ask(broker.admin, method, path, &[], b"").expect("an answer");
    for path in ["/healthz", "/readyz", "/metrics"] {
        let probed = without("HEAD", path);
        assert_eq!((probed.status, probed.body.len()), (200, 0), "HEAD {path}");
        let other = without("POST", path);
        assert_eq!(outcome(&other), (405, "method_not_allowed".to_owned()), "POST {path} without a token");
        assert_eq!(other.header("allow"), Some("GET, HEAD"), "{path}");
    }
    assert_eq!(without("HEAD", "/v1/teams").status, 401);
    assert_eq!(without("PUT", "/v1/teams").status, 401, "without a token nobody learns what exists");
    assert_eq!(broker.ask_admin("HEAD", "/v1/teams", "").status, 200);
    assert_eq!(broker.ask_admin("PUT", "/v1/teams", "").header("allow"), Some("GET, HEAD, POST"));
}

#[test]
fn a_long_list_of_tokens_is_one_array_in_many_pieces() {
    let world = World::new();
    for team in ["alerts", "billing"] {
        world.json(&["team", "create", team]);
    }
    let file = rusqlite::Connection::open(world.folder().join("store.db")).expect("a store");
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 25000)
        INSERT INTO tokens (sha256, id, team, name, created_at)
        SELECT randomblob(32), 'id' || i, CASE WHEN i % 2 THEN 'alerts' ELSE 'billing' END, '', i FROM n";
    file.execute_batch(fill).expect("tokens");
    let broker = world.serve();
    for (path, first, count) in [("/v1/tokens", "id1", 25_000), ("/v1/teams/billing/tokens", "id2", 12_500)] {
        let answer = broker.ask_admin("GET", path, "");
        assert_eq!((answer.status, answer.header("transfer-encoding")), (200, Some("chunked")), "{path}");
        let list = answer.json();
        let list = list.as_array().expect("an array");
        let ids: std::collections::HashSet<String> = list.iter().map(|token| text(token, "id")).collect();
        assert_eq!((list.len(), ids.len(), text(&list[0], "id")), (count, count, first.to_owned()));
        assert_eq!(text(&list[count - 1], "id"), "id25000", "{path}");
    }
    // What fits is whole.
    assert!(broker.ask_admin("GET", "/v1/teams", "").header("content-length").is_some());
    assert_eq!(broker.ask_admin("HEAD", "/v1/tokens", "").status, 200);
}

#[test]
fn it_does_what_the_commands_do() {
    let world = World::new();
    let broker = world.serve();
    let made = done(&broker, "POST", "/v1/teams", r#"{"name":"billing","rotate_every":"30d"}"#);
    assert_eq!(
        (&made["name"], &made["kind"], &made["disabled"]),
        (&json!("billing"), &json!("standard"), &json!(false))
    );
    let again = broker.ask_admin("POST", "/v1/teams", r#"{"name":"billing"}"#);
    assert_eq!(outcome(&again), (409, "duplicate".to_owned()));
    let issued = done(&broker, "POST", "/v1/teams/billing/tokens", r#"{"name":"laptop","expires":"90d"}"#);
    let token = text(&issued, "token");
    let key = done(&broker, "POST", "/v1/teams/billing/keys", "");
    broker.until(&world, &token, 200);
    let listed = done(&broker, "GET", "/v1/teams/billing/keys", "");
    assert_eq!((&listed[0]["sid"], &listed[0]["state"]), (&key["sid"], &json!("active")));
    let rotated = done(&broker, "POST", "/v1/teams/billing/rotate", r#"{"grace":"0s"}"#);
    assert_ne!(rotated["sid"], key["sid"]);
    let old = text(&key, "sid");
    for _ in 0..600 {
        if !world.upstream_keys().contains(&old) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(!world.upstream_keys().contains(&old), "the broker deletes the old key");
    let changed = done(&broker, "PATCH", "/v1/teams/billing", r#"{"disabled":true,"rotate_every":null}"#);
    assert_eq!((&changed["disabled"], &changed["rotate_every"]), (&json!(true), &Value::Null));
    broker.until(&world, &token, 401);
    done(&broker, "PATCH", "/v1/teams/billing", r#"{"disabled":false}"#);
    broker.until(&world, &token, 200);
    let revoked = done(&broker, "DELETE", &format!("/v1/tokens/{}", text(&issued, "id")), "");
    assert_eq!(revoked["state"], "revoked");
    broker.until(&world, &token, 401);
    let found = done(&broker, "POST", "/v1/reconcile", "");
    assert_eq!(found, json!({ "orphans": [], "strangers": [], "missing": [], "deleted": [] }));
    done(&broker, "DELETE", &format!("/v1/keys/{}", text(&rotated, "sid")), "");
    assert_eq!(world.upstream_keys(), Vec::<String>::new());
    done(&broker, "DELETE", "/v1/teams/billing", "");
    for path in
        ["/v1/teams/billing", "/v1/teams/billing/tokens", "/v1/teams/billing/keys", "/v1/tokens/x", "/v1/keys/x"]
    {
        assert_eq!(outcome(&broker.ask_admin("GET", path, "")), (404, "unknown".to_owned()), "{path}");
    }
    assert_eq!(world.json(&["team", "list"]), json!([]), "the commands see the same store");
}

#[test]
fn a_token_where_an_id_belongs_is_repeated_nowhere() {
    let world = World::new();
    let broker = world.serve();
    done(&broker, "POST", "/v1/teams", r#"{"name":"billing"}"#);
    let issued = done(&broker, "POST", "/v1/teams/billing/tokens", "");
    let (token, id) = (text(&issued, "token"), text(&issued, "id"));
    let cut = &token[..token.len() - 1];
    for method in ["GET", "DELETE"] {
        let refused = broker.ask_admin(method, &format!("/v1/tokens/{cut}"), "");
        assert_eq!(outcome(&refused), (404, "unknown".to_owned()));
        assert!(!refused.text().contains(cut), "{}", refused.text());
        assert_eq!(done(&broker, method, &format!("/v1/tokens/{token}"), "")["id"], json!(id), "it names itself");
    }
    for part in [&token, cut, &token[..24]] {
        for (method, path) in [
            ("GET", format!("/v1/teams/{part}")),
            ("DELETE", format!("/v1/teams/{part}")),
            ("POST", format!("/v1/teams/{part}/tokens")),
            ("POST", format!("/v1/teams/{part}/rotate")),
            ("DELETE", format!("/v1/keys/{part}")),
        ] {
            let refused = broker.ask_admin(method, &path, "");
            assert_eq!(outcome(&refused), (404, "unknown".to_owned()), "{method} {path}");
            assert!(!refused.text().contains(part), "{}", refused.text());
        }
        let refused = broker.ask_admin("POST", "/v1/teams", &json!({ "name": part }).to_string());
        assert!(refused.status == 400 && !refused.text().contains(part), "{refused:?}");
        for arguments in [&["team", "create", part] as &[&str], &["team", "delete", part], &["token", "issue", part]] {
            let told = world.run(arguments);
            assert!(told.code == Some(64) && !told.stderr.contains(part), "{told:?}");
        }
    }
    let told = world.run(&["token", "revoke", cut]);
    assert!(told.code == Some(1) && !told.stderr.contains(cut), "{told:?}");
    let trail = done(&broker, "GET", "/v1/audit?limit=1000", "").to_string();
    assert!(trail.contains(&id) && !trail.contains(&token[15..48]), "{trail}");
}

#[test]
fn changes_are_in_the_audit_and_the_audit_can_be_searched() {
    let world = World::new();
    let broker = world.serve();
    done(&broker, "POST", "/v1/teams", r#"{"name":"billing"}"#);
    let token = text(&done(&broker, "POST", "/v1/teams/billing/tokens", ""), "token");
    broker.until(&world, &token, 503);
    world.json(&["team", "create", "alerts"]);
    let applied = |records: &Value| records.to_string().contains("alerts is new");
    for _ in 0..200 {
        if applied(&done(&broker, "GET", "/v1/audit?limit=1000", "")) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(25));
    }
    let records = done(&broker, "GET", "/v1/audit?limit=1000", "");
    let has = |name: &str, value: &str| records.as_array().expect("records").iter().any(|record| record[name] == value);
    assert!(has("action", "team.create") && has("action", "token.issue") && has("reason", "no_key"), "{records}");
    assert!(applied(&records), "what a command changed is recorded when it is in force: {records}");
    assert!(!records.to_string().contains(&token), "no token is in the audit");
    let denied = done(&broker, "GET", "/v1/audit?denied=true&team=billing&since=1h&limit=1", "");
    assert_eq!(denied.as_array().map(Vec::len), Some(1), "{denied}");
    assert_eq!(outcome(&broker.ask_admin("GET", "/v1/audit?colour=blue", "")), (400, "invalid".to_owned()));
}

#[test]
fn a_rule_that_fits_no_operation_is_refused() {
    let world = World::new();
    let broker = world.serve();
    done(&broker, "POST", "/v1/teams", r#"{"name":"billing","policy":{"allow":["api:Messages:*"]}}"#);
    let refused = broker.ask_admin("PATCH", "/v1/teams/billing", r#"{"policy":{"allow":["api:Massages:*"]}}"#);
    assert_eq!(outcome(&refused), (400, "invalid".to_owned()));
    let told = text(&refused.json(), "detail");
    assert!(told.contains("policy.allow: \"api:Massages:*\" fits no operation; `sidekey explain"), "{told}");
    let team = done(&broker, "GET", "/v1/teams/billing", "");
    assert_eq!(team["policy"]["allow"], json!(["api:Messages:*"]));
}

#[test]
fn answers_are_as_the_document_says() {
    let world = World::new();
    let broker = world.serve();
    let document = done(&broker, "GET", "/v1/openapi.json", "");
    assert_eq!(document["openapi"], "3.1.0");
    let team = done(
        &broker,
        "POST",
        "/v1/teams",
        r#"{"name":"billing","grants":["voice"],"policy":{"deny":["api:Calls:*"]}}"#,
    );
    let issued = done(&broker, "POST", "/v1/teams/billing/tokens", r#"{"name":"laptop"}"#);
    let key = done(&broker, "POST", "/v1/teams/billing/keys", "");
    world.upstream.key(sidekey::sandbox::KeyKind::Standard);
    let found = done(&broker, "POST", "/v1/reconcile", "");
    for (name, value) in [("Team", &team), ("IssuedToken", &issued), ("Key", &key), ("Difference", &found)] {
        fits(&document, &json!({ "$ref": format!("#/components/schemas/{name}") }), value, name);
    }
    let mut checked = 0;
    for (path, operations) in document["paths"].as_object().expect("paths") {
        let place = path
            .replace("{name}", "billing")
            .replace("{id}", &text(&issued, "id"))
            .replace("{sid}", &text(&key, "sid"));
        let Some(operation) = operations.get("get") else { continue };
        let answer = broker.ask_admin("GET", &place, "");
        assert_eq!(answer.status, 200, "{place}: {}", answer.text());
        let content = operation["responses"]["200"]["content"].as_object().expect("content");
        let (kind, content) = content.iter().next().expect("a type");
        assert!(answer.header("content-type").is_some_and(|given| given.starts_with(kind)), "{place}");
        if kind == "application/json" {
            fits(&document, &content["schema"], &answer.json(), path);
            checked += 1;
        }
    }
    assert!(checked >= 9, "{checked}");
    let problem = broker.ask_admin("GET", "/v1/teams/nobody", "").json();
    fits(&document, &json!({ "$ref": "#/components/schemas/Problem" }), &problem, "Problem");
}

/// Holds a value against the part of JSON Schema that the document uses.
#[track_caller]
fn fits(document: &Value, schema: &Value, value: &Value, place: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let schema = document.pointer(reference.trim_start_matches('#')).expect("a schema");
        return fits(document, schema, value, place);
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let wanted = &schema["type"];
    let allowed = wanted == kind || wanted.as_array().is_some_and(|kinds| kinds.iter().any(|wanted| wanted == kind));
    assert!(allowed, "{place}: {kind} is not {wanted}");
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{place}: {value} is none of {words:?}");
    }
    for item in value.as_array().into_iter().flatten() {
        fits(document, &schema["items"], item, place);
    }
    let Some(object) = value.as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(object.contains_key(name.as_str().expect("a name")), "{place}: no {name}");
    }
    for (name, value) in object {
        match schema["properties"].get(name) {
            Some(schema) => fits(document, schema, value, &format!("{place}.{name}")),
            None => assert_ne!(schema["additionalProperties"], json!(false), "{place}: {name} is not in the document"),
        }
    }
}

#[test]
fn a_lost_store_is_said_and_serving_ends_only_when_it_is_too_old() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut server = runtime.block_on(Server::start());
    let world = World::with(&server.url(), "");
    std::fs::write(world.folder().join("root.key"), "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=").expect("a key");
    let file = world.folder().join("sidekey.toml");
    let config = std::fs::read_to_string(&file).expect("a config");
    std::fs::write(&file, config.replace("root_key =", "max_staleness = \"5s\"\nroot_key =")).expect("writable");
    let broker = world.serve();
    world.json(&["team", "create", "billing"]);
    world.json(&["key", "create", "billing"]);
    let token = world.token("billing");
    broker.until(&world, &token, 200);
    // A key that was refused before says nothing of what was missed.
    for made in [["team", "create", "broken"], ["key", "create", "broken"]] {
        world.json(&made);
    }
    let broken = world.token("broken");
    broker.until(&world, &broken, 200);
    world.fail("/Messages.json", 1, 401, 20003);
    broker.until(&world, &broken, 502);
    // The store's loss is said by the second.
    std::thread::sleep(Duration::from_millis(1100));
    let state = || ask(broker.admin, "GET", "/readyz", &[], b"").expect("an answer");
    let until = |wanted: &str| {
        for _ in 0..1200 {
            let answer = state();
            if answer.json()["store"]["state"] == wanted {
                return answer;
            }
            std::thread::sleep(std::time::Duration::from_millis(25));
        }
        panic!("never {wanted}: {}", state().text());
    };
    server.down();
    let lost = until("lost");
    assert_eq!((lost.status, &lost.json()["ready"]), (200, &json!(true)));
    assert_eq!(broker.messages(&world, &token).status, 200, "what is known is served");
    assert_eq!(outcome(&broker.ask_admin("GET", "/v1/teams", "")), (503, "store_unavailable".to_owned()));
    // Somebody replaces the key meanwhile, and this broker can't hear of it.
    world.fail("/Messages.json", 1, 401, 20003);
    assert_eq!(broker.messages(&world, &token).header("sidekey-error"), Some("upstream_rejected_key"));
    let deaf = state();
    assert_eq!((deaf.status, &deaf.json()["store"]["state"]), (503, &json!("lost")));
    assert_eq!(broker.messages(&world, &token).status, 200, "the key is taken again");
    let stale = until("stale");
    assert_eq!((stale.status, &stale.json()["ready"]), (503, &json!(false)));
    assert_eq!(broker.messages(&world, &token).header("sidekey-error"), Some("overloaded"));
    runtime.block_on(server.up());
    assert_eq!(until("ok").status, 200);
    broker.until(&world, &token, 200);
}

#[test]
fn a_broker_without_a_store_says_so() {
    let world = World::new();
    let file = world.folder().join("sidekey.toml");
    let config = std::fs::read_to_string(&file).expect("a config");
    let (before, after) = config.split_once("[store]").expect("a store");
    let (_, after) = after.split_once("[admin]").expect("an admin");
    let team = format!("[[team]]\nname = \"platform\"\nkind = \"master\"\ntoken_sha256 = [\"{}\"]\n", "0".repeat(64));
    std::fs::write(&file, format!("{before}[admin]{after}{team}")).expect("writable");
    let broker = world.serve();
    assert_eq!(outcome(&broker.ask_admin("GET", "/v1/teams", "")), (409, "no_store".to_owned()));
    let ready = ask(broker.admin, "GET", "/readyz", &[], b"").expect("an answer");
    assert_eq!((ready.status, &ready.json()["store"]["state"]), (200, &json!("none")));
}

#[test]
fn the_peer_of_the_unix_socket_needs_no_token() {
    let world = World::new();
    let path = world.folder().join("sidekey.toml");
    let config = std::fs::read_to_string(&path).expect("a config");
    let config = config.replacen("[listen]\n", "[listen]\nadmin_unix = \"admin.sock\"\n", 1);
    std::fs::write(&path, config).expect("a config");
    let mut broker = world.serve();
    let place = broker.process.told("listening admin_unix=");
    let mut stream = UnixStream::connect(world.folder().join(place)).expect("it listens");
    stream.write_all(b"GET /v1/teams HTTP/1.1\r\nHost: sidekey\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn a_broker_that_stops_is_not_ready() {
    let world = World::new();
    for made in [["team", "create", "billing"], ["key", "create", "billing"]] {
        world.json(&made);
    }
    let token = world.token("billing");
    let broker = world.serve();
    broker.until(&world, &token, 200);
    // A request whose body is on its way holds the end up.
    let mut under_way = TcpStream::connect(broker.address).expect("it listens");
    let head = "POST /2010-04-01/Accounts HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345";
    under_way.write_all(head.as_bytes()).expect("it reads");
    std::thread::sleep(Duration::from_millis(100));
    let ready = || ask(broker.admin, "GET", "/readyz", &[], b"").expect("an answer");
    assert_eq!((ready().status, &ready().json()["stopping"]), (200, &json!(false)));
    broker.process.signal(Signal::TERM);
    let until = Instant::now() + Duration::from_secs(20);
    while ready().status != 503 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(ready().json()["stopping"], json!(true));
    let (code, _) = broker.process.end(Signal::TERM);
    assert_eq!(code, Some(1), "a second signal waits for nothing");
}
