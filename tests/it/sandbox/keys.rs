//! API keys: who may manage them, what they look like, and that deleting one ends it.

use crate::support::upstream::{As, Upstream};
use sidekey::sandbox::KeyKind;

#[test]
fn a_key_lives_and_dies() {
    let upstream = Upstream::start();
    let owner = upstream.owner();
    let made = upstream.post(&owner, &upstream.path("/Keys.json"), "FriendlyName=User+Joey");
    assert_eq!((made.status, made.reason.as_str()), (201, "CREATED"));
    let fields = made.json();
    let names: Vec<&String> = fields.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["sid", "friendly_name", "date_created", "date_updated", "secret"]);
    assert_eq!(fields["friendly_name"], "User Joey");
    let key = As::created(&made);
    assert_eq!(key.1.len(), 32);

    assert_eq!(upstream.get(&key, &upstream.path("/Messages.json")).status, 200);
    let path = upstream.path(&format!("/Keys/{}.json", key.0));
    let fetched = upstream.get(&owner, &path);
    assert_eq!(fetched.status, 200);
    assert!(fetched.json().get("secret").is_none(), "the secret is shown once");
    let renamed = upstream.post(&owner, &path, "FriendlyName=Jenny");
    assert_eq!((renamed.status, renamed.json()["friendly_name"].as_str()), (200, Some("Jenny")));
    assert!(renamed.json().get("secret").is_none());

    let deleted = upstream.delete(&owner, &path);
    assert_eq!((deleted.status, deleted.reason.as_str(), deleted.body.len()), (204, "NO CONTENT", 0));
    assert_eq!(upstream.get(&owner, &path).refusal(), (404, 20404));
    assert_eq!(upstream.delete(&owner, &path).refusal(), (404, 20404));
    assert_eq!(upstream.get(&key, &upstream.path("/Messages.json")).refusal(), (401, 20003));
}

#[test]
fn standard_keys_are_refused_where_twilio_refuses_them() {
    let upstream = Upstream::start();
    let standard = upstream.key(KeyKind::Standard);
    let main = upstream.key(KeyKind::Main);
    let sid = upstream.sandbox.account_sid();
    let one = format!("/Keys/{}.json", standard.0);
    let alias = format!("/SigningKeys/{}.json", standard.0);
    let closed = [
        ("GET", "/2010-04-01/Accounts.json".to_owned()),
        ("POST", "/2010-04-01/Accounts.json".to_owned()),
        ("GET", upstream.path(".json")),
        ("POST", upstream.path(".json")),
        ("DELETE", upstream.path(".json")),
        ("GET", upstream.path("/Keys.json")),
        ("POST", upstream.path("/Keys.json")),
        ("PUT", upstream.path("/Keys.json")),
        ("GET", upstream.path("/SigningKeys.json")),
        ("POST", upstream.path("/SigningKeys.json")),
        ("GET", upstream.path(&one)),
        ("POST", upstream.path(&one)),
        ("GET", upstream.path(&alias)),
        ("DELETE", upstream.path(&alias)),
        ("DELETE", upstream.path(&one)),
        ("GET", format!("/iam.twilio.com/v1/Keys?AccountSid={sid}")),
        ("POST", format!("/v1/Keys?AccountSid={sid}")),
        ("DELETE", format!("/v1/Keys/{}", standard.0)),
    ];
    for (method, path) in &closed {
        let refused = upstream.send(Some(&standard), method, path, "FriendlyName=x");
        assert_eq!(refused.refusal(), (401, 20003), "{method} {path}");
        assert_eq!(refused.json()["message"], "Authenticate", "{method} {path}");
        let through = upstream.send(Some(&main), method, path, "FriendlyName=x");
        assert_ne!(through.status, 401, "{method} {path} as Main");
    }
    // The last of them deleted the key, so that a new one shows what is open.
    let standard = upstream.key(KeyKind::Standard);
    for open in ["/Messages.json", "/Calls.json", "/IncomingPhoneNumbers.json"] {
        assert_eq!(upstream.get(&standard, &upstream.path(open)).status, 200, "{open}");
    }
}

