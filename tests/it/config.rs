//! The config as its writer meets it: `sidekey check` on files that are right, wrong, and wrong in ten ways.

use crate::support::command::{run, run_with};
use rcgen::{CertificateParams, KeyPair};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// A secret in a wrong place: it must be found in no output.
const PLANTED: &str = "d3adb33fcafe0123456789abcdef4567";

/// Ten faults and more, one of every kind that a first attempt makes.
const TEN_FAULTS: &str = r#"[listen]
proxy = "localhost:8080"
tls = "0.0.0.0:8443"

[upstream]
account_sid = "d3adb33fcafe0123456789abcdef4567"
conect_timeout = "3s"
response_timeout = "30"

[upstream.hosts]
"api.example.com" = "https://api.example.com"

[upstream.master]
username = "AC00000000000000000000000000000001"
password = "d3adb33fcafe0123456789abcdef4567"

[tls]

[[jwt]]
issuer = "https://issuer.internal"
audience = "sidekey"
jwks_url = "https://issuer.internal/keys"
algorithms = ["HS256"]
team_claim = "team"

[[team]]
name = "billing"
token_sha256 = ["sktd3adb33fcafe0123456789abcdef4567"]
key = { sid = "SK00000000000000000000000000000001", secret = "env:BILLING_SK_SECRET" }

[[team]]
name = "billing"
"#;

const TOLD: &str = "\
sidekey.toml:2: listen.proxy: is not an address and a port; write an IP address and a port: \"127.0.0.1:8080\" or \"[::1]:8080\"
sidekey.toml:6: upstream.account_sid: is not an account's SID; write the account's SID: AC and 32 hex digits
sidekey.toml:7: upstream: unknown name `conect_timeout`; did you mean `connect_timeout`?
sidekey.toml:8: upstream.response_timeout: is not a duration; write a whole number and a unit, at most 36525d: \"50ms\", \"2s\", \"10m\", \"1h\", \"90d\" or \"0s\"
sidekey.toml:11: upstream.hosts: `api.example.com` is not a Twilio host; name one such as \"messaging.twilio.com\", without scheme and port
sidekey.toml:15: upstream.master.password: is a literal secret; write \"env:NAME\" or \"file:PATH\", and replace the secret: whoever could read this file has seen it
sidekey.toml:17: tls: `cert` is missing; write cert = \"PATH\": a PEM chain, the server's certificate first
sidekey.toml:17: tls: `key` is missing; write key = \"PATH\": the PEM key of `cert`
sidekey.toml:23: jwt.algorithms: is symmetric: whoever can verify could also sign; name some of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA
sidekey.toml:28: team.token_sha256: is a token, not its digest; write the `sha256` that `sidekey token generate` prints: 64 hex digits; whoever could read this file has seen the token, so make a new one
sidekey.toml:29: team.key.secret: the variable BILLING_SK_SECRET is not set; set it where sidekey is started
sidekey.toml:31: team: `key` is missing: a standard team acts with a key of its own; write key = { sid = \"SK…\", secret = \"env:NAME\" }
sidekey.toml:31: team: `billing` is declared twice; give each team its own name, or join the two
";

fn written(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("sidekey.toml"), text).expect("a file");
    folder
}

#[test]
fn every_fault_is_told_at_once_with_its_line_and_its_mend() {
    let folder = written(TEN_FAULTS);
    let ended = run(folder.path(), &["check"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(64), ""));
    assert_eq!(ended.stderr, TOLD);
}

#[test]
fn faults_as_json_are_the_same_faults() {
    let folder = written(TEN_FAULTS);
    let ended = run(folder.path(), &["check", "--output", "json"]);
    assert_eq!(ended.code, Some(64));
    let data = ended.json();
    assert_eq!(data["ok"], false);
    let faults = data["faults"].as_array().expect("an array");
    assert_eq!(faults.len(), TOLD.lines().count());
    assert_eq!((&faults[0]["line"], &faults[0]["at"]), (&2.into(), &"listen.proxy".into()));
}

