//! Access Tokens through a broker, as the upstream sees them.

use crate::support::raw::{Answered, ask};
use crate::support::world::{Broker, World, text};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

#[track_caller]
fn mint(broker: &Broker, token: &str, body: &str) -> Answered {
    let basic = format!("Basic {}", STANDARD.encode(format!("AC:{token}")));
    let headers = [("authorization", basic.as_str()), ("content-type", "application/json")];
    ask(broker.address, "POST", "/.sidekey/access-tokens", &headers, body.as_bytes()).expect("an answer")
}

/// What the upstream says of an Access Token: its status and, for a refusal, Twilio's code.
#[track_caller]
fn validate(world: &World, token: &str) -> Answered {
    world.upstream.send(None, "POST", "/_sandbox/access-tokens/validate", &format!("token={token}"))
}

const VOICE: &str = r#"{"identity":"alice","ttl":600,"grants":{"voice":{"incoming":{"allow":true}}}}"#;

#[test]
fn a_minted_token_is_good_until_its_key_is_deleted() {
    let world = World::new();
    let broker = world.serve();
    world.json(&["team", "create", "billing", "--grant", "voice"]);
    world.json(&["team", "create", "away", "--account", "AC00000000000000000000000000000002"]);
    let sid = text(&world.json(&["key", "create", "billing"]), "sid");
    let (away, token) = (world.token("away"), world.token("billing"));
    for _ in 0..600 {
        if mint(&broker, &token, VOICE).status < 300 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    // Its bearer would act in the account of the key that signs it.
    let away = mint(&broker, &away, VOICE);
    assert_eq!((away.status, away.header("sidekey-error")), (403, Some("account_not_allowed")));
    let minted = mint(&broker, &token, VOICE).json();
    assert_eq!(minted["key_sid"], json!(sid));
    let access = text(&minted, "token");
    let claims = validate(&world, &access);
    assert_eq!(claims.status, 200, "{}", claims.text());
    let claims = claims.json();
    let claims = claims.get("claims").unwrap_or(&claims);
    assert_eq!(claims["grants"], json!({ "identity": "alice", "voice": { "incoming": { "allow": true } } }));
    assert_eq!(claims["sub"], json!(world.upstream.sandbox.account_sid().to_string()), "the account of the key");
    let end = text(&minted, "expires_at").parse::<jiff::Timestamp>().expect("RFC 3339").as_second();
    assert_eq!(claims["exp"], json!(end));
    let chat = mint(&broker, &token, r#"{"identity":"alice","grants":{"chat":{}}}"#);
    assert_eq!((chat.status, chat.header("sidekey-error")), (403, Some("policy_denied")));
    let long = mint(&broker, &token, r#"{"identity":"alice","ttl":86401,"grants":{"voice":{}}}"#);
    assert_eq!((long.status, long.header("sidekey-error")), (400, Some("malformed_request")));
    world.json(&["key", "revoke", &sid]);
    assert_eq!(validate(&world, &access).status, 401, "it ended with its key");
}

#[test]
fn a_restricted_key_signs_nothing() {
    let world = World::new();
    let broker = world.serve();
    world.json(&["team", "create", "billing", "--key-permission", "/twilio/messaging/messages/list"]);
    world.json(&["key", "create", "billing"]);
    let token = world.token("billing");
    broker.until(&world, &token, 200);
    let refused = mint(&broker, &token, VOICE);
    assert!((400..500).contains(&refused.status), "{refused:?}");
    assert!(refused.text().contains("Restricted"), "{}", refused.text());
}