#[test]
fn the_list_is_sorted_by_date_updated_and_paged() {
    let upstream = Upstream::start();
    let owner = upstream.owner();
    let keys: Vec<As> = (0..5)
        .map(|n| As::created(&upstream.post(&owner, &upstream.path("/Keys.json"), &format!("FriendlyName=k{n}"))))
        .collect();
    upstream.post(&owner, &upstream.path(&format!("/Keys/{}.json", keys[1].0)), "FriendlyName=renamed");
    let mut names = Vec::new();
    let mut next = Some(upstream.path("/Keys.json?PageSize=2"));
    let mut pages = 0;
    while let Some(path) = next {
        let page = upstream.get(&owner, &path).json();
        assert!(page.get("account_sid").is_none(), "a top-level account_sid breaks SDKs: {page}");
        assert_eq!((page["page"].as_u64(), page["page_size"].as_u64()), (Some(pages), Some(2)));
        assert_eq!(page["start"].as_u64(), Some(pages * 2));
        assert_eq!(page["first_page_uri"], upstream.path("/Keys.json?PageSize=2&Page=0"));
        let rows = page["keys"].as_array().expect("rows");
        names.extend(rows.iter().map(|row| row["friendly_name"].as_str().unwrap_or_default().to_owned()));
        if let Some(uri) = page["next_page_uri"].as_str() {
            let token = rows.last().map(|row| format!("PA{}", row["sid"].as_str().unwrap_or_default()));
            assert!(uri.ends_with(&format!("&PageToken={}", token.expect("a row"))), "{uri}");
        }
        if pages > 0 {
            let previous = upstream.get(&owner, page["previous_page_uri"].as_str().expect("a link back"));
            assert_eq!(previous.json()["page"].as_u64(), Some(pages - 1));
        }
        pages += 1;
        next = page["next_page_uri"].as_str().map(str::to_owned);
    }
    assert_eq!(names, ["renamed", "k4", "k3", "k2", "k0"]);
    assert_eq!(pages, 3);
}

#[test]
fn a_list_can_be_emptied_page_by_page() {
    let upstream = Upstream::start();
    let owner = upstream.owner();
    for _ in 0..5 {
        upstream.post(&owner, &upstream.path("/Keys.json"), "");
    }
    let mut next = Some(upstream.path("/Keys.json?PageSize=2"));
    while let Some(path) = next {
        let page = upstream.get(&owner, &path);
        assert_eq!(page.status, 200, "the token of a row that has gone still leads on: {}", page.text());
        for row in page.json()["keys"].as_array().expect("rows") {
            let path = upstream.path(&format!("/Keys/{}.json", row["sid"].as_str().expect("a name")));
            assert_eq!(upstream.delete(&owner, &path).status, 204);
        }
        next = page.json()["next_page_uri"].as_str().map(str::to_owned);
    }
    let left = upstream.get(&owner, &upstream.path("/Keys.json"));
    assert_eq!(left.json()["keys"].as_array().map(Vec::len), Some(0));
}

