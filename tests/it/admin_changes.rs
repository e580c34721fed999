//! What changes through the admin API leave in the audit, and what is refused.

use crate::support::raw::ask;
use crate::support::world::{Broker, World, text};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt as _;

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

#[test]
fn whoever_asks_without_the_token_is_recorded_and_counted() {
    let world = World::new();
    let broker = world.serve();
    let begun = Instant::now();
    for _ in 0..20 {
        let refused = ask(broker.admin, "GET", "/v1/teams", &[("authorization", "Bearer x")], b"").expect("an answer");
        assert_eq!(refused.status, 401);
    }
    let metrics = ask(broker.admin, "GET", "/metrics", &[], b"").expect("an answer");
    assert!(metrics.text().contains("sidekey_admin_refused_total 20\n"), "{}", metrics.text());
    std::thread::sleep(Duration::from_millis(1500));
    let told: Vec<String> = records(&broker).into_iter().filter(|it| it.starts_with("admin.refused: ")).collect();
    assert!(told[0].starts_with("admin.refused: 127.0.0.1:") && told[0].contains(": no valid token"), "{told:?}");
    let counted = |record: &String| record.rsplit_once("the last of ").map_or(1, |(_, n)| n.parse().expect("a number"));
    assert_eq!(told.iter().map(counted).sum::<u64>(), 20, "{told:?}");
    assert!(told.len() as u64 <= begun.elapsed().as_secs() + 2, "one a second: {told:?}");
}

#[test]
fn whoever_takes_no_answers_does_not_keep_the_others_out() {
    let world = World::new();
    let broker = world.serve();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let asked = b"GET /metrics HTTP/1.1\r\nHost: sidekey\r\n\r\n".repeat(1_000);
    let greedy = runtime.block_on(async {
        let mut greedy = Vec::new();
        for _ in 0..64 {
            let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
            // So that few answers fill it.
            socket.set_recv_buffer_size(4096).expect("a size");
            let mut stream = socket.connect(broker.admin).await.expect("it listens");
            let sent = stream.write_all(&asked);
            // As much as fits: it reads no more than it can answer.
            let _ = tokio::time::timeout(Duration::from_millis(20), sent).await;
            greedy.push(stream);
        }
        greedy
    });
    let mut probe = TcpStream::connect(broker.admin).expect("the kernel takes it");
    probe.set_read_timeout(Some(Duration::from_secs(40))).expect("a limit");
    probe.write_all(b"GET /healthz HTTP/1.1\r\nHost: sidekey\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    probe.read_to_string(&mut answer).expect("an answer in time");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(greedy);
}

#[test]
fn bad_input_is_told_as_such() {
    let world = World::new();
    let broker = world.serve();
    assert_eq!(broker.ask_admin("POST", "/v1/teams", r#"{"name":"billing"}"#).status, 201);
    let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(201));
    for (method, path, body, told) in [
        ("POST", "/v1/teams/billing/rotate?grace=0s", "", "takes nothing after `?`"),
        ("GET", "/v1/teams?limit=1", "", "takes nothing after `?`"),
        ("POST", "/v1/teams", r#"["other"]"#, "expected an object"),
        ("POST", "/v1/teams/billing/tokens", r#"["laptop","90d"]"#, "expected an object"),
        ("PATCH", "/v1/teams/billing", r#"{"policy":[[],[],[]]}"#, "expected an object"),
        ("PATCH", "/v1/teams/billing", r#"{"rotate_every":"500ms"}"#, "rotate_every: write whole seconds"),
        ("PATCH", "/v1/teams/billing", r#"{"key_permissions":["foo"]}"#, "write /twilio/PRODUCT/RESOURCE/ACTION"),
        ("POST", "/v1/teams/billing/tokens", r#"{"expires":"500ms"}"#, "expires: write whole seconds"),
        ("POST", "/v1/teams/billing/tokens", &long, "name: a token's name has at most 200 bytes"),
        ("POST", "/v1/teams/billing/tokens", r#"{"name":"a\nb"}"#, "no control characters"),
    ] {
        let answer = broker.ask_admin(method, path, body);
        let problem = answer.json();
        assert_eq!((answer.status, text(&problem, "reason").as_str()), (400, "invalid"), "{method} {path} {body}");
        assert!(text(&problem, "detail").contains(told), "{method} {path} {body}: {problem}");
    }
    let scraped = ask(broker.admin, "GET", "/metrics?module=x", &[], b"").expect("an answer");
    assert_eq!(scraped.status, 200);
}
