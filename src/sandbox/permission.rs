//! What a Restricted key may do: assertions such as `/twilio/messaging/messages/read`.
//!
//! Sources: Twilio docs ("Permissions available with Restricted API keys") for the products and actions; live tests for
//! the refusals.

use super::refusal::Refusal;
use serde_json::{Value, json};

/// Most permissions one key may hold (Twilio docs).
const MAX_PERMISSIONS: usize = 100;

/// Products with permissions, and those of their resources that are known by name; an empty list takes every
/// well-shaped resource, since Twilio adds them often.
const PRODUCTS: [(&str, &[&str]); 20] = [
    ("billing", &["usage"]),
    ("chat", &[]),
    ("conversations", &[]),
    ("event-streams", &["event-type", "schema", "sink", "subscription"]),
    ("flex", &[]),
    ("iam", &["account-oauth-apps", "accounts", "api-keys", "public-keys"]),
    ("insights", &[]),
    ("intelligence", &[]),
    ("lookup", &["phone-numbers"]),
    ("messaging", &[]),
    ("microvisor", &["device-cert"]),
    ("monitor", &["alerts", "events"]),
    ("phone-numbers", &[]),
    ("serverless", &[]),
    ("studio", &["flows", "executions"]),
    ("sync", &[]),
    ("taskrouter", &["workspaces"]),
    ("verify", &[]),
    ("video", &[]),
    ("voice", &[]),
];

/// What is done to a resource. `read` (one) and `list` (the collection) are two permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// GET of one.
    Read,
    /// GET of the collection.
    List,
    /// POST to the collection.
    Create,
    /// POST to one.
    Update,
    /// DELETE.
    Delete,
}

impl Action {
    const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::List => "list",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    fn is_one(name: &str) -> bool {
        matches!(name, "read" | "list" | "create" | "update" | "delete" | "*")
    }
}

/// The assertions of one key.
#[derive(Clone, Debug, Default)]
pub struct Policy(Vec<String>);

impl Policy {
    /// Reads the form field `Policy`: `{"allow": ["/twilio/…"]}` as JSON text.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let malformed = || Refusal::bad(70002, "Invalid Policy provided in the request");
        let value: Value = serde_json::from_str(text).map_err(|_| malformed())?;
        let allow = value.get("allow").and_then(Value::as_array).ok_or_else(malformed)?;
        if allow.len() > MAX_PERMISSIONS {
            return Err(Refusal::bad(70002, "A policy holds at most 100 permissions"));
        }
        let mut policy = Self::default();
        for assertion in allow {
            let assertion = assertion.as_str().ok_or_else(malformed)?;
            if !is_known(assertion) {
                return Err(Refusal::bad(70002, format!("assertion '{assertion}' is invalid")));
            }
            policy.0.push(assertion.to_owned());
        }
        Ok(policy)
    }

    /// Refuses what is not asserted. `resource` is `messaging/messages` and the like.
    pub fn check(&self, resource: &str, action: Action) -> Result<(), Refusal> {
        if self.0.is_empty() {
            return Err(Refusal::no_assertions());
        }
        let grants = |assertion: &String| {
            let of_resource = assertion.strip_prefix("/twilio/").and_then(|rest| rest.strip_prefix(resource));
            matches!(of_resource.and_then(|rest| rest.strip_prefix('/')), Some(verb) if verb == "*" || verb == action.name())
        };
        if self.0.iter().any(grants) {
            return Ok(());
        }
        Err(Refusal::permission_missing(&format!("{resource}/{}", action.name())))
    }

    /// The policy as iam shows it.
    pub fn to_json(&self) -> Value {
        json!({"allow": self.0})
    }
}

fn is_known(assertion: &str) -> bool {
    let Some(rest) = assertion.strip_prefix("/twilio/") else { return false };
    let mut parts = rest.split('/');
    let (Some(product), Some(resource), Some(action), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    let root = resource.split('.').next().unwrap_or_default();
    let known = PRODUCTS.iter().any(|(name, roots)| *name == product && (roots.is_empty() || roots.contains(&root)));
    known && resource.split('.').all(word) && Action::is_one(action)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(assertions: &[&str]) -> Result<Policy, Refusal> {
        Policy::parse(&json!({"allow": assertions}).to_string())
    }

    #[test]
    fn read_is_not_list() {
        let policy = policy(&["/twilio/messaging/messages/read", "/twilio/voice/calls/*"]).expect("both are known");
        assert!(policy.check("messaging/messages", Action::Read).is_ok());
        let refusal = policy.check("messaging/messages", Action::List).expect_err("not granted");
        assert_eq!((refusal.status, refusal.code), (401, 70051));
        assert_eq!(
            refusal.message,
            "Authorization Error: required permission twilio/messaging/messages/list is missing"
        );
        assert!(policy.check("voice/calls", Action::Delete).is_ok());
        assert!(policy.check("voice/calls.recordings", Action::Read).is_err());
    }

    #[test]
    fn unknown_assertions_are_named() {
        let refusal = policy(&["/twilio/fakepermission/doesnotexist"]).expect_err("unknown");
        assert_eq!((refusal.status, refusal.code), (400, 70002));
        assert_eq!(refusal.message, "assertion '/twilio/fakepermission/doesnotexist' is invalid");
        for wrong in ["/twilio/messaging/messages/fly", "/twilio/iam/nothing/read", "messaging/messages/read", "", "*"]
        {
            assert!(policy(&[wrong]).is_err(), "{wrong}");
        }
        assert!(Policy::parse("[]").is_err() && Policy::parse("{").is_err());
    }

    #[test]
    fn a_hundred_is_the_most() {
        assert!(policy(&vec!["/twilio/voice/calls/read"; 100]).is_ok());
        assert!(policy(&vec!["/twilio/voice/calls/read"; 101]).is_err());
        let none = policy(&[]).expect("an empty policy is one");
        let refusal = none.check("voice/calls", Action::Read).expect_err("nothing granted");
        assert_eq!(refusal.message, "Authorization Error: actor doesn't have any assertions");
    }
}
