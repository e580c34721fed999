//! The straight line of a request.
//!
//! Three steps, because a request's head is borrowed from its connection's buffer and its body is not:
//! [`Broker::prepare`] judges the head without ever waiting and owns what it needs; [`Broker::carry`] waits for the audit
//! and carries the request; [`refuse`] writes every answer that is not the upstream's. The audit guard is opened at the
//! left edge and closed exactly once. Where a connection's head is its last one again, [`Broker::prepare_again`] takes the
//! place of the first step; whatever is not as it was then leads back to it.

mod again;
mod inspect;
mod line;
pub mod local;
mod prepare;
mod prepared;
mod refuse;
mod request_ids;
mod stop;
mod target;
mod tunnel;

pub use again::{Again, Repeat};
pub use inspect::{HeldBody, Read};
pub use prepared::{Forward, Local, Opened, Own, PendingTunnel, Prepared, Refuse, Settled, Tunnel, Wait};
pub use refuse::Refused;
pub use request_ids::RequestIds;

use crate::admission::{Budget, Rates};
use crate::audit::{Guard, Outcome, Peer, Recorder};
use crate::authn::{Authn, ConnectionProof};
use crate::clock::Clock;
use crate::config::Limits;
use crate::directory::Directory;
use crate::error::Reason;
use crate::forward::{CallerSide, Done, Exchange, Failure, relay};
use crate::ids::AccountSid;
use crate::metrics;
use crate::net::{Buffers, Watch};
use crate::tls::callers::CallerTls;
use crate::twilio::Format;
use crate::upstream::Pool;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What every request of one core is handled with.
pub struct Broker {
    /// Finds callers.
    pub authn: Authn,
    /// What requests are judged by.
    pub directory: Arc<Directory>,
    /// Connections to upstreams.
    pub pool: Rc<Pool>,
    /// This core's audit.
    pub recorder: Recorder,
    /// This core's counters.
    pub metrics: Arc<metrics::Core>,
    /// Spare buffers.
    pub buffers: Rc<Buffers>,
    /// What bodies that are read before they are sent take, on all cores together.
    pub bodies: Arc<Budget>,
    /// What teams have used of their rates, on all cores together.
    pub rates: Arc<Rates>,
    /// TLS towards callers.
    pub tls: Arc<CallerTls>,
    /// Time.
    pub clock: Clock,
    /// Ceilings.
    pub limits: Limits,
    /// Ceiling on the wait for an answer's head.
    pub response_timeout: Duration,
    /// The account that teams' keys belong to, and with it what they sign.
    pub account: AccountSid,
    /// The account of the credential that master teams act with.
    pub master_account: AccountSid,
    /// Makes request ids.
    pub ids: RequestIds,
    /// The last Unix second in which the log was told that an upstream does not answer.
    pub complained: Cell<u64>,
}

/// Seconds between two lines of the log about upstreams that do not answer: the audit has each request's own.
const COMPLAIN_EVERY: u64 = 10;

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Broker")
    }
}

/// What is known of a caller's connection.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Who is at the other end.
    pub peer: Peer,
    /// What the connection itself proves.
    pub proof: Option<ConnectionProof>,
    /// The one host that may be asked for here: a tunnel's, or that of a Twilio server name.
    pub only_host: Option<Box<str>>,
    /// The server name of the TLS handshake, lower-case, if it is no host of Twilio's: `Host` must agree.
    pub server_name: Option<Box<str>>,
    /// Whether callers reach the broker by TLS: links that lead back to it say `https`.
    pub secure: bool,
    /// The broker's address as the last request named it: what links lead back to.
    pub links: RefCell<Option<Rc<str>>>,
}

impl Connection {
    /// A connection on which every host may be asked for.
    pub fn new(peer: Peer, proof: Option<ConnectionProof>, secure: bool) -> Self {
        Self { peer, proof, only_host: None, server_name: None, secure, links: RefCell::default() }
    }
}

impl Broker {
    /// Carries a settled request, or answers it.
    pub async fn finish<C: CallerSide>(&self, caller: &mut C, settled: Settled, watch: &Watch) -> Ended {
        match settled {
            Settled::Forward(forward) => self.carry(caller, *forward, watch).await,
            Settled::Own(own) => self.answer(caller, own).await,
        }
    }

