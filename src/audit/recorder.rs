//! The audit of one core: guards render records into the turn's batch, the flusher writes it.

use super::batch::{Batch, Kind};
use super::facts::{Denial, Facts, Outcome, Peer};
use super::line::{self, MAX_PATH, MAX_TEXT, Stamp};
use super::trail::Shared;
use super::waiters::{AuditUnavailable, Kept, NOBODY, Waiters};
use crate::config::AuditMode;
use crate::ids::RequestId;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Instant;

/// The audit of one core; cheap to clone, never leaves its thread.
#[derive(Clone)]
pub struct Recorder(Rc<Core>);

/// What a core's guards and its flusher share.
pub(super) struct Core {
    shared: Arc<Shared>,
    slot: usize,
    pub(super) waiters: RefCell<Waiters>,
    batch: RefCell<Batch>,
    stamp: RefCell<Stamp>,
    /// Buffers that closed guards give back.
    spare: RefCell<Vec<Vec<u8>>>,
    flusher: RefCell<Option<Waker>>,
    due: Cell<bool>,
}

/// How many buffers of closed guards are kept: as many as a core has requests in flight on a busy day.
const SPARE: usize = 1024;

impl Recorder {
    /// Takes core number `slot`'s place in the trail and starts its flusher on the current local runtime.
    pub(super) fn start(shared: Arc<Shared>, slot: usize) -> Self {
        let core = Rc::new(Core {
            shared,
            slot,
            waiters: RefCell::default(),
            batch: RefCell::default(),
            stamp: RefCell::default(),
            spare: RefCell::default(),
            flusher: RefCell::default(),
            due: Cell::new(false),
        });
        tokio::task::spawn_local(flush_when_due(Rc::downgrade(&core)));
        Self(core)
    }

    /// Opens the record of one request. The guard must be closed with [`Guard::outcome`] or [`Guard::deny`].
    pub fn open(&self, id: RequestId, peer: Peer) -> Guard {
        let facts = self.0.spare.borrow_mut().pop().unwrap_or_default();
        Guard {
            core: self.0.clone(),
            id,
            peer,
            opened: self.0.shared.clock.instant(),
            facts,
            intended: false,
            closed: false,
        }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recorder({})", self.0.slot)
    }
}

/// Runs once a turn in which records became ready, after every task that was ready before it.
async fn flush_when_due(core: Weak<Core>) {
    poll_fn(|context| {
        let Some(core) = core.upgrade() else { return Poll::Ready(()) };
        if core.flusher.borrow().is_none() {
            *core.flusher.borrow_mut() = Some(context.waker().clone());
        }
        core.flush();
        Poll::Pending
    })
    .await;
}

impl Core {
    /// Renders one line into the turn's batch; whoever wants to know waits with [`Kept`].
    fn record(self: &Rc<Self>, kind: Kind, render: impl FnOnce(&mut Vec<u8>)) -> Kept {
        let place = self.waiters.borrow_mut().take();
        self.push(kind, place, render);
        Kept::waiting(self.clone(), place)
    }

    fn push(&self, kind: Kind, place: usize, render: impl FnOnce(&mut Vec<u8>)) {
        let mut batch = self.batch.borrow_mut();
        self.stamp.borrow_mut().begin(batch.buffer(), self.shared.clock.unix_micros());
        render(batch.buffer());
        batch.seal(kind, place);
        drop(batch);
        if !self.due.replace(true)
            && let Some(flusher) = &*self.flusher.borrow()
        {
            flusher.wake_by_ref();
        }
    }

    fn flush(&self) {
        self.due.set(false);
        let mut batch = self.batch.borrow_mut();
        if batch.is_empty() {
            return;
        }
        let written = self.shared.write(self.slot, &batch);
        let mut waiters = self.waiters.borrow_mut();
        for (_, place) in batch.waiters() {
            let result = match (&written, self.shared.mode) {
                (Ok(()), _) | (Err(_), AuditMode::BestEffort) => Ok(()),
                (Err(_), AuditMode::Required) => Err(AuditUnavailable),
            };
            waiters.settle(place, result);
        }
        batch.clear();
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.flush();
    }
}

