//! Answers of the upstream's Keys API, read and judged.

use super::upstream_keys::{KeysError, Proof};
use crate::upstream::control::Answer;
use serde::Deserialize;

/// Twilio's answer to a new key.
#[derive(Deserialize)]
pub(super) struct Created {
    pub(super) sid: String,
    pub(super) secret: String,
}

/// A page of keys, of either API.
#[derive(Deserialize)]
pub(super) struct Page {
    pub(super) keys: Vec<PageRow>,
    pub(super) next_page_uri: Option<String>,
    pub(super) meta: Option<Meta>,
}

#[derive(Deserialize)]
pub(super) struct PageRow {
    pub(super) sid: String,
    pub(super) friendly_name: Option<String>,
    pub(super) date_created: Option<String>,
    pub(super) flags: Option<Vec<String>>,
}

#[derive(Deserialize)]
pub(super) struct Meta {
    pub(super) next_page_url: Option<String>,
}

/// Twilio's error body.
#[derive(Default, Deserialize)]
struct Trouble {
    code: Option<i64>,
    message: Option<String>,
}

/// The path of a link, be it absolute or not: the host stays ours.
pub(super) fn path_of(link: &str) -> &str {
    match link.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => link,
    }
}

/// What an answer to the harmless call says of the key.
pub(super) fn judge(answer: &Answer) -> Proof {
    let trouble: Trouble = serde_json::from_slice(&answer.body).unwrap_or_default();
    match answer.status {
        200..=299 => Proof::Good,
        // The key is taken, and lacks a permission that the proof asks for (a Restricted key; error 70051).
        401 | 403 if trouble.code == Some(70051) => Proof::Good,
        401 | 403 => Proof::Refused(describe(answer.status, &trouble)),
        _ => Proof::Unclear(describe(answer.status, &trouble)),
    }
}

/// Whether a key is gone by this answer to its deletion.
pub(super) fn deleted(answer: &Answer) -> bool {
    let code = || serde_json::from_slice::<Trouble>(&answer.body).ok().and_then(|trouble| trouble.code);
    matches!(answer.status, 200..=299) || (answer.status == 404 && code() == Some(20404))
}

/// A refusal in the upstream's own words. A 5xx may have been carried out.
pub(super) fn refused(answer: &Answer) -> KeysError {
    let trouble: Trouble = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = match (answer.status, trouble.code) {
        (401, Some(20003)) => "the upstream does not take [upstream.master] (401/20003): check username and password \
            (a Standard key can't manage keys)"
            .to_owned(),
        // A Restricted key's permission that Twilio doesn't know.
        (400, Some(70002)) => format!("{}; see the team's --key-permission", describe(answer.status, &trouble)),
        _ => describe(answer.status, &trouble),
    };
    if answer.status >= 500 { KeysError::Unclear(text) } else { KeysError::NotDone(text) }
}

fn describe(status: u16, trouble: &Trouble) -> String {
    // The message is Twilio's; it is cut, and its control characters go, before it reaches a terminal.
    let message = trouble.message.as_deref().unwrap_or("no message");
    let message: String = message.chars().filter(|c| !c.is_control()).take(200).collect();
    match trouble.code {
        Some(code) => format!("the upstream answered {status}/{code}: {message}"),
        None => format!("the upstream answered {status}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::Zeroizing;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: Zeroizing::new(body.as_bytes().to_vec()) }
    }

    #[test]
    fn a_missing_permission_proves_the_key_and_a_refused_login_does_not() {
        assert_eq!(judge(&answer(200, "{}")), Proof::Good);
        assert_eq!(judge(&answer(401, r#"{"code":70051,"message":"required permission"}"#)), Proof::Good);
        assert!(matches!(judge(&answer(401, r#"{"code":20003,"message":"Authenticate"}"#)), Proof::Refused(_)));
        assert!(matches!(judge(&answer(503, "")), Proof::Unclear(_)));
        assert!(matches!(judge(&answer(404, "")), Proof::Unclear(_)), "another thing than a refusal of the key");
    }

    #[test]
    fn a_server_error_may_have_been_carried_out_and_a_refusal_was_not() {
        assert!(matches!(refused(&answer(500, "")), KeysError::Unclear(_)));
        assert!(matches!(refused(&answer(400, r#"{"code":70151,"message":"Maximum"}"#)), KeysError::NotDone(_)));
        let master = refused(&answer(401, r#"{"code":20003,"message":"Authenticate"}"#)).to_string();
        assert!(master.contains("upstream.master"), "{master}");
        let rude = refused(&answer(400, "{\"code\":1,\"message\":\"a\\u001b[31mb\"}")).to_string();
        assert!(rude.ends_with("a[31mb"), "{rude:?}");
    }

    #[test]
    fn links_lose_their_host() {
        assert_eq!(path_of("https://iam.twilio.com/v1/Keys?Page=1"), "/v1/Keys?Page=1");
        assert_eq!(path_of("/2010-04-01/Accounts/AC/Keys.json?Page=1"), "/2010-04-01/Accounts/AC/Keys.json?Page=1");
    }
}
