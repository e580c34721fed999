//! The commands `team`, `token`, `key` and `store`, on the store directly.

use crate::support::command::Ended;
use crate::support::world::{World, text};
use serde_json::{Value, json};

fn with_team() -> World {
    let world = World::new();
    world.json(&["team", "create", "billing"]);
    world
}

#[test]
fn teams_are_made_shown_and_deleted() {
    let world = World::new();
    let account = "AC00000000000000000000000000000002";
    let made = world.json(&["team", "create", "billing"]);
    assert_eq!(made, json!({ "name": "billing", "kind": "standard", "accounts": [], "disabled": false }));
    let made = world.json(&["team", "create", "platform", "--master", "--account", account]);
    assert_eq!(made, json!({ "name": "platform", "kind": "master", "accounts": [account], "disabled": false }));
    assert!(world.refused(&["team", "create", "billing"]).contains("\"billing\" exists already"));
    let list = world.json(&["team", "list"]);
    assert_eq!(list.as_array().map(Vec::len), Some(2), "{list}");
    assert_eq!(world.json(&["team", "disable", "billing"])["disabled"], true);
    assert_eq!(world.json(&["team", "show", "billing"])["disabled"], true);
    assert_eq!(world.json(&["team", "enable", "billing"])["disabled"], false);
    world.json(&["team", "delete", "billing"]);
    for command in ["show", "disable", "enable", "delete"] {
        assert!(world.refused(&["team", command, "billing"]).contains("no team \"billing\""), "{command}");
    }
    let for_people = world.run(&["team", "list"]);
    assert_eq!(
        for_people.stdout,
        format!("TEAM      KIND    ACCOUNTS                            STATE\nplatform  master  {account}  enabled\n")
    );
}

#[test]
fn a_team_takes_settings_and_explain_hears_them() {
    let world = World::new();
    let set = [
        "--deny",
        "api:Calls:*",
        "--grant",
        "voice",
        "--rotate-every",
        "30d",
        "--key-permission",
        "/twilio/messaging/messages/create",
    ];
    world.json(&[&["team", "create", "billing"], set.as_slice()].concat());
    let shown = world.json(&["team", "show", "billing"]);
    assert_eq!(shown["policy"]["deny"], json!(["api:Calls:*"]));
    assert_eq!((&shown["grants"], &shown["rotate_every"]), (&json!(["voice"]), &json!("2592000s")));
    let calls = world.upstream.path("/Calls.json");
    let denied = world.run(&["explain", "billing", "POST", &calls, "--output", "json"]);
    assert_eq!((denied.code, &denied.json()["reason"]), (Some(1), &json!("policy_denied")));
    let cleared = world.json(&["team", "set", "billing", "--deny", "", "--grant", "", "--rotate-every", "0s"]);
    assert_eq!(cleared["policy"]["deny"], json!([]));
    assert_eq!((&cleared["grants"], &cleared["rotate_every"]), (&Value::Null, &Value::Null));
    assert_eq!(cleared["key_permissions"], json!(["/twilio/messaging/messages/create"]), "what is not named stays");
    let allowed = world.run(&["explain", "billing", "POST", &calls, "--output", "json"]);
    assert_eq!((allowed.code, &allowed.json()["decision"]), (Some(0), &json!("allow")));
    assert!(world.refused(&["explain", "nobody", "GET", &calls]).contains("nobody"));
    // Kept in whole seconds, less than one would be none.
    assert!(world.refused(&["team", "set", "billing", "--rotate-every", "500ms"]).contains("1s or more"));
}

