//! Proof → `Caller`. The username of a Basic proof is never trusted, and a proof never travels upstream.

pub mod certificate;
mod json;
pub mod jwks;
pub mod jwt;
#[cfg(test)]
mod testing;
pub mod token;

mod basic;
mod connection;

pub use connection::{ConnectionProof, ConnectionRules};
pub use token::Token;

use self::certificate::CertificateRefusal;
use self::jwt::{Coming, Jwts};
use crate::directory::{Directory, Sought, TeamState, TokenEntry};
use crate::error::Reason;
use crate::headers;
use crate::http1::Field;
use crate::ids::TokenId;
use crate::tls::callers::CallerTls;
use arc_swap::Guard;
use aws_lc_rs::digest::{SHA256, digest};
use std::sync::Arc;

/// Longest token that is looked up, in bytes. Ours have 54; a longer one is none of ours and not worth hashing.
const MAX_TOKEN: usize = 512;

/// What kind of proof a caller brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofKind {
    /// An opaque token.
    Token,
    /// A JWT.
    Jwt,
    /// A client certificate.
    Certificate,
    /// The uid at the other end of a Unix socket.
    Peer,
}

impl ProofKind {
    /// The word in `whoami` and in the audit.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Jwt => "jwt",
            Self::Certificate => "certificate",
            Self::Peer => "peer",
        }
    }
}

/// Who asks: only [`Authn`] makes one.
#[derive(Debug)]
pub struct Caller {
    team: Guard<Arc<TeamState>>,
    proof: ProofKind,
    proof_id: TokenId,
}

impl Caller {
    /// The caller's team, as it was when the proof was checked; used to the request's end.
    pub fn team(&self) -> &TeamState {
        &self.team
    }

    /// The same, as it can be told from an earlier or a later one.
    pub fn state(&self) -> &Arc<TeamState> {
        &self.team
    }

    /// What was presented.
    pub const fn proof(&self) -> ProofKind {
        self.proof
    }

    /// The public id of what was presented.
    pub const fn proof_id(&self) -> &TokenId {
        &self.proof_id
    }
}

/// Why there is no caller. `why` is for the audit: the caller is told the reason only.
#[derive(Debug)]
pub struct Refusal {
    /// The row of the table.
    pub reason: Reason,
    /// What the caller is not told.
    pub why: &'static str,
    /// The proof's id, if it was one of ours.
    pub proof_id: Option<TokenId>,
    /// A refresh of keys after which the proof is worth another look.
    pub coming: Option<Coming>,
}

impl Refusal {
    const fn because(reason: Reason, why: &'static str) -> Self {
        Self { reason, why, proof_id: None, coming: None }
    }

    const fn invalid(why: &'static str) -> Self {
        Self::because(Reason::InvalidProof, why)
    }
}

/// A proof that has been read. The token that it is may still be on its way from memory.
#[must_use]
#[derive(Debug)]
pub struct Begun(Result<Found, Refusal>);

#[derive(Debug)]
enum Found {
    Caller(Caller),
    Token(Sought),
}

impl Begun {
    /// SHA-256 of the token, if it is one and nothing else was asked: then [`Authn::begin_known`] asks all of it again.
    pub fn token(&self, connection: Option<&ConnectionProof>) -> Option<[u8; 32]> {
        match (&self.0, connection) {
            (Ok(Found::Token(sought)), None | Some(ConnectionProof::Header(_, None))) => Some(*sought.digest()),
            _ => None,
        }
    }

    /// Finds the caller.
    ///
    /// # Errors
    /// [`Refusal`]: no proof, one that proves nothing, or (only if one of them is good) more than one.
    pub fn finish(self, now: u64) -> Result<Caller, Refusal> {
        match self.0? {
            Found::Caller(caller) => Ok(caller),
            Found::Token(sought) => of_token(sought, now),
        }
    }
}

/// Checks proofs against the directory.
#[derive(Debug)]
pub struct Authn {
    directory: Arc<Directory>,
    jwts: Option<Arc<Jwts>>,
    rules: Arc<ConnectionRules>,
    /// Judges client certificates again when its files change.
    tls: Option<Arc<CallerTls>>,
}

