//! CONNECT: a tunnel to port 443 of one host of Twilio's, whose inside is read. Any other is refused before it opens.

use super::prepared::{Opened, Own, PendingTunnel, Prepared, Tunnel, Wait};
use super::stop::Stop;
use super::target::{host_field, names_host};
use super::{Broker, Connection, Refused, refuse};
use crate::audit::{Denial, Facts, Outcome};
use crate::authn::{Caller, ConnectionProof, Presented, ProofKind, Refusal};
use crate::config::Kind;
use crate::error::Reason;
use crate::forward::CallerSide;
use crate::http1::{Framing, RequestHead, request_framing};
use crate::ids::TokenId;
use crate::secret::Secret;
use crate::twilio::Format;
use crate::twilio::host::Authority;
use rustls::ServerConfig;
use std::sync::Arc;

/// The operation in the audit.
const OPERATION: &str = "sidekey:Tunnel:open";

impl Broker {
    /// Judges a CONNECT.
    pub(super) fn prepare_tunnel(
        &self,
        opened: Opened,
        head: &RequestHead<'_, '_>,
        connection: &Connection,
    ) -> Result<Prepared, Wait> {
        let name = head.target.rsplit_once(':').map_or(head.target, |(name, _)| name);
        let mut facts = Facts { method: b"CONNECT", host: name.as_bytes(), ..Facts::default() };
        let presented = Presented { fields: head.fields, proxied: true, connection: connection.proof.as_ref() };
        let caller = match self.authn.authenticate(&presented, opened.guard.unix_seconds()) {
            Ok(caller) => Some(caller),
            Err(refusal) if refusal.reason == Reason::Unauthenticated && self.tls.proof_inside() => None,
            Err(Refusal { coming: Some(coming), .. }) if !opened.waited => {
                return Err(Box::new((Opened { waited: true, ..opened }, coming)));
            }
            Err(refusal) => {
                facts.proof_id = refusal.proof_id.as_ref().map(TokenId::as_str);
                return Ok(self.refuse_tunnel(opened, &facts, &Stop::because(refusal.reason, refusal.why)).into());
            }
        };
        facts.team = caller.as_ref().map(|caller| &caller.team().id);
        facts.proof_id = caller.as_ref().map(|caller| caller.proof_id().as_str());
        let kind = caller.as_ref().map(|caller| caller.team().kind);
        let (host, config) = match self.admit_tunnel(head, connection, kind) {
            Ok(admitted) => admitted,
            Err(stop) => return Ok(self.refuse_tunnel(opened, &facts, &stop).into()),
        };
        let proof = caller.as_ref().and_then(|caller| standing(caller, &presented));
        let Opened { id, mut guard, .. } = opened;
        drop(guard.intent(&Facts { host: host.as_bytes(), operation: Some(OPERATION), ..facts }));
        let kept = guard.outcome(&Outcome { status: 200, ..Outcome::default() });
        Ok(Prepared::Tunnel(Box::new(PendingTunnel { tunnel: Tunnel { id, host, proof, config }, kept })))
    }

    /// The host and the TLS of a tunnel that may be. `kind`: the caller's team, where it is known already.
    fn admit_tunnel(
        &self,
        head: &RequestHead<'_, '_>,
        connection: &Connection,
        kind: Option<Kind>,
    ) -> Result<(Box<str>, Arc<ServerConfig>), Stop> {
        let malformed = |what: &str| Stop::because(Reason::MalformedRequest, what);
        let refused = |what: &str| Stop::because(Reason::HostNotAllowed, what);
        let target = head.target;
        let Some((_, port)) = target.rsplit_once(':').filter(|(name, port)| !name.is_empty() && !port.is_empty())
        else {
            return Err(malformed("CONNECT without host and port"));
        };
        if !matches!(request_framing(head), Ok(Framing::Length(0))) {
            return Err(malformed("CONNECT with a body"));
        }
        if host_field(head).map_err(malformed)?.is_some_and(|host| !same_host(host, target)) {
            return Err(malformed("Host and the target name two hosts"));
        }
        let host = match Authority::parse(target) {
            Authority::Twilio(host) if kind == Some(Kind::Standard) && host.product.is_core() => {
                return Err(Stop::because(Reason::ManagementResource, "CONNECT to a host of management resources"));
            }
            Authority::Twilio(host) => host.name,
            Authority::Malformed => return Err(malformed("the target of CONNECT is not a host and a port")),
            Authority::Lookalike | Authority::Other => return Err(refused("CONNECT to a host that is not Twilio's")),
        };
        if port != "443" {
            return Err(refused("CONNECT to a port other than 443"));
        }
        if connection.only_host.is_some() {
            return Err(refused("CONNECT inside a tunnel"));
        }
        let leaves = self.tls.leaves().ok_or_else(|| refused("CONNECT without [intercept]"))?;
        let config = leaves.tunnel(&host).ok_or_else(|| Stop::because(Reason::Overloaded, "no leaf could be made"))?;
        Ok((host.into(), config))
    }

    fn refuse_tunnel(&self, opened: Opened, facts: &Facts<'_>, stop: &Stop) -> Own {
        let refused = Refused::new(opened.id, stop.reason, Format::Json).of_tunnel();
        self.refuse_as(opened, facts, stop, refused)
    }

    /// Gives the tunnel once its record is kept; refuses it if it can't be.
    pub async fn open_tunnel<C: CallerSide>(&self, caller: &mut C, pending: PendingTunnel) -> Option<Tunnel> {
        let PendingTunnel { tunnel, kept } = pending;
        if kept.await.is_ok() {
            return Some(tunnel);
        }
        let refused = Refused::new(tunnel.id, Reason::AuditUnavailable, Format::Json).of_tunnel();
        refuse::write(caller, &refused, self.clock.unix_seconds()).await;
        None
    }

    /// Records a proof that failed before there was a request.
    pub async fn record_failed_proof(&self, connection: &Connection, reason: Reason, detail: &str) {
        let Opened { guard, .. } = self.open(connection);
        self.metrics.refused(reason);
        let denial = Denial { reason: reason.name(), detail: Some(detail), ..Denial::default() };
        // Kept or not, nobody waits for it.
        let _ = guard.deny(&Facts::default(), &denial).await;
    }
}

/// What stands for the caller inside the tunnel: what it proved outside.
fn standing(caller: &Caller, presented: &Presented<'_>) -> Option<ConnectionProof> {
    match caller.proof() {
        ProofKind::Token | ProofKind::Jwt => {
            let below = presented.connection.cloned().map(Box::new);
            presented.header().map(|value| ConnectionProof::Header(Arc::new(Secret::new(value)), below))
        }
        ProofKind::Certificate | ProofKind::Peer => presented.connection.cloned(),
    }
}

/// Whether `Host` names the target of a CONNECT; its port may be left out.
fn same_host(host: &str, target: &str) -> bool {
    host.eq_ignore_ascii_case(target) || target.rsplit_once(':').is_some_and(|(name, _)| names_host(host, name))
}
