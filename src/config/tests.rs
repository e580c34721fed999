//! The reading of a file, fault by fault.

use super::*;
use proptest::prelude::*;
use std::ffi::OsString;
use std::time::Duration;

/// The smallest file that is good.
pub(super) const SMALLEST: &str = r#"
[upstream]
account_sid = "AC00000000000000000000000000000001"
[store]
url = "sqlite:sidekey.db"
root_key = "file:sidekey.key"
"#;

const TEAM: &str = r#"
[upstream]
account_sid = "AC00000000000000000000000000000001"
[[team]]
name = "billing"
token_sha256 = ["00000000000000000000000000000000000000000000000000000000000000aa"]
key = { sid = "SK00000000000000000000000000000001", secret = "env:BILLING" }
"#;

/// What must never be repeated.
const PLANTED: &str = "d3adb33fcafe0123456789abcdef4567";

fn environment(name: &str) -> Option<OsString> {
    match name {
        "BILLING" => Some("a-secret-of-the-test".into()),
        "BROKEN" => Some(format!("{PLANTED}\r\nX-Injected: 1").into()),
        "EMPTY" => Some("".into()),
        "ROOT" => Some("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".into()),
        "DATABASE_URL" => Some(format!("postgres://sidekey:{PLANTED}@db/sidekey").into()),
        _ => None,
    }
}

fn read(text: &str) -> Result<Config, Faults> {
    parse(text, Path::new("/etc/sidekey/sidekey.toml"), &environment)
}

/// The only fault of a text, without its file.
fn the_fault(text: &str) -> String {
    let faults = read(text).expect_err("the text is bad");
    let all = faults.to_string();
    assert_eq!(faults.iter().count(), 1, "{all}");
    assert!(!all.contains(PLANTED), "{all}");
    all.replace("/etc/sidekey/sidekey.toml:", "")
}

/// `TEAM` with one text replaced.
fn team_with(old: &str, new: &str) -> String {
    assert!(TEAM.contains(old));
    TEAM.replace(old, new)
}

#[test]
fn the_smallest_file_gets_the_defaults() {
    let config = read(SMALLEST).expect("it is good");
    assert_eq!(config.listen.proxy, Some(defaults::PROXY));
    assert_eq!(config.upstream.url.to_string(), "https://api.twilio.com");
    assert_eq!(config.audit.file.as_deref(), Some(Path::new("/etc/sidekey/audit.jsonl")));
    assert_eq!(config.limits.max_body, 16 << 20);
    assert!(
        matches!(config.store.expect("a store").url, StoreUrl::Sqlite(path) if path == Path::new("/etc/sidekey/sidekey.db"))
    );
    assert_eq!(config.warnings, []);
}

#[test]
fn a_team_of_the_file_is_read() {
    let config = read(TEAM).expect("it is good");
    let team = &config.teams[0];
    assert_eq!((team.name.as_str(), team.kind, team.token_sha256[0][31]), ("billing", Kind::Standard, 0xaa));
    assert_eq!(team.key.as_ref().and_then(|key| key.secret.expose_str()), Some("a-secret-of-the-test"));
}

#[test]
fn a_literal_secret_is_refused_and_not_repeated() {
    let fault = the_fault(&team_with("env:BILLING", PLANTED));
    assert!(
        fault.starts_with("7: team.key.secret: is a literal secret; write \"env:NAME\" or \"file:PATH\""),
        "{fault}"
    );
}

#[test]
fn references_that_lead_nowhere_are_refused() {
    for (text, expected) in [
        ("env:UNSET", "7: team.key.secret: the variable UNSET is not set"),
        ("env:d3adb33fcafe0123456789abcdef4567", "7: team.key.secret: the variable named here is not set"),
        ("env:EMPTY", "7: team.key.secret: what it refers to is empty"),
        ("env:BROKEN", "7: team.key.secret: what it refers to holds a line break"),
        ("env:", "7: team.key.secret: `env:` is not followed by a variable's name"),
        ("file:", "7: team.key.secret: `file:` is not followed by a path"),
        (
            "file:nowhere/at.all",
            "7: team.key.secret: /etc/sidekey/nowhere/at.all can't be read: no such file; make it, with the secret alone in it",
        ),
        ("file:d3adb33fcafe0123456789abcdef4567", "7: team.key.secret: the file named here can't be read"),
        ("file:/etc", "7: team.key.secret: /etc can't be read: it is not a regular file"),
    ] {
        let fault = the_fault(&team_with("env:BILLING", text));
        assert!(fault.starts_with(expected), "{text}: {fault}");
    }
}

