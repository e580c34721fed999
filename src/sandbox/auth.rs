//! Who asks: Basic auth with an account's token or an API key, each let in exactly where Twilio lets it in.

use super::permission::Action;
use super::refusal::Refusal;
use super::sid::Sid;
use super::state::{Power, State};
use crate::secret::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};

/// What the request presented. The password is kept as a secret; the username is a name.
#[derive(Debug)]
pub struct Credential {
    username: String,
    password: Secret,
}

impl Credential {
    /// Reads `Authorization`; `None` for none, another scheme, or one that can't be read.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let (scheme, value) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("Basic") {
            return None;
        }
        let decoded = Secret::new(STANDARD.decode(value.trim()).ok()?);
        let (username, password) = decoded.expose_str()?.split_once(':')?;
        Some(Self { username: username.to_owned(), password: Secret::new(password.as_bytes()) })
    }

    /// The username, if it is a name of Twilio's: anything else may be a secret in the wrong place.
    pub fn sid(&self) -> Option<Sid> {
        Sid::parse(&self.username, "AC").or_else(|| Sid::parse(&self.username, "SK"))
    }
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Actor {
    /// The account that the credential belongs to.
    pub account: Sid,
    power: Option<Power>,
}

impl Actor {
    /// Checks the credential. Deleted keys are unknown from the moment of their deletion.
    pub fn authenticate(state: &State, credential: Option<&Credential>) -> Result<Self, Refusal> {
        let credential = credential.ok_or_else(Refusal::no_credentials)?;
        let sid = credential.sid().ok_or_else(Refusal::invalid_username)?;
        let found = match state.accounts.get(&sid) {
            Some(account) => Some((account, &account.token, None)),
            None => state.key(&sid).map(|(account, key)| (account, &key.secret, Some(key.power.clone()))),
        };
        let (account, secret, power) = found.ok_or_else(Refusal::unauthenticated)?;
        if *secret != credential.password {
            return Err(Refusal::unauthenticated());
        }
        if !state.is_active(account) {
            return Err(Refusal::account_not_active());
        }
        Ok(Self { account: account.sid, power })
    }

    /// Lets in to a resource that is closed to Standard keys: accounts and keys.
    pub fn manage(&self, permission: &str, action: Action) -> Result<(), Refusal> {
        match &self.power {
            Some(Power::Standard) => Err(Refusal::unauthenticated()),
            _ => self.act(permission, action),
        }
    }

    /// Lets in to any other resource.
    pub fn act(&self, permission: &str, action: Action) -> Result<(), Refusal> {
        match &self.power {
            Some(Power::Restricted(policy)) => policy.check(permission, action),
            None | Some(Power::Main | Power::Standard) => Ok(()),
        }
    }

    /// Whether the actor may act on this account at all: its own, or on api a subaccount of its own. Restricted keys
    /// stay at home.
    pub fn reaches(&self, state: &State, account: Sid) -> bool {
        let is_child = || state.accounts.get(&account).is_some_and(|found| found.owner == self.account);
        account == self.account || (!matches!(self.power, Some(Power::Restricted(_))) && is_child())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn credential(value: &str) -> Option<Credential> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(value).expect("a header value"));
        Credential::of(&headers)
    }

    #[test]
    fn the_password_begins_at_the_first_colon() {
        let value = format!("bAsIc {}", STANDARD.encode("AC1:a:b"));
        let credential = credential(&value).expect("reads");
        assert_eq!(credential.username, "AC1");
        assert_eq!(credential.password.expose(), b"a:b");
        assert_eq!(credential.sid(), None);
    }

    #[test]
    fn what_is_not_basic_is_nothing() {
        for value in ["Bearer x", "Basic", "Basic !!!", "", "QUM6eA=="] {
            assert!(credential(value).is_none(), "{value}");
        }
    }
}
