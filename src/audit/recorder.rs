//! The audit of one core: guards render records into the turn's batch, the flusher writes it.

use super::batch::Kind;
use super::core::Core;
use super::facts::{Denial, Facts, Outcome, Peer};
use super::line::{self, MAX_PATH, MAX_TEXT, key};
use super::private::Private;
use super::shared::Shared;
use super::waiters::{Kept, NOBODY};
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
        let opened = self.core.shared.clock.instant();
        Guard { recorder: self.clone(), id, peer, opened, facts, intended: false, closed: false }
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
    opened: Instant,
    /// The rendered facts: the outcome repeats the intent's, so that each line can be read alone.
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
        self.recorder.core.record(Kind::Intent, |out| {
            self.begin(out, "intent");
            line::plain(out, key!("decision"), Some(b"allow"));
            out.extend_from_slice(&self.facts);
        })
    }

    /// Closes an allowed request. The outcome is rendered now and written with the core's next write; who must not
    /// answer before it is kept awaits what this gives.
    pub fn outcome(mut self, outcome: &Outcome<'_>) -> Kept {
        self.closed = true;
        self.recorder.core.record(Kind::Outcome, |out| self.outcome_line(out, outcome))
    }

    /// Closes a refused request.
    pub fn deny(mut self, facts: &Facts<'_>, denial: &Denial<'_>) -> Kept {
        self.tell(facts);
        self.closed = true;
        self.recorder.core.record(Kind::Refusal, |out| {
            self.begin(out, "outcome");
            line::plain(out, key!("decision"), Some(b"deny"));
            out.extend_from_slice(&self.facts);
            line::text(out, key!("reason"), Some(denial.reason.as_bytes()), MAX_TEXT);
            line::text(out, key!("detail"), denial.detail.map(str::as_bytes), MAX_TEXT);
            line::number(out, key!("status"), denial.status.into());
            line::plain(out, key!("upstream_request_id"), None);
            line::number(out, key!("bytes_in"), denial.bytes_in);
            line::number(out, key!("bytes_out"), denial.bytes_out);
            line::number(out, key!("duration_us"), self.elapsed());
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
        line::plain(out, key!("team"), facts.team.map(|team| team.as_str().as_bytes()));
        line::text(out, key!("token_id"), facts.proof_id.map(str::as_bytes), MAX_TEXT);
        hidden_text(private, out, key!("method"), facts.method, MAX_TEXT);
        let host = facts.host.rsplit(|&b| b == b'@').next().unwrap_or_default();
        hidden_text(private, out, key!("host"), host, MAX_TEXT);
        let path = facts.path.split(|&b| b == b'?' || b == b'#').next().unwrap_or_default();
        hidden_text(private, out, key!("path"), path, MAX_PATH);
        line::plain(out, key!("operation"), facts.operation.map(str::as_bytes));
        line::plain(out, key!("account"), facts.account.map(AccountSid::as_bytes));
        line::plain(out, key!("key_sid"), facts.key_sid.map(KeySid::as_bytes));
    }

    fn begin(&self, out: &mut Vec<u8>, phase: &str) {
        out.extend_from_slice(b",\"id\":\"");
        out.extend_from_slice(self.id.hex());
        out.extend_from_slice(b"\",\"phase\":\"");
        out.extend_from_slice(phase.as_bytes());
        out.push(b'"');
        line::peer(out, self.peer);
    }

    fn outcome_line(&self, out: &mut Vec<u8>, outcome: &Outcome<'_>) {
        self.begin(out, "outcome");
        // An intent that was not kept allowed nothing.
        let refused = outcome.reason == Some(Reason::AuditUnavailable.name());
        let decision: Option<&[u8]> = self.intended.then_some(if refused { b"deny" } else { b"allow" });
        line::plain(out, key!("decision"), decision);
        out.extend_from_slice(&self.facts);
        line::text(out, key!("reason"), outcome.reason.map(str::as_bytes), MAX_TEXT);
        line::maybe_number(out, key!("status"), (outcome.status != 0).then_some(outcome.status.into()));
        line::text(out, key!("upstream_request_id"), outcome.upstream_request_id, MAX_TEXT);
        line::number(out, key!("bytes_in"), outcome.bytes_in);
        line::number(out, key!("bytes_out"), outcome.bytes_out);
        line::number(out, key!("duration_us"), self.elapsed());
        line::maybe_number(out, key!("upstream_us"), outcome.upstream_us);
    }

    fn elapsed(&self) -> u64 {
        let passed = self.recorder.core.shared.clock.instant().saturating_duration_since(self.opened);
        u64::try_from(passed.as_micros()).unwrap_or(u64::MAX)
    }
}

/// Appends what the caller sent, without what is private; `null` if it sent nothing.
fn hidden_text(private: &Private, out: &mut Vec<u8>, key: &str, bytes: &[u8], ceiling: usize) {
    let bytes = &bytes[..bytes.len().min(ceiling)];
    match private.hide(bytes) {
        _ if bytes.is_empty() => line::plain(out, key, None),
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
            self.recorder.core.push(Kind::Outcome, NOBODY, |out| self.outcome_line(out, &aborted));
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