#[test]
fn a_rule_that_fits_no_operation_is_refused() {
    let world = World::new();
    let rules = ["--deny", "api:Massages:delete", "--open", "api:Keys:create", "--allow", "foo"];
    let told = world.refused(&[&["team", "create", "billing"], rules.as_slice()].concat());
    for part in [
        "--deny 'api:Massages:delete' fits no operation",
        "--open 'api:Keys:create' opens nothing",
        "--allow 'foo' fits no operation",
        "`sidekey explain TEAM METHOD URL` prints the names",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(world.json(&["team", "list"]), json!([]), "nothing was done");
    world.json(&["team", "create", "billing", "--deny", "api:Messages:*"]);
    assert!(world.refused(&["team", "set", "billing", "--deny", "api:Massages:*"]).contains("fits no operation"));
    assert_eq!(world.json(&["team", "show", "billing"])["policy"]["deny"], json!(["api:Messages:*"]));
}

#[test]
fn tokens_are_issued_listed_and_revoked() {
    let world = with_team();
    let issued = world.json(&["token", "issue", "billing", "--name", "laptop", "--expires", "90d"]);
    let names: Vec<&String> = issued.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["id", "team", "name", "token", "expires_at"]);
    let (id, token) = (text(&issued, "id"), text(&issued, "token"));
    assert!(token.starts_with("skt") && token.contains(&id) && text(&issued, "expires_at").ends_with('Z'));
    let list = world.json(&["token", "list", "billing"]);
    assert_eq!((&list[0]["id"], &list[0]["state"], &list[0]["name"]), (&json!(id), &json!("active"), &json!("laptop")));
    assert!(!list.to_string().contains(&token), "it is shown once");
    assert_eq!(world.json(&["token", "revoke", &id])["state"], "revoked");
    let other = world.json(&["token", "issue", "billing"]);
    assert_eq!((&other["name"], &other["expires_at"]), (&Value::Null, &Value::Null));
    let revoked = world.json(&["token", "revoke", &text(&other, "token")]);
    assert_eq!(revoked["id"], other["id"], "a leaked token names itself");
    assert!(world.refused(&["token", "revoke", "nothing"]).contains("no token \"nothing\""));
    assert!(world.refused(&["token", "issue", "nobody"]).contains("no team \"nobody\""));
    assert!(world.refused(&["token", "list", "nobody"]).contains("no team \"nobody\""));
}

#[test]
fn keys_are_made_replaced_and_revoked() {
    let world = with_team();
    assert!(world.refused(&["key", "rotate", "billing"]).contains("create one"));
    let made = world.json(&["key", "create", "billing"]);
    let names: Vec<&String> = made.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["sid", "team", "state", "created_at"]);
    let first = text(&made, "sid");
    assert_eq!((world.upstream_keys(), &made["state"]), (vec![first.clone()], &json!("active")));
    assert!(world.refused(&["key", "create", "billing"]).contains(&first));
    let second = text(&world.json(&["key", "rotate", "billing", "--grace", "0s"]), "sid");
    assert_eq!(world.upstream_keys(), std::slice::from_ref(&second), "nobody holds the old key: it is gone");
    let third = text(&world.json(&["key", "rotate", "billing"]), "sid");
    let list = world.json(&["key", "list", "billing"]);
    let states: Vec<(&Value, &Value)> =
        list.as_array().expect("a list").iter().map(|key| (&key["sid"], &key["state"])).collect();
    assert_eq!(states, [(&json!(third), &json!("active")), (&json!(second), &json!("retiring"))]);
    assert!(list[0]["age_seconds"].is_u64() && list[0]["last_used_at"].is_null());
    world.json(&["key", "revoke", &second]);
    world.json(&["key", "revoke", &third]);
    assert_eq!(world.upstream_keys(), Vec::<String>::new());
    assert!(world.refused(&["key", "revoke", &third]).contains(&third));
    assert_eq!(world.json(&["key", "list"]), json!([]));
    let said = [world.run(&["key", "list"]), world.run(&["team", "list"])];
    assert!(said.iter().all(|ended: &Ended| ended.code == Some(0)));
}

#[test]
fn restricted_keys_are_made_through_iam() {
    let world = World::new();
    world.json(&["team", "create", "billing", "--key-permission", "/twilio/messaging/messages/list"]);
    let sid = text(&world.json(&["key", "create", "billing"]), "sid");
    assert_eq!(world.json(&["key", "list"])[0]["kind"], "restricted");
    let rotated = text(&world.json(&["key", "rotate", "billing", "--grace", "0s"]), "sid");
    assert_ne!(sid, rotated);
    let nothing = json!({ "orphans": [], "strangers": [], "missing": [], "deleted": [] });
    assert_eq!(world.json(&["key", "reconcile"]), nothing);
    world.json(&["key", "revoke", &rotated]);
    world.json(&["team", "set", "billing", "--key-permission", "/twilio/none/such/list"]);
    assert!(world.refused(&["key", "create", "billing"]).contains("70002"), "Twilio's own word");
    assert_eq!(world.json(&["key", "list"]), json!([]));
}

