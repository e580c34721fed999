//! Access Tokens: JWTs that let a device speak to Twilio, signed with the secret of a team's key.
//!
//! No team holds a secret, so sidekey signs. Header and claims are those of Twilio's own SDKs (twilio-python
//! `AccessToken`, twilio-node `AccessToken`). A token dies with its key: rotating or revoking the key ends it.

use crate::directory::Key;
use crate::error::Reason;
use crate::ids::{AccountSid, KeySid};
use crate::twilio::management::GRANTS;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::fmt;

/// Life of a token unless it is told, in seconds: the SDKs' own default.
const DEFAULT_TTL: u64 = 3_600;

/// Longest life, in seconds (Twilio docs, error 20157).
pub const MAX_TTL: u64 = 86_400;

/// Longest request body, in bytes: outgoing parameters of a voice grant are the only part of any size.
pub const MAX_BODY: usize = 16 << 10;

/// Longest identity, in bytes. Products set their own, shorter bounds; this one keeps a token small.
const MAX_IDENTITY: usize = 512;

/// What a caller asks for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Who the device is; in the token's grants.
    identity: Option<String>,
    /// Life in seconds, 1 to 86,400.
    ttl: Option<u64>,
    /// Grants by their name in the token.
    grants: Map<String, Value>,
    /// Twilio region, for the header; `None`: us1.
    region: Option<String>,
}

/// A token.
#[derive(Clone, PartialEq, Eq)]
pub struct Minted {
    /// Its text: a proof for a device, to be handed on and never kept.
    pub token: String,
    /// The Unix second at which it ends, if its key lives that long.
    pub expires_at: u64,
    /// The key that signed it.
    pub key_sid: KeySid,
}

impl fmt::Debug for Minted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Minted");
        shown.field("expires_at", &self.expires_at).field("key_sid", &self.key_sid).finish_non_exhaustive()
    }
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MintError {
    /// The body is not what is expected; the text says where and what would be right.
    Malformed(String),
    /// The team's grants do not hold this one.
    Grant(String),
    /// The key can't sign: a Restricted key, or an auth token.
    CannotSign,
}

impl MintError {
    /// The row of the table of refusals.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Malformed(_) => Reason::MalformedRequest,
            Self::Grant(_) | Self::CannotSign => Reason::PolicyDenied,
        }
    }
}

impl fmt::Display for MintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(text) => f.write_str(text),
            Self::Grant(name) => write!(f, "the team may not grant `{name}`"),
            Self::CannotSign => {
                f.write_str("the key can't sign Access Tokens: Restricted keys and auth tokens can't (Twilio docs)")
            }
        }
    }
}

impl Request {
    /// Reads a request's body.
    ///
    /// # Errors
    /// [`MintError::Malformed`].
    pub fn parse(body: &[u8]) -> Result<Self, MintError> {
        let request: Self = serde_json::from_slice(body).map_err(|error| malformed(odd(body, &error)))?;
        request.check()?;
        Ok(request)
    }

    fn check(&self) -> Result<(), MintError> {
        let identity = self.identity.as_deref().unwrap_or("anyone");
        if identity.is_empty() || identity.len() > MAX_IDENTITY || identity.chars().any(char::is_control) {
            return Err(malformed(format!("identity: 1 to {MAX_IDENTITY} bytes without control characters")));
        }
        if !(1..=MAX_TTL).contains(&self.ttl()) {
            return Err(malformed(format!("ttl: 1 to {MAX_TTL} seconds (24 hours)")));
        }
        if self.grants.is_empty() {
            return Err(malformed(format!("grants: at least one of {}", GRANTS.join(", "))));
        }
        for (name, grant) in &self.grants {
            if !GRANTS.contains(&name.as_str()) {
                return Err(malformed(format!("grants: one of them is none of {}", GRANTS.join(", "))));
            }
            if !grant.is_object() {
                return Err(malformed(format!("grants.{name}: expected an object")));
            }
        }
        let region = self.region.as_deref().unwrap_or("us1");
        if region.len() > 16 || region.is_empty() || !region.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(malformed("region: such as us1, ie1 or au1".to_owned()));
        }
        Ok(())
    }

    /// The names of the grants that are asked for.
    pub fn grants(&self) -> impl Iterator<Item = &str> {
        self.grants.keys().map(String::as_str)
    }

    fn ttl(&self) -> u64 {
        self.ttl.unwrap_or(DEFAULT_TTL)
    }
}

