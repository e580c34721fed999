//! Proof → `Caller`. The username of a Basic proof is never trusted, and a proof never travels upstream.

pub mod certificate;
mod json;
pub mod jwks;
pub mod jwt;
#[cfg(test)]
mod testing;
pub mod token;

mod basic;

pub use token::Token;

use self::jwt::Jwts;
use crate::directory::{Directory, TeamCell, TeamState};
use crate::error::Reason;
use crate::http1::Field;
use crate::ids::TokenId;
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The row of the table.
    pub reason: Reason,
    /// What the caller is not told.
    pub why: &'static str,
    /// The proof's id, if it was one of ours.
    pub proof_id: Option<TokenId>,
}

impl Refusal {
    const fn invalid(why: &'static str) -> Self {
        Self { reason: Reason::InvalidProof, why, proof_id: None }
    }
}

/// What a connection itself proves, before any request: a certificate, a peer, the proof of a CONNECT.
#[derive(Clone, Debug)]
pub struct ConnectionProof {
    /// Whose it is.
    pub team: Arc<TeamCell>,
    /// Of which kind.
    pub kind: ProofKind,
    /// Its public id.
    pub id: TokenId,
    /// Unix second from which it is refused; `u64::MAX`: as long as the connection lives.
    pub expires: u64,
}

/// Checks proofs against the directory.
#[derive(Debug)]
pub struct Authn {
    directory: Arc<Directory>,
    jwts: Option<Arc<Jwts>>,
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

impl Authn {
    /// Checks against this directory.
    pub const fn new(directory: Arc<Directory>, jwts: Option<Arc<Jwts>>) -> Self {
        Self { directory, jwts }
    }

    /// Finds the caller.
    ///
    /// # Errors
    /// [`Refusal`]: no proof, one that proves nothing, or (only if one of them is good) more than one.
    pub fn authenticate(&self, presented: &Presented<'_>, now: u64) -> Result<Caller, Refusal> {
        if !self.directory.fresh(now) {
            return Err(Refusal { reason: Reason::Overloaded, why: "store: stale for too long", proof_id: None });
        }
        // Inside a tunnel the proxy's proof has decided already, and Authorization is only replaced.
        if let Some(proof) = presented.connection
            && matches!(proof.kind, ProofKind::Token | ProofKind::Jwt)
        {
            return Self::by_connection(proof, now);
        }
        let proxy = presented.proxied.then(|| Header::find(presented.fields, "proxy-authorization"));
        let header = match proxy {
            Some(found) if found != Header::None => found,
            _ => Header::find(presented.fields, "authorization"),
        };
        match (header, presented.connection) {
            (Header::None, None) => Err(Refusal { reason: Reason::Unauthenticated, why: "no proof", proof_id: None }),
            (Header::None, Some(proof)) => Self::by_connection(proof, now),
            (Header::One(value), None) => self.by_header(value, now),
            (Header::One(value), Some(proof)) => self.by_both(value, proof, now),
            (Header::Many, _) => Err(self.many(presented, now)),
        }
    }

    /// One `Authorization` or `Proxy-Authorization` value.
    ///
    /// # Errors
    /// [`Refusal`] with `invalid_proof`.
    pub fn by_header(&self, value: &[u8], now: u64) -> Result<Caller, Refusal> {
        let value = value.trim_ascii();
        if value.is_empty() {
            return Err(Refusal { reason: Reason::Unauthenticated, why: "an empty proof", proof_id: None });
        }
        let space = value.iter().position(|&b| b == b' ').ok_or(Refusal::invalid("no scheme"))?;
        let (scheme, rest) = (&value[..space], value[space..].trim_ascii_start());
        if scheme.eq_ignore_ascii_case(b"bearer") {
            self.by_secret(rest, now)
        } else if scheme.eq_ignore_ascii_case(b"basic") {
            let password = basic::Password::read(rest).ok_or(Refusal::invalid("not Basic"))?;
            self.by_secret(password.as_bytes(), now)
        } else {
            Err(Refusal::invalid("a scheme that is neither Basic nor Bearer"))
        }
    }

    /// A token or a JWT.
    fn by_secret(&self, secret: &[u8], now: u64) -> Result<Caller, Refusal> {
        if let Some(jwts) = &self.jwts
            && secret.contains(&b'.')
        {
            let jwt = std::str::from_utf8(secret).map_err(|_| Refusal::invalid("jwt: not text"))?;
            let identity = jwts.verify(jwt, now).map_err(|refusal| Refusal::invalid(refusal.name()))?;
            let team = self.directory.team(&identity.team).ok_or(Refusal::invalid("jwt: unknown team"))?;
            return of_team(&team, ProofKind::Jwt, identity.id);
        }
        if secret.len() > MAX_TOKEN {
            return Err(Refusal::invalid("token: too long"));
        }
        let mut key = [0; 32];
        key.copy_from_slice(digest(&SHA256, secret).as_ref());
        let entry = self.directory.token(&key).ok_or(Refusal::invalid("token: unknown or revoked"))?;
        if now >= entry.expires {
            let proof_id = Some(entry.id.clone());
            return Err(Refusal { reason: Reason::InvalidProof, why: "token: expired", proof_id });
        }
        entry.touch(now);
        of_team(&entry.team, ProofKind::Token, entry.id.clone())
    }

    fn by_connection(proof: &ConnectionProof, now: u64) -> Result<Caller, Refusal> {
        if now >= proof.expires {
            let proof_id = Some(proof.id.clone());
            return Err(Refusal { reason: Reason::InvalidProof, why: "the tunnel's proof has expired", proof_id });
        }
        of_team(&proof.team, proof.kind, proof.id.clone())
    }

    /// A header beside a certificate or a peer. SDKs always send one: where it is no proof of sidekey's at all it says
    /// nothing; a good one of another team is a contradiction.
    fn by_both(&self, value: &[u8], proof: &ConnectionProof, now: u64) -> Result<Caller, Refusal> {
        match self.by_header(value, now) {
            Ok(caller) if caller.team().id == *proof.team.id() => Ok(caller),
            Ok(_) => Err(Refusal {
                reason: Reason::MalformedRequest,
                why: "the proofs of two teams",
                proof_id: Some(proof.id.clone()),
            }),
            Err(refusal) if refusal.proof_id.is_some() => Err(refusal),
            Err(_) => Self::by_connection(proof, now),
        }
    }

    /// More than one header: malformed if one of them is good, since 401 outranks 400.
    fn many(&self, presented: &Presented<'_>, now: u64) -> Refusal {
        let good = presented
            .fields
            .iter()
            .filter(|f| {
                f.name.eq_ignore_ascii_case("authorization") || f.name.eq_ignore_ascii_case("proxy-authorization")
            })
            .any(|field| self.by_header(field.value, now).is_ok());
        let why = "more than one proof";
        let reason =
            if good || presented.connection.is_some() { Reason::MalformedRequest } else { Reason::InvalidProof };
        Refusal { reason, why, proof_id: None }
    }
}

/// The caller of a team that may call.
fn of_team(team: &TeamCell, proof: ProofKind, proof_id: TokenId) -> Result<Caller, Refusal> {
    let team = team.load();
    if team.disabled {
        return Err(Refusal { reason: Reason::InvalidProof, why: "team: disabled", proof_id: Some(proof_id) });
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
    fn find(fields: &'a [Field<'a>], name: &str) -> Self {
        let mut values = fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        match (values.next(), values.next()) {
            (None, _) => Self::None,
            (Some(field), None) => Self::One(field.value),
            (Some(_), Some(_)) => Self::Many,
        }
    }
}

#[cfg(test)]
mod tests;
