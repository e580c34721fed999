//! `/.sidekey/`: what sidekey answers itself to a proven caller.

use super::line::Line;
use super::prepared::OwnAnswer;
use super::stop::Stop;
use crate::config::Kind;
use crate::error::Reason;
use crate::keys::access_token::{self, MAX_BODY, MintError, Request};
use crate::keys::signing_key;
use crate::policy::own_policy;
use jiff::Timestamp;
use serde_json::json;

/// Name of the minting operation, in the audit and in policies; a grant's own name follows it there.
pub const MINT: &str = "sidekey:AccessTokens:create";

/// The path under which nothing is Twilio's.
pub const PREFIX: &str = "/.sidekey/";

/// Name of the other operation.
const WHOAMI: &str = "sidekey:Whoami:fetch";

/// The operation of a request under [`PREFIX`], or what is wrong with it.
///
/// # Errors
/// There is no such resource, or it doesn't take this method.
pub fn operation(method: &str, path: &str) -> Result<&'static str, &'static str> {
    match (method, path) {
        ("GET", "/.sidekey/whoami") => Ok(WHOAMI),
        ("POST", "/.sidekey/access-tokens") => Ok(MINT),
        _ => Err("no such resource under /.sidekey/"),
    }
}

/// Whether what is answered depends on the body.
pub(super) fn needs_body(operation: &str) -> bool {
    operation == MINT
}

impl Line<'_, '_, '_> {
    /// Answers an operation of sidekey's own.
    pub(super) fn local(&self, operation: &str) -> Result<OwnAnswer, Stop> {
        if needs_body(operation) { self.mint(self.inspected.map_or(b"", |body| body.bytes)) } else { Ok(self.whoami()) }
    }

    fn whoami(&self) -> OwnAnswer {
        let team = self.caller.team();
        let key = match team.kind {
            Kind::Master => self.broker.directory.master(),
            Kind::Standard => team.key.clone(),
        };
        let body = json!({
            "team": team.id.as_str(),
            "kind": team.kind,
            "proof": self.caller.proof().name(),
            "key_sid": key.and_then(|key| key.key_sid()).map(|sid| sid.to_string()),
        });
        OwnAnswer { operation: WHOAMI, status: 200, body: body.to_string() }
    }

    /// `POST /.sidekey/access-tokens`. A team's policy can name the grants that it may ask for
    /// (`sidekey:AccessTokens:voice`).
    fn mint(&self, body: &[u8]) -> Result<OwnAnswer, Stop> {
        let team = self.caller.team();
        let refused = |error: &MintError| Stop::telling(error.reason(), MINT, error.to_string());
        if body.len() > MAX_BODY {
            return Err(Stop::because(Reason::BodyTooLarge, "a request for a token"));
        }
        // The token is for the account of the key that signs it, as Twilio checks: its bearer acts there.
        let account = &self.broker.account;
        let pinned = team.kind == Kind::Standard || !team.accounts.is_empty();
        if pinned && !team.accounts.contains(account) {
            let why = "an Access Token is for the account of the key that signs it, which is not the team's";
            return Err(Stop::telling(Reason::AccountNotAllowed, MINT, why.to_owned()));
        }
        let request = Request::parse(body).map_err(|error| refused(&error))?;
        for grant in request.grants() {
            own_policy(&team.policy, &format!("sidekey:AccessTokens:{grant}"))
                .map_err(|_| refused(&MintError::Grant(grant.to_owned())))?;
        }
        let now = self.now;
        let key = signing_key(team, &self.broker.directory, now)
            .map_err(|reason| Stop::telling(reason, MINT, reason.row().message.to_owned()))?;
        let grants = team.grants.as_deref();
        let minted = access_token::mint(&key, account, grants, &request, now).map_err(|error| refused(&error))?;
        let expires = Timestamp::from_second(i64::try_from(minted.expires_at).unwrap_or(i64::MAX));
        let body = json!({
            "token": minted.token,
            "expires_at": expires.unwrap_or(Timestamp::MAX).to_string(),
            "key_sid": minted.key_sid.as_str(),
        });
        Ok(OwnAnswer { operation: MINT, status: 201, body: body.to_string() })
    }
}
