//! The audit trail: one guard per request, closed exactly once, and no request upstream without its record.
//!
//! A [`Trail`] is opened once per process. Each core takes a [`Recorder`], which never leaves its thread; the recorder
//! opens a [`Guard`] per request. [`Guard::intent`] resolves when the intent is kept as `durability` says, and
//! [`Guard::outcome`] or [`Guard::deny`] closes; a guard that is dropped unclosed records `aborted`.
//!
//! Records that become ready in one turn of a core's event loop share one batch: the first one wakes the core's flusher,
//! which the runtime polls after every task that was ready before it. No timer is involved. A thread of its own writes what
//! all cores hand over, because a write may wait for the disk and no core may; what becomes ready meanwhile shares the next.
//!
//! This module never decides anything about a request, and never sees a body, a query or a secret.

mod batch;
mod chain;
mod change;
mod control;
mod core;
mod facts;
mod health;
mod inbox;
mod job;
mod kept;
mod lane;
mod line;
mod mend;
mod notes;
mod place;
mod private;
mod query;
mod recorder;
mod report;
mod resume;
mod rotate;
mod scan;
mod scribe;
mod shared;
mod ship;
mod slot;
mod sweep;
mod trail;
pub mod verify;
mod waiters;
mod warden;

pub use change::Settings;
pub use control::public_key;
pub use facts::{Denial, Facts, Outcome, Peer};
pub use health::{Counts, Trouble};
pub use kept::Kept;
pub use query::{PHASES, Query, describe, files, follow, is_no_trail, moment, search};
pub use recorder::{Guard, Recorder, Told};
pub use report::{Report, report};
pub use rotate::rotated;
pub use trail::Trail;
pub use waiters::AuditUnavailable;

#[cfg(test)]
mod tests;