#[test]
fn limits_hold_exactly() {
    let upstream = Upstream::start();
    let (owner, keys) = (upstream.owner(), upstream.path("/Keys.json"));
    let named = |count: usize| format!("FriendlyName={}", "%C3%A9".repeat(count));
    let made = upstream.post(&owner, &keys, &named(64));
    assert_eq!(made.status, 201, "characters count, not bytes");
    assert_eq!(upstream.post(&owner, &keys, &named(65)).refusal(), (400, 70001));
    let one = upstream.path(&format!("/Keys/{}.json", As::created(&made).0));
    assert_eq!(upstream.post(&owner, &one, &named(65)).refusal(), (400, 70001));
    let nameless = upstream.post(&owner, &keys, "").json();
    assert!(nameless["friendly_name"].is_null(), "{nameless}");

    let wrong = upstream.get(&owner, &upstream.path("/Keys/AC00000000000000000000000000000001.json"));
    assert_eq!(wrong.refusal(), (400, 70002));
    assert_eq!(wrong.json()["message"], "Invalid Sid provided in the request");
    for method in ["PUT", "PATCH"] {
        assert_eq!(upstream.send(Some(&owner), method, &one, "").refusal(), (405, 20004), "{method}");
        assert_eq!(upstream.send(Some(&owner), method, &keys, "").refusal(), (405, 20004), "{method}");
    }
    assert_eq!(upstream.delete(&owner, &keys).refusal(), (405, 20004));
    for (query, code) in [("PageSize=1001", 20007), ("PageSize=0", 20007), ("PageToken=nonsense", 21481)] {
        assert_eq!(upstream.get(&owner, &format!("{keys}?{query}")).refusal(), (400, code), "{query}");
    }
    assert_eq!(upstream.get(&owner, &format!("{keys}?PageSize=1000")).status, 200);
}

#[test]
fn signing_keys_are_the_same_keys() {
    let upstream = Upstream::start();
    let owner = upstream.owner();
    let made = As::created(&upstream.post(&owner, &upstream.path("/SigningKeys.json"), "FriendlyName=s"));
    let listed = upstream.get(&owner, &upstream.path("/SigningKeys.json")).json();
    assert_eq!(listed["signing_keys"][0]["sid"], made.0.as_str());
    assert_eq!(upstream.get(&owner, &upstream.path("/Keys.json")).json()["keys"][0]["sid"], made.0.as_str());
    assert_eq!(upstream.delete(&owner, &upstream.path(&format!("/Keys/{}.json", made.0))).status, 204);
    let gone = upstream.get(&owner, &upstream.path(&format!("/SigningKeys/{}.json", made.0)));
    assert_eq!(gone.refusal(), (404, 20404));
}

#[test]
fn signing_keys_have_one_name_in_xml() {
    let upstream = Upstream::start();
    let owner = upstream.owner();
    let made = upstream.post(&owner, &upstream.path("/SigningKeys.xml"), "FriendlyName=s");
    let sid = made.text().split("<Sid>").nth(1).and_then(|rest| rest.split('<').next()).expect("a name");
    let one = upstream.path(&format!("/SigningKeys/{sid}.xml"));
    let (fetched, changed) = (upstream.get(&owner, &one), upstream.post(&owner, &one, "FriendlyName=t"));
    for answer in [&made, &fetched, &changed, &upstream.get(&owner, &upstream.path("/SigningKeys.xml"))] {
        let text = answer.text();
        assert!(text.contains("<SigningKey><") && text.contains("</SigningKey>") && !text.contains("<Key>"), "{text}");
    }
}

#[test]
fn a_wrong_secret_is_as_good_as_none() {
    let upstream = Upstream::start();
    let key = upstream.key(KeyKind::Standard);
    let path = upstream.path("/Messages.json");
    let wrong = upstream.get(&As(key.0.clone(), "x".repeat(32)), &path);
    assert_eq!(wrong.refusal(), (401, 20003));
    let swapped = upstream.get(&As(key.0, upstream.owner().1), &path);
    assert_eq!(swapped.refusal(), (401, 20003));
    let nobody = upstream.send(None, "GET", &path, "");
    assert_eq!(nobody.refusal(), (401, 20003));
    assert_eq!(nobody.reason, "UNAUTHORIZED");
    assert_eq!(nobody.header("www-authenticate"), Some("Basic realm=\"Twilio API\""));
    assert_eq!(nobody.header("x-twilio-error-code"), Some("20003"));
    let strange = upstream.get(&As("hunter".into(), "2".into()), &path);
    assert_eq!(strange.json()["message"], "Authentication Error - invalid username");
    let missing = upstream.send(None, "GET", "/2010-04-01/Nothing.json", "");
    assert_eq!(missing.status, 401, "401 outranks 404");
}