#[test]
fn a_secret_file_open_to_others_is_warned_of() {
    let dir = tempfile::tempdir().expect("a folder");
    let (path, secret) = (dir.path().join("sidekey.toml"), dir.path().join("secret"));
    std::fs::write(&secret, "hunter2hunter2\r\n").expect("a file");
    for (mode, warnings) in [(0o600, 0), (0o640, 0), (0o644, 1), (0o660, 1)] {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(mode)).expect("it is ours");
        let config = parse(&team_with("env:BILLING", "file:secret"), &path, &environment).expect("it is good");
        assert_eq!(config.warnings.len(), warnings, "{mode:o}");
        let read = config.teams[0].key.as_ref().and_then(|key| key.secret.expose_str());
        assert_eq!(read, Some("hunter2hunter2"), "the file's last line break is not part of it");
        assert_eq!(config.sources, [path.clone(), secret.clone()]);
    }
}

#[test]
fn unknown_names_are_refused_with_a_guess() {
    assert_eq!(
        the_fault(&format!("{TEAM}\n[limits]\nmax_bodi = \"1MiB\"")),
        "10: limits: unknown name `max_bodi`; did you mean `max_body`?"
    );
    assert!(the_fault(&format!("{TEAM}\n[intercep]")).contains("unknown name `intercep`; did you mean `intercept`?"));
    assert!(
        the_fault(&format!("{TEAM}\n[listen]\nproxy='127.0.0.1:0'\nzzz=1"))
            .ends_with("known here: proxy, tls, unix, admin_unix, admin")
    );
}