/// The record of one request: closed exactly once, whatever happens. Dropped unclosed, it records `aborted`.
pub struct Guard {
    core: Rc<Core>,
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
        self.core.record(Kind::Intent, |out| {
            self.begin(out, "intent");
            line::text(out, "decision", Some(b"allow"), MAX_TEXT);
            out.extend_from_slice(&self.facts);
        })
    }

    /// Closes an allowed request. The outcome is rendered now and written with the core's next write; who must not
    /// answer before it is kept awaits what this gives.
    pub fn outcome(mut self, outcome: &Outcome<'_>) -> Kept {
        self.closed = true;
        self.core.record(Kind::Fact, |out| self.outcome_line(out, outcome))
    }

    /// Closes a refused request.
    pub fn deny(mut self, facts: &Facts<'_>, denial: &Denial<'_>) -> Kept {
        self.tell(facts);
        self.closed = true;
        self.core.record(Kind::Fact, |out| {
            self.begin(out, "outcome");
            line::text(out, "decision", Some(b"deny"), MAX_TEXT);
            out.extend_from_slice(&self.facts);
            line::text(out, "reason", Some(denial.reason.as_bytes()), MAX_TEXT);
            line::text(out, "detail", denial.detail.map(str::as_bytes), MAX_TEXT);
            line::number(out, "status", denial.status.into());
            line::text(out, "upstream_request_id", None, 0);
            line::number(out, "bytes_in", denial.bytes_in);
            line::number(out, "bytes_out", denial.bytes_out);
            line::number(out, "duration_us", self.elapsed());
            line::maybe_number(out, "upstream_us", None);
        })
    }

    fn tell(&mut self, facts: &Facts<'_>) {
        self.facts.clear();
        let out = &mut self.facts;
        line::text(out, "team", facts.team.map(|team| team.as_str().as_bytes()), MAX_TEXT);
        line::text(out, "token_id", facts.proof_id.map(str::as_bytes), MAX_TEXT);
        line::text(out, "method", Some(facts.method), MAX_TEXT);
        line::text(out, "host", Some(facts.host), MAX_TEXT);
        let path = facts.path.split(|&b| b == b'?').next().unwrap_or_default();
        line::text(out, "path", Some(path), MAX_PATH);
        line::text(out, "operation", facts.operation.map(str::as_bytes), MAX_TEXT);
        line::text(out, "account", facts.account.map(|sid| sid.as_str().as_bytes()), MAX_TEXT);
        line::text(out, "key_sid", facts.key_sid.map(|sid| sid.as_str().as_bytes()), MAX_TEXT);
    }

    fn begin(&self, out: &mut Vec<u8>, phase: &str) {
        out.extend_from_slice(b",\"id\":\"");
        out.extend_from_slice(&self.id.hex());
        out.extend_from_slice(b"\",\"phase\":\"");
        out.extend_from_slice(phase.as_bytes());
        out.push(b'"');
        line::peer(out, Some(self.peer));
    }

    fn outcome_line(&self, out: &mut Vec<u8>, outcome: &Outcome<'_>) {
        self.begin(out, "outcome");
        let decision: Option<&[u8]> = self.intended.then_some(b"allow");
        line::text(out, "decision", decision, MAX_TEXT);
        out.extend_from_slice(&self.facts);
        line::text(out, "reason", outcome.reason.map(str::as_bytes), MAX_TEXT);
        line::maybe_number(out, "status", (outcome.status != 0).then_some(outcome.status.into()));
        line::text(out, "upstream_request_id", outcome.upstream_request_id, MAX_TEXT);
        line::number(out, "bytes_in", outcome.bytes_in);
        line::number(out, "bytes_out", outcome.bytes_out);
        line::number(out, "duration_us", self.elapsed());
        line::maybe_number(out, "upstream_us", outcome.upstream_us);
    }

    fn elapsed(&self) -> u64 {
        let passed = self.core.shared.clock.instant().saturating_duration_since(self.opened);
        u64::try_from(passed.as_micros()).unwrap_or(u64::MAX)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.closed {
            let aborted = Outcome { reason: Some("aborted"), ..Outcome::default() };
            self.core.push(Kind::Fact, NOBODY, |out| self.outcome_line(out, &aborted));
        }
        let mut spare = self.core.spare.borrow_mut();
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
