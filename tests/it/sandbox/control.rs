//! The switches: the request log, faults, console keys, and the judge of Access Tokens.

use crate::support::raw::ask;
use crate::support::upstream::{As, Upstream};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use sidekey::clock::Clock;
use sidekey::sandbox::{KeyKind, Options};
use std::time::Duration;

#[test]
fn the_log_tells_what_arrived_and_no_secret() {
    let upstream = Upstream::start();
    let key = upstream.key(KeyKind::Standard);
    upstream.get(&key, &upstream.path("/Messages.json?PageSize=3"));
    upstream.send(None, "GET", "/chat.twilio.com/v2/Services", "");
    let answer = upstream.send(None, "GET", "/_sandbox/requests", "");
    assert_eq!((answer.status, answer.header("sandbox-request-count")), (200, Some("2")));
    let seen = answer.json();
    assert_eq!(seen[0]["method"], "GET");
    assert_eq!(seen[0]["path"], upstream.path("/Messages.json"));
    assert_eq!(seen[0]["query"], "PageSize=3");
    assert_eq!(seen[0]["sid"], key.0.as_str());
    assert_eq!(seen[0]["host"], upstream.sandbox.address().to_string());
    assert_eq!(seen[0]["authorization"], "Basic");
    assert!(seen[0]["headers"].as_array().is_some_and(|names| names.contains(&Value::from("content-type"))));
    assert!(seen[1]["sid"].is_null());
    assert!(!answer.text().contains(&key.1));
    assert_eq!(upstream.send(None, "GET", "/_sandbox/requests?limit=1", "").json().as_array().map(Vec::len), Some(1));
    for wrong in ["x", "-1", ""] {
        let refused = upstream.send(None, "GET", &format!("/_sandbox/requests?limit={wrong}"), "");
        assert_eq!(refused.refusal(), (400, 20001), "{wrong}");
    }
    assert_eq!(upstream.send(None, "DELETE", "/_sandbox/requests", "").status, 204);
    assert_eq!(upstream.send(None, "GET", "/_sandbox/requests", "").text(), "[]");
    assert_eq!(upstream.send(None, "PUT", "/_sandbox/requests", "").status, 405);
    assert_eq!(upstream.send(None, "GET", "/_sandbox/nothing", "").status, 404);
}

#[test]
fn failures_on_demand() {
    let upstream = Upstream::start();
    let (owner, path) = (upstream.owner(), upstream.path("/Messages.json"));
    let fail = |form: &str| assert_eq!(upstream.send(None, "POST", "/_sandbox/fail", form).status, 204, "{form}");
    fail("mode=status&status=429&count=2&retry_after=7");
    for _ in 0..2 {
        let limited = upstream.get(&owner, &path);
        assert_eq!((limited.refusal(), limited.header("retry-after")), ((429, 20429), Some("7")));
    }
    assert_eq!(upstream.get(&owner, &path).status, 200);

    for (status, code, message, detail) in [
        (401, 20003, "Authenticate", Some("Your AccountSid or AuthToken was incorrect.")),
        (405, 20004, "Method not allowed", None),
        (503, 20503, "Service Unavailable", None),
    ] {
        fail(&format!("mode=status&status={status}"));
        let failed = upstream.get(&owner, &path);
        assert_eq!(failed.refusal(), (status, code));
        assert_eq!((failed.json()["message"].as_str(), failed.json()["detail"].as_str()), (Some(message), detail));
    }

    fail("mode=cut");
    let basic = owner.basic();
    let headers = [("authorization", basic.as_str())];
    assert!(ask(upstream.sandbox.address(), "GET", &path, &headers, b"").is_none());
    assert_eq!(upstream.get(&owner, &path).status, 200);

    fail("mode=status&path=/2010-04-01/Accounts/AC0");
    assert_eq!(upstream.get(&owner, "/v1/Sinks").status, 200, "another path");
    assert_eq!(upstream.send(None, "DELETE", "/_sandbox/fail", "").status, 204);
    assert_eq!(upstream.send(None, "POST", "/_sandbox/fail", "mode=nonsense").refusal(), (400, 20001));
}

#[test]
fn an_echo_gives_the_credential_away() {
    let upstream = Upstream::start();
    let owner = upstream.owner();
    let basic = owner.basic();
    for form in ["mode=echo", "mode=echo&chunk=3", "mode=echo&trailers=true"] {
        upstream.send(None, "POST", "/_sandbox/fail", form);
        let echo = upstream.get(&owner, "/v1/Sinks");
        assert_eq!((echo.status, echo.header("x-echo-authorization")), (200, Some(basic.as_str())), "{form}");
        assert_eq!(echo.json()["authorization"], basic.as_str(), "{form}");
    }
    upstream.send(None, "POST", "/_sandbox/fail", "mode=echo&encoding=gzip");
    let echo = upstream.get(&owner, "/v1/Sinks");
    assert_eq!(echo.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&*echo.body), &mut text).expect("gzip");
    assert!(text.contains(&basic), "{text}");
}

