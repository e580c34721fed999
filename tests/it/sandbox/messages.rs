//! Messages, their media, calls and phone numbers.

use crate::support::upstream::Upstream;
use sidekey::sandbox::KeyKind;

const SAMPLE: &str = "Body=Never+gonna+give+you+up.&From=%2B15017122661&To=%2B15558675310";

#[test]
fn the_documents_sample_is_sent() {
    let upstream = Upstream::start();
    let key = upstream.key(KeyKind::Standard);
    let made = upstream.post(&key, &upstream.path("/Messages.json"), SAMPLE);
    assert_eq!(made.status, 201);
    let message = made.json();
    let sid = message["sid"].as_str().expect("a name");
    assert!(sid.starts_with("SM"), "{sid}");
    let names: Vec<&str> = message.as_object().expect("an object").keys().map(String::as_str).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(names, sorted, "in the order of the documents");
    assert_eq!((message["status"].as_str(), message["date_sent"].is_null()), (Some("queued"), true));
    assert_eq!((message["num_segments"].as_str(), message["num_media"].as_str()), (Some("1"), Some("0")));
    assert_eq!(message["uri"], upstream.path(&format!("/Messages/{sid}.json")));
    assert_eq!(message["subresource_uris"]["media"], upstream.path(&format!("/Messages/{sid}/Media.json")));
    let later = upstream.get(&key, &upstream.path(&format!("/Messages/{sid}.json"))).json();
    assert_eq!((later["status"].as_str(), later["date_sent"].is_string()), (Some("sent"), true));
    assert_eq!(later["body"], "Never gonna give you up.");
}

#[test]
fn what_is_missing_is_named() {
    let upstream = Upstream::start();
    let (owner, messages) = (upstream.owner(), upstream.path("/Messages.json"));
    for (form, code) in [
        ("From=%2B15017122661&Body=x", 21604),
        ("To=nobody&From=%2B15017122661&Body=x", 21211),
        ("To=%2B15558675310&Body=x", 21603),
        ("To=%2B15558675310&From=%2B15017122661", 21602),
        ("To=%2B15558675310&MessagingServiceSid=MGx&Body=x", 21705),
    ] {
        let refused = upstream.post(&owner, &messages, form);
        assert_eq!(refused.refusal(), (400, code), "{form}");
        assert_eq!(refused.header("x-twilio-error-code"), Some(code.to_string().as_str()));
    }
    let body =
        |count: usize| format!("To=%2B15558675310&MessagingServiceSid=MG{}&Body={}", "0".repeat(32), "x".repeat(count));
    assert_eq!(upstream.post(&owner, &messages, &body(1600)).json()["status"], "accepted");
    assert_eq!(upstream.post(&owner, &messages, &body(1601)).refusal(), (400, 21617));
}

#[test]
fn filters_narrow_a_list_and_stay_in_its_links() {
    let upstream = Upstream::start();
    let (owner, messages) = (upstream.owner(), upstream.path("/Messages.json"));
    for to in ["%2B15558675310", "%2B15558675311", "%2B15558675310", "%2B15558675310"] {
        upstream.post(&owner, &messages, &format!("Body=x&From=%2B15017122661&To={to}"));
    }
    let count = |query: &str| {
        let page = upstream.get(&owner, &format!("{messages}?{query}")).json();
        page["messages"].as_array().map(Vec::len)
    };
    assert_eq!(count("To=%2B15558675310"), Some(3));
    assert_eq!(count("From=%2B15558675310"), Some(0));
    assert_eq!(count("DateSent%3E=2020-01-02T03%3A04%3A05Z"), Some(4));
    assert_eq!(count("DateSent%3C=2020-01-02"), Some(0));
    assert_eq!(count("DateSent=2020-01-02"), Some(0));
    assert_eq!(count("DateSent>=2020-01-02"), Some(4), "as older documents spell it");
    assert_eq!(count("DateSent<=2020-01-02"), Some(0));
    assert_eq!(count("To=\"nobody\""), Some(0));
    assert_eq!(upstream.get(&owner, &format!("{messages}?DateSent=soon")).refusal(), (400, 20001));
    let page = upstream.get(&owner, &format!("{messages}?To=%2B15558675310&PageSize=2")).json();
    let next = page["next_page_uri"].as_str().expect("a third row");
    assert!(next.contains("?To=%2B15558675310&PageSize=2&Page=1&PageToken=PASM"), "{next}");
    let last = upstream.get(&owner, next).json();
    assert_eq!(last["messages"].as_array().map(Vec::len), Some(1));
    assert!(last["next_page_uri"].is_null());
    assert_eq!((last["start"].as_u64(), last["end"].as_u64()), (Some(2), Some(2)));
}