/// Signs a token with a team's key. `grants` are those that the team may grant; `None`: all. `now` is the Unix second.
///
/// # Errors
/// [`MintError`]: the key can't sign, or a grant is not the team's to give.
pub fn mint(
    key: &Key,
    account: &AccountSid,
    grants: Option<&[String]>,
    request: &Request,
    now: u64,
) -> Result<Minted, MintError> {
    let Some(key_sid) = key.key_sid().filter(|_| key.signs) else { return Err(MintError::CannotSign) };
    let allowed = |name: &String| grants.is_none_or(|grants| grants.contains(name));
    if let Some(name) = request.grants.keys().find(|name| !allowed(name)) {
        return Err(MintError::Grant(name.clone()));
    }
    let expires_at = now + request.ttl();
    let mut all = Map::new();
    all.extend(request.identity.clone().map(|identity| ("identity".to_owned(), identity.into())));
    all.extend(request.grants.clone());
    let claims = json!({
        "jti": format!("{key_sid}-{now}"),
        "grants": all,
        "iat": now,
        "exp": expires_at,
        "iss": key_sid.as_str(),
        "sub": account.as_str(),
    });
    let signer = EncodingKey::from_secret(key.secret().expose());
    // An HMAC over JSON that was just made: nothing of the caller's can make it fail.
    let token = jsonwebtoken::encode(&header(request), &claims, &signer);
    Ok(Minted { token: token.map_err(|error| malformed(error.to_string()))?, expires_at, key_sid })
}

fn header(request: &Request) -> Header {
    let mut header = Header::new(Algorithm::HS256);
    header.cty = Some("twilio-fpa;v=1".to_owned());
    if let Some(region) = &request.region {
        header.extras.insert("twr", region);
    }
    header
}

/// What of a body can't be read. Not what the parser says of it, which repeats names and values: they would stand in the
/// audit.
fn odd(body: &[u8], error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    let place = format!(
        "expected {{\"identity\",\"ttl\",\"grants\":{{}},\"region\"}} as JSON: see line {line}, column {column}"
    );
    let Ok(Value::Object(members)) = serde_json::from_slice(body) else { return place };
    let is_text = |value: &Value| value.is_string() || value.is_null();
    let is_whole = |value: &Value| value.is_u64() || value.is_null();
    let has = |name: &str, fits: &dyn Fn(&Value) -> bool| members.get(name).is_none_or(fits);
    let told = match () {
        () if !members.contains_key("grants") => "grants: missing; expected an object such as {\"voice\":{}}",
        () if !has("grants", &Value::is_object) => "grants: expected an object such as {\"voice\":{}}",
        () if !has("ttl", &is_whole) => "ttl: expected a whole number of seconds, without quotes",
        () if !has("identity", &is_text) => "identity: expected a text",
        () if !has("region", &is_text) => "region: expected a text",
        () => return place,
    };
    told.to_owned()
}

