//! Two commands at once on one team: what the other did meanwhile is said, in words for an operator.

use super::lost::world;
use crate::support::world::text;
use serde_json::json;

#[test]
fn a_key_that_is_made_for_a_team_that_goes_meanwhile_is_deleted() {
    let (world, wire) = world();
    wire.hold("POST");
    std::thread::scope(|scope| {
        let create = scope.spawn(|| world.refused(&["key", "create", "billing"]));
        wire.until_held();
        world.json(&["team", "delete", "billing"]);
        wire.go_on();
        let said = create.join().expect("an answer");
        assert!(said.contains("no team \"billing\"") && !said.contains("constraint"), "{said}");
    });
    assert_eq!(world.upstream_keys(), Vec::<String>::new());
}

#[test]
fn a_key_that_is_revoked_while_keys_are_compared_is_not_missing() {
    let (world, wire) = world();
    let sid = text(&world.json(&["key", "create", "billing"]), "sid");
    wire.hold("GET");
    std::thread::scope(|scope| {
        let reconcile = scope.spawn(|| world.json(&["key", "reconcile"]));
        wire.until_held();
        world.json(&["key", "revoke", &sid]);
        wire.go_on();
        let found = reconcile.join().expect("an answer");
        assert_eq!((&found["missing"], &found["orphans"]), (&json!([]), &json!([])), "{found}");
    });
}

#[test]
fn a_team_is_deleted_though_its_key_is_revoked_meanwhile() {
    let (world, wire) = world();
    let old = text(&world.json(&["key", "create", "billing"]), "sid");
    world.json(&["key", "rotate", "billing"]);
    wire.hold("DELETE");
    std::thread::scope(|scope| {
        let delete = scope.spawn(|| world.json(&["team", "delete", "billing"]));
        wire.until_held();
        world.json(&["key", "revoke", &old]);
        wire.go_on();
        delete.join().expect("it is deleted");
    });
    assert_eq!(world.json(&["team", "list"]), json!([]));
    assert_eq!(world.upstream_keys(), Vec::<String>::new());
}
