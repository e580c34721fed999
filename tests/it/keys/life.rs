//! The life of a key against an upstream that fails in every way.

use crate::support::world::{World, text};
use serde_json::json;

fn with_key() -> (World, String) {
    let world = World::new();
    world.json(&["team", "create", "billing"]);
    let sid = text(&world.json(&["key", "create", "billing"]), "sid");
    (world, sid)
}

#[track_caller]
fn assert_settled(world: &World, sid: &str) {
    assert_eq!(world.upstream_keys(), [sid], "the team's key and nothing else");
    let list = world.json(&["key", "list"]);
    assert_eq!((list.as_array().map(Vec::len), &list[0]["sid"]), (Some(1), &json!(sid)), "{list}");
    assert_eq!(list[0]["state"], "active");
}

#[test]
fn a_new_key_that_does_not_prove_good_is_taken_back() {
    let (world, sid) = with_key();
    world.fail("/IncomingPhoneNumbers", 6, 401, 20003);
    let said = world.refused(&["key", "rotate", "billing", "--grace", "0s"]);
    assert!(said.contains("20003") && said.contains(&sid), "{said}");
    assert_settled(&world, &sid);
}

#[test]
fn a_new_key_may_take_a_moment_to_be_known() {
    let (world, sid) = with_key();
    world.fail("/IncomingPhoneNumbers", 2, 401, 20003);
    let new = text(&world.json(&["key", "rotate", "billing", "--grace", "0s"]), "sid");
    assert_ne!(new, sid);
    assert_settled(&world, &new);
}

#[test]
fn a_refused_creation_leaves_everything_as_it_was() {
    let (world, sid) = with_key();
    world.fail("/Keys.json", 1, 400, 70151);
    assert!(world.refused(&["key", "rotate", "billing"]).contains("70151"));
    assert_settled(&world, &sid);
    world.fail("/Keys.json", 1, 401, 20003);
    assert!(world.refused(&["key", "rotate", "billing"]).contains("upstream.master"));
    assert_settled(&world, &sid);
}

#[test]
fn a_busy_upstream_is_asked_again() {
    let (world, sid) = with_key();
    world.fail("/Keys.json", 2, 429, 20429);
    let new = text(&world.json(&["key", "rotate", "billing", "--grace", "0s"]), "sid");
    assert_ne!(new, sid);
    assert_settled(&world, &new);
}

#[test]
fn a_revoked_key_whose_deletion_fails_is_deleted_by_the_next_command() {
    let (world, sid) = with_key();
    world.fail(&format!("/Keys/{sid}"), 1, 500, 20500);
    let said = world.refused(&["key", "revoke", &sid]);
    assert!(said.contains("out of use"), "{said}");
    assert_eq!(world.json(&["key", "list"])[0]["state"], "revoking");
    assert_eq!(world.upstream_keys(), [sid]);
    let new = text(&world.json(&["key", "create", "billing"]), "sid");
    assert_settled(&world, &new);
}

#[test]
fn a_key_is_gone_only_if_the_upstream_itself_knows_it_no_more() {
    let (world, sid) = with_key();
    // Something on the way that knows no such path: the key may live on.
    world.fail(&format!("/Keys/{sid}"), 1, 404, 0);
    let said = world.refused(&["key", "revoke", &sid]);
    assert!(said.contains("not deleted at the upstream yet (the upstream answered 404"), "{said}");
    assert_eq!(world.json(&["key", "list"])[0]["state"], "revoking");
    // What a deletion is told whose first answer was lost.
    world.fail(&format!("/Keys/{sid}"), 1, 404, 20404);
    let new = text(&world.json(&["key", "create", "billing"]), "sid");
    let listed = world.json(&["key", "list"]);
    assert_eq!((listed.as_array().map(Vec::len), &listed[0]["sid"]), (Some(1), &json!(new)), "{listed}");
}

#[test]
fn an_old_key_whose_deletion_fails_is_deleted_later() {
    let (world, sid) = with_key();
    world.fail(&format!("/Keys/{sid}"), 1, 500, 20500);
    let new = text(&world.json(&["key", "rotate", "billing", "--grace", "0s"]), "sid");
    assert_eq!(world.upstream_keys().len(), 2);
    world.json(&["key", "reconcile", "--delete-orphans"]);
    assert_settled(&world, &new);
}

#[test]
fn a_list_of_many_pages_is_read_to_its_end() {
    let (world, sid) = with_key();
    let strangers: Vec<String> = (0..120).map(|_| world.upstream.key(sidekey::sandbox::KeyKind::Standard).0).collect();
    let found = world.json(&["key", "reconcile"]);
    assert_eq!(found["strangers"].as_array().map(Vec::len), Some(strangers.len()));
    assert_eq!((&found["missing"], &found["orphans"]), (&json!([]), &json!([])), "{sid}");
}

#[test]
fn what_is_left_to_do_is_counted() {
    let (world, sid) = with_key();
    world.json(&["team", "create", "alerts"]);
    let broker = world.serve();
    let counted = |undeleted: u32, unsettled: u32| {
        let wanted = [format!("\nsidekey_keys_undeleted {undeleted}\n"), format!("changes_unsettled {unsettled}\n")];
        let is_so = || {
            std::thread::sleep(std::time::Duration::from_millis(100));
            let metrics = broker.ask_admin("GET", "/metrics", "");
            wanted.iter().all(|line| metrics.text().contains(line))
        };
        assert!((0..200).any(|_| is_so()), "never {undeleted} and {unsettled}");
    };
    counted(0, 0);
    // An old key within its grace is not counted.
    let new = text(&world.json(&["key", "rotate", "billing"]), "sid");
    assert_eq!(world.json(&["key", "list", "billing"])[1]["sid"], json!(sid));
    world.fail(&format!("/Keys/{new}.json"), 1000, 403, 20403);
    world.refused(&["key", "revoke", &new]);
    counted(1, 0);
    // It may have been made, and is looked for once more.
    world.fail("/Keys.json", 1, 500, 20500);
    world.refused(&["key", "create", "alerts"]);
    counted(1, 1);
}