/// The proofs of one request.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// The request's header fields.
    pub fields: &'a [Field<'a>],
    /// Whether the target is in absolute form (or CONNECT's): then `Proxy-Authorization` is the proof.
    pub proxied: bool,
    /// What the connection proves.
    pub connection: Option<&'a ConnectionProof>,
}

impl<'a> Presented<'a> {
    /// The one header that is the proof.
    pub fn header(&self) -> Option<&'a [u8]> {
        match self.find() {
            Header::One(value) => Some(value),
            Header::None | Header::Many => None,
        }
    }

    fn find(&self) -> Header<'a> {
        let proxy = self.proxied.then(|| Header::find(self.fields, b"proxy-authorization"));
        match proxy {
            Some(found) if found != Header::None => found,
            _ => Header::find(self.fields, b"authorization"),
        }
    }
}

impl Authn {
    /// Checks against this directory.
    pub const fn new(directory: Arc<Directory>, jwts: Option<Arc<Jwts>>, rules: Arc<ConnectionRules>) -> Self {
        Self { directory, jwts, rules, tls: None }
    }

    /// The same, with certificates judged again by the files of `[tls]` as they are at each request.
    #[must_use]
    pub fn with_tls(self, tls: Arc<CallerTls>) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// Finds the caller, and waits for what is asked of memory.
    ///
    /// # Errors
    /// See [`Begun::finish`].
    pub fn authenticate(&self, presented: &Presented<'_>, now: u64) -> Result<Caller, Refusal> {
        self.begin(presented, now).finish(now)
    }

    /// Reads the proof. Of a million tokens no cache holds all: what is done between this and [`Begun::finish`] is done
    /// while the token comes.
    pub fn begin(&self, presented: &Presented<'_>, now: u64) -> Begun {
        Begun(self.find(presented, now))
    }

    /// The same for a proof that [`Begun::token`] told the token of.
    pub fn begin_known(&self, token: [u8; 32], now: u64) -> Begun {
        Begun(self.fresh(now).map(|()| Found::Token(self.directory.seek(token))))
    }

    fn fresh(&self, now: u64) -> Result<(), Refusal> {
        if self.directory.fresh(now) {
            return Ok(());
        }
        Err(Refusal::because(Reason::Overloaded, "store: stale for too long"))
    }

    fn find(&self, presented: &Presented<'_>, now: u64) -> Result<Found, Refusal> {
        self.fresh(now)?;
        // Inside a tunnel the proxy's proof has decided already, and Authorization is only replaced.
        if let Some(ConnectionProof::Header(value, below)) = presented.connection {
            return match below {
                Some(below) => self.in_tunnel(value.expose(), below, now).map(Found::Caller),
                None => self.seek(value.expose(), now),
            };
        }
        let standing = match presented.connection {
            Some(proof) => self.standing(proof, now)?,
            None => None,
        };
        match (presented.find(), standing) {
            (Header::None, None) if matches!(presented.connection, Some(ConnectionProof::Certificate(_))) => {
                Err(Refusal::invalid(CertificateRefusal::NoTeam.name()))
            }
            (Header::None, None) => Err(Refusal::because(Reason::Unauthenticated, "no proof")),
            (Header::None, Some(standing)) => Self::by_connection(standing).map(Found::Caller),
            (Header::One(value), None) => self.seek(value, now),
            (Header::One(value), Some(standing)) => self.by_both(value, standing, now).map(Found::Caller),
            (Header::Many, standing) => Err(self.many(presented, standing.is_some(), now)),
        }
    }

    /// One `Authorization` or `Proxy-Authorization` value.
    ///
    /// # Errors
    /// [`Refusal`] with `invalid_proof`.
    pub fn by_header(&self, value: &[u8], now: u64) -> Result<Caller, Refusal> {
        Begun(self.seek(value, now)).finish(now)
    }

    fn seek(&self, value: &[u8], now: u64) -> Result<Found, Refusal> {
        with_secret(value, |secret| self.by_secret(secret, now))
    }

