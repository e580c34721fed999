//! Restricted keys: made on iam, held to their policy everywhere.

use crate::support::upstream::{As, Upstream};
use sidekey::sandbox::KeyKind;

fn policy(assertions: &[&str]) -> String {
    let list = assertions.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(",");
    let policy = format!("{{\"allow\":[{list}]}}");
    form_urlencoded::byte_serialize(policy.as_bytes()).collect()
}

fn restricted(upstream: &Upstream, assertions: &[&str]) -> As {
    let form = format!(
        "AccountSid={}&FriendlyName=r&KeyType=restricted&Policy={}",
        upstream.sandbox.account_sid(),
        policy(assertions)
    );
    let made = upstream.post(&upstream.owner(), "/iam.twilio.com/v1/Keys", &form);
    assert_eq!(made.status, 201, "{}", made.text());
    As::created(&made)
}

#[test]
fn a_policy_is_enforced() {
    let upstream = Upstream::start();
    let key = restricted(&upstream, &["/twilio/messaging/messages/read", "/twilio/messaging/messages/create"]);
    let messages = upstream.path("/Messages.json");
    let made = upstream.post(&key, &messages, "To=%2B15558675310&From=%2B15017122661&Body=x");
    assert_eq!(made.status, 201);
    assert_eq!(upstream.get(&key, made.json()["uri"].as_str().expect("a link")).status, 200);
    let list = upstream.get(&key, &messages);
    assert_eq!(list.refusal(), (401, 70051));
    assert_eq!(
        list.json()["message"],
        "Authorization Error: required permission twilio/messaging/messages/list is missing"
    );
    assert_eq!(upstream.get(&key, &upstream.path("/Calls.json")).refusal(), (401, 70051));
    assert_eq!(upstream.get(&key, &upstream.path("/Keys.json")).refusal(), (401, 70051));
    assert_eq!(upstream.get(&key, "/2010-04-01/Accounts.json").refusal(), (401, 70051));
    assert_eq!(upstream.get(&key, "/messaging.twilio.com/v1/Services").refusal(), (401, 70051));
    let nothing = restricted(&upstream, &[]);
    let refused = upstream.get(&nothing, &messages);
    assert_eq!(refused.refusal(), (401, 70051));
    assert_eq!(refused.json()["message"], "Authorization Error: actor doesn't have any assertions");
}

#[test]
fn a_restricted_key_may_make_keys_if_it_is_told_so() {
    let upstream = Upstream::start();
    let key = restricted(&upstream, &["/twilio/iam/api-keys/*"]);
    let made = upstream.post(&key, &upstream.path("/Keys.json"), "KeyType=restricted&Policy=nonsense");
    assert_eq!(made.status, 201, "api ignores KeyType and Policy");
    let standard = As::created(&made);
    assert_eq!(upstream.get(&standard, &upstream.path("/Calls.json")).status, 200);
    assert_eq!(upstream.delete(&key, &upstream.path(&format!("/Keys/{}.json", standard.0))).status, 204);
}

#[test]
fn updating_replaces_the_policy() {
    let upstream = Upstream::start();
    let key = restricted(&upstream, &["/twilio/messaging/messages/list"]);
    let one = format!("/v1/Keys/{}", key.0);
    let form = format!("Policy={}", policy(&["/twilio/voice/calls/list"]));
    let updated = upstream.post(&upstream.owner(), &one, &form);
    assert_eq!(updated.json()["policy"]["allow"][0], "/twilio/voice/calls/list");
    assert_eq!(updated.json()["friendly_name"], "r");
    assert_eq!(upstream.get(&key, &upstream.path("/Messages.json")).refusal(), (401, 70051));
    assert_eq!(upstream.get(&key, &upstream.path("/Calls.json")).status, 200);
    let standard = upstream.key(KeyKind::Standard);
    let refused = upstream.post(&upstream.owner(), &format!("/v1/Keys/{}", standard.0), &form);
    assert_eq!(refused.refusal(), (400, 70002));
}

#[test]
fn iam_shows_what_it_shows() {
    let upstream = Upstream::start();
    let (owner, sid) = (upstream.owner(), upstream.sandbox.account_sid());
    let made = upstream.post(&owner, "/v1/Keys", &format!("AccountSid={sid}&FriendlyName=s")).json();
    let names: Vec<&String> = made.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["sid", "friendly_name", "date_created", "date_updated", "secret", "policy"]);
    assert!(made["policy"].is_null());
    assert!(made["date_created"].as_str().is_some_and(|date| date.ends_with("+0000")), "RFC 2822: {made}");
    let list = upstream.get(&owner, &format!("/v1/Keys?AccountSid={sid}")).json();
    assert_eq!(list["keys"][0]["flags"], serde_json::json!(["rest_api", "signing"]));
    assert!(list["keys"][0].get("policy").is_none());
    assert_eq!(
        list["meta"]["first_page_url"],
        format!("https://iam.twilio.com/v1/Keys?AccountSid={sid}&PageSize=50&Page=0")
    );
    assert_eq!(upstream.get(&owner, "/v1/Keys").refusal(), (400, 20001));
    for (form, code) in [
        ("KeyType=restricted&Policy=%7B%22allow%22%3A%5B%22%2Ftwilio%2Ffake%2Fx%22%5D%7D".to_owned(), 70002),
        ("KeyType=main".to_owned(), 20001),
        (format!("FriendlyName={}", "x".repeat(65)), 70001),
    ] {
        let refused = upstream.post(&owner, "/v1/Keys", &format!("AccountSid={sid}&{form}"));
        assert_eq!(refused.refusal(), (400, code), "{form}");
    }
    let one = format!("/v1/Keys/{}", made["sid"].as_str().expect("a name"));
    assert_eq!(upstream.send(Some(&owner), "PUT", &one, "").refusal(), (405, 20004));
    assert_eq!(upstream.delete(&owner, &one).status, 204);
    assert_eq!(upstream.get(&owner, &one).refusal(), (404, 20404));
}
