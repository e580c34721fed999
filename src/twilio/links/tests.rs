use super::*;
use proptest::prelude::*;

const BASE: &str = "http://broker:8080";

fn rewrite(body: &str) -> String {
    rewrite_in(body.as_bytes(), body.len().max(1))
}

fn rewrite_in(body: &[u8], chunk: usize) -> String {
    let (mut rewriter, mut out) = (LinkRewriter::new(BASE), Vec::new());
    for chunk in body.chunks(chunk) {
        rewriter.push(chunk, &mut out);
    }
    rewriter.finish(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn urls_of_twilios_become_addresses_of_the_broker() {
    let inside = |url: &str| inside(BASE, url);
    let at = |path: &str| Some(format!("{BASE}{path}"));
    assert_eq!(inside("https://api.twilio.com/2010-04-01/Accounts?a=b"), at("/2010-04-01/Accounts?a=b"));
    assert_eq!(inside("https://api.twilio.com/2010-04-01"), at("/2010-04-01"));
    assert_eq!(inside("https://api.twilio.com:8443/2010-04-01/x"), at("/2010-04-01/x"));
    assert_eq!(inside("https://api.twilio.com/2010-04-01x"), at("/api.twilio.com/2010-04-01x"));
    assert_eq!(inside("https://Messaging.Twilio.com/v1/Services"), at("/messaging.twilio.com/v1/Services"));
    assert_eq!(inside("https://api.dublin.ie1.twilio.com/2010-04-01/x"), at("/api.dublin.ie1.twilio.com/2010-04-01/x"));
    assert_eq!(inside("HTTPS://CHAT.TWILIO.COM/V2"), at("/chat.twilio.com/V2"));
    assert_eq!(inside("https://chat.twilio.com?x"), at("/chat.twilio.com?x"));
    assert_eq!(inside("https://webhooks.twilio.com/v1/Webhooks/Rules"), at("/webhooks.twilio.com/v1/Webhooks/Rules"));
    for other in [
        "http://api.twilio.com/2010-04-01",
        "https://www.twilio.com/docs",
        "https://api.twilio.com.evil/2010-04-01",
        "https://x@api.twilio.com/2010-04-01",
        "https://media.twiliocdn.com/x",
        "https://webhooks.twilio.com/v1/Accounts/AC1/Flows/FW1",
        "/2010-04-01/Accounts",
        "",
    ] {
        assert_eq!(inside(other), None, "{other}");
    }
}

const PAGE: &str = r#"{"services": [{"sid": "MG1", "url": "https://messaging.twilio.com/v1/Services/MG1", "links": {
 "a": "https://messaging.twilio.com/a", "b": ["https:\/\/messaging.twilio.com\/b"], "c": {"d": "https://api.twilio.com/2010-04-01/d"}},
 "friendly_name": "https://messaging.twilio.com/v1/Services", "voice_url": "https://api.twilio.com/2010-04-01/x", "n": [1, null, true]}],
 "meta": {"next_page_url": "https://messaging.twilio.com/v1/Services?PageSize=50&PageToken=a\"b", "x_url": "https://chat.twilio.com/x",
 "key": "https://chat.twilio.com/x"}, "body": "\"url\": \"https://api.twilio.com/2010-04-01\"", "media_url": "https://media.twiliocdn.com/x"}"#;

const PAGE_INSIDE: &str = r#"{"services": [{"sid": "MG1", "url": "http://broker:8080/messaging.twilio.com/v1/Services/MG1", "links": {
 "a": "http://broker:8080/messaging.twilio.com/a", "b": ["http://broker:8080/messaging.twilio.com/b"], "c": {"d": "http://broker:8080/2010-04-01/d"}},
 "friendly_name": "https://messaging.twilio.com/v1/Services", "voice_url": "https://api.twilio.com/2010-04-01/x", "n": [1, null, true]}],
 "meta": {"next_page_url": "http://broker:8080/messaging.twilio.com/v1/Services?PageSize=50&PageToken=a\"b", "x_url": "http://broker:8080/chat.twilio.com/x",
 "key": "https://chat.twilio.com/x"}, "body": "\"url\": \"https://api.twilio.com/2010-04-01\"", "media_url": "https://media.twiliocdn.com/x"}"#;

