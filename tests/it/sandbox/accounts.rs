//! Accounts: subaccounts, their credentials, and what suspension does.

use crate::support::upstream::{As, Upstream};
use sidekey::sandbox::KeyKind;

fn subaccount(upstream: &Upstream, name: &str) -> As {
    let made = upstream.post(&upstream.owner(), "/2010-04-01/Accounts.json", &format!("FriendlyName={name}"));
    assert_eq!(made.status, 201);
    let account = made.json();
    let text = |field: &str| account[field].as_str().expect("text").to_owned();
    assert_eq!((text("status"), text("owner_account_sid")), ("active".into(), upstream.owner().0));
    As(text("sid"), text("auth_token"))
}

fn below(account: &As, rest: &str) -> String {
    format!("/2010-04-01/Accounts/{}{rest}", account.0)
}

#[test]
fn subaccounts_have_credentials_of_their_own() {
    let upstream = Upstream::start();
    let (owner, child, other) = (upstream.owner(), subaccount(&upstream, "child"), subaccount(&upstream, "other"));
    assert_eq!(child.1.len(), 32);
    let messages = below(&child, "/Messages.json");
    assert_eq!(upstream.get(&child, &messages).status, 200);
    assert_eq!(upstream.get(&owner, &messages).status, 200, "the parent reaches its child on api");
    assert_eq!(upstream.get(&upstream.key(KeyKind::Standard), &messages).status, 200);
    assert_eq!(upstream.get(&other, &messages).refusal(), (401, 20003));
    assert_eq!(upstream.get(&child, &upstream.path("/Messages.json")).refusal(), (401, 20003));
    assert_eq!(upstream.get(&child, &upstream.path(".json")).status, 404);

    let listed = upstream.get(&owner, "/2010-04-01/Accounts.json").json();
    let sids: Vec<&str> =
        listed["accounts"].as_array().expect("rows").iter().filter_map(|a| a["sid"].as_str()).collect();
    assert_eq!(sids, [other.0.as_str(), child.0.as_str(), owner.0.as_str()]);
    let own = upstream.get(&child, "/2010-04-01/Accounts.json").json();
    assert_eq!(own["accounts"].as_array().map(Vec::len), Some(1));
    let named = upstream.get(&owner, "/2010-04-01/Accounts.json?FriendlyName=child").json();
    assert_eq!(named["accounts"][0]["sid"], child.0.as_str());

    let key = As::created(&upstream.post(&owner, &below(&child, "/Keys.json"), ""));
    assert_eq!(upstream.get(&key, &messages).status, 200);
    assert_eq!(upstream.get(&key, &upstream.path("/Messages.json")).refusal(), (401, 20003));
    assert_eq!(upstream.get(&owner, &upstream.path("/Keys.json")).json()["keys"].as_array().map(Vec::len), Some(1));
    let nested = upstream.post(&child, "/2010-04-01/Accounts.json", "FriendlyName=x");
    assert_eq!(nested.refusal(), (400, 21101));
    assert_eq!(nested.json()["message"], "Subaccounts cannot contain subaccounts");
}

#[test]
fn suspension_and_closing() {
    let upstream = Upstream::start();
    let (owner, child) = (upstream.owner(), subaccount(&upstream, "child"));
    let key = As::created(&upstream.post(&owner, &below(&child, "/Keys.json"), ""));
    let account = below(&child, ".json");
    let own = upstream.post(&child, &account, "Status=closed");
    assert_eq!(own.refusal(), (401, 20003), "only the parent suspends");
    assert_eq!(upstream.post(&owner, &account, "Status=nonsense").refusal(), (400, 20001));
    let suspended = upstream.post(&owner, &account, "Status=suspended");
    assert_eq!((suspended.status, suspended.json()["status"].as_str()), (200, Some("suspended")));
    for who in [&child, &key, &owner] {
        assert_eq!(upstream.get(who, &below(&child, "/Messages.json")).refusal(), (403, 20403));
    }
    assert_eq!(upstream.get(&owner, &account).status, 200, "the parent still sees it");
    assert_eq!(upstream.post(&owner, &account, "Status=2").json()["status"], "active");
    assert_eq!(upstream.get(&key, &below(&child, "/Messages.json")).status, 200);
    assert_eq!(upstream.post(&owner, &account, "Status=closed").json()["status"], "closed");
    assert_eq!(upstream.post(&owner, &account, "Status=active").status, 400, "closed is closed");
    assert_eq!(upstream.post(&owner, &upstream.path(".json"), "Status=suspended").status, 400);
    assert_eq!(upstream.delete(&owner, &upstream.path(".json")).refusal(), (405, 20004));
}

#[test]
fn product_hosts_want_the_accounts_own_credentials() {
    let upstream = Upstream::start();
    let (owner, child) = (upstream.owner(), subaccount(&upstream, "child"));
    upstream.post(&child, "/messaging.twilio.com/v1/Services", "FriendlyName=theirs");
    let own = upstream.get(&owner, "/messaging.twilio.com/v1/Services").json();
    assert_eq!(own["services"].as_array().map(Vec::len), Some(0));
    let theirs = upstream.get(&child, "/messaging.twilio.com/v1/Services").json();
    assert_eq!(theirs["services"][0]["account_sid"], child.0.as_str());
    let foreign = upstream.get(&owner, &format!("/iam.twilio.com/v1/Keys?AccountSid={}", child.0));
    assert_eq!(foreign.refusal(), (401, 20003));
}

#[test]
fn a_thousand_subaccounts_and_no_more() {
    let upstream = Upstream::start();
    let owner = upstream.owner();
    for _ in 0..1000 {
        assert_eq!(upstream.post(&owner, "/2010-04-01/Accounts.json", "").status, 201);
    }
    assert_eq!(upstream.post(&owner, "/2010-04-01/Accounts.json", "").refusal(), (400, 21480));
}
