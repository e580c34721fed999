//! A config that is reloaded while a store is in use.

use crate::support::command::run;
use crate::support::world::{Broker, World, text};

/// Replaces the config of the world's first broker.
fn swap(world: &World, more: &str) {
    let config = std::fs::read_to_string(world.folder().join("sidekey.toml")).expect("a config");
    let next = world.folder().join("next");
    std::fs::write(&next, format!("{config}\n[audit]\nfile = \"audit-0.jsonl\"\n{more}")).expect("a file");
    std::fs::rename(next, world.folder().join("broker-0.toml")).expect("a swap");
}

fn reload(world: &World, broker: &mut Broker, more: &str) {
    swap(world, more);
    broker.process.told("the config was reloaded");
}

#[test]
fn teams_of_the_file_come_and_go_while_a_store_is_in_use() {
    let world = World::new();
    let mut broker = world.serve();
    world.json(&["team", "create", "billing"]);
    world.json(&["key", "create", "billing"]);
    let stored = world.token("billing");
    broker.until(&world, &stored, 200);
    let made = run(world.folder(), &["token", "generate", "--count", "2", "--output", "json"]).json();
    let declared = |name: &str, digests: &[&str]| {
        let owner = world.upstream.sandbox.account_sid();
        format!(
            "[[team]]\nname = \"{name}\"\ntoken_sha256 = {digests:?}\n\
             key = {{ sid = \"SK00000000000000000000000000000001\", secret = \"env:MASTER\" }}\naccounts = [\"{owner}\"]\n"
        )
    };
    let digest = [text(&made[0], "sha256"), text(&made[1], "sha256")];
    let token = [text(&made[0], "token"), text(&made[1], "token")];
    // The upstream does not know the file's key: that the team is known is what shows.
    reload(&world, &mut broker, &declared("other", &[&digest[0], &digest[1]]));
    broker.until(&world, &token[0], 502);
    broker.until(&world, &token[1], 502);
    assert_eq!(broker.messages(&world, &stored).status, 200);
    // A token that the file no longer has.
    reload(&world, &mut broker, &declared("other", &[&digest[0]]));
    broker.until(&world, &token[1], 401);
    assert_eq!(broker.messages(&world, &token[0]).status, 502);
    // The file is heard where both know a team, whatever the store says afterwards.
    reload(&world, &mut broker, &declared("billing", &[&digest[1]]));
    broker.until(&world, &token[0], 401);
    broker.until(&world, &stored, 401);
    broker.until(&world, &token[1], 502);
    // Issued with a config that does not declare the team.
    let later = world.token("billing");
    for action in ["create", "disable", "enable"] {
        let told = world.refused(&["team", action, "billing", "--config", "broker-0.toml"]);
        assert!(told.contains("\"billing\" is declared in") && told.contains("change it there"), "{told}");
    }
    for (method, path, body) in [
        ("POST", "/v1/teams", r#"{"name":"billing"}"#),
        ("PATCH", "/v1/teams/billing", r#"{"disabled":false}"#),
        ("POST", "/v1/teams/billing/tokens", ""),
        ("POST", "/v1/teams/billing/keys", ""),
        ("POST", "/v1/teams/billing/rotate", ""),
    ] {
        let refused = broker.ask_admin(method, path, body);
        assert_eq!((refused.status, text(&refused.json(), "reason")), (409, "declared".to_owned()), "{method}");
    }
    world.json(&["team", "create", "third"]);
    world.json(&["key", "create", "third"]);
    broker.until(&world, &world.token("third"), 200);
    assert_eq!(broker.messages(&world, &later).status, 401);
    // And the store where the file is silent again.
    reload(&world, &mut broker, "");
    broker.until(&world, &stored, 200);
    broker.until(&world, &later, 200);
    assert_eq!(broker.messages(&world, &token[1]).status, 401);
}

#[test]
fn what_needs_a_restart_is_said_by_name() {
    let world = World::new();
    let mut broker = world.serve();
    world.json(&["team", "create", "billing"]);
    world.json(&["key", "create", "billing"]);
    let token = world.token("billing");
    broker.until(&world, &token, 200);
    swap(&world, "mode = \"best_effort\"\n");
    broker.process.told("audit.mode has changed: it takes effect when the broker is restarted");
    broker.process.told("the config was reloaded");
    let config = std::fs::read_to_string(world.folder().join("sidekey.toml")).expect("a config");
    let other = config.replace("sqlite:store.db", "sqlite:other.db");
    std::fs::write(world.folder().join("sidekey.toml"), other).expect("a file");
    swap(&world, "");
    broker.process.told("store.url: another store can't be taken while the broker runs; restart it");
    assert_eq!(broker.messages(&world, &token).status, 200);
}
