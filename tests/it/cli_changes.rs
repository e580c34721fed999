//! What commands that change the store leave in the audit, and what they refuse.

use crate::support::command::run_with;
use crate::support::world::World;
use serde_json::Value;
use std::path::Path;

/// `action: subject: result` of the records that commands have left for the broker of this config, oldest first.
fn left(folder: &Path) -> Vec<String> {
    let mut files: Vec<_> = std::fs::read_dir(folder.join(".audit.jsonl.inbox"))
        .expect("commands left something")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    let record = |path: &_| serde_json::from_slice(&std::fs::read(path).expect("a record")).expect("JSON");
    let text = |record: &Value| {
        let word = |name: &str| record[name].as_str().expect("a text").to_owned();
        format!("{}: {}: {}", word("action"), word("subject"), word("result"))
    };
    files.iter().map(record).map(|record: Value| text(&record)).collect()
}

/// A team of the config file, whose key the upstream doesn't know.
fn declare(world: &World, name: &str) {
    let file = world.folder().join("sidekey.toml");
    let config = std::fs::read_to_string(&file).expect("a config");
    let team = format!(
        "[[team]]\nname = \"{name}\"\ntoken_sha256 = [\"{}\"]\n\
         key = {{ sid = \"SK00000000000000000000000000000001\", secret = \"env:MASTER\" }}\n",
        "0".repeat(64)
    );
    std::fs::write(file, config + &team).expect("writable");
}

#[test]
fn what_was_refused_is_recorded_as_such() {
    let world = World::new();
    world.json(&["team", "create", "billing"]);
    for (command, record) in [
        (&["key", "rotate", "billing"][..], "key.rotate: billing: "),
        (&["key", "create", "nobody"], "key.create: nobody: no team"),
        (
            &["key", "revoke", "SK00000000000000000000000000000009"],
            "key.revoke: SK00000000000000000000000000000009: no key",
        ),
        (&["team", "delete", "nobody"], "team.delete: nobody: no team"),
    ] {
        world.refused(command);
        let last = left(world.folder()).pop().expect("a record");
        assert!(last.starts_with(record) && !last.ends_with(": asked"), "{command:?}: {last}");
    }
    world.fail("/Keys.json", 1, 500, 20500);
    world.refused(&["key", "reconcile", "--delete-orphans"]);
    let last = left(world.folder()).pop().expect("a record");
    assert!(last.starts_with("key.reconcile: orphans: ") && last.contains("500"), "{last}");
    world.json(&["team", "delete", "billing"]);
    assert_eq!(left(world.folder()).pop().as_deref(), Some("team.delete: billing: done"));
}

#[test]
fn what_of_a_team_is_changed_is_recorded() {
    let world = World::new();
    let account = "AC00000000000000000000000000000002";
    world.json(&["team", "create", "billing", "--deny", "api:Calls:*", "--account", account]);
    world.json(&["team", "set", "billing", "--deny", "", "--rotate-every", "1d"]);
    world.json(&["team", "create", "platform", "--master"]);
    let records = left(world.folder());
    for record in [
        format!("team.create: billing: accounts=[{account}], deny=[api:Calls:*]: done"),
        "team.change: billing: deny=[], rotate_every=86400s: done".to_owned(),
        "team.create: platform: kind=master: done".to_owned(),
    ] {
        assert!(records.contains(&record), "{record}: {records:?}");
    }
}