#[test]
fn a_misplaced_secret_is_never_repeated() {
    let folder = written(TEN_FAULTS);
    let broken = written(&format!("[admin]\ntoken = {PLANTED}\n[[team]\nkey = '{PLANTED}"));
    for folder in [&folder, &broken] {
        for arguments in [["check", "--output", "json"], ["serve", "--output", "text"], ["ca", "show", "--output=json"]]
        {
            let ended = run_with(folder.path(), &arguments, &[("RUST_LOG", "trace")]);
            assert_eq!(ended.code, Some(64));
            assert!(!ended.stderr.is_empty());
            assert!(!ended.stdout.contains(PLANTED) && !ended.stderr.contains(PLANTED), "{ended:?}");
        }
    }
}

#[test]
fn a_missing_file_is_a_config_error_that_names_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let ended = run(folder.path(), &["check"]);
    assert_eq!(ended.code, Some(64));
    assert_eq!(
        ended.stderr,
        "sidekey.toml: can't be read: no such file; name the config file with --config FILE or SIDEKEY_CONFIG; \
         the default is ./sidekey.toml\n"
    );
}

#[test]
fn the_config_is_found_by_option_then_variable_then_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let line = |file: &str| format!("{file}: can't be read");
    let by_variable = run_with(folder.path(), &["check"], &[("SIDEKEY_CONFIG", &path("variable"))]);
    assert!(by_variable.stderr.starts_with(&line(&path("variable"))), "{by_variable:?}");
    let both = run_with(folder.path(), &["check", "--config", "option"], &[("SIDEKEY_CONFIG", &path("variable"))]);
    assert!(both.stderr.starts_with(&line("option")), "{both:?}");
}

#[test]
fn the_example_file_is_good() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/sidekey.example.toml");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::copy(&example, folder.path().join("sidekey.toml")).expect("the example is there");
    let variables = [
        ("TWILIO_AUTH_TOKEN", "0123456789abcdef0123456789abcdef"),
        ("BILLING_SK_SECRET", "abcdefghijklmnopqrstuvwxyz012345"),
    ];
    let ended = run_with(folder.path(), &["check"], &variables);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    assert!(ended.stdout.starts_with("sidekey.toml: good: "), "{ended:?}");
    let unset = run(folder.path(), &["check"]);
    assert_eq!(unset.code, Some(64));
    assert!(unset.stderr.contains("the variable BILLING_SK_SECRET is not set"), "{unset:?}");
}

