//! The audit of one core: guards render records into the turn's batch, the flusher writes it.

use super::batch::Kind;
use super::core::Core;
use super::facts::{Denial, Facts, Outcome, Peer};
use super::line::{self, MAX_PATH, MAX_TEXT, key};
use super::private::Private;
use super::shared::Shared;
use super::waiters::{Kept, NOBODY};
use crate::clock::Moment;
use crate::error::Reason;
use crate::ids::{AccountSid, KeySid, RequestId};
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// The audit of one core; cheap to clone, never leaves its thread.
#[derive(Clone)]
pub struct Recorder {
    core: Rc<Core>,
    /// Buffers that closed guards give back.
    spare: Rc<RefCell<Vec<Vec<u8>>>>,
}

/// How many buffers of closed guards are kept: as many as a core has requests in flight on a busy day.
const SPARE: usize = 1024;

impl Recorder {
    /// Takes core number `number`'s place in the trail and starts its flusher on the current local runtime.
    pub(super) fn start(shared: Arc<Shared>, number: usize) -> Self {
        Self { core: Core::start(shared, number), spare: Rc::default() }
    }

    /// Opens the record of one request. The guard must be closed with [`Guard::outcome`] or [`Guard::deny`].
    pub fn open(&self, id: RequestId, peer: Peer) -> Guard {
        let facts = self.spare.borrow_mut().pop().unwrap_or_default();
        let opened = self.core.shared.clock.moment();
        let at = opened.unix_micros();
        Guard { recorder: self.clone(), id, peer, opened, at, facts, intended: false, closed: false }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recorder({})", self.core.number)
    }
}

/// The record of one request: closed exactly once, whatever happens. Dropped unclosed, it records `aborted`.
pub struct Guard {
    recorder: Recorder,
    id: RequestId,
    peer: Peer,
    opened: Moment,
    /// When what is recorded next happened, in microseconds since the Unix epoch.
    at: u64,
    /// The rendered peer and facts: the outcome repeats the intent's, so that each line can be read alone.
    facts: Vec<u8>,
    intended: bool,
    closed: bool,
}

impl Guard {
    /// Records that the request is allowed and about to go upstream. Not a byte may go there before this resolves.
    ///
    /// The line is taken when this is called; a future that is dropped does not take it back.
    pub fn intent(&mut self, facts: &Facts<'_>) -> Kept {
        self.tell(facts);
        self.intended = true;
        self.recorder
            .core
            .record(Kind::Intent, self.at, |out| self.begin(out, "\",\"phase\":\"intent\",\"decision\":\"allow\""))
    }

    /// When the record was opened.
    pub const fn opened(&self) -> Moment {
        self.opened
    }

    /// When what is recorded next happened, in Unix seconds: when the record was opened, or waited for last.
    pub const fn unix_seconds(&self) -> u64 {
        self.at / 1_000_000
    }

    /// Says that the request has been waited for: what is recorded next happens now.
    pub fn waited(&mut self) {
        self.pass(None);
    }

    /// Goes on to `now`; gives it.
    fn pass(&mut self, now: Option<Instant>) -> Instant {
        let now = now.unwrap_or_else(|| self.recorder.core.shared.clock.instant());
        self.at = self.opened.unix_micros().saturating_add(self.opened.micros_to(now));
        now
    }

    /// Closes an allowed request. The outcome is rendered now and written with the core's next write; who must not
    /// answer before it is kept awaits what this gives.
    pub fn outcome(mut self, outcome: &Outcome<'_>) -> Kept {
        self.closed = true;
        let ended = self.pass(outcome.ended);
        self.recorder.core.record(Kind::Outcome, self.at, |out| self.outcome_line(out, outcome, ended))
    }

    /// Closes a refused request.
    pub fn deny(mut self, facts: &Facts<'_>, denial: &Denial<'_>) -> Kept {
        self.tell(facts);
        self.closed = true;
        let ended = self.pass(None);
        self.recorder.core.record(Kind::Refusal, self.at, |out| {
            self.begin(out, DENIED);
            line::text(out, key!("reason"), Some(denial.reason.as_bytes()), MAX_TEXT);
            line::text(out, key!("detail"), denial.detail.map(str::as_bytes), MAX_TEXT);
            line::number(out, key!("status"), denial.status.into());
            line::plain(out, key!("upstream_request_id"), None);
            line::number(out, key!("bytes_in"), denial.bytes_in);
            line::number(out, key!("bytes_out"), denial.bytes_out);
            line::number(out, key!("duration_us"), self.opened.micros_to(ended));
            line::maybe_number(out, key!("upstream_us"), None);
        })
    }