#[test]
fn what_would_have_no_effect_on_a_team_of_the_file_is_refused() {
    let world = World::new();
    world.json(&["team", "create", "billing"]);
    let stranger = world.upstream.key(sidekey::sandbox::KeyKind::Standard);
    std::fs::write(world.folder().join("secret"), &stranger.1).expect("writable");
    declare(&world, "billing");
    for command in [
        &["team", "set", "billing", "--deny", "api:Calls:*"][..],
        &["team", "enable", "billing"],
        &["team", "disable", "billing"],
        &["token", "issue", "billing"],
        &["key", "create", "billing"],
        &["key", "import", "billing", "--sid", &stranger.0, "--secret-file", "secret"],
        &["key", "rotate", "billing"],
    ] {
        let told = world.refused(command);
        assert!(told.contains("team \"billing\" is declared in sidekey.toml already"), "{command:?}: {told}");
    }
    assert_eq!(world.json(&["key", "list"]), serde_json::json!([]));
    let told = world.run(&["team", "delete", "billing"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.stderr.contains("the one that sidekey.toml declares stays"), "{told:?}");
}

#[test]
fn a_master_team_is_told_what_it_acts_with() {
    let world = World::new();
    let made = world.run(&["team", "create", "platform", "--master"]);
    assert!(made.code == Some(0) && !made.stderr.contains("[upstream.master]"), "{made:?}");
    for command in [&["key", "create", "platform"][..], &["key", "rotate", "platform"]] {
        let made = world.run(command);
        assert!(made.code == Some(0) && made.stderr.contains("nothing uses a key of its own"), "{command:?}: {made:?}");
    }
    let file = world.folder().join("sidekey.toml");
    let config = std::fs::read_to_string(&file).expect("a config");
    let (before, after) = config.split_once("[upstream.master]").expect("a master");
    let (_, after) = after.split_once("[store]").expect("a store");
    std::fs::write(&file, format!("{before}[store]{after}")).expect("writable");
    let made = world.run(&["team", "create", "other", "--master"]);
    assert!(made.code == Some(0) && made.stderr.contains("[upstream.master], which the config has not"), "{made:?}");
    let token = world.token("other");
    let broker = world.serve();
    broker.until(&world, &token, 503);
    let denied = broker.ask_admin("GET", "/v1/audit?team=other&denied=true", "").json().to_string();
    assert!(denied.contains("no [upstream.master]"), "{denied}");
}

#[test]
fn a_permission_that_twilio_does_not_know_is_told_with_its_setting() {
    let world = World::new();
    world.json(&["team", "create", "billing", "--key-permission", "/twilio/none/such/list"]);
    let told = world.refused(&["key", "create", "billing"]);
    assert!(told.contains("70002") && told.contains("see the team's --key-permission"), "{told}");
}

#[test]
fn a_new_root_key_is_looked_for_where_the_config_is() {
    let world = World::new();
    let folder = world.folder().join("sub");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::copy(world.folder().join("sidekey.toml"), folder.join("sidekey.toml")).expect("a copy");
    world.json(&["team", "list", "--config", "sub/sidekey.toml"]);
    let rekey = ["store", "rekey", "--new-root-key", "file:new.key", "--config", "sub/sidekey.toml"];
    let told = world.refused(&rekey);
    assert!(told.contains("openssl rand -base64 32 > sub/new.key; chmod 600 sub/new.key"), "{told}");
    std::fs::write(folder.join("new.key"), "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=").expect("a key");
    assert_eq!(world.json(&rekey)["rekeyed"], true);
}

#[test]
fn a_config_whose_root_key_is_not_there_is_not_taken_over() {
    let world = World::new();
    let mut broker = world.serve();
    let file = world.folder().join("broker-0.toml");
    let config = std::fs::read_to_string(&file).expect("a config");
    let put = |text: String| {
        std::fs::write(world.folder().join("next"), text).expect("a file");
        std::fs::rename(world.folder().join("next"), &file).expect("a swap");
    };
    put(config.replace("file:root.key", "file:nowhere.key"));
    let told = broker.process.told("the config can't be used; the running one stays");
    assert!(told.contains("nowhere.key"), "{told}");
    put(format!("{config}\n"));
    broker.process.told("the config was reloaded");
}

#[test]
fn a_level_of_the_log_that_is_none_is_told_and_the_default_used() {
    let world = World::new();
    let file = world.folder().join("sidekey.toml");
    let config = std::fs::read_to_string(&file).expect("a config");
    std::fs::write(&file, config.replace("sqlite:store.db", "postgres://db.example/sidekey")).expect("writable");
    std::fs::write(world.folder().join("root.key"), "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=").expect("a key");
    for (level, odd) in [
        ("verbose", Some("verbose")),
        ("info,wran", Some("wran")),
        ("sidekey=loud", Some("sidekey=loud")),
        ("sidekey::config,warn", None),
    ] {
        let variables = world.variables();
        let mut variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        variables.push(("RUST_LOG", level));
        let told = run_with(world.folder(), &["check"], &variables).stderr;
        let complaint = odd.map(|odd| format!("RUST_LOG: `{odd}` is no level"));
        assert_eq!(told.contains("RUST_LOG"), complaint.is_some(), "{level}: {told}");
        assert!(complaint.is_none_or(|complaint| told.contains(&complaint)), "{level}: {told}");
        assert!(told.contains("without TLS"), "what is to be said is said: {level}: {told}");
    }
}

#[test]
fn accounts_are_cleared_shown_as_they_work_and_kept_once() {
    let world = World::new();
    let (own, other) = (world.upstream.sandbox.account_sid().to_string(), "AC00000000000000000000000000000002");
    let made = world.json(&["team", "create", "billing", "--account", other, "--account", other]);
    assert_eq!(made["accounts"], serde_json::json!([other]));
    assert_eq!(world.json(&["team", "set", "billing", "--account", ""])["accounts"], serde_json::json!([]));
    world.json(&["team", "create", "platform", "--master"]);
    let listed = world.run(&["team", "list"]).stdout;
    assert!(listed.contains(&format!("billing   standard  {own}  enabled")), "{listed}");
    assert!(listed.contains("platform  master    all "), "{listed}");
    let shown = world.run(&["team", "show", "billing"]).stdout;
    assert!(shown.contains(&format!("accounts  {own}\n")), "{shown}");
    let help = world.run(&["team", "set", "--help"]).stdout;
    assert!(help.contains("''") && !help.contains("[default for") && !help.contains("[default: all"), "{help}");
}

#[test]
fn a_rotation_says_how_long_the_old_key_lives() {
    let world = World::new();
    world.json(&["team", "create", "billing"]);
    let old = world.json(&["key", "create", "billing"])["sid"].as_str().expect("a SID").to_owned();
    let told = world.run(&["key", "rotate", "billing"]).stdout;
    assert!(
        told.contains(&format!("key {old} is good until 20")) && told.contains("a broker that runs deletes it"),
        "{told}"
    );
    let told = world.run(&["key", "rotate", "billing", "--grace", "0s"]).stdout;
    assert!(!told.contains("good until"), "it is gone already: {told}");
}
