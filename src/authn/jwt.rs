//! JWTs as proofs: RFC 7519 by the rules of RFC 8725, and nothing that a token says about itself is believed first.
//!
//! The algorithm is one that the configuration names *and* the key of the set allows; `none` and the HMACs are no
//! algorithms here. A key is found by `kid` in the provider's own set and nowhere else. Headers that bring or point to
//! a key, `crit`, `b64` and `cty` are refused, as are members that appear twice, and tokens above [`MAX_TOKEN`] bytes
//! before a byte of them is decoded. `exp` is required. Signatures are checked by jsonwebtoken over aws-lc-rs; claims
//! are checked here, against [`crate::clock`].
//!
//! A verified token is remembered by its SHA-256 until it expires or its key set changes, so that a signature is checked
//! once. Forgetting one early costs a signature check; remembering one too long would be the unsafe mistake, so a hit
//! checks the time and the key set anew.

mod claims;
mod remembered;

use super::json::{self, JsonFault};
use super::jwks::{Keys, Lookup, Tending, good_kid};
use crate::clock::Clock;
use crate::ids::{TeamId, TokenId};
use crate::{config, tls};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claims::{Claims, TeamBy};
use jsonwebtoken::Algorithm;
use remembered::{Remembered, Verified};
use serde_json::{Map, Value};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Ceiling on a token, in bytes. Kubernetes' are about 1 kB; a header line holds little more than this.
pub const MAX_TOKEN: usize = 8 << 10;

/// Longest clock skew that is forgiven, in seconds, whatever the configuration says.
const MAX_LEEWAY: u64 = 300;

/// How long a token whose key is unknown waits for the refresh that it asked for.
const WAIT_FOR_KEY: Duration = Duration::from_secs(2);

/// Whose caller a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtIdentity {
    /// The team that the token states. Whether there is such a team is the directory's to say.
    pub team: TeamId,
    /// For the audit: `jwt:` and the first 16 bytes of the token's SHA-256.
    pub id: TokenId,
    /// When the proof ends, leeway included; seconds since the Unix epoch.
    pub expires: u64,
}

/// Why a token proves nothing; for the audit, never for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtRefusal {
    /// More than [`MAX_TOKEN`] bytes.
    TooLarge,
    /// Not three parts of base64url with JSON objects in the first two.
    Malformed,
    /// A member twice in the header or the claims.
    DuplicateMember,
    /// A header that brings a key, points to one, or changes the rules.
    HeaderNotAllowed,
    /// An algorithm that the configuration doesn't name; `none` and the HMACs always.
    AlgorithmNotAllowed,
    /// An issuer that no `[[jwt]]` names.
    UnknownIssuer,
    /// Not for this audience.
    WrongAudience,
    /// A key id of the wrong shape.
    BadKeyId,
    /// No key set yet, or none young enough.
    NoKeySet,
    /// No such key in the set.
    UnknownKey,
    /// Several keys fit.
    AmbiguousKey,
    /// The signature is not the key's.
    BadSignature,
    /// A claim that is missing or of the wrong type.
    BadClaim,
    /// Past `exp`.
    Expired,
    /// Before `nbf` or `iat`.
    NotYetValid,
    /// Good, but no team is stated for it.
    NoTeam,
}

impl JwtRefusal {
    /// The word in the audit.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooLarge => "jwt_too_large",
            Self::Malformed => "jwt_malformed",
            Self::DuplicateMember => "jwt_duplicate_member",
            Self::HeaderNotAllowed => "jwt_header_not_allowed",
            Self::AlgorithmNotAllowed => "jwt_algorithm_not_allowed",
            Self::UnknownIssuer => "jwt_unknown_issuer",
            Self::WrongAudience => "jwt_wrong_audience",
            Self::BadKeyId => "jwt_bad_key_id",
            Self::NoKeySet => "jwt_no_key_set",
            Self::UnknownKey => "jwt_unknown_key",
            Self::AmbiguousKey => "jwt_ambiguous_key",
            Self::BadSignature => "jwt_bad_signature",
            Self::BadClaim => "jwt_bad_claim",
            Self::Expired => "jwt_expired",
            Self::NotYetValid => "jwt_not_yet_valid",
            Self::NoTeam => "jwt_without_team",
        }
    }
}

impl From<JsonFault> for JwtRefusal {
    fn from(fault: JsonFault) -> Self {
        match fault {
            JsonFault::Malformed => Self::Malformed,
            JsonFault::Duplicate => Self::DuplicateMember,
        }
    }
}

/// Refreshes of key sets that are under way.
#[derive(Debug)]
pub struct Coming(Vec<watch::Receiver<u64>>);

impl Coming {
    /// Waits for them, 2 s each at most.
    pub async fn wait(self) {
        for mut refresh in self.0 {
            // Late or given up: the token is judged by what is there.
            let _ = tokio::time::timeout(WAIT_FOR_KEY, refresh.changed()).await;
        }
    }
}