#[test]
fn each_wrong_value_has_its_line_and_its_mend() {
    let sha = "\"00000000000000000000000000000000000000000000000000000000000000aa\"";
    for (text, expected) in [
        (team_with("AC0", "AX0"), "3: upstream.account_sid: is not an account's SID"),
        (team_with("SK0", "SX0"), "7: team.key.sid: is not a key's SID"),
        (team_with("billing", "-billing"), "5: team.name: is not a team's name"),
        (team_with(sha, "\"abc\""), "6: team.token_sha256: is not 64 hex digits"),
        (team_with(sha, &format!("\"skt{PLANTED}\"")), "6: team.token_sha256: is a token, not its digest"),
        (team_with(sha, &format!("{sha},{sha}")), "4: team: a token of `billing` is also one of `billing`"),
        (format!("{TEAM}\nkind = \"owner\""), "9: team.kind: is not a word known here"),
        (format!("{TEAM}\naccounts = 3"), "9: team.accounts: is an integer, not an array"),
        (format!("{TEAM}\n[limits]\nhead_timeout = \"10\""), "10: limits.head_timeout: is not a duration"),
        (format!("{TEAM}\n[limits]\nhead_timeout = \"0s\""), "10: limits.head_timeout: is out of range"),
        (format!("{TEAM}\n[limits]\nmax_body = \"16 MiB\""), "10: limits.max_body: is not a size"),
        (format!("{TEAM}\n[limits]\nmax_body = 16"), "10: limits.max_body: is an integer, not a string"),
        (format!("{TEAM}\n[limits]\ncores = 99999"), "10: limits.cores: is out of range"),
        (format!("{TEAM}\n[intercept]"), "9: intercept: `ca_"),
        (format!("{TEAM}\n[tls]\ncert = 'none.pem'\nkey='/dev/null'"), "1"),
        (format!("{TEAM}\n[audit]\nmode = \"maybe\""), "10: audit.mode: is not a word known here"),
        (format!("{TEAM}\n[store]\nurl=\"mysql://x\"\nroot_key=\"env:ROOT\""), "10: store.url: is a kind of store"),
        (
            format!("{TEAM}\n[store]\nurl=\"sqlite::memory:\"\nroot_key=\"env:ROOT\""),
            "10: store.url: does not name a file",
        ),
        (
            format!("{TEAM}\n[store]\nurl=\"sqlite:a\"\nroot_key=\"env:BILLING\""),
            "11: store.root_key: what it refers to is not 32",
        ),
        (
            format!("{TEAM}\n[upstream.hosts]\n\"evil.com\"=\"https://a\""),
            "10: upstream.hosts: `evil.com` is not a Twilio host",
        ),
        (
            format!("{TEAM}\n[upstream.hosts]\n\"xtwilio.com\"=\"https://a\""),
            "10: upstream.hosts: `xtwilio.com` is not",
        ),
        (
            format!("{TEAM}\n[upstream.hosts]\n\"api.twilio.com\"=\"https://a\""),
            "10: upstream.hosts: api.twilio.com does not",
        ),
        (format!("{TEAM}\n[upstream.hosts]\n\"iam.twilio.com\"=\"ftp://a\""), "10: upstream.hosts: is not an origin"),
        (format!("{TEAM}\n[[team]]\nname=\"billing\"\nkind=\"master\""), "9: team: `billing` is declared twice"),
        (team_with("key =", "#"), "4: team: `key` is missing"),
        (format!("{TEAM}\n[listen]\nproxy='localhost:8080'"), "10: listen.proxy: is not an address and a port"),
        (
            format!("{TEAM}\n[listen]\nproxy='127.0.0.1:8080'\nadmin='127.0.0.1:8080'"),
            "9: listen: `admin` and `proxy` are the same",
        ),
        (
            format!("{TEAM}\n[listen]\nproxy='127.0.0.1:8080'\ntls='127.0.0.1:8443'"),
            "9: listen: `tls` needs a certificate",
        ),
        (format!("{TEAM}\n[listen]\nadmin='127.0.0.1:8080'"), "9: listen: names no listener for callers"),
        (format!("{TEAM}\n[[certificate]]\nsan='spiffe://corp/*'\nteam='billing'"), "9: certificate: no listener asks"),
        ("[upstream]\naccount_sid=\"AC00000000000000000000000000000001\"".to_owned(), " names no team"),
        ("[store]\nurl=\"sqlite:a\"\nroot_key=\"file:b\"".to_owned(), "[upstream] is missing"),
    ] {
        let faults = read(&text).expect_err(&text).to_string().replace("/etc/sidekey/sidekey.toml:", "");
        assert!(faults.contains(expected), "{text}\n{faults}");
        assert!(faults.lines().all(|line| line.contains("; ")), "a mend for each: {faults}");
    }
}

#[test]
fn a_database_that_is_reached_in_clear_is_warned_of() {
    for (url, warned) in [
        ("postgres://u@db/sidekey", true),
        ("postgres://u@db:5432/sidekey?sslmode=prefer", true),
        ("postgres://u@127.0.0.1,db/sidekey?sslmode=allow", true),
        ("postgres:///sidekey?host=db", true),
        ("postgres://u@db/sidekey?sslmode=disable", false),
        ("postgres://u@db/sidekey?sslmode=verify-full", false),
        ("postgres://u@127.0.0.1/sidekey", false),
        ("postgres://u@[::1]:5432/sidekey", false),
        ("postgres://localhost/sidekey?sslmode=prefer", false),
        ("postgres://%2Frun%2Fpostgresql/sidekey", false),
        ("postgres:///sidekey?host=/run/postgresql", false),
    ] {
        let warnings = read(&SMALLEST.replace("sqlite:sidekey.db", url)).expect("it is good").warnings;
        assert_eq!(warnings.iter().any(|fault| fault.what.contains("without TLS")), warned, "{url}: {warnings:?}");
    }
    let fault = the_fault(&SMALLEST.replace("sqlite:sidekey.db", "postgres://u@db/s?sslmode=require&sslmode=disable"));
    assert!(fault.starts_with("5: store.url: has `sslmode` twice; "), "{fault}");
}