#[test]
fn a_message_is_emptied_cancelled_deleted() {
    let upstream = Upstream::start();
    let (owner, messages) = (upstream.owner(), upstream.path("/Messages.json"));
    let one = |form: &str| {
        let sid = upstream.post(&owner, &messages, form).json()["sid"].as_str().expect("a name").to_owned();
        upstream.path(&format!("/Messages/{sid}.json"))
    };
    let sent = one(SAMPLE);
    assert_eq!(upstream.post(&owner, &sent, "Body=").json()["body"], "");
    assert_eq!(upstream.post(&owner, &sent, "Body=other").status, 400);
    assert_eq!(upstream.post(&owner, &sent, "Status=canceled").status, 400);
    let scheduled = one(&format!("{SAMPLE}&ScheduleType=fixed"));
    assert_eq!(upstream.post(&owner, &scheduled, "Status=canceled").json()["status"], "canceled");
    assert_eq!(upstream.delete(&owner, &sent).status, 204);
    assert_eq!(upstream.get(&owner, &sent).refusal(), (404, 20404));
}

#[test]
fn media_are_a_redirect_without_a_suffix() {
    let upstream = Upstream::start();
    let owner = upstream.owner();
    let form = format!("{SAMPLE}&MediaUrl=https%3A%2F%2Fexample.com%2Fa&MediaUrl=https%3A%2F%2Fexample.com%2Fb");
    let message = upstream.post(&owner, &upstream.path("/Messages.json"), &form).json();
    assert!(message["sid"].as_str().is_some_and(|sid| sid.starts_with("MM")), "{message}");
    assert_eq!(message["num_media"], "2");
    let list = upstream.get(&owner, message["subresource_uris"]["media"].as_str().expect("a link")).json();
    assert_eq!(list["media_list"].as_array().map(Vec::len), Some(2));
    let uri = list["media_list"][0]["uri"].as_str().expect("a link");
    assert_eq!(upstream.get(&owner, uri).json()["content_type"], "image/jpeg");
    let moved = upstream.get(&owner, uri.trim_end_matches(".json"));
    assert_eq!((moved.status, moved.reason.as_str()), (307, "TEMPORARY REDIRECT"));
    assert_eq!(moved.header("content-type"), Some("application/xml"));
    let location = moved.header("location").expect("somewhere");
    assert!(location.starts_with(&format!("https://media.twiliocdn.com/{}/", owner.0)), "{location}");
    assert_eq!(upstream.delete(&owner, message["uri"].as_str().expect("a link")).status, 204);
    assert_eq!(upstream.get(&owner, uri).status, 404, "media go with their message");
}

#[test]
fn calls_and_numbers() {
    let upstream = Upstream::start();
    let key = upstream.key(KeyKind::Standard);
    let form = "To=%2B14155551212&From=%2B15017122661&Twiml=%3CResponse%2F%3E";
    let call = upstream.post(&key, &upstream.path("/Calls.json"), form);
    assert_eq!((call.status, call.json()["to_formatted"].as_str()), (201, Some("(415) 555-1212")));
    let uri = call.json()["uri"].as_str().expect("a link").to_owned();
    assert_eq!(upstream.post(&key, &uri, "Status=completed").json()["status"], "completed");
    assert_eq!(upstream.post(&key, &upstream.path("/Calls.json"), "To=%2B1415").status, 400);
    let with_url = |url: &str| {
        let form = format!("To=%2B14155551212&From=%2B15017122661&Url={url}");
        upstream.post(&key, &upstream.path("/Calls.json"), &form)
    };
    assert_eq!(with_url("https://example.com/voice?a=b").status, 201);
    for bad in ["foo", "/voice", "ftp://example.com/", "https://"] {
        let refused = with_url(bad);
        assert_eq!(refused.refusal(), (400, 21205), "{bad}");
        assert_eq!(refused.json()["message"], format!("Url is not a valid URL: {bad}"));
    }

    let numbers = |query: &str| {
        let list = upstream.get(&key, &upstream.path(&format!("/IncomingPhoneNumbers{query}"))).json();
        list["incoming_phone_numbers"].as_array().expect("rows").len()
    };
    assert!(numbers(".json") >= 2);
    assert_eq!(numbers(".json?PhoneNumber=%2B15017122661"), 1);
    assert_eq!(numbers(".json?PhoneNumber=555"), 2);
    assert_eq!(numbers("/TollFree.json"), 1);
    assert_eq!(numbers("/Local.json"), 2);

    for (kind, prefix) in [("TollFree", "+1800"), ("Local", "+1415"), ("Mobile", "+1628")] {
        let path = upstream.path(&format!("/AvailablePhoneNumbers/US/{kind}.json?PageSize=2"));
        let offers = upstream.get(&key, &path).json();
        let offers = offers["available_phone_numbers"].as_array().expect("rows");
        assert_eq!(offers.len(), 2);
        let number = offers[0]["phone_number"].as_str().expect("a number");
        assert!(number.starts_with(prefix), "{number}");
    }
    assert_eq!(upstream.get(&key, &upstream.path("/AvailablePhoneNumbers/XX/Local.json")).status, 404);
    let bought = upstream.post(&key, &upstream.path("/IncomingPhoneNumbers.json"), "PhoneNumber=%2B14155550101");
    assert_eq!((bought.status, bought.json()["capabilities"]["sms"].as_bool()), (201, Some(true)));
}