/// The providers of `[[jwt]]`.
pub struct Jwts {
    providers: Vec<Provider>,
    remembered: Remembered,
}

/// One `[[jwt]]`.
struct Provider {
    issuer: String,
    audience: String,
    algorithms: Vec<Algorithm>,
    team: TeamBy,
    /// Seconds.
    leeway: u64,
    /// Shared with the providers of the configuration before and after this one, if they name the same key set.
    keys: Arc<Keys>,
}

impl Jwts {
    /// Makes the providers. Key sets in files are read now; those behind URLs once they are [tended](Jwts::tend), and
    /// until then their tokens are refused. A key set that `before` holds already is taken over, so that a reload of the
    /// configuration refuses nobody.
    pub fn open(providers: &[config::Jwt], before: Option<&Self>) -> Result<Self, tls::Error> {
        let providers = providers.iter().map(|jwt| Provider::open(jwt, before)).collect::<Result<_, _>>()?;
        Ok(Self { providers, remembered: Remembered::default() })
    }

    /// Keeps the key sets fresh, on a thread of its own, until what comes back is dropped.
    pub fn tend(&self, clock: &Clock) -> io::Result<Tending> {
        let keys = self.providers.iter().map(|provider| (provider.issuer.clone(), Arc::clone(&provider.keys)));
        Tending::start(keys.collect(), clock.clone())
    }

    /// Whether every provider has had its first key set.
    pub fn loaded(&self) -> bool {
        self.providers.iter().all(|provider| provider.keys.loaded())
    }

    /// The issuers without a key set in force: none yet, or none young enough. `now` is in seconds since the Unix epoch.
    pub fn without_keys(&self, now: u64) -> Vec<&str> {
        let without = self.providers.iter().filter(|provider| provider.keys.current(now).is_none());
        without.map(|provider| provider.issuer.as_str()).collect()
    }

    /// Verifies a token. `now` is in seconds since the Unix epoch. Never waits: where the key is unknown,
    /// [`Jwts::coming`] gets it.
    pub fn verify(&self, token: &str, now: u64) -> Result<JwtIdentity, JwtRefusal> {
        if token.len() > MAX_TOKEN {
            return Err(JwtRefusal::TooLarge);
        }
        let digest = sha256(token.as_bytes());
        if let Some(found) = self.remembered.find(&digest, now, |provider| self.providers[provider].keys.current(now)) {
            return Ok(found);
        }
        let parts = Parts::read(token)?;
        let candidates = self.candidates(&parts.claims)?;
        let mut refusal = JwtRefusal::UnknownIssuer;
        for index in candidates {
            let provider = &self.providers[index];
            let Some(set) = provider.keys.current(now) else {
                refusal = JwtRefusal::NoKeySet;
                continue;
            };
            match provider.check(&parts, set.find(parts.kid.as_deref(), parts.alg), now) {
                Ok((team, expires)) => {
                    let id = TokenId::new(&format!("jwt:{}", hex::encode(&digest[..16])));
                    let identity = JwtIdentity { team, id, expires };
                    self.remembered.keep(digest, Verified::new(identity.clone(), index, &set, now));
                    return Ok(identity);
                }
                Err(why) => refusal = why,
            }
        }
        Err(refusal)
    }

    /// Asks for the refresh that a token was refused for want of, and gives something to wait for; `None` if none is
    /// coming, as when its key was asked for less than 30 s ago. Afterwards the token is worth another [`Jwts::verify`].
    pub fn coming(&self, token: &str, refusal: JwtRefusal, now: u64) -> Option<Coming> {
        if !matches!(refusal, JwtRefusal::UnknownKey | JwtRefusal::NoKeySet) {
            return None;
        }
        let parts = Parts::read(token).ok()?;
        let mut refreshes = Vec::new();
        for index in self.candidates(&parts.claims).ok()? {
            let keys = &self.providers[index].keys;
            // Looked at first: the refresh that somebody else asked for may have ended since the token was refused.
            let set = keys.current(now);
            if set.is_some_and(|set| matches!(set.find(parts.kid.as_deref(), parts.alg), Lookup::Found(_))) {
                return Some(Coming(Vec::new()));
            }
            refreshes.extend(keys.ask(parts.kid.as_deref().unwrap_or_default(), now));
        }
        (!refreshes.is_empty()).then_some(Coming(refreshes))
    }

    /// The providers whose issuer and audience the claims state. Nothing is proven yet; this only picks whose keys to
    /// ask.
    fn candidates(&self, claims: &Claims) -> Result<Vec<usize>, JwtRefusal> {
        let issued = |(_, provider): &(usize, &Provider)| provider.issuer == claims.issuer;
        let issued: Vec<_> = self.providers.iter().enumerate().filter(issued).collect();
        if issued.is_empty() {
            return Err(JwtRefusal::UnknownIssuer);
        }
        let meant = |(_, provider): &(usize, &Provider)| claims.audience.contains(&provider.audience);
        let meant: Vec<_> = issued.into_iter().filter(meant).map(|(index, _)| index).collect();
        if meant.is_empty() { Err(JwtRefusal::WrongAudience) } else { Ok(meant) }
    }
}