#[test]
fn a_store_url_with_a_password_is_a_literal_secret() {
    for url in [
        format!("postgres://sidekey:{PLANTED}@db/sidekey"),
        format!("postgresql://db/sidekey?password={PLANTED}"),
        PLANTED.to_owned(),
    ] {
        let fault = the_fault(&SMALLEST.replace("sqlite:sidekey.db", &url));
        assert!(fault.starts_with("5: store.url: "), "{fault}");
    }
    let config = read(&SMALLEST.replace("sqlite:sidekey.db", "env:DATABASE_URL")).expect("a reference is good");
    assert!(
        matches!(config.store.expect("a store").url, StoreUrl::Postgres(url) if url.expose_str().is_some_and(|u| u.contains(PLANTED)))
    );
}

const JWT: &str = r#"
[[jwt]]
issuer = "https://kubernetes.default.svc"
audience = "sidekey"
jwks_url = "https://kubernetes.default.svc/openid/v1/jwks"
algorithms = ["RS256"]
team_claim = "team"
"#;

#[test]
fn a_jwt_table_is_read() {
    let config = read(&format!("{TEAM}{JWT}")).expect("it is good");
    assert_eq!(config.jwt[0].algorithms, ["RS256"]);
    let subjects = JWT.replace("team_claim = \"team\"", "[jwt.subjects]\n\"system:serviceaccount:a:b\" = \"billing\"");
    let config = read(&format!("{TEAM}{subjects}")).expect("it is good");
    assert_eq!(config.jwt[0].subjects["system:serviceaccount:a:b"].as_str(), "billing");
}

#[test]
fn a_weak_jwt_table_is_refused() {
    for (old, new, expected) in [
        ("[\"RS256\"]", "[\"HS256\"]", "is symmetric"),
        ("[\"RS256\"]", "[\"none\"]", "nobody signed"),
        ("[\"RS256\"]", "[\"None\", \"RS256\"]", "nobody signed"),
        ("[\"RS256\"]", "[]", "accepts nothing"),
        ("[\"RS256\"]", "[\"RS128\"]", "not an algorithm known here"),
        ("https://kubernetes.default.svc/openid", "http://kubernetes.default.svc/openid", "without TLS"),
        ("jwks_url", "#", "must say where the key set is, in one way"),
        ("team_claim", "#", "must say how a token names its team, in one way"),
        ("team_claim", "leeway = \"1h\"\nteam_claim", "jwt.leeway: is out of range"),
        ("audience", "#", "`audience` is missing"),
        (
            "team_claim = \"team\"",
            "[jwt.subjects]\nx = \"biling\"",
            "`biling` is not a team of this file; did you mean `billing`?",
        ),
    ] {
        let faults = read(&format!("{TEAM}{}", JWT.replace(old, new))).expect_err(expected).to_string();
        assert!(faults.contains(expected), "{expected}: {faults}");
    }
}

#[test]
fn certificates_are_read_and_loose_names_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    for name in ["cert.pem", "key.pem", "ca.pem"] {
        std::fs::write(dir.path().join(name), "").expect("a file");
    }
    let text = |san: &str| {
        format!(
            "{TEAM}\n[listen]\ntls='127.0.0.1:0'\n[tls]\ncert='cert.pem'\nkey='key.pem'\nclient_ca='ca.pem'\n\
             [[certificate]]\nteam='billing'\nsan='{san}'"
        )
    };
    let read = |san: &str| parse(&text(san), &dir.path().join("sidekey.toml"), &environment);
    for san in ["spiffe://corp/ns/billing/*", "spiffe://corp/ns/billing/sender", "billing.internal"] {
        assert_eq!(read(san).expect(san).certificates[0].san, san);
    }
    for san in ["*", "spiffe://*", "spiffe://corp*", "billing.*", "a*b", "spiffe://corp/*/b", "", "a b"] {
        read(san).expect_err(san);
    }
    let warned = |san: &str| read(san).expect("it is allowed").warnings.iter().filter(|w| w.at.contains("san")).count();
    assert_eq!((warned("spiffe://corp/ns/billing*"), warned("spiffe://corp/ns/billing/*")), (1, 0));
}