    /// Carries a judged request: nothing goes upstream before its intent is kept, and the answer does not end before its
    /// outcome is.
    async fn carry<C: CallerSide>(&self, caller: &mut C, forward: Forward, watch: &Watch) -> Ended {
        let Forward { id, outbound, lease, route, guard, kept, format, head_request, safe, links } = forward;
        let mut record = Record { broker: self, guard: Some(guard), sent: None };
        if kept.await.is_err() {
            return record.refuse(caller, Refused::new(id, Reason::AuditUnavailable, format), None, 0).await;
        }
        record.sent = Some(self.clock.instant());
        let exchange = Exchange {
            id,
            head: outbound.head(),
            framing: outbound.framing(),
            trailers: outbound.trailers(),
            head_request,
            safe,
            key: lease.key(),
            links: links.as_deref(),
            response_timeout: self.response_timeout,
            body_timeout: self.limits.body_timeout,
        };
        let ended =
            relay(caller, &route, &exchange, watch, async |done: &Done| record.close(done, None, None).await).await;
        self.buffers.give_back(outbound.into_buffer());
        match ended {
            Ok(done) => {
                lease.key().accept();
                Ended { close: done.close }
            }
            Err(Failure::Refuse { reason, detail, bytes_in }) => {
                if reason == Reason::UpstreamRejectedKey && lease.key().reject(self.clock.unix_seconds()) {
                    tracing::warn!(key = %lease.key().sid, "the upstream refuses this key: rotate it");
                }
                if matches!(reason, Reason::UpstreamUnreachable | Reason::UpstreamTimeout) {
                    self.complain(reason, &detail);
                }
                tracing::debug!(request = %id, reason = reason.name(), detail, "no answer");
                record.refuse(caller, Refused::new(id, reason, format), Some(&detail), bytes_in).await
            }
            Err(Failure::Cut { done, detail }) => {
                tracing::debug!(request = %id, detail, "an answer was cut");
                record.abort(&done, "cut", Some(&detail)).await
            }
            Err(Failure::Gone { done }) => record.abort(&done, "aborted", None).await,
        }
    }

    /// Tells the log that an upstream does not answer, once in a while.
    fn complain(&self, reason: Reason, detail: &str) {
        let now = self.clock.unix_seconds();
        if now.abs_diff(self.complained.get()) >= COMPLAIN_EVERY {
            self.complained.set(now);
            tracing::warn!(
                reason = reason.name(),
                detail,
                "an upstream does not answer; the audit has every such request"
            );
        }
    }

    /// Writes an answer that is not the upstream's, once its record is kept.
    pub async fn answer<C: CallerSide>(&self, caller: &mut C, own: Own) -> Ended {
        let now = self.clock.unix_seconds();
        match own {
            Own::Refuse(refuse) => {
                // Kept or not, a refusal stays one.
                let _ = refuse.kept.await;
                refuse::write(caller, &refuse.refused, now).await;
            }
            Own::Local(local) => match local.kept.await {
                Ok(()) => {
                    let fields = [("Content-Type", "application/json"), ("Cache-Control", "no-store")];
                    let prepared::OwnAnswer { status, body, .. } = &local.answer;
                    let answer = refuse::OwnBody { status: *status, fields: &fields, body: body.as_bytes() };
                    refuse::respond(caller, local.id, now, &answer, false).await;
                }
                Err(_) => {
                    let refused = Refused::new(local.id, Reason::AuditUnavailable, Format::Json);
                    refuse::write(caller, &refused, now).await;
                }
            },
        }
        Ended { close: !caller.upload_done() }
    }
}

/// How a request ended, for its connection.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// The connection must not be used again.
    pub close: bool,
}

/// The open record of a request whose intent is kept.
struct Record<'b> {
    broker: &'b Broker,
    /// Taken when the record is closed.
    guard: Option<Guard>,
    sent: Option<Instant>,
}

impl Record<'_> {
    /// Answers with a refusal and closes the record.
    async fn refuse<C: CallerSide>(
        mut self,
        caller: &mut C,
        refused: Refused,
        detail: Option<&str>,
        bytes_in: u64,
    ) -> Ended {
        self.broker.metrics.refused(refused.reason);
        let bytes_out = if caller.wants_body() { refused.body().1.len() as u64 } else { 0 };
        let done = Done { status: refused.reason.status(), bytes_in, bytes_out, ..Done::default() };
        self.close(&done, Some(refused.reason.name()), detail).await;
        refuse::write(caller, &refused, self.broker.clock.unix_seconds()).await;
        Ended { close: !caller.upload_done() }
    }

    /// Closes the record of an answer that did not arrive whole.
    async fn abort(mut self, done: &Done, why: &str, detail: Option<&str>) -> Ended {
        self.broker.metrics.aborted();
        self.close(done, Some(why), detail).await;
        Ended { close: true }
    }

    /// Closes the record, once; waits until the outcome is kept.
    async fn close(&mut self, done: &Done, reason: Option<&str>, detail: Option<&str>) {
        let Some(guard) = self.guard.take() else { return };
        let now = self.broker.clock.instant();
        if reason.is_none() {
            let took = now.saturating_duration_since(guard.opened().instant());
            self.broker.metrics.answered(done.status, done.bytes_in, done.bytes_out, took);
        }
        let kept = guard.outcome(&Outcome {
            status: done.status,
            reason,
            detail,
            upstream_request_id: done.upstream_request_id.as_deref().map(str::as_bytes),
            bytes_in: done.bytes_in,
            bytes_out: done.bytes_out,
            sent: self.sent,
            ended: Some(now),
        });
        // The upstream has done what was asked: an answer that can't be recorded is still the caller's to know.
        let _ = kept.await;
    }
}
