//! Product hosts: iam's list, services, conversations, chat, events, and their absolute links.

use crate::support::upstream::Upstream;
use sidekey::sandbox::KeyKind;

#[test]
fn paging_links_are_absolute() {
    let upstream = Upstream::start();
    let key = upstream.key(KeyKind::Standard);
    for name in ["a", "b", "c"] {
        let made = upstream.post(&key, "/messaging.twilio.com/v1/Services", &format!("FriendlyName={name}"));
        assert_eq!(made.status, 201);
        let url = made.json()["url"].as_str().expect("a link").to_owned();
        assert!(url.starts_with("https://messaging.twilio.com/v1/Services/MG"), "{url}");
        assert!(made.json()["links"]["phone_numbers"].as_str().is_some_and(|link| link.starts_with(&url)));
    }
    let page = upstream.get(&key, "/messaging.twilio.com/v1/Services?PageSize=2").json();
    let meta = &page["meta"];
    assert_eq!(
        (meta["key"].as_str(), meta["page"].as_u64(), meta["page_size"].as_u64()),
        (Some("services"), Some(0), Some(2))
    );
    assert_eq!(meta["first_page_url"], "https://messaging.twilio.com/v1/Services?PageSize=2&Page=0");
    assert_eq!(meta["url"], "https://messaging.twilio.com/v1/Services?PageSize=2&Page=0");
    assert!(meta["previous_page_url"].is_null());
    let next = meta["next_page_url"].as_str().expect("a second page");
    let rest = next.strip_prefix("https://").expect("absolute");
    let last = upstream.get(&key, &format!("/{rest}")).json();
    assert_eq!(last["services"][0]["friendly_name"], "a");
    assert!(last["meta"]["next_page_url"].is_null());
    assert!(last["meta"]["previous_page_url"].is_string());
}

#[test]
fn services_change_and_go() {
    let upstream = Upstream::start();
    let key = upstream.key(KeyKind::Standard);
    let services = "/messaging.twilio.com/v1/Services";
    let missing = upstream.post(&key, services, "");
    assert_eq!(missing.refusal(), (400, 20001));
    assert_eq!(missing.json()["message"], "Missing required parameter FriendlyName in the post body");
    let made = upstream.post(&key, services, "FriendlyName=a&ValidityPeriod=60&StickySender=False").json();
    assert_eq!((made["validity_period"].as_i64(), made["sticky_sender"].as_bool()), (Some(60), Some(false)));
    assert!(made["date_created"].as_str().is_some_and(|date| date.ends_with('Z')), "ISO 8601: {made}");
    let one = format!("{services}/{}", made["sid"].as_str().expect("a name"));
    assert_eq!(upstream.post(&key, &one, "FriendlyName=b").json()["friendly_name"], "b");
    assert_eq!(upstream.post(&key, &one, "ValidityPeriod=x").refusal(), (400, 20001));
    assert_eq!(upstream.delete(&key, &one).status, 204);
    assert_eq!(upstream.get(&key, &one).refusal(), (404, 20404));
}

#[test]
fn conversations_and_participants() {
    let upstream = Upstream::start();
    let key = upstream.key(KeyKind::Standard);
    let all = "/conversations.twilio.com/v1/Conversations";
    let made = upstream.post(&key, all, "FriendlyName=a&UniqueName=a%7Cb%26c").json();
    let one = format!("{all}/{}", made["sid"].as_str().expect("a name"));
    assert_eq!(upstream.get(&key, &format!("{all}/a%7Cb%26c")).json()["sid"], made["sid"], "by its unique name");
    assert_eq!(upstream.post(&key, all, "UniqueName=a%7Cb%26c").refusal(), (409, 50353));
    let join = upstream.post(&key, &format!("{one}/Participants"), "Identity=alice");
    assert_eq!((join.status, join.json()["conversation_sid"].as_str()), (201, made["sid"].as_str()));
    let form = "MessagingBinding.Address=%2B15558675310&MessagingBinding.ProxyAddress=%2B15017122661";
    let bound = upstream.post(&key, &format!("{one}/Participants"), form).json();
    assert_eq!(bound["messaging_binding"]["address"], "+15558675310");
    assert_eq!(upstream.post(&key, &format!("{one}/Participants"), "").status, 400);
    let list = upstream.get(&key, &format!("{one}/Participants")).json();
    assert_eq!(list["participants"].as_array().map(Vec::len), Some(2));
    assert_eq!(upstream.post(&key, &one, "State=nonsense").status, 400);
    assert_eq!(upstream.post(&key, &one, "State=closed").json()["state"], "closed");
    assert_eq!(upstream.delete(&key, &one).status, 204);
    assert_eq!(upstream.get(&key, &format!("{one}/Participants")).status, 404);
}

