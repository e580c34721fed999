//! Access Tokens: the sandbox's judge of the JWTs that keys sign for Twilio's own devices.
//!
//! Codes: Twilio docs. Deleting a key ends every token that it signed.

use super::refusal::Refusal;
use super::sid::Sid;
use super::state::{Power, State};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;

/// Longest life, in seconds (Twilio docs, error 20157).
const MAX_LIFE: i64 = 86_400;

/// The claims of a token that Twilio would take now.
pub fn validate(state: &State, token: &str, now: i64) -> Result<Value, Refusal> {
    let refuse = |code: u32, message: &'static str| Refusal::new(401, code, message);
    let invalid = || refuse(20101, "Invalid Access Token");
    let header = jsonwebtoken::decode_header(token).map_err(|_| invalid())?;
    let known = matches!(header.alg, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512);
    if !known || header.cty.as_deref() != Some("twilio-fpa;v=1") {
        return Err(refuse(20102, "Invalid Access Token header"));
    }
    let unproven: Value = jsonwebtoken::dangerous::insecure_decode(token).map_err(|_| invalid())?.claims;
    let text = |claim: &str| unproven.get(claim).and_then(Value::as_str).unwrap_or_default().to_owned();
    let issuer = Sid::parse(&text("iss"), "SK").and_then(|sid| state.key(&sid));
    let (account, key) = issuer.ok_or_else(|| refuse(20103, "Invalid Access Token issuer/subject"))?;
    if text("sub") != account.sid.as_str() {
        return Err(refuse(20103, "Invalid Access Token issuer/subject"));
    }
    if matches!(key.power, Power::Restricted(_)) {
        return Err(refuse(20160, "Restricted API keys can't sign Access Tokens"));
    }
    let mut validation = Validation::new(header.alg);
    // Times are checked below, by the sandbox's own clock.
    validation.validate_exp = false;
    validation.required_spec_claims.clear();
    let claims: Value = jsonwebtoken::decode(token, &DecodingKey::from_secret(key.secret.expose()), &validation)
        .map_err(|_| refuse(20107, "Invalid Access Token signature"))?
        .claims;
    let time = |claim: &str| claims.get(claim).and_then(Value::as_i64);
    let expiry = time("exp").ok_or_else(invalid)?;
    if expiry <= now {
        return Err(refuse(20104, "Access Token expired or expiration date invalid"));
    }
    if expiry - time("nbf").or_else(|| time("iat")).unwrap_or(now) > MAX_LIFE {
        return Err(refuse(20157, "Expiration time exceeds the maximum of 24 hours"));
    }
    if time("nbf").is_some_and(|from| from > now) {
        return Err(refuse(20105, "Access Token not yet valid"));
    }
    if !claims.get("grants").is_some_and(Value::is_object) {
        return Err(refuse(20106, "Invalid Access Token grants"));
    }
    if !state.is_active(account) {
        return Err(refuse(20005, "Account not active"));
    }
    Ok(claims)
}