/// Every setting that the example shows as a comment is one that exists, with a value that is right.
#[test]
fn what_the_example_comments_out_is_good_too() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/sidekey.example.toml");
    let text = std::fs::read_to_string(example).expect("the example is there");
    let settings = text.lines().map(|line| line.strip_prefix("#: ").unwrap_or(line)).collect::<Vec<_>>().join("\n");
    assert_ne!(settings, text, "the example has settings that are commented out");
    let folder = written(&settings);
    run(folder.path(), &["ca", "init", "ca"]);
    std::fs::create_dir(folder.path().join("certs")).expect("a folder");
    for (from, to) in [
        ("ca/ca.pem", "certs/server.pem"),
        ("ca/ca.key", "certs/server.key"),
        ("ca/ca.pem", "certs/clients.pem"),
        ("ca/ca.pem", "certs/extra-roots.pem"),
        ("ca/ca.key", "certs/kubernetes.token"),
    ] {
        std::fs::copy(folder.path().join(from), folder.path().join(to)).expect("a file");
    }
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let variables = [
        ("TWILIO_AUTH_TOKEN", "0123456789abcdef0123456789abcdef"),
        ("BILLING_SK_SECRET", "abcdefghijklmnopqrstuvwxyz012345"),
        ("SIDEKEY_ADMIN_TOKEN", "0123456789abcdef0123456789abcdef"),
        ("SIDEKEY_AUDIT_SIGNING_KEY", key),
        ("SIDEKEY_AUDIT_HASH_KEY", key),
    ];
    let ended = run_with(folder.path(), &["check", "--output", "json"], &variables);
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn what_no_request_could_meet_is_warned_of() {
    let folder = written(
        r#"
[upstream]
account_sid = "AC00000000000000000000000000000001"
[upstream.hosts]
"nothing.twilio.com" = "http://127.0.0.1:1"
[[team]]
name = "billing"
token_sha256 = ["00000000000000000000000000000000000000000000000000000000000000aa"]
key = { sid = "SK00000000000000000000000000000001", secret = "env:BILLING" }
policy = { allow = ["api:Messages:*", "api:Mesages:create"], deny = ["api:Calls:create"] }
"#,
    );
    let ended = run_with(folder.path(), &["check", "--output", "json"], &[("BILLING", PLANTED)]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let data = ended.json();
    let told: Vec<&str> =
        data["warnings"].as_array().expect("a list").iter().filter_map(|w| w["what"].as_str()).collect();
    assert_eq!(
        told,
        [
            "nothing.twilio.com is not a host that sidekey knows, so requests for it are denied",
            "`api:Mesages:create` of team `billing` fits no operation",
        ]
    );
}

/// Neither stops a broker: its other listeners serve, and a key is as secret as its folder.
#[test]
fn a_certificate_past_its_end_and_a_key_that_others_read_are_warned_of() {
    let folder = written(
        r#"
[listen]
tls = "127.0.0.1:0"
[tls]
cert = "server.pem"
key = "server.key"
[intercept]
ca_cert = "ca/ca.pem"
ca_key = "ca/ca.key"
[upstream]
account_sid = "AC00000000000000000000000000000001"
[store]
url = "sqlite:sidekey.db"
root_key = "file:sidekey.key"
"#,
    );
    let at = |name: &str| folder.path().join(name);
    let certificate = |year| {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        (params.not_before, params.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(year, 1, 1));
        let key = KeyPair::generate().expect("a key");
        std::fs::write(at("server.pem"), params.self_signed(&key).expect("it signs").pem()).expect("a file");
        std::fs::write(at("server.key"), key.serialize_pem()).expect("a file");
    };
    let mode = |name: &str, mode| std::fs::set_permissions(at(name), Permissions::from_mode(mode)).expect("its mode");
    run(folder.path(), &["ca", "init", "ca"]);
    certificate(2021);
    mode("server.key", 0o644);
    mode("ca/ca.key", 0o644);
    let ended = run(folder.path(), &["check", "--output", "json"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let told: Vec<String> = ended.json()["warnings"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|warning| format!("{}: {}", warning["at"], warning["what"]).replace('"', ""))
        .collect();
    assert_eq!(
        told,
        [
            "tls.key: server.key is open to others (mode 644)",
            "intercept.ca_key: ca/ca.key is open to others (mode 644)",
            "tls.cert: server.pem ended at 2021-01-01T00:00:00Z, and callers refuse it",
        ]
    );
    certificate(4000);
    mode("server.key", 0o600);
    mode("ca/ca.key", 0o440);
    let ended = run(folder.path(), &["check"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
}

#[test]
fn faults_inside_the_files_that_it_names_are_told_with_its_own() {
    let folder = written(
        r#"
[listen]
tls = "127.0.0.1:0"
[tls]
cert = "sidekey.toml"
key = "sidekey.toml"
[intercept]
ca_cert = "sidekey.toml"
ca_key = "sidekey.toml"
[upstream]
account_sid = "AC00000000000000000000000000000001"
ca = "sidekey.toml"
[[jwt]]
issuer = "https://one.example"
audience = "sidekey"
jwks_file = "sidekey.toml"
team_claim = "team"
[[jwt]]
issuer = "https://two.example"
audience = "sidekey"
jwks_file = "keys.json"
team_claim = "team"
[store]
url = "sqlite:sidekey.db"
root_key = "file:sidekey.key"
[limits]
max_bodies = 1
"#,
    );
    std::fs::write(folder.path().join("keys.json"), "{}").expect("a file");
    let ended = run(folder.path(), &["check"]);
    assert_eq!(ended.code, Some(64), "{ended:?}");
    let told: Vec<&str> = ended.stderr.lines().map(|line| line.split_at(line.len().min(60)).0).collect();
    assert_eq!(
        told,
        [
            "sidekey.toml:27: limits: unknown name `max_bodies`; did you ",
            "sidekey.toml: intercept: holds no certificate; a PEM file wi",
            "sidekey.toml: intercept: holds no private key; a PEM file wi",
            "sidekey.toml: tls: holds no certificate; a PEM file with BEG",
            "sidekey.toml: tls: holds no private key; a PEM file with BEG",
            "sidekey.toml: upstream: holds no certificate; a PEM file wit",
            "sidekey.toml: jwt: the key set is not a JSON object, or has ",
            "keys.json: jwt: the key set has no list `keys`; see [jwt] in",
        ]
    );
    let served = run(folder.path(), &["serve"]);
    assert_eq!((served.code, &served.stderr), (ended.code, &ended.stderr), "serve refuses what check refuses");
}