    /// Keeps what is known so far of a request that is not judged yet: its caller may leave before.
    pub fn know(&mut self, facts: &Facts<'_>) {
        self.tell(facts);
    }

    fn tell(&mut self, facts: &Facts<'_>) {
        self.facts.clear();
        let (out, private) = (&mut self.facts, &self.recorder.core.shared.private);
        line::peer(out, self.peer);
        line::plain(out, key!("team"), facts.team.map(|team| team.as_str().as_bytes()));
        line::text(out, key!("token_id"), facts.proof_id.map(str::as_bytes), MAX_TEXT);
        let as_it_is = facts.judged && facts.path.len() <= MAX_PATH;
        hidden_text(private, out, key!("method"), facts.method, (MAX_TEXT, as_it_is));
        let host = &facts.host[memchr::memrchr(b'@', facts.host).map_or(0, |at| at + 1)..];
        hidden_text(private, out, key!("host"), host, (MAX_TEXT, as_it_is));
        let path = &facts.path[..memchr::memchr2(b'?', b'#', facts.path).unwrap_or(facts.path.len())];
        hidden_text(private, out, key!("path"), path, (MAX_PATH, as_it_is));
        line::plain(out, key!("operation"), facts.operation.map(str::as_bytes));
        line::plain(out, key!("account"), facts.account.map(AccountSid::as_bytes));
        line::plain(out, key!("key_sid"), facts.key_sid.map(KeySid::as_bytes));
    }

    /// Appends what all records begin with. `kind`: phase and decision, in one piece.
    fn begin(&self, out: &mut Vec<u8>, kind: &str) {
        out.extend_from_slice(b",\"id\":\"");
        out.extend_from_slice(self.id.hex());
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(&self.facts);
    }

    fn outcome_line(&self, out: &mut Vec<u8>, outcome: &Outcome<'_>, ended: Instant) {
        // An intent that was not kept allowed nothing.
        let refused = outcome.reason == Some(Reason::AuditUnavailable.name());
        self.begin(
            out,
            if !self.intended {
                UNDECIDED
            } else if refused {
                DENIED
            } else {
                ALLOWED
            },
        );
        line::text(out, key!("reason"), outcome.reason.map(str::as_bytes), MAX_TEXT);
        line::maybe_number(out, key!("status"), (outcome.status != 0).then_some(outcome.status.into()));
        line::text(out, key!("upstream_request_id"), outcome.upstream_request_id, MAX_TEXT);
        line::number(out, key!("bytes_in"), outcome.bytes_in);
        line::number(out, key!("bytes_out"), outcome.bytes_out);
        let upstream = outcome.sent.map(|sent| self.opened.micros_to(ended) - self.opened.micros_to(sent.min(ended)));
        line::number(out, key!("duration_us"), self.opened.micros_to(ended));
        line::maybe_number(out, key!("upstream_us"), upstream);
    }
}

/// Phase and decision of an outcome.
const ALLOWED: &str = "\",\"phase\":\"outcome\",\"decision\":\"allow\"";
const DENIED: &str = "\",\"phase\":\"outcome\",\"decision\":\"deny\"";
const UNDECIDED: &str = "\",\"phase\":\"outcome\",\"decision\":null";

/// Appends what the caller sent, without what is private; `null` if it sent nothing. `as_it_is`: it needs no escape.
#[inline]
fn hidden_text(private: &Private, out: &mut Vec<u8>, key: &str, bytes: &[u8], (ceiling, as_it_is): (usize, bool)) {
    let bytes = &bytes[..bytes.len().min(ceiling)];
    match private.hide(bytes) {
        _ if bytes.is_empty() => line::plain(out, key, None),
        None if as_it_is => line::plain(out, key, Some(bytes)),
        None => line::text(out, key, Some(bytes), ceiling),
        Some(hidden) => line::text(out, key, Some(&hidden), ceiling),
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.closed {
            if self.facts.is_empty() {
                self.tell(&Facts::default());
            }
            let aborted = Outcome { reason: Some("aborted"), ..Outcome::default() };
            let ended = self.pass(None);
            self.recorder.core.push(Kind::Outcome, NOBODY, self.at, |out| self.outcome_line(out, &aborted, ended));
        }
        let mut spare = self.recorder.spare.borrow_mut();
        if spare.len() < SPARE {
            self.facts.clear();
            spare.push(std::mem::take(&mut self.facts));
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guard({})", self.id)
    }
}

#[cfg(test)]
mod tests;