#[test]
fn peers_are_read_and_need_their_listener() {
    let unix = format!("{TEAM}\n[listen]\nunix='s'\n");
    let config = read(&format!("{unix}[[peer]]\nuid=1000\nteam='billing'")).expect("it is good");
    assert_eq!((config.peers[0].uid, config.peers[0].team.as_str()), (1000, "billing"));
    let one = "[[peer]]\nuid=0\nteam='billing'\n";
    for (text, expected) in [
        (format!("{TEAM}\n{one}"), "no listener knows its peers"),
        (format!("{unix}{one}{one}"), "repeats an earlier `uid`"),
        (format!("{unix}[[peer]]\nuid=4294967295\nteam='billing'"), "peer.uid: "),
        (format!("{unix}[[peer]]\nuid=1\nteam='biling'"), "did you mean `billing`?"),
        (format!("{unix}[[peer]]\nteam='billing'"), "`uid` is missing"),
    ] {
        let faults = read(&text).expect_err(expected).to_string();
        assert!(faults.contains(expected), "{expected}: {faults}");
    }
}

#[test]
fn what_a_fetch_needs_needs_a_url() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("ca.pem"), "").expect("a file");
    let read = |text: &str| parse(text, &dir.path().join("sidekey.toml"), &environment);
    let jwt = JWT.replace("team_claim", "jwks_ca='ca.pem'\njwks_token_file='ca.pem'\nteam_claim");
    let config = read(&format!("{TEAM}{jwt}")).expect("it is good");
    assert_eq!(config.jwt[0].jwks_ca, Some(dir.path().join("ca.pem")));
    let file = jwt.replace("jwks_url = \"https://kubernetes.default.svc/openid/v1/jwks\"", "jwks_file = 'ca.pem'");
    let faults = read(&format!("{TEAM}{file}")).expect_err("a file").to_string();
    assert!(faults.contains("`jwks_ca` needs `jwks_url`") && faults.contains("`jwks_token_file` needs"), "{faults}");
}

#[test]
fn plain_http_over_the_network_is_warned_of() {
    let at = |url: &str| read(&team_with("[[team]]", &format!("url = \"{url}\"\n[[team]]"))).expect(url).warnings.len();
    assert_eq!(
        (at("http://127.0.0.1:4010"), at("http://[::1]:1"), at("http://localhost"), at("https://a.b")),
        (0, 0, 0, 0)
    );
    assert_eq!((at("http://10.0.0.1"), at("http://twilio.internal:80")), (1, 1));
}

#[test]
fn broken_syntax_is_reported_without_the_line_itself() {
    let text = format!("{TEAM}\n[admin]\ntoken = {PLANTED}x\nname = \"{PLANTED}\n[admin]\n");
    let faults = read(&text).expect_err("it is no TOML").to_string();
    assert!(faults.contains("sidekey.toml:10: is not TOML"), "{faults}");
    assert!(!faults.contains(PLANTED), "{faults}");
}

#[test]
fn the_same_fault_is_told_once() {
    let faults = read(&format!("a = {}", "[".repeat(50))).expect_err("it is no TOML");
    assert_eq!(faults.iter().count(), 1, "{faults}");
}

#[test]
fn durations_and_sizes() {
    for (text, expected) in [
        ("0s", Some(Duration::ZERO)),
        ("50ms", Some(Duration::from_millis(50))),
        ("10m", Some(Duration::from_mins(10))),
        ("2h", Some(Duration::from_hours(2))),
        ("90d", Some(Duration::from_hours(90 * 24))),
        ("", None),
        ("s", None),
        ("1", None),
        ("-1s", None),
        ("1.5s", None),
        ("1 s", None),
        ("1S", None),
        ("99999999999999999999d", None),
        ("4294967295d", None),
    ] {
        assert_eq!(duration(text), expected, "{text}");
    }
    assert_eq!((size("16MiB"), size("1GiB"), size("0B")), (Some(16 << 20), Some(1 << 30), Some(0)));
    assert_eq!((size("16MB"), size("16"), size("18446744073709551615GiB"), size("MiB")), (None, None, None, None));
}

