//! The command line: exit codes, where data and diagnostics go, and the commands that need nothing else.

use crate::support::command::{Running, run, run_with, sidekey};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

/// The smallest config that is good: a team in the file, no store.
const TEAM: &str = r#"
[upstream]
account_sid = "AC00000000000000000000000000000001"
[[team]]
name = "billing"
token_sha256 = ["00000000000000000000000000000000000000000000000000000000000000aa"]
key = { sid = "SK00000000000000000000000000000001", secret = "env:BILLING" }
"#;

fn empty() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn help_is_data_and_a_wrong_line_is_usage() {
    let folder = empty();
    for arguments in [&["--help"][..], &["token", "generate", "--help"], &["--version"]] {
        let ended = run(folder.path(), arguments);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(ended.stdout.contains("sidekey"), "{arguments:?}");
    }
    for arguments in [
        &[][..],
        &["nonsense"],
        &["serve", "extra"],
        &["check", "--output", "yaml"],
        &["token", "generate", "--count", "0"],
        &["token", "issue"],
        &["token", "issue", "billing", "--expires", "90"],
        &["token", "issue", "billing", "--expires", "500ms"],
        &["team", "create", "billing", "--key-permission", "foo"],
        &["team", "set", "billing", "--key-permission", "/twilio/messaging"],
        &["team", "set", "billing"],
        &["team", "create", "no/slash"],
        &["team", "create", "billing", "--account", "AC1"],
        &["key", "import", "billing", "--sid", "SK1", "--secret-file", "-"],
        &["key", "import", "billing"],
        &["key", "rotate", "billing", "--grace", "soon"],
        &["audit", "verify"],
        &["audit", "query", "--since", "yesterday"],
        &["sandbox", "--listen", "localhost"],
        &["sandbox", "--listen", "127.0.0.1:0", "--auth-token", ""],
    ] {
        let ended = run(folder.path(), arguments);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(64), ""), "{arguments:?}");
        assert!(!ended.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_sandbox_says_what_to_do_where_it_cannot_listen() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = other.local_addr().expect("an address").to_string();
    for (at, mend) in [(taken.as_str(), "choose another with --listen"), ("192.0.2.1:4010", "no such address")] {
        let ended = run(empty().path(), &["sandbox", "--listen", at]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{at}");
        assert!(ended.stderr.contains(at) && ended.stderr.contains(mend), "{}", ended.stderr);
    }
}

#[test]
fn tokens_are_made_without_a_config() {
    let folder = empty();
    let made = run(folder.path(), &["token", "generate", "--count", "3", "--output", "json"]);
    assert_eq!((made.code, made.stderr.as_str()), (Some(0), ""));
    let data = made.json();
    let tokens = data.as_array().expect("an array");
    assert_eq!(tokens.len(), 3);
    for made in tokens {
        let token = made["token"].as_str().expect("a token");
        assert!(token.starts_with("skt") && token.bytes().all(|b| b.is_ascii_alphanumeric()), "{token}");
        let parsed = sidekey::authn::Token::parse(token).expect("a token");
        assert_eq!(made["sha256"], hex::encode(parsed.digest()));
    }
    let text = run(folder.path(), &["token", "generate"]).stdout;
    assert_eq!(
        text.lines().map(|line| line.split_whitespace().next()).collect::<Vec<_>>(),
        [Some("token"), Some("sha256")]
    );
}

#[test]
fn a_good_config_is_summed_up() {
    let folder = empty();
    std::fs::write(folder.path().join("sidekey.toml"), TEAM).expect("a file");
    let secret = [("BILLING", "abcdefghijklmnopqrstuvwxyz012345")];
    let text = run_with(folder.path(), &["check"], &secret);
    assert_eq!((text.code, text.stderr.as_str()), (Some(0), ""));
    assert_eq!(
        text.stdout,
        "sidekey.toml: good: proxy on 127.0.0.1:8080, upstream https://api.twilio.com, no store, 1 team in the file\n"
    );
    let json = run_with(folder.path(), &["check", "--output", "json"], &secret).json();
    assert_eq!(json, serde_json::json!({ "file": "sidekey.toml", "ok": true, "faults": [], "warnings": [] }));
}

#[test]
fn check_says_that_the_root_key_does_not_open_the_store() {
    let folder = empty();
    let text = "[upstream]\naccount_sid = \"AC00000000000000000000000000000001\"\n\
                [store]\nurl = \"sqlite:sidekey.db\"\nroot_key = \"file:sidekey.key\"\n";
    std::fs::write(folder.path().join("sidekey.toml"), text).expect("a file");
    let key = folder.path().join("sidekey.key");
    assert_eq!(run(folder.path(), &["check"]).code, Some(0), "both are still to be made");
    assert!(!key.exists() && !folder.path().join("sidekey.db").exists(), "and check makes neither");
    assert_eq!(run(folder.path(), &["team", "list"]).code, Some(0));
    assert_eq!(run(folder.path(), &["check"]).code, Some(0));
    let right = std::fs::read_to_string(&key).expect("it was made");
    for (wrong, said) in [
        (None, "never made anew"),
        (Some("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"), "this store opens with key"),
        (Some("junk"), "32 bytes of base64"),
    ] {
        match wrong {
            None => std::fs::remove_file(&key).expect("it was there"),
            Some(text) => std::fs::write(&key, text).expect("a file"),
        }
        let listed = run(folder.path(), &["team", "list"]);
        let checked = run(folder.path(), &["check"]);
        assert_eq!((checked.code, &checked.stderr), (Some(1), &listed.stderr), "{wrong:?}");
        assert!(checked.stderr.contains("sidekey.key") && checked.stderr.contains(said), "{checked:?}");
        let told = run(folder.path(), &["check", "--output", "json"]);
        assert_eq!((told.code, &told.json()["ok"]), (Some(1), &serde_json::json!(false)));
        let fault = &told.json()["faults"][0];
        let text = ["what", "mend"].map(|name| fault[name].as_str().expect("a text").to_owned());
        assert!(text.join("; ").contains(said) && !text[1].is_empty() && !text[0].contains("; "), "{told:?}");
    }
    std::fs::write(&key, right).expect("a file");
    assert_eq!(run(folder.path(), &["check"]).code, Some(0));
}

/// Its first start: nothing has made a root key, and there is no copy of one.
#[test]
fn a_shared_store_without_a_root_key_is_told_how_one_is_made() {
    let folder = empty();
    let text = "[upstream]\naccount_sid = \"AC00000000000000000000000000000001\"\n\
                [store]\nurl = \"postgres://127.0.0.1:1/sidekey\"\nroot_key = \"file:sidekey.key\"\n";
    std::fs::write(folder.path().join("sidekey.toml"), text).expect("a file");
    let ended = run(folder.path(), &["check"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("openssl rand -base64 32 > FILE; chmod 600 FILE"), "{ended:?}");
    std::fs::write(folder.path().join("sidekey.key"), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n")
        .expect("a file");
    std::fs::set_permissions(folder.path().join("sidekey.key"), std::fs::Permissions::from_mode(0o600))
        .expect("its mode");
    let ended = run(folder.path(), &["check"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
}

#[test]
fn what_a_broker_can_not_have_at_its_start_is_named_with_its_mend() {
    let folder = empty();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("an address");
    let at = taken.local_addr().expect("bound");
    let serve = |text: &str| {
        std::fs::write(folder.path().join("sidekey.toml"), format!("{TEAM}\n{text}")).expect("a file");
        let ended = run_with(folder.path(), &["serve"], &[("BILLING", "abcdefghijklmnopqrstuvwxyz012345")]);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        ended.stderr
    };
    let told = serve(&format!("[listen]\nproxy = \"{at}\"\n"));
    assert!(told.contains(&format!("listen.proxy {at}: ")) && told.contains("; another process has it: "), "{told}");
    let told = serve("[audit]\nfile = \"nowhere/audit.jsonl\"\n");
    assert!(told.contains("audit.file nowhere/audit.jsonl: ") && told.contains("; make its folder"), "{told}");
}

#[test]
fn a_new_root_key_is_told_of_once() {
    let folder = empty();
    let text = "[upstream]\naccount_sid = \"AC00000000000000000000000000000001\"\n\
                [store]\nurl = \"sqlite:sidekey.db\"\nroot_key = \"file:sidekey.key\"\n";
    std::fs::write(folder.path().join("sidekey.toml"), text).expect("a file");
    let made = run(folder.path(), &["team", "create", "billing"]);
    assert!(made.stderr.contains("made the root key sidekey.key: keep a copy of it apart"), "{made:?}");
    assert_eq!(run(folder.path(), &["team", "list"]).stderr, "");
}

#[test]
fn what_is_unwise_is_warned_of_and_allowed() {
    let folder = empty();
    let text = TEAM.replace("[[team]]", "url = \"http://twilio.internal\"\n[[team]]");
    std::fs::write(folder.path().join("sidekey.toml"), text).expect("a file");
    let ended = run_with(folder.path(), &["check"], &[("BILLING", "abcdefghijklmnopqrstuvwxyz012345")]);
    assert_eq!(ended.code, Some(0));
    let told = "sidekey.toml:4: upstream.url: sends keys in clear over the network; use https://";
    assert!(ended.stderr.contains(told), "{ended:?}");
}

#[test]
fn commands_of_the_store_say_that_they_need_one() {
    let folder = empty();
    std::fs::write(folder.path().join("sidekey.toml"), TEAM).expect("a file");
    for arguments in [&["team", "list"][..], &["token", "list"], &["key", "list", "billing"]] {
        let ended = run_with(folder.path(), arguments, &[("BILLING", "abcdefghijklmnopqrstuvwxyz012345")]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{arguments:?}");
        assert!(ended.stderr.contains("needs [store] in sidekey.toml"), "{ended:?}");
    }
}

#[test]
fn a_search_for_an_operation_that_there_is_not_is_hinted_at() {
    let folder = empty();
    std::fs::write(folder.path().join("audit.jsonl"), "").expect("a file");
    for (name, hinted) in [
        ("api:Message:create", true),
        ("api:Messages:create", false),
        ("api:Messages:*", false),
        ("api:unknown", false),
        ("sidekey:Whoami:fetch", false),
    ] {
        let ended = run(folder.path(), &["audit", "query", "--operation", name, "audit.jsonl"]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{ended:?}");
        assert_eq!(ended.stderr.contains(&format!("'{name}' fits no operation")), hinted, "{ended:?}");
    }
}

#[test]
fn a_search_that_can_find_nothing_is_hinted_at() {
    let folder = empty();
    std::fs::write(folder.path().join("audit.jsonl"), "{\"ts\":\"2026-01-01T00:00:00.000000Z\"}\n").expect("a file");
    std::fs::write(folder.path().join("notes.txt"), "no trail\n").expect("a file");
    std::fs::write(folder.path().join("sidekey.toml"), TEAM).expect("a file");
    let secret = [("BILLING", "abcdefghijklmnopqrstuvwxyz012345")];
    for (arguments, hint) in [
        (&["--phase", "outcmoe", "audit.jsonl"][..], "--phase 'outcmoe' is none of intent, outcome, admin"),
        (&["--phone", "foo", "audit.jsonl"], "--phone 'foo' has no digits"),
        (&["notes.txt"], "notes.txt does not begin with a record"),
        (&["--phase", "admin", "audit.jsonl"], ""),
    ] {
        let ended = run_with(folder.path(), &[&["audit", "query"], arguments].concat(), &secret);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stderr.contains(hint) && ended.stderr.is_empty() == hint.is_empty(), "{ended:?}");
    }
}

#[test]
fn what_is_followed_comes_as_lines() {
    let folder = empty();
    std::fs::write(folder.path().join("audit.jsonl"), "{\"ts\":\"2026-01-01T00:00:00.000000Z\"}\n").expect("a file");
    let mut tail = Running::start(folder.path(), &["audit", "tail", "-f", "--output", "json", "audit.jsonl"], &[]);
    assert_eq!(tail.told(""), "{\"ts\":\"2026-01-01T00:00:00.000000Z\"}");
    let array = run(folder.path(), &["audit", "tail", "--output", "json", "audit.jsonl"]).json();
    assert_eq!(array.as_array().map(Vec::len), Some(1));
}

#[test]
fn a_demo_without_a_folder_says_what_to_set() {
    let folder = empty();
    let ended = run_with(folder.path(), &["demo", "--once"], &[("TMPDIR", "/nonexist")]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("/nonexist/sidekey-demo-") && ended.stderr.contains("set TMPDIR"), "{ended:?}");
}

#[test]
fn a_ca_is_made_once_and_shown() {
    let folder = empty();
    let made = run(folder.path(), &["ca", "init", "ca", "--output", "json"]);
    assert_eq!(made.json(), serde_json::json!({ "ca_cert": "ca/ca.pem", "ca_key": "ca/ca.key" }));
    let mode = std::fs::metadata(folder.path().join("ca/ca.key")).expect("a key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = run(folder.path(), &["ca", "init", "ca"]);
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("ca/ca.pem: is there already and is not overwritten"), "{again:?}");
    let secret = [("BILLING", "abcdefghijklmnopqrstuvwxyz012345")];
    std::fs::write(folder.path().join("sidekey.toml"), TEAM).expect("a file");
    let none = run_with(folder.path(), &["ca", "show"], &secret);
    assert_eq!(none.code, Some(1));
    assert!(none.stderr.contains("sidekey.toml has no [intercept]"), "{none:?}");
    let intercept = format!("{TEAM}\n[intercept]\nca_cert = \"ca/ca.pem\"\nca_key = \"ca/ca.key\"\n");
    std::fs::write(folder.path().join("sidekey.toml"), intercept).expect("a file");
    let shown = run_with(folder.path(), &["ca", "show"], &secret);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let pem = std::fs::read_to_string(folder.path().join("ca/ca.pem")).expect("a certificate");
    assert_eq!(shown.stdout.lines().collect::<Vec<_>>(), pem.lines().collect::<Vec<_>>());
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let folder = empty();
    let mut command = sidekey(folder.path(), &["token", "generate", "--count", "20000"], &[]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    drop(child.stdout.take());
    let ended = child.wait_with_output().expect("it ends");
    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), &b""[..]));
}

/// What `explain` says for a team of the file: exit code, decision, reason and operation.
fn explained(folder: &Path, arguments: [&str; 3]) -> (i32, String) {
    let [team, method, url] = arguments;
    let secret = [("BILLING", "abcdefghijklmnopqrstuvwxyz012345"), ("MASTER", "abcdefghijklmnopqrstuvwxyz012345")];
    let ended = run_with(folder, &["explain", team, method, url, "--output", "json"], &secret);
    let data = ended.json();
    let word = |name: &str| data[name].as_str().unwrap_or("-").to_owned();
    assert!(!word("rule").is_empty(), "{ended:?}");
    (ended.code.unwrap_or(-1), format!("{} {} {}", word("decision"), word("reason"), word("operation")))
}

#[test]
fn explain_decides_as_the_broker_would() {
    let folder = empty();
    let text = TEAM.replace(
        "[[team]]",
        "[upstream.master]\nusername = \"AC00000000000000000000000000000001\"\npassword = \"env:MASTER\"\n\
         [[team]]\nname = \"platform\"\nkind = \"master\"\ntoken_sha256 = []\n[[team]]",
    );
    let text = format!("{text}policy = {{ deny = [\"api:Messages:delete\"] }}\n");
    std::fs::write(folder.path().join("sidekey.toml"), text).expect("a file");
    let own = "/2010-04-01/Accounts/AC00000000000000000000000000000001";
    let other = "/2010-04-01/Accounts/AC00000000000000000000000000000002";
    for (team, method, url, code, told) in [
        ("billing", "POST", format!("{own}/Messages.json"), 0, "allow granted api:Messages:create"),
        (
            "billing",
            "POST",
            format!("https://api.twilio.com{own}/Messages.json"),
            0,
            "allow granted api:Messages:create",
        ),
        (
            "billing",
            "GET",
            format!("http://127.0.0.1:8080{own}/Messages.json?PageSize=2"),
            0,
            "allow granted api:Messages:list",
        ),
        ("billing", "GET", "/messaging.twilio.com/v1/Services".to_owned(), 0, "allow granted messaging:Services:list"),
        ("billing", "GET", format!("{own}/Keys.json"), 1, "deny management_resource api:Keys:list"),
        ("platform", "GET", format!("{own}/Keys.json"), 0, "allow granted api:Keys:list"),
        ("billing", "GET", format!("{other}/Messages.json"), 1, "deny account_not_allowed api:Messages:list"),
        (
            "billing",
            "DELETE",
            format!("{own}/Messages/SM00000000000000000000000000000001.json"),
            1,
            "deny policy_denied api:Messages:delete",
        ),
        ("billing", "GET", format!("https://example.com{own}/Messages.json"), 1, "deny host_not_allowed -"),
        ("billing", "GET", format!("{own}/../Keys.json"), 1, "deny malformed_request -"),
        ("billing", "TRACE", format!("{own}/Messages.json"), 1, "deny malformed_request -"),
        ("billing", "GET", "/.sidekey/whoami".to_owned(), 0, "allow granted sidekey:Whoami:fetch"),
        (
            "billing",
            "POST",
            "http://localhost:8080/.sidekey/access-tokens".to_owned(),
            0,
            "allow granted sidekey:AccessTokens:create",
        ),
        ("billing", "GET", "/.sidekey/access-tokens".to_owned(), 1, "deny malformed_request -"),
        ("billing", "GET", "https://api.twilio.com/.sidekey/whoami".to_owned(), 1, "deny host_not_allowed -"),
    ] {
        assert_eq!(explained(folder.path(), [team, method, &url]), (code, told.to_owned()), "{team} {method} {url}");
    }
    let secret = [("BILLING", "abcdefghijklmnopqrstuvwxyz012345"), ("MASTER", "abcdefghijklmnopqrstuvwxyz012345")];
    let unknown = run_with(folder.path(), &["explain", "nobody", "GET", "/"], &secret);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("no team `nobody` in sidekey.toml; there are: platform, billing"), "{unknown:?}");
    assert_eq!(run(folder.path(), &["explain", "billing", "GET", "api.twilio.com/x"]).code, Some(64));
}

#[test]
fn explain_knows_whether_a_team_may_give_any_grant() {
    let folder = empty();
    let mint = ["billing", "POST", "/.sidekey/access-tokens"];
    for (allow, code, told) in [
        ("sidekey:AccessTokens:voice", 0, "allow granted sidekey:AccessTokens:create"),
        ("api:Messages:*", 1, "deny policy_denied sidekey:AccessTokens:create"),
    ] {
        let text = format!("{TEAM}policy = {{ allow = [\"{allow}\"] }}\n");
        std::fs::write(folder.path().join("sidekey.toml"), text).expect("a file");
        assert_eq!(explained(folder.path(), mint), (code, told.to_owned()), "{allow}");
    }
}

#[test]
fn explain_knows_the_teams_of_the_store() {
    let folder = empty();
    let text = "[upstream]\naccount_sid = \"AC00000000000000000000000000000001\"\n\
                [store]\nurl = \"sqlite:sidekey.db\"\nroot_key = \"file:sidekey.key\"\n";
    let file = folder.path().join("sidekey.toml");
    std::fs::write(&file, text).expect("a file");
    let config = sidekey::config::load(&file).expect("it is good");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let settings = config.store.expect("a store");
        let store = sidekey::store::Store::open(&settings, sidekey::clock::Clock::system()).await.expect("it opens");
        for (name, disabled) in [("billing", false), ("closed", true)] {
            let name = sidekey::ids::TeamId::parse(name).expect("a name");
            let team = sidekey::store::TeamRow { disabled, ..sidekey::store::TeamRow::new(name) };
            store.create_team(team).await.expect("it is new");
        }
    });
    let own = "/2010-04-01/Accounts/AC00000000000000000000000000000001/Messages.json";
    let other = "/2010-04-01/Accounts/AC00000000000000000000000000000002/Messages.json";
    for (team, url, code, told) in [
        ("billing", own, 0, "allow granted api:Messages:list"),
        ("billing", other, 1, "deny account_not_allowed api:Messages:list"),
        ("closed", own, 1, "deny invalid_proof -"),
    ] {
        assert_eq!(explained(folder.path(), [team, "GET", url]), (code, told.to_owned()), "{team} {url}");
    }
    let unknown = run(folder.path(), &["explain", "nobody", "GET", own]);
    assert_eq!((unknown.code, unknown.stderr.as_str()), (Some(1), "sidekey: no team \"nobody\"\n"));
}
