//! A connection that asks the same over and over, while its team's life goes on.

use crate::support::raw::Answered;
use crate::support::talk::{Log, Talk};
use crate::support::world::{Broker, World, text};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// One connection and what it asks.
struct Asking {
    talk: Talk,
    head: String,
}

impl Asking {
    fn new(world: &World, broker: &Broker, token: &str) -> Self {
        let proof = STANDARD.encode(format!("AC:{token}"));
        let path = world.upstream.path("/Messages.json");
        let head = format!("GET {path} HTTP/1.1\r\nHost: broker\r\nAuthorization: Basic {proof}\r\n\r\n");
        Self { talk: Talk::open(broker.address, &Log::default()), head }
    }

    #[track_caller]
    fn ask(&mut self) -> Answered {
        self.talk.send(&self.head);
        self.talk.answer().expect("an answer on the same connection")
    }

    /// Asks until the answer is this, and then a few times more: it stays so.
    #[track_caller]
    fn until(&mut self, status: u16, reason: Option<&str>) {
        let is_it = |answer: &Answered| (answer.status, answer.header("sidekey-error")) == (status, reason);
        let found = (0..3000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            is_it(&self.ask())
        });
        assert!(found, "never {status} {reason:?}");
        for _ in 0..5 {
            let answer = self.ask();
            assert!(is_it(&answer), "not {status} {reason:?} any more: {answer:?}");
        }
    }
}

/// Whom the upstream saw last at the messages.
fn last_key(world: &World) -> String {
    let seen = world.upstream.send(None, "GET", "/_sandbox/requests", "").json();
    let seen: &Vec<Value> = seen.as_array().expect("a list");
    let last = seen.iter().rev().find(|one| text(one, "path").contains("/Messages.json")).expect("a message");
    text(last, "sid")
}

#[test]
fn what_changes_counts_at_once() {
    let world = World::new();
    let broker = world.serve();
    world.json(&["team", "create", "billing"]);
    let first = text(&world.json(&["key", "create", "billing"]), "sid");
    let issued = world.json(&["token", "issue", "billing"]);
    broker.until(&world, &text(&issued, "token"), 200);
    let mut asking = Asking::new(&world, &broker, &text(&issued, "token"));
    asking.until(200, None);
    assert_eq!(last_key(&world), first);

    let second = text(&world.json(&["key", "rotate", "billing", "--grace", "0s"]), "sid");
    asking.until(200, None);
    assert_eq!(last_key(&world), second, "a key that was replaced is used no more");
    assert_eq!(world.upstream_keys(), [second.as_str()], "and nobody holds it back");

    let change = |body: &str| assert_eq!(broker.ask_admin("PATCH", "/v1/teams/billing", body).status, 200, "{body}");
    change(r#"{"policy":{"deny":["api:Messages:*"]}}"#);
    asking.until(403, Some("policy_denied"));
    change(r#"{"policy":{}}"#);
    asking.until(200, None);
    change(r#"{"accounts":["AC00000000000000000000000000000002"]}"#);
    asking.until(403, Some("account_not_allowed"));
    change(&format!(r#"{{"accounts":["{}"]}}"#, world.upstream.sandbox.account_sid()));
    asking.until(200, None);
    world.json(&["team", "disable", "billing"]);
    asking.until(401, Some("invalid_proof"));
    world.json(&["team", "enable", "billing"]);
    asking.until(200, None);
    world.json(&["key", "revoke", &second]);
    asking.until(503, Some("no_key"));
    let third = text(&world.json(&["key", "create", "billing"]), "sid");
    asking.until(200, None);
    assert_eq!(last_key(&world), third);
    world.json(&["token", "revoke", &text(&issued, "id")]);
    asking.until(401, Some("invalid_proof"));
}