#[test]
fn a_key_is_imported_from_a_file_or_from_stdin() {
    let world = with_team();
    let key = world.upstream.key(sidekey::sandbox::KeyKind::Standard);
    let file = world.folder().join("secret");
    std::fs::write(&file, format!("{}\n", key.1)).expect("writable");
    let made = world.json(&["key", "import", "billing", "--sid", &key.0, "--secret-file", "secret"]);
    assert_eq!((&made["sid"], &made["state"]), (&json!(key.0), &json!("active")));
    let nothing = json!({ "orphans": [], "strangers": [], "missing": [], "deleted": [] });
    assert_eq!(world.json(&["key", "reconcile"]), nothing);
    let again = world.refused(&["key", "import", "billing", "--sid", &key.0, "--secret-file", "secret"]);
    assert!(again.contains(&key.0), "{again}");
    std::fs::write(&file, "two words").expect("writable");
    let odd = world.refused(&["key", "import", "billing", "--sid", &key.0, "--secret-file", "secret"]);
    assert!(odd.contains("secret") && !odd.contains("two words"), "{odd}");
    world.json(&["team", "delete", "billing"]);
    assert_eq!(world.upstream_keys(), [key.0], "an imported key is its maker's");
}

#[test]
fn deleting_a_team_deletes_the_keys_that_were_made_for_it() {
    let world = with_team();
    world.json(&["key", "create", "billing"]);
    world.json(&["key", "rotate", "billing"]);
    assert_eq!(world.upstream_keys().len(), 2);
    world.json(&["team", "delete", "billing"]);
    assert_eq!(world.upstream_keys(), Vec::<String>::new());
}