#[test]
fn links_of_the_2010_api_stay_inside_too() {
    let page = r#"{"next_page_uri": "https://api.twilio.com/2010-04-01/x?Page=1", "uri": "/2010-04-01/x", "subresource_uris": {"media": "https://api.twilio.com/2010-04-01/m"}}"#;
    let inside = r#"{"next_page_uri": "http://broker:8080/2010-04-01/x?Page=1", "uri": "/2010-04-01/x", "subresource_uris": {"media": "http://broker:8080/2010-04-01/m"}}"#;
    assert_eq!(rewrite(page), inside);
}

#[test]
fn only_link_fields_change() {
    assert_eq!(rewrite(PAGE), PAGE_INSIDE);
}

#[test]
fn the_cut_of_the_chunks_does_not_matter() {
    for chunk in 1..PAGE.len() {
        assert_eq!(rewrite_in(PAGE.as_bytes(), chunk), PAGE_INSIDE, "chunks of {chunk}");
    }
}

#[test]
fn what_is_too_long_too_deep_or_cut_short_passes() {
    let long = format!(r#"{{"url":"https://api.twilio.com/2010-04-01/{}"}}"#, "x".repeat(MAX_LINK));
    assert_eq!(rewrite(&long), long);
    assert_eq!(rewrite_in(long.as_bytes(), 7), long);
    let deep = format!(r#"{}{{"url":"https://api.twilio.com/2010-04-01"}}{}"#, "[".repeat(80), "]".repeat(80));
    assert_eq!(rewrite(&deep), deep);
    let after = format!(r#"{deep},{{"url":"https://api.twilio.com/2010-04-01"}}"#);
    assert!(rewrite(&after).ends_with(r#"{"url":"http://broker:8080/2010-04-01"}"#));
    let cut = r#"{"url":"https://api.twilio.com/2010-0"#;
    assert_eq!(rewrite(cut), cut);
}

/// JSON-like texts with links in every place, and without a closing half of the time.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just(",".to_owned()),
        Just("\"url\":".to_owned()),
        Just("\"links\":".to_owned()),
        Just("\"meta\":".to_owned()),
        Just("\"https://api.twilio.com/2010-04-01/x\"".to_owned()),
        Just("\"https:\\/\\/chat.twilio.com\\u002fx\"".to_owned()),
        Just("\\".to_owned()),
        Just("\"".to_owned()),
        "\"[a-z_\\\\é]{0,4}\"",
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn chunking_never_changes_the_result(text in texts(), chunk in 1_usize..20) {
        prop_assert_eq!(rewrite_in(text.as_bytes(), chunk), rewrite(&text));
    }

    #[test]
    fn bodies_without_link_fields_are_identical(text in "[ -~\\n]{0,300}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (mut rewriter, mut out) = (LinkRewriter::new(BASE), Vec::new());
        rewriter.push(&bytes, &mut out);
        rewriter.finish(&mut out);
        prop_assert_eq!(out, bytes);
        prop_assert_eq!(rewrite(&text), text.clone());
    }

    #[test]
    fn valid_json_stays_valid(value in "[a-z\"\\\\/é]{0,20}") {
        let body = serde_json::json!({"url": format!("https://chat.twilio.com/{value}"), "text": value}).to_string();
        let after: serde_json::Value = serde_json::from_str(&rewrite(&body)).expect("still JSON");
        prop_assert_eq!(after["url"].as_str().unwrap(), format!("{BASE}/chat.twilio.com/{value}"));
        prop_assert_eq!(after["text"].as_str().unwrap(), value);
    }
}