fn malformed(text: String) -> MintError {
    MintError::Malformed(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    /// What twilio-node 3.84.1 to 6.2.0 put into the token of [`BODY`] at second 1,700,000,000.
    const NODE_CLAIMS: &str = r#"{"jti":"SKaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-1700000000","grants":{"identity":"alice","voice":{"incoming":{"allow":true},"outgoing":{"application_sid":"APcccccccccccccccccccccccccccccccc","params":{"a":"b"}}},"chat":{"service_sid":"ISdddddddddddddddddddddddddddddddd"},"data_sync":{"service_sid":"ISeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee","endpoint_id":"x"},"video":{"room":"r"}},"iat":1700000000,"exp":1700003600,"iss":"SKaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","sub":"ACbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}"#;

    /// What twilio-python 9.13.0 put there: `nbf` in place of `iat`, and nothing else is different.
    const PYTHON_CLAIMS: &str = r#"{"jti":"SKaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-1700000000","grants":{"voice":{"incoming":{"allow":true},"outgoing":{"application_sid":"APcccccccccccccccccccccccccccccccc","params":{"a":"b"}}},"chat":{"service_sid":"ISdddddddddddddddddddddddddddddddd"},"data_sync":{"service_sid":"ISeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee","endpoint_id":"x"},"video":{"room":"r"},"identity":"alice"},"iss":"SKaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","exp":1700003600,"nbf":1700000000,"sub":"ACbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}"#;

    const HEADER: &str = r#"{"alg":"HS256","typ":"JWT","cty":"twilio-fpa;v=1","twr":"ie1"}"#;

    const BODY: &str = r#"{"identity":"alice","ttl":3600,"region":"ie1","grants":{
        "voice":{"incoming":{"allow":true},"outgoing":{"application_sid":"APcccccccccccccccccccccccccccccccc","params":{"a":"b"}}},
        "chat":{"service_sid":"ISdddddddddddddddddddddddddddddddd"},
        "data_sync":{"service_sid":"ISeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee","endpoint_id":"x"},
        "video":{"room":"r"}}}"#;

    fn key(signs: bool) -> Key {
        Key::new(&format!("SK{}", "a".repeat(32)), Secret::from("s".repeat(32)), signs)
    }

    fn account() -> AccountSid {
        AccountSid::parse(&format!("AC{}", "b".repeat(32))).expect("a SID")
    }

    fn minted(body: &str, grants: Option<&[String]>) -> Result<Minted, MintError> {
        mint(&key(true), &account(), grants, &Request::parse(body.as_bytes())?, 1_700_000_000)
    }

    fn part(token: &str, at: usize) -> Value {
        let text = token.split('.').nth(at).expect("three parts");
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).expect("base64")).expect("JSON")
    }

    #[test]
    fn a_token_is_that_of_twilios_own_classes() {
        let minted = minted(BODY, None).expect("a token");
        let (header, mut claims) = (part(&minted.token, 0), part(&minted.token, 1));
        let read = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        assert_eq!(header, read(HEADER));
        assert_eq!(claims.to_string(), NODE_CLAIMS, "to the letter");
        let object = claims.as_object_mut().expect("an object");
        let issued = object.remove("iat").expect("iat");
        object.insert("nbf".to_owned(), issued);
        assert_eq!(claims, read(PYTHON_CLAIMS));
        assert_eq!(minted.expires_at, 1_700_003_600);
        let (signed, signature) = minted.token.rsplit_once('.').expect("three parts");
        let hmac = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, "s".repeat(32).as_bytes());
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
        assert!(aws_lc_rs::hmac::verify(&hmac, signed.as_bytes(), &signature).is_ok(), "the key's secret signs");
    }

    #[test]
    fn a_key_that_can_not_sign_is_refused() {
        let request = Request::parse(BODY.as_bytes()).expect("a request");
        let refused = Err(MintError::CannotSign);
        assert_eq!(mint(&key(false), &account(), None, &request, 1), refused, "a Restricted key");
        let master = Key::new(&format!("AC{}", "b".repeat(32)), Secret::from("t".repeat(32)), true);
        assert_eq!(mint(&master, &account(), None, &request, 1), refused, "an auth token");
    }

    #[test]
    fn a_team_grants_what_it_may() {
        let two = ["voice".to_owned(), "chat".to_owned()];
        assert_eq!(minted(BODY, Some(&two)), Err(MintError::Grant("data_sync".to_owned())));
        assert!(minted(r#"{"identity":"a","grants":{"chat":{}}}"#, Some(&two)).is_ok());
        assert!(minted(r#"{"identity":"a","grants":{"chat":{}}}"#, Some(&[])).is_err());
    }

    #[test]
    fn what_is_malformed_is_said() {
        let cases = [
            ("", "expected"),
            ("[]", "expected"),
            (r#"{"identity":"a"}"#, "grants: missing"),
            ("{}", "grants: missing"),
            (r#"{"grants":[]}"#, "grants: expected an object"),
            (r#"{"grants":{"chat":{}},"ttl":"60"}"#, "ttl: expected a whole number of seconds"),
            (r#"{"grants":{"chat":{}},"region":1}"#, "region: expected a text"),
            (r#"{"identity":"a","grants":{}}"#, "grants: at least one"),
            (r#"{"identity":"a","grants":{"sync":{}}}"#, "grants: one of them is none of"),
            (r#"{"identity":"a","grants":{"identity":{}}}"#, "grants: one of them is none of"),
            (r#"{"identity":"a","grants":{"chat":true}}"#, "grants.chat: expected an object"),
            (r#"{"identity":"","grants":{"chat":{}}}"#, "identity"),
            (r#"{"identity":7,"grants":{"chat":{}}}"#, "identity: expected a text"),
            (r#"{"identity":"a","ttl":0,"grants":{"chat":{}}}"#, "ttl"),
            (r#"{"identity":"a","ttl":86401,"grants":{"chat":{}}}"#, "ttl"),
            (r#"{"identity":"a","ttl":-1,"grants":{"chat":{}}}"#, "expected"),
            (r#"{"identity":"a","region":"us1\r\n","grants":{"chat":{}}}"#, "region"),
            (r#"{"identity":"a","grants":{"chat":{}},"iss":"SK"}"#, "see line 1, column 42"),
            (r#"{"identity":"a","grants":{"chat":{}},"identity":"b"}"#, "expected"),
        ];
        for (body, expected) in cases {
            let error = Request::parse(body.as_bytes()).expect_err(body);
            assert!(error.to_string().contains(expected), "{body}: {error}");
            assert_eq!(error.reason(), Reason::MalformedRequest);
        }
        // What is wrong with a body is told in the audit, and nothing of the body.
        for planted in
            [r#"{"identity":"a","ttl":"hunter2","grants":{}}"#, r#"{"grants":{"hunter2":{}}}"#, r#"{"hunter2":1}"#]
        {
            let told = Request::parse(planted.as_bytes()).expect_err(planted).to_string();
            assert!(!told.contains("hunter2"), "{told}");
        }
        assert!(minted(r#"{"identity":"a","ttl":86400,"grants":{"chat":{}}}"#, None).is_ok(), "the longest");
        assert!(minted(r#"{"grants":{"player":{}}}"#, None).is_ok(), "a token for nobody in particular");
    }

    #[test]
    fn debug_shows_no_token() {
        let minted = minted(BODY, None).expect("a token");
        assert!(!format!("{minted:?}").contains(&minted.token));
    }
}
