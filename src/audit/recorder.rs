//! The audit of one core: guards render records into the turn's batch, which the flusher hands to the scribe.

use super::batch::{Kind, NOBODY};
use super::core::Core;
use super::facts::{Denial, Facts, Outcome, Peer};
use super::kept::Kept;
use super::notes::Notes;
use super::shared::Shared;
use crate::clock::Moment;
use crate::ids::RequestId;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// The audit of one core; cheap to clone, never leaves its thread.
#[derive(Clone)]
pub struct Recorder {
    core: Rc<Core>,
}

impl Recorder {
    /// Takes core number `number`'s place in the trail and starts its flusher on the current local runtime.
    pub(super) fn start(shared: Arc<Shared>, number: usize) -> Self {
        Self { core: Core::start(shared, number) }
    }

    /// Opens the record of one request. The guard must be closed with [`Guard::outcome`] or [`Guard::deny`].
    pub fn open(&self, id: RequestId, peer: Peer) -> Guard {
        let opened = self.core.shared.clock.moment();
        let notes = match self.core.blank_notes() {
            Some(mut notes) => {
                notes.renew(id, peer, opened);
                notes
            }
            None => Box::new(Notes::new(id, peer, opened)),
        };
        Guard { core: Rc::clone(&self.core), notes: Some(notes) }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recorder({})", self.core.number)
    }
}

/// The record of one request: closed exactly once, whatever happens. Dropped unclosed, it records `aborted`.
pub struct Guard {
    core: Rc<Core>,
    /// Behind a pointer, since a guard changes hands often. `None` once it is closed.
    notes: Option<Box<Notes>>,
}

/// What a request has told of itself: peer and facts as they stand in its records.
#[derive(Clone)]
pub struct Told(Box<[u8]>);

impl Guard {
    /// Records that the request is allowed and about to go upstream. Not a byte may go there before this resolves.
    ///
    /// The line is taken when this is called; a future that is dropped does not take it back.
    pub fn intent(&mut self, facts: &Facts<'_>) -> Kept {
        self.know(facts);
        self.intended()
    }

    /// The same for a request of which all is as it was told of another one on the same connection.
    pub fn intent_told(&mut self, told: &Told) -> Kept {
        self.notes_mut().tell_again(&told.0);
        self.intended()
    }

    fn intended(&mut self) -> Kept {
        let core = Rc::clone(&self.core);
        let notes = self.notes_mut();
        notes.intended = true;
        let place = core.record(Kind::Intent, notes.at, |out| notes.intent(out));
        Kept::waiting(core, place)
    }

    /// What was told last.
    pub fn told(&self) -> Told {
        Told(self.notes().told().into())
    }

    /// When the record was opened.
    pub fn opened(&self) -> Moment {
        self.notes().opened
    }

    /// When what is recorded next happened, in Unix seconds: when the record was opened, or waited for last.
    pub fn unix_seconds(&self) -> u64 {
        self.notes().at / 1_000_000
    }

    /// Says that the request has been waited for: what is recorded next happens now.
    pub fn waited(&mut self) {
        let now = self.core.shared.clock.instant();
        self.notes_mut().pass(now);
    }

    /// Closes an allowed request. The outcome is rendered now and written with the core's next write; who must not
    /// answer before it is kept awaits what this gives.
    pub fn outcome(mut self, outcome: &Outcome<'_>) -> Kept {
        self.close(Kind::Outcome, outcome.ended, |notes, out, ended| notes.outcome(out, outcome, ended))
    }

    /// Closes a refused request.
    pub fn deny(mut self, facts: &Facts<'_>, denial: &Denial<'_>) -> Kept {
        self.know(facts);
        self.close(Kind::Refusal, None, |notes, out, ended| notes.denial(out, denial, ended))
    }

    /// Keeps what is known so far of a request that is not judged yet: its caller may leave before.
    pub fn know(&mut self, facts: &Facts<'_>) {
        let core = Rc::clone(&self.core);
        self.notes_mut().tell(&core.shared.private, facts);
    }

    fn close(
        &mut self,
        kind: Kind,
        ended: Option<Instant>,
        render: impl FnOnce(&Notes, &mut Vec<u8>, Instant),
    ) -> Kept {
        let ended = ended.unwrap_or_else(|| self.core.shared.clock.instant());
        let mut notes = self.notes.take().expect(OPEN);
        notes.pass(ended);
        let place = self.core.record(kind, notes.at, |out| render(&notes, out, ended));
        self.core.take_notes(notes);
        Kept::waiting(Rc::clone(&self.core), place)
    }

    fn notes(&self) -> &Notes {
        self.notes.as_deref().expect(OPEN)
    }

    fn notes_mut(&mut self) -> &mut Notes {
        self.notes.as_deref_mut().expect(OPEN)
    }
}

/// Why a guard that can be called has notes.
const OPEN: &str = "closing takes the guard, and the notes with it";

impl Drop for Guard {
    fn drop(&mut self) {
        let Some(mut notes) = self.notes.take() else { return };
        if notes.told().is_empty() {
            notes.tell(&self.core.shared.private, &Facts::default());
        }
        let aborted = Outcome { reason: Some("aborted"), ..Outcome::default() };
        let ended = self.core.shared.clock.instant();
        notes.pass(ended);
        self.core.push(Kind::Outcome, NOBODY, notes.at, |out| notes.outcome(out, &aborted, ended));
        self.core.take_notes(notes);
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.notes {
            Some(notes) => write!(f, "Guard({})", notes.id),
            None => f.write_str("Guard"),
        }
    }
}

#[cfg(test)]
mod tests;