#[test]
fn origins() {
    for (text, expected) in [
        ("https://API.twilio.com", Some("https://api.twilio.com")),
        ("https://api.twilio.com/", Some("https://api.twilio.com")),
        ("HTTP://127.0.0.1:4010", Some("http://127.0.0.1:4010")),
        ("http://[::1]:80", Some("http://[::1]")),
        ("https://[::1]", Some("https://[::1]")),
        ("https://a/b", None),
        ("https://u:p@a", None),
        ("https://a?b", None),
        ("https://", None),
        ("https://a:0", None),
        ("https://a:99999", None),
        ("https://a:+1", None),
        ("https://[::1]x", None),
        ("https://-a", None),
        ("api.twilio.com", None),
    ] {
        assert_eq!(Origin::parse(text).map(|origin| origin.to_string()).as_deref(), expected, "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".*") {
        let _ = read(&text);
    }

    /// Texts that look like a config file get deeper than arbitrary ones.
    #[test]
    fn any_table_is_read_or_refused(
        table in prop::sample::select(vec![
            "listen", "tls", "intercept", "upstream", "upstream.hosts", "upstream.master", "store", "admin", "audit",
            "limits", "[jwt]", "[team]", "[certificate]", "jwt.subjects", "team.key", "team",
        ]),
        name in prop::sample::select(vec![
            "proxy", "url", "password", "root_key", "token", "file", "max_body", "algorithms", "san", "accounts", "key",
            "policy", "cores", "head_timeout", "token_sha256", "jwks_url", "hosts", "unix", "kind",
        ]),
        value in prop_oneof![
            "[0-9]{1,30}", "-?0x[0-9a-f]{1,20}", "true", "\\{ sid = 1 \\}", "\\[\\[1\\], \"\"\\]", "1979-05-27", "inf",
            "\"(env|file|sqlite|https|postgres)?(:|://)?[ -!#-\\[\\]-~]{0,60}\"", "\"[^\"\\\\]{0,40}\"",
        ],
    ) {
        let text = format!("{TEAM}\n[{table}]\n{name} = {value}\n");
        if let Err(faults) = read(&text) {
            prop_assert!(faults.iter().all(|fault| !fault.what.is_empty() && !fault.mend.is_empty()));
        }
    }

    #[test]
    fn any_literal_stays_unsaid(secret in "[a-zA-Z0-9+/=_-]{20,40}", place in 0..3_usize) {
        let text = match place {
            0 => team_with("env:BILLING", &secret),
            1 => format!("{TEAM}\n[admin]\ntoken = \"{secret}\""),
            _ => format!("{TEAM}\n[upstream.master]\nusername = \"{secret}\"\npassword = \"{secret}\""),
        };
        let faults = read(&text).expect_err("a literal is refused").to_string();
        prop_assert!(!faults.contains(&secret), "{}", faults);
    }
}

#[test]
fn the_admin_listener_is_warned_of_only_where_a_token_goes_over_it() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("token"), "0123456789abcdef0123456789abcdef").expect("a file");
    let warnings = |address: &str, token: &str| {
        let text = format!("{TEAM}\n[listen]\nproxy='127.0.0.1:0'\nadmin='{address}'\n{token}");
        let config = parse(&text, &dir.path().join("sidekey.toml"), &environment).expect("it is good");
        config.warnings.iter().filter(|warning| warning.at == "listen.admin").count()
    };
    let token = "[admin]\ntoken='file:token'\n";
    let told = [("0.0.0.0:9090", token), ("0.0.0.0:9090", ""), ("127.0.0.1:9090", token)].map(|(a, t)| warnings(a, t));
    assert_eq!(told, [1, 0, 0]);
}

#[test]
fn a_stream_without_a_key_for_phone_numbers_is_warned_of() {
    for (audit, told) in [
        ("file='-'", 1),
        ("file='/dev/null'", 1),
        ("file='-'\nhash_key='env:ROOT'", 0),
        ("file='audit.jsonl'", 0),
        ("mode='required'", 0),
    ] {
        let config = read(&format!("{TEAM}\n[audit]\n{audit}")).expect(audit);
        assert_eq!(config.warnings.iter().filter(|warning| warning.at == "audit").count(), told, "{audit}");
    }
}