#[test]
fn chat_users_go_by_identity() {
    let upstream = Upstream::start();
    let key = upstream.key(KeyKind::Standard);
    let service = upstream.post(&key, "/chat.twilio.com/v2/Services", "FriendlyName=s").json();
    let users = format!("/chat.twilio.com/v2/Services/{}/Users", service["sid"].as_str().expect("a name"));
    let made = upstream.post(&key, &users, "Identity=a%7Cb%26c").json();
    assert_eq!(made["identity"], "a|b&c");
    assert_eq!(upstream.post(&key, &users, "Identity=a%7Cb%26c").refusal(), (409, 50201));
    let by_name = format!("{users}/a%7Cb%26c");
    assert_eq!(upstream.get(&key, &by_name).json()["sid"], made["sid"]);
    assert_eq!(upstream.delete(&key, &by_name).status, 204);
    assert_eq!(upstream.get(&key, &by_name).status, 404);
    assert_eq!(upstream.get(&key, "/chat.twilio.com/v2/Services/IS00000000000000000000000000000000/Users").status, 404);
}

#[test]
fn sinks_and_subscriptions() {
    let upstream = Upstream::start();
    let key = upstream.key(KeyKind::Standard);
    let form = "Description=d&SinkType=kinesis&SinkConfiguration=%7B%22arn%22%3A%22x%22%7D";
    let sink = upstream.post(&key, "/v1/Sinks", form);
    assert_eq!((sink.status, sink.json()["sink_configuration"]["arn"].as_str()), (201, Some("x")));
    let sid = sink.json()["sid"].as_str().expect("a name").to_owned();
    let form = format!(
        "Description=d&SinkSid={sid}&Types=%7B%22type%22%3A%22com.twilio.a%22%7D&Types=%7B%22type%22%3A%22com.twilio.b%22%7D"
    );
    let made = upstream.post(&key, "/v1/Subscriptions", &form);
    assert_eq!((made.status, made.json()["sink_sid"].as_str()), (201, Some(sid.as_str())));
    let one = made.json()["sid"].as_str().map(|sid| format!("/v1/Subscriptions/{sid}")).expect("a name");
    for unknown in ["DG1".to_owned(), format!("DG{}", "0".repeat(32))] {
        let refused = upstream.post(&key, "/v1/Subscriptions", &form.replace(&sid, &unknown));
        assert_eq!(refused.refusal(), (400, 91001), "{unknown}");
        assert_eq!(upstream.post(&key, &one, &format!("SinkSid={unknown}")).refusal(), (400, 91001), "{unknown}");
    }
    let events = upstream.get(&key, &format!("{one}/SubscribedEvents")).json();
    assert_eq!(events["types"].as_array().map(Vec::len), Some(2));
    assert_eq!(upstream.get(&key, &format!("/v1/Subscriptions?SinkSid={sid}")).json()["meta"]["key"], "subscriptions");
    assert_eq!(upstream.post(&key, "/v1/Sinks", "Description=d&SinkType=x&SinkConfiguration=%7B%7D").status, 400);
    assert_eq!(upstream.delete(&key, &one).status, 204);
    assert_eq!(upstream.delete(&key, &format!("/v1/Sinks/{sid}")).status, 204);
}