impl Provider {
    fn open(jwt: &config::Jwt, before: Option<&Jwts>) -> Result<Self, tls::Error> {
        let held = before.into_iter().flat_map(|jwts| &jwts.providers).map(|provider| &provider.keys);
        let held = held.into_iter().find(|keys| keys.is_of(jwt)).cloned();
        let algorithms = jwt.algorithms.iter().map(|name| algorithm(name)).collect::<Option<Vec<_>>>();
        let algorithms = algorithms.filter(|list| !list.is_empty()).ok_or_else(|| {
            let of = format!("[[jwt]] issuer = {:?}", jwt.issuer);
            tls::Error::general(format!("{of}: algorithms must name some of RS256 to PS512, ES256, ES384, EdDSA"))
        })?;
        Ok(Self {
            issuer: jwt.issuer.clone(),
            audience: jwt.audience.clone(),
            algorithms,
            team: TeamBy::new(jwt),
            leeway: jwt.leeway.as_secs().min(MAX_LEEWAY),
            keys: held.map_or_else(|| Keys::open(jwt).map(Arc::new), Ok)?,
        })
    }

    /// The signature, then the times, then the team.
    fn check(&self, parts: &Parts<'_>, key: Lookup<'_>, now: u64) -> Result<(TeamId, u64), JwtRefusal> {
        if !self.algorithms.contains(&parts.alg) {
            return Err(JwtRefusal::AlgorithmNotAllowed);
        }
        let key = match key {
            Lookup::Found(key) => key,
            Lookup::Unknown => return Err(JwtRefusal::UnknownKey),
            Lookup::Ambiguous => return Err(JwtRefusal::AmbiguousKey),
        };
        match jsonwebtoken::crypto::verify(parts.signature, parts.signed.as_bytes(), key, parts.alg) {
            Ok(true) => {}
            Ok(false) | Err(_) => return Err(JwtRefusal::BadSignature),
        }
        let expires = parts.claims.in_time(now, self.leeway)?;
        Ok((self.team.of(&parts.claims)?, expires))
    }
}

/// A token taken apart; nothing of it is proven.
struct Parts<'a> {
    /// What the signature covers.
    signed: &'a str,
    signature: &'a str,
    alg: Algorithm,
    kid: Option<String>,
    claims: Claims,
}

impl<'a> Parts<'a> {
    fn read(token: &'a str) -> Result<Self, JwtRefusal> {
        let (signed, signature) = token.rsplit_once('.').ok_or(JwtRefusal::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(JwtRefusal::Malformed)?;
        // Strict: no padding, no stray bits. A signature of another spelling would be another token.
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| JwtRefusal::Malformed);
        if decode(signature)?.is_empty() {
            return Err(JwtRefusal::Malformed);
        }
        let header = json::object(&decode(header)?)?;
        let (alg, kid) = read_header(&header)?;
        let claims = Claims::read(json::object(&decode(payload)?)?)?;
        Ok(Self { signed, signature, alg, kid, claims })
    }
}

/// Algorithm and key id of a header that brings nothing forbidden.
fn read_header(header: &Map<String, Value>) -> Result<(Algorithm, Option<String>), JwtRefusal> {
    // A key that the sender chose, an extension that must be understood, another payload encoding, a nested token.
    const FORBIDDEN: [&str; 10] = ["jku", "jwk", "x5u", "x5c", "crit", "b64", "cty", "zip", "enc", "epk"];
    if FORBIDDEN.iter().any(|name| header.contains_key(*name)) {
        return Err(JwtRefusal::HeaderNotAllowed);
    }
    match header.get("typ") {
        None => {}
        Some(Value::String(typ)) if typ.eq_ignore_ascii_case("JWT") || typ.eq_ignore_ascii_case("at+jwt") => {}
        Some(_) => return Err(JwtRefusal::HeaderNotAllowed),
    }
    let alg = header.get("alg").and_then(Value::as_str).and_then(algorithm).ok_or(JwtRefusal::AlgorithmNotAllowed)?;
    let kid = match header.get("kid") {
        None => None,
        Some(Value::String(kid)) if good_kid(kid) => Some(kid.clone()),
        Some(_) => return Err(JwtRefusal::BadKeyId),
    };
    Ok((alg, kid))
}

/// An asymmetric algorithm by its exact name.
fn algorithm(name: &str) -> Option<Algorithm> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    let alg = name.parse().ok()?;
    matches!(alg, RS256 | RS384 | RS512 | PS256 | PS384 | PS512 | ES256 | ES384 | EdDSA).then_some(alg)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut digest = [0; 32];
    digest.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
    digest
}

impl std::fmt::Debug for Jwts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Jwts({})", self.providers.len())
    }
}

#[cfg(test)]
mod tests;