    /// A token or a JWT.
    fn by_secret(&self, secret: &[u8], now: u64) -> Result<Found, Refusal> {
        if let Some(jwts) = &self.jwts
            && secret.contains(&b'.')
        {
            let jwt = std::str::from_utf8(secret).map_err(|_| Refusal::invalid("jwt: not text"))?;
            let identity = jwts.verify(jwt, now).map_err(|refusal| Refusal {
                coming: jwts.coming(jwt, refusal, now),
                ..Refusal::invalid(refusal.name())
            })?;
            let team = self.directory.team(&identity.team).ok_or(Refusal::invalid("jwt: unknown team"))?;
            return of_team(team.load(), ProofKind::Jwt, identity.id).map(Found::Caller);
        }
        if secret.len() > MAX_TOKEN {
            return Err(Refusal::invalid("token: too long"));
        }
        let mut key = [0; 32];
        key.copy_from_slice(digest(&SHA256, secret).as_ref());
        Ok(Found::Token(self.directory.seek(key)))
    }

    /// More than one header: malformed if one of them is good, since 401 outranks 400.
    fn many(&self, presented: &Presented<'_>, stands: bool, now: u64) -> Refusal {
        let good = presented
            .fields
            .iter()
            .filter(|f| headers::is(f.name, b"authorization") || headers::is(f.name, b"proxy-authorization"))
            .any(|field| self.by_header(field.value, now).is_ok());
        let reason = if good || stands { Reason::MalformedRequest } else { Reason::InvalidProof };
        Refusal::because(reason, "more than one proof")
    }
}

/// Hands the secret of a Basic or Bearer value on.
fn with_secret<T>(value: &[u8], use_it: impl FnOnce(&[u8]) -> Result<T, Refusal>) -> Result<T, Refusal> {
    let value = value.trim_ascii();
    if value.is_empty() {
        return Err(Refusal::because(Reason::Unauthenticated, "an empty proof"));
    }
    let space = value.iter().position(|&b| b == b' ').ok_or(Refusal::invalid("no scheme"))?;
    let (scheme, rest) = (&value[..space], value[space..].trim_ascii_start());
    if scheme.eq_ignore_ascii_case(b"bearer") {
        use_it(rest)
    } else if scheme.eq_ignore_ascii_case(b"basic") {
        basic::with_password(rest, use_it).ok_or(Refusal::invalid("not Basic"))?
    } else {
        Err(Refusal::invalid("a scheme that is neither Basic nor Bearer"))
    }
}

/// The caller of a token that is good.
fn of_token(sought: Sought, now: u64) -> Result<Caller, Refusal> {
    let found = sought.see(|entry| (entry.id(), entry.expires, entry.team.load()));
    // Giving the shard back waits for all that was asked of memory until then: so it is done before the team is looked at.
    drop(sought);
    let (id, expires, team) = found.ok_or(Refusal::invalid("token: unknown"))?;
    if now >= expires {
        let why = if expires == TokenEntry::REVOKED { "token: revoked" } else { "token: expired" };
        return Err(Refusal { proof_id: Some(id), ..Refusal::invalid(why) });
    }
    of_team(team, ProofKind::Token, id)
}

/// The caller of a team that may call.
fn of_team(team: Guard<Arc<TeamState>>, proof: ProofKind, proof_id: TokenId) -> Result<Caller, Refusal> {
    team.fetch_key();
    if team.disabled {
        return Err(Refusal { proof_id: Some(proof_id), ..Refusal::invalid("team: disabled") });
    }
    Ok(Caller { team, proof, proof_id })
}

/// How often a header occurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Header<'a> {
    None,
    One(&'a [u8]),
    Many,
}

impl<'a> Header<'a> {
    fn find<const N: usize>(fields: &'a [Field<'a>], name: &[u8; N]) -> Self {
        let mut values = fields.iter().filter(|field| headers::is(field.name, name));
        match (values.next(), values.next()) {
            (None, _) => Self::None,
            (Some(field), None) => Self::One(field.value),
            (Some(_), Some(_)) => Self::Many,
        }
    }
}

#[cfg(test)]
mod tests;