#[test]
fn a_hanging_request_ends_with_the_sandbox() {
    let upstream = Upstream::start();
    upstream.send(None, "POST", "/_sandbox/fail", "mode=hang");
    let (to, path) = (upstream.sandbox.address(), upstream.path("/Messages.json"));
    let hanging = std::thread::spawn(move || ask(to, "GET", &path, &[], b"").is_none());
    while upstream.sandbox.requests().0 == 0 {
        std::thread::yield_now();
    }
    assert!(!hanging.is_finished());
    drop(upstream);
    assert!(hanging.join().expect("the request ends"));
}

#[test]
fn console_keys() {
    let upstream = Upstream::start();
    let main = As::created(&upstream.send(None, "POST", "/_sandbox/keys", "kind=main&friendly_name=m"));
    assert_eq!(upstream.get(&main, &upstream.path("/Keys.json")).json()["keys"][0]["friendly_name"], "m");
    let standard = As::created(&upstream.send(None, "POST", "/_sandbox/keys", "kind=standard"));
    assert_eq!(upstream.get(&standard, &upstream.path("/Keys.json")).refusal(), (401, 20003));
    assert_eq!(upstream.send(None, "POST", "/_sandbox/keys", "kind=other").status, 400);
    let sid = upstream.sandbox.account_sid();
    let flags =
        upstream.get(&main, &format!("/v1/Keys?AccountSid={sid}&PageSize=1")).json()["keys"][0]["flags"].clone();
    assert_eq!(flags, json!(["rest_api", "signing"]));
}

fn signed(key: &As, claims: &Value) -> String {
    let mut header = Header::new(Algorithm::HS256);
    header.cty = Some("twilio-fpa;v=1".to_owned());
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(key.1.as_bytes())).expect("signs")
}

#[test]
fn deleting_a_key_ends_its_access_tokens() {
    let upstream = Upstream::start();
    let (owner, key) = (upstream.owner(), upstream.key(KeyKind::Standard));
    let now = Clock::system().unix_seconds();
    let claims = |changes: Value| {
        let mut claims = json!({
            "jti": format!("{}-{now}", key.0), "iss": key.0, "sub": owner.0,
            "iat": now, "exp": now + 3600, "grants": {"identity": "alice"},
        });
        for (name, value) in changes.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        claims
    };
    let judge =
        |token: &str| upstream.send(None, "POST", "/_sandbox/access-tokens/validate", &format!("token={token}"));
    let token = signed(&key, &claims(json!({})));
    let judged = judge(&token);
    assert_eq!((judged.status, judged.json()["grants"]["identity"].as_str()), (200, Some("alice")));
    for (changes, code) in [
        (json!({"exp": now - 1}), 20104),
        (json!({"exp": now + 86_402}), 20157),
        (json!({"nbf": now + 600}), 20105),
        (json!({"sub": "AC00000000000000000000000000000001"}), 20103),
        (json!({"iss": "SK00000000000000000000000000000001"}), 20103),
        (json!({"grants": null}), 20106),
    ] {
        assert_eq!(judge(&signed(&key, &claims(changes.clone()))).refusal(), (401, code), "{changes}");
    }
    let forged = signed(&As(key.0.clone(), "x".repeat(32)), &claims(json!({})));
    assert_eq!(judge(&forged).refusal(), (401, 20107));
    assert_eq!(judge("nonsense").refusal(), (401, 20101));
    let main = upstream.key(KeyKind::Main);
    assert_eq!(judge(&signed(&main, &claims(json!({"iss": main.0})))).status, 200);
    let form = format!("AccountSid={}&KeyType=restricted", owner.0);
    let restricted = As::created(&upstream.post(&owner, "/v1/Keys", &form));
    assert_eq!(judge(&signed(&restricted, &claims(json!({"iss": restricted.0})))).refusal(), (401, 20160));

    upstream.delete(&owner, &upstream.path(&format!("/Keys/{}.json", key.0)));
    assert_eq!(judge(&token).refusal(), (401, 20103));
}

#[test]
fn given_credentials_are_used() {
    let sid = "AC0123456789abcdef0123456789abcdef".parse().ok();
    let options = Options { account_sid: sid, auth_token: Some("t0ken".to_owned().into()), ..Options::default() };
    let upstream = Upstream::start_with(options);
    assert_eq!(upstream.owner(), As("AC0123456789abcdef0123456789abcdef".to_owned(), "t0ken".to_owned()));
    assert_eq!(upstream.get(&upstream.owner(), &upstream.path(".json")).status, 200);
    assert_eq!(upstream.sandbox.url(), format!("http://{}", upstream.sandbox.address()));
}

#[test]
fn latency_holds_the_api_back_and_not_the_switches() {
    let latency = Duration::from_hours(1);
    let upstream = Upstream::start_with(Options { latency, ..Options::default() });
    let (to, path) = (upstream.sandbox.address(), upstream.path("/Messages.json"));
    let waiting = std::thread::spawn(move || ask(to, "GET", &path, &[], b"").is_none());
    while upstream.send(None, "GET", "/_sandbox/requests", "").text() == "[]" {
        std::thread::yield_now();
    }
    assert!(!waiting.is_finished());
    drop(upstream);
    assert!(waiting.join().expect("the request ends"));
}

#[test]
fn a_preflight_needs_no_credential() {
    let upstream = Upstream::start();
    let answer = upstream.send(None, "OPTIONS", &upstream.path("/Messages.json"), "");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-methods"), Some("GET, POST, DELETE, OPTIONS"));
}
