//! The claims of a token: types, times, and the team.

use super::JwtRefusal;
use crate::config;
use crate::ids::TeamId;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Audiences that a token may name; Kubernetes' default is one.
const MAX_AUDIENCES: usize = 16;

/// 9999-12-31T23:59:59Z: a time past it is a mistake or a token that never ends.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// The claims that are read, and the rest for the team's.
pub(super) struct Claims {
    pub(super) issuer: String,
    pub(super) audience: Vec<String>,
    expires: u64,
    not_before: Option<u64>,
    issued_at: Option<u64>,
    all: Map<String, Value>,
}

impl Claims {
    /// Takes claims whose registered members are there and of their type. A time given as text is refused, not skipped.
    pub(super) fn read(all: Map<String, Value>) -> Result<Self, JwtRefusal> {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let issuer = text(all.get("iss")).ok_or(JwtRefusal::BadClaim)?;
        let audience = match all.get("aud") {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(list)) if list.len() <= MAX_AUDIENCES => {
                list.iter().map(|one| text(Some(one))).collect::<Option<_>>().ok_or(JwtRefusal::BadClaim)?
            }
            _ => return Err(JwtRefusal::BadClaim),
        };
        if all.get("sub").is_some_and(|sub| !sub.is_string()) {
            return Err(JwtRefusal::BadClaim);
        }
        let expires = time(&all, "exp")?.ok_or(JwtRefusal::BadClaim)?;
        let (not_before, issued_at) = (time(&all, "nbf")?, time(&all, "iat")?);
        Ok(Self { issuer, audience, expires, not_before, issued_at, all })
    }

    /// Holds the times against `now`; gives the second at which the token ends, leeway included.
    pub(super) fn in_time(&self, now: u64, leeway: u64) -> Result<u64, JwtRefusal> {
        let end = self.expires.saturating_add(leeway);
        if now >= end {
            return Err(JwtRefusal::Expired);
        }
        let begins = self.not_before.unwrap_or(0).max(self.issued_at.unwrap_or(0));
        if begins > now.saturating_add(leeway) {
            return Err(JwtRefusal::NotYetValid);
        }
        Ok(end)
    }
}

/// A numeric date in whole seconds: rounded down, so that a fraction never makes `exp` later.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, JwtRefusal> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().ok_or(JwtRefusal::BadClaim)?;
    if !(0.0..=LAST_SECOND).contains(&seconds) {
        return Err(JwtRefusal::BadClaim);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range above")]
    Ok(Some(seconds as u64))
}

/// How a provider's tokens name their team.
pub(super) struct TeamBy {
    claim: Option<String>,
    subjects: BTreeMap<String, TeamId>,
}

impl TeamBy {
    pub(super) fn new(jwt: &config::Jwt) -> Self {
        Self { claim: jwt.team_claim.clone(), subjects: jwt.subjects.clone() }
    }

    /// The team: by the exact `sub` if it is listed, else by the claim. A claim that begins with `/` is a JSON pointer
    /// (RFC 6901) into the claims: `/kubernetes.io/namespace` names the team by the Kubernetes namespace.
    pub(super) fn of(&self, claims: &Claims) -> Result<TeamId, JwtRefusal> {
        let subject = claims.all.get("sub").and_then(Value::as_str);
        if let Some(team) = subject.and_then(|subject| self.subjects.get(subject)) {
            return Ok(team.clone());
        }
        let name = self.claim.as_deref().ok_or(JwtRefusal::NoTeam)?;
        let value = if name.starts_with('/') { point(&claims.all, name) } else { claims.all.get(name) };
        value.and_then(Value::as_str).and_then(TeamId::parse).ok_or(JwtRefusal::NoTeam)
    }
}

/// What a JSON pointer points at, through objects only.
fn point<'a>(claims: &'a Map<String, Value>, pointer: &str) -> Option<&'a Value> {
    let mut steps = pointer.strip_prefix('/')?.split('/').map(|step| step.replace("~1", "/").replace("~0", "~"));
    let mut value = claims.get(&steps.next()?)?;
    for step in steps {
        value = value.as_object()?.get(&step)?;
    }
    Some(value)
}
