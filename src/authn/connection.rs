//! What a connection proves by itself, before any request: the proof of a CONNECT, a client certificate, a peer's uid.
//!
//! Nothing is decided once for a connection's whole life: each request judges the proof again by the rules and the
//! directory of its own moment, so a revoked token, an ended certificate or a rule taken away count at once.

use super::certificate::{CertificateRefusal, Certificates};
use super::{Authn, Caller, ProofKind, Refusal, Token, of_team, with_secret};
use crate::config::Config;
use crate::directory::TeamCell;
use crate::error::Reason;
use crate::ids::{TeamId, TokenId};
use crate::secret::Secret;
use crate::tls::identity::PeerCertificate;
use std::collections::HashMap;
use std::sync::Arc;

/// What a connection proves.
#[derive(Clone, Debug)]
pub enum ConnectionProof {
    /// The `Proxy-Authorization` that opened a tunnel: it decides, and an `Authorization` inside is no second proof. What
    /// the connection below the tunnel proves must hold on beside it.
    Header(Arc<Secret>, Option<Box<ConnectionProof>>),
    /// A certificate that TLS has verified.
    Certificate(Arc<PeerCertificate>),
    /// The uid at the other end of a Unix socket, by the kernel's word.
    Peer(u32),
}

/// Whose certificates and peers are whose: `[[certificate]]` and `[[peer]]`.
#[derive(Debug, Default)]
pub struct ConnectionRules {
    certificates: Certificates,
    peers: HashMap<u32, TeamId>,
}

impl ConnectionRules {
    /// The rules of a configuration; the error says which one is wrong, and the mend.
    pub fn new(config: &Config) -> Result<Self, String> {
        let peers = config.peers.iter().map(|peer| (peer.uid, peer.team.clone())).collect();
        Ok(Self { certificates: Certificates::new(&config.certificates)?, peers })
    }
}

/// A connection's proof that leads to a team.
pub(super) struct Standing {
    team: Arc<TeamCell>,
    kind: ProofKind,
    id: TokenId,
}

impl Authn {
    /// What a certificate or a peer leads to; `None` if nothing is said of it. A certificate that no rule names is
    /// refused, unless there are no rules: then `client_ca` is a gate before other proofs, and no proof itself.
    pub(super) fn standing(&self, proof: &ConnectionProof, now: u64) -> Result<Option<Standing>, Refusal> {
        let (team, kind, id) = match proof {
            ConnectionProof::Header(..) => return Ok(None),
            ConnectionProof::Certificate(peer) if self.tls.as_ref().is_some_and(|tls| !tls.takes(peer, now)) => {
                return Err(Refusal::invalid(CertificateRefusal::NotTaken.name()));
            }
            ConnectionProof::Certificate(_) if self.rules.certificates.is_empty() => return Ok(None),
            ConnectionProof::Certificate(peer) => {
                let found = self.rules.certificates.verify(peer.identity(), now);
                let found = found.map_err(|refusal| Refusal::invalid(refusal.name()))?;
                (found.team, ProofKind::Certificate, found.id)
            }
            ConnectionProof::Peer(uid) => match self.rules.peers.get(uid) {
                Some(team) => (team.clone(), ProofKind::Peer, TokenId::new(&format!("uid:{uid}"))),
                None => return Ok(None),
            },
        };
        let team = self.directory.team(&team).ok_or(Refusal::invalid("connection: unknown team"))?;
        Ok(Some(Standing { team, kind, id }))
    }

    pub(super) fn by_connection(standing: Standing) -> Result<Caller, Refusal> {
        of_team(standing.team.load(), standing.kind, standing.id)
    }

    /// The proof that opened a tunnel. It decides alone, but what the connection below it proved must hold on: who was shut
    /// out there is not let in here.
    pub(super) fn in_tunnel(&self, value: &[u8], below: &ConnectionProof, now: u64) -> Result<Caller, Refusal> {
        let standing = self.standing(below, now)?;
        let caller = self.by_header(value, now)?;
        match standing {
            Some(standing) if caller.team().id != *standing.team.id() => Err(Self::contradiction(standing)),
            _ => Ok(caller),
        }
    }

    /// A header beside a certificate or a peer. SDKs always send one: where it is no proof of sidekey's kind at all it
    /// says nothing; one of sidekey's kind must be good, and of the same team.
    pub(super) fn by_both(&self, value: &[u8], standing: Standing, now: u64) -> Result<Caller, Refusal> {
        match self.by_header(value, now) {
            Ok(caller) if caller.team().id == *standing.team.id() => Ok(caller),
            Ok(_) => Err(Self::contradiction(standing)),
            Err(refusal) if refusal.proof_id.is_some() || self.is_ours(value) => Err(refusal),
            Err(_) => Self::by_connection(standing),
        }
    }

    fn contradiction(standing: Standing) -> Refusal {
        let why = "the proofs of two teams";
        Refusal { proof_id: Some(standing.id), ..Refusal::because(Reason::MalformedRequest, why) }
    }

    /// Whether a header's secret has the shape of a proof of sidekey's: a token with its checksum, or a JWT.
    fn is_ours(&self, value: &[u8]) -> bool {
        let shaped = with_secret(value, |secret| {
            let jwt = self.jwts.is_some() && secret.contains(&b'.');
            Ok(jwt || std::str::from_utf8(secret).is_ok_and(|text| Token::parse(text).is_some()))
        });
        shaped.unwrap_or(false)
    }
}