#[test]
fn an_old_key_that_is_not_deleted_stands_in_nobody_s_way() {
    let world = World::new();
    for team in ["first", "second", "third"] {
        world.json(&["team", "create", team]);
    }
    let mut old = Vec::new();
    for team in ["first", "third"] {
        old.push(text(&world.json(&["key", "create", team]), "sid"));
        world.json(&["key", "rotate", team]);
    }
    let seconds = text(&world.json(&["key", "create", "second"]), "sid");
    // Their grace is over.
    let file = rusqlite::Connection::open(world.folder().join("store.db")).expect("a store");
    file.execute("UPDATE journal SET retire_at = 0, swapped_at = 0", []).expect("over");
    world.fail(&format!("/Keys/{}.json", old[0]), 100, 403, 20403);
    let done = world.run(&["key", "rotate", "second", "--grace", "0s"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let warned = done.stderr.lines().any(|line| line.contains("team=first") && line.contains(&old[0]));
    assert!(warned, "{}", done.stderr);
    let left = world.upstream_keys();
    assert!(left.contains(&old[0]) && !left.contains(&old[1]) && !left.contains(&seconds), "{left:?}");
    // The command's own old key: it is not waited for in vain.
    let held = text(&world.json(&["key", "list", "second"])[0], "sid");
    world.fail(&format!("/Keys/{held}.json"), 100, 403, 20403);
    let begun = std::time::Instant::now();
    let done = world.run(&["key", "rotate", "second", "--grace", "0s"]);
    assert!(done.code == Some(0) && begun.elapsed().as_secs() < 30, "{done:?}");
    assert!(done.stderr.contains("team=second") && done.stderr.contains(&held), "{}", done.stderr);
}

#[test]
fn reconcile_tells_orphans_strangers_and_missing_apart() {
    let world = with_team();
    let held = text(&world.json(&["key", "create", "billing"]), "sid");
    let stranger = world.upstream.key(sidekey::sandbox::KeyKind::Standard);
    // An orphan: made by sidekey for a store that then forgot it.
    world.json(&["team", "create", "alerts"]);
    let orphan = text(&world.json(&["key", "create", "alerts"]), "sid");
    let file = rusqlite::Connection::open(world.folder().join("store.db")).expect("a store");
    file.execute("DELETE FROM keys WHERE sid = ?1", [&orphan]).expect("forgotten");
    let owner = world.upstream.owner();
    let gone = world.upstream.delete(&owner, &world.upstream.path(&format!("/Keys/{held}.json")));
    assert_eq!(gone.status, 204);
    let found = world.json(&["key", "reconcile"]);
    assert_eq!(found["orphans"][0]["sid"], json!(orphan));
    assert_eq!(found["strangers"][0]["sid"], json!(stranger.0));
    assert_eq!(found["missing"], json!([{ "sid": held, "team": "billing" }]));
    assert_eq!(found["deleted"], json!([]));
    assert_eq!(world.upstream_keys().len(), 2, "nothing was deleted");
    assert_eq!(world.json(&["key", "list", "billing"])[0]["state"], "missing");
    let found = world.json(&["key", "reconcile", "--delete-orphans"]);
    assert_eq!(found["deleted"], json!([orphan]));
    assert_eq!(world.upstream_keys(), std::slice::from_ref(&stranger.0));
    let mended = text(&world.json(&["key", "create", "billing"]), "sid");
    let left = world.json(&["key", "reconcile", "--delete-orphans"]);
    assert_eq!(left["orphans"], json!([]));
    let mut expected = vec![mended, stranger.0];
    expected.sort();
    assert_eq!(world.upstream_keys(), expected);
}

#[test]
fn a_store_that_is_made_and_one_that_is_open_to_others_are_told_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    let said = || world.run(&["team", "list"]).stderr;
    let (first, second) = (said(), said());
    let file = world.folder().join("store.db");
    assert!(first.contains("made a new store at store.db"), "{first}");
    assert!(!second.contains("made") && !second.contains("open to others"), "{second}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("a file");
    let open = said();
    assert!(open.contains("open to others; chmod 600 it"), "{open}");
}

#[test]
fn the_root_key_is_changed_by_command() {
    use base64::Engine as _;
    let world = with_team();
    let new = base64::engine::general_purpose::STANDARD.encode([9; 32]);
    assert!(world.refused(&["store", "rekey", "--new-root-key", "file:new.key"]).contains("new.key"));
    std::fs::write(world.folder().join("new.key"), new).expect("writable");
    world.json(&["store", "rekey", "--new-root-key", "file:new.key"]);
    let refused = world.refused(&["team", "list"]);
    assert!(refused.contains("root key") && refused.contains("root.key"), "{refused}");
    std::fs::rename(world.folder().join("new.key"), world.folder().join("root.key")).expect("a rename");
    assert_eq!(world.json(&["team", "list"])[0]["name"], "billing");
}

#[test]
fn without_a_store_or_a_master_the_commands_say_what_is_missing() {
    let world = with_team();
    let file = world.folder().join("sidekey.toml");
    let config = std::fs::read_to_string(&file).expect("a config");
    let (before, after) = config.split_once("[upstream.master]").expect("a master");
    let (_, rest) = after.split_once("[store]").expect("a store");
    std::fs::write(&file, format!("{before}[store]{rest}")).expect("writable");
    assert!(world.refused(&["key", "create", "billing"]).contains("[upstream.master]"));
    assert_eq!(world.json(&["key", "list"]), json!([]), "nothing was begun");
}

#[test]
fn a_server_s_address_is_read_strictly() {
    let root = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    for (url, said) in [
        // As if nothing were said, everything would go in clear.
        ("postgres://sidekey@127.0.0.1:1/db?sslmode=requird", "sslmode=\"requird\" is none of disable, allow"),
        ("postgres://sidekey@127.0.0.1:1/db?sslmode=Require", "sslmode=\"Require\""),
        ("postgres://sidekey@127.0.0.1:port/db", "no connection string"),
    ] {
        let world = World::with(url, "");
        std::fs::write(world.folder().join("root.key"), root).expect("a key");
        for arguments in [&["check"] as &[&str], &["team", "list"]] {
            let told = world.run(arguments);
            assert!(told.code != Some(0) && told.stderr.contains(said), "{arguments:?}: {told:?}");
        }
    }
}

#[test]
fn what_can_not_be_recorded_is_not_done() {
    let world = with_team();
    let sid = text(&world.json(&["key", "create", "billing"]), "sid");
    let stranger = world.upstream.key(sidekey::sandbox::KeyKind::Standard);
    std::fs::write(world.folder().join("secret"), &stranger.1).expect("writable");
    std::fs::write(world.folder().join("new.key"), "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=").expect("writable");
    let before = (world.json(&["key", "list"]), world.json(&["team", "list"]), world.upstream_keys());
    let config = std::fs::read_to_string(world.folder().join("sidekey.toml")).expect("a config");
    let nowhere = format!("{config}\n[audit]\nfile = \"nowhere/audit.jsonl\"\n");
    std::fs::write(world.folder().join("nowhere.toml"), nowhere).expect("a config");
    let import = ["key", "import", "billing", "--sid", &stranger.0, "--secret-file", "secret"];
    let commands: [&[&str]; 8] = [
        &["key", "create", "billing"],
        &["key", "rotate", "billing", "--grace", "0s"],
        &["key", "revoke", &sid],
        &import,
        &["key", "reconcile", "--delete-orphans"],
        &["team", "delete", "billing"],
        &["token", "issue", "billing"],
        &["store", "rekey", "--new-root-key", "file:new.key"],
    ];
    for command in commands {
        let said = world.refused(&[command, &["--config", "nowhere.toml"]].concat());
        assert!(said.contains("nothing was done"), "{command:?}: {said}");
    }
    let after = (world.json(&["key", "list"]), world.json(&["team", "list"]), world.upstream_keys());
    assert_eq!(before.2, after.2);
    assert_eq!((&before.0[0]["sid"], &before.1), (&after.0[0]["sid"], &after.1));
}
