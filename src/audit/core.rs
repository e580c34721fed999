//! One core's share of the trail: the turn's batch, who waits for it, and the flush that hands it to the scribe.

use super::batch::{Appended, Batch, Kind, NOBODY};
use super::health::{PATIENCE, State, Trouble, add};
use super::line::Stamp;
use super::notes::Notes;
use super::shared::Shared;
use super::waiters::{AuditUnavailable, KEPT, REFUSED, Waiters};
use crate::config::{AuditMode, Durability};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

/// `buffered`: the stated loss window. Records are written at the latest after this time, or at [`BUFFERED_BYTES`].
const BUFFERED_FOR: Duration = Duration::from_millis(100);

/// `buffered`: how much a core holds before it writes early.
const BUFFERED_BYTES: usize = 256 << 10;

/// How much a core gathers while a write does not come back: 12,000 lines, more than it has requests in flight. Beyond it,
/// intents are refused; beyond twice as much, what callers leave behind that do not wait is lost and counted.
const MOST_GATHERED: usize = Kind::Outcome.ceiling();

/// How many notes are kept for new requests: as many as a core has requests in flight on a busy day.
const BLANK: usize = 1024;

/// What a core's guards and its flusher share.
pub(super) struct Core {
    pub(super) shared: Arc<Shared>,
    /// Which slot and lane.
    pub(super) number: usize,
    pub(super) waiters: RefCell<Waiters>,
    /// The records of this turn.
    batch: RefCell<Batch>,
    /// Lines that could not be written and tell what has happened. They go out first.
    backlog: RefCell<Batch>,
    /// Lines were kept back, and no batch has been kept since.
    behind: Cell<bool>,
    /// Room for the next batch, while the scribe has one.
    spare: RefCell<Batch>,
    /// Notes of requests that have ended, for the next ones.
    #[allow(clippy::vec_box, reason = "guards hold the boxes, which are not to be made for each request")]
    blank: RefCell<Vec<Box<Notes>>>,
    flight: Cell<Option<Flight>>,
    stamp: RefCell<Stamp>,
    flusher: RefCell<Option<Waker>>,
    /// The flusher was woken and has not run.
    due: Cell<bool>,
    /// Since when the batch has been held up.
    held_since: Cell<Option<Instant>>,
}

/// A batch that the scribe has.
#[derive(Clone, Copy)]
struct Flight {
    since: Instant,
    lines: usize,
    /// Whose requests wait for it.
    intents: usize,
    /// Whoever waited has been refused.
    abandoned: bool,
}

impl Core {
    /// Makes core number `number`'s share and starts its flusher on the current local runtime.
    pub(super) fn start(shared: Arc<Shared>, number: usize) -> Rc<Self> {
        let core = Rc::new(Self {
            shared,
            number,
            waiters: RefCell::default(),
            batch: RefCell::default(),
            backlog: RefCell::default(),
            behind: Cell::new(false),
            spare: RefCell::default(),
            blank: RefCell::default(),
            flight: Cell::default(),
            stamp: RefCell::default(),
            flusher: RefCell::default(),
            due: Cell::new(false),
            held_since: Cell::default(),
        });
        tokio::task::spawn_local(flush_when_due(Rc::downgrade(&core)));
        core
    }

    /// Notes of a request that has ended, for a new one.
    pub(super) fn blank_notes(&self) -> Option<Box<Notes>> {
        self.blank.borrow_mut().pop()
    }

    /// Takes back the notes of a request that has ended.
    pub(super) fn take_notes(&self, notes: Box<Notes>) {
        let mut blank = self.blank.borrow_mut();
        if blank.len() < BLANK {
            blank.push(notes);
        }
    }

    /// Renders one line into the turn's batch; gives the place where whoever wants to know waits.
    pub(super) fn record(&self, kind: Kind, unix_micros: u64, render: impl FnOnce(&mut Vec<u8>)) -> usize {
        let gathered = self.batch.borrow().len();
        if gathered >= MOST_GATHERED || matches!(self.shared.health.state(), State::Down(_)) {
            if kind == Kind::Intent {
                self.count_unkept(1);
            }
            if kind != Kind::Intent || self.shared.mode == AuditMode::BestEffort {
                self.push(kind, NOBODY, unix_micros, render);
            }
            return if self.unkept().is_ok() { KEPT } else { REFUSED };
        }
        // While a write does not come back, a batch grows beyond its bound: from twice that on, requests wait as others
        // do. So they do while the trail is behind: on a disk that takes a little now and then, what passed meanwhile
        // would be lost.
        let passes = gathered < 2 * BUFFERED_BYTES && !self.behind.get();
        if self.shared.durability == Durability::Buffered && passes {
            self.push(kind, NOBODY, unix_micros, render);
            return KEPT;
        }
        let place = self.waiters.borrow_mut().take();
        self.push(kind, place, unix_micros, render);
        place
    }

    /// Renders one line into the turn's batch; `place` is who waits for it.
    pub(super) fn push(&self, kind: Kind, place: usize, unix_micros: u64, render: impl FnOnce(&mut Vec<u8>)) {
        let mut batch = self.batch.borrow_mut();
        if batch.len() >= 2 * MOST_GATHERED {
            return add(&self.shared.health.lost, 1);
        }
        self.stamp.borrow_mut().begin(batch.buffer(), unix_micros);
        render(batch.buffer());
        batch.seal(kind, place);
        // What the scribe has wakes the flusher when it comes back.
        let away = self.flight.get().is_some_and(|flight| !flight.abandoned);
        if !away
            && !self.due.replace(true)
            && let Some(flusher) = &*self.flusher.borrow()
        {
            flusher.wake_by_ref();
        }
    }

    /// How the flusher is woken from now on.
    fn remember(&self, waker: &Waker) {
        let mut flusher = self.flusher.borrow_mut();
        if !flusher.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *flusher = Some(waker.clone());
            self.shared.lanes[self.number].register(waker);
        }
    }

    /// Hands over what there is. Gives when it wants to run again at the latest.
    fn flush(&self) -> Option<Instant> {
        self.due.set(false);
        if let Some(flight) = self.flight.get() {
            match self.shared.lanes[self.number].take_back() {
                Some((batch, appended)) => self.land(flight, batch, appended),
                None => return self.watch(flight),
            }
        }
        match self.shared.health.state() {
            State::Up => {}
            State::Mending => return self.hold(),
            State::Down(_) => {
                self.give_up();
                return None;
            }
        }
        if !self.backlog.borrow().is_empty() {
            self.backlog.borrow_mut().append(&mut self.batch.borrow_mut());
            self.batch.swap(&self.backlog);
        } else if self.batch.borrow().is_empty() {
            return None;
        } else if let Some(until) = self.buffered_until() {
            return Some(until);
        }
        Some(self.hand_over())
    }

    /// `buffered`: until when the batch may still grow.
    fn buffered_until(&self) -> Option<Instant> {
        if self.shared.durability != Durability::Buffered || self.batch.borrow().len() >= BUFFERED_BYTES {
            return None;
        }
        self.held_until(BUFFERED_FOR)
    }

    /// Gives the batch to the scribe: a write may wait for the disk, and whoever waits there must not be this thread. Gives
    /// when it must be back.
    fn hand_over(&self) -> Instant {
        self.held_since.set(None);
        let batch = self.batch.replace(self.spare.take());
        let since = self.shared.clock.instant();
        let (lines, intents) = (batch.lines().len(), batch.intents_waiting());
        self.flight.set(Some(Flight { since, lines, intents, abandoned: false }));
        self.shared.lanes[self.number].hand_over(batch);
        self.shared.scribe.wake();
        since + PATIENCE
    }

    /// Tells whoever waits how a batch went. `false`: it must go again.
    fn settle(&self, batch: &mut Batch, appended: Appended) -> bool {
        match appended {
            Appended::Kept => {
                self.behind.set(false);
                self.tell(batch.places(), Ok(()));
            }
            Appended::Busy | Appended::Removed => return false,
            Appended::Unsynced | Appended::Failed => {
                self.count_unkept(batch.intents_waiting());
                self.tell(batch.places(), self.unkept());
                if appended == Appended::Failed {
                    self.hold_back(batch);
                }
            }
        }
        batch.clear();
        true
    }

    /// Takes back what the scribe is done with.
    fn land(&self, flight: Flight, mut batch: Batch, appended: Appended) {
        self.flight.set(None);
        if !flight.abandoned && !self.settle(&mut batch, appended) {
            // It goes again, before what has gathered since.
            batch.append(&mut self.batch.borrow_mut());
            batch = self.batch.replace(batch);
        } else if flight.abandoned && !matches!(appended, Appended::Kept | Appended::Unsynced) {
            self.hold_back(&mut batch);
        }
        batch.clear();
        self.spare.replace(batch);
    }

    /// Watches over the batch that the scribe has: one that does not come back refuses its requests.
    fn watch(&self, flight: Flight) -> Option<Instant> {
        let until = flight.since + PATIENCE;
        if !flight.abandoned && self.shared.clock.instant() < until {
            return Some(until);
        }
        self.give_up();
        if !flight.abandoned {
            self.flight.set(Some(Flight { abandoned: true, ..flight }));
            self.shared.fault(Trouble::Stuck);
            self.count_unkept(flight.intents);
            // Who waits now waits for it.
            self.waiters.borrow_mut().settle_all(self.unkept());
        }
        None
    }

    /// Waits for the warden, but not for ever.
    fn hold(&self) -> Option<Instant> {
        if self.batch.borrow().is_empty() && self.backlog.borrow().is_empty() {
            return None;
        }
        let until = self.held_until(PATIENCE);
        if until.is_none() {
            self.shared.fault(Trouble::Stuck);
            self.give_up();
        }
        until
    }

    /// The end of a wait that began when this was first asked; `None` once it has passed.
    fn held_until(&self, wait: Duration) -> Option<Instant> {
        let now = self.shared.clock.instant();
        let since = self.held_since.get().unwrap_or(now);
        self.held_since.set(Some(since));
        Some(since + wait).filter(|&until| now < until)
    }

    /// The trail is down: whoever waits is told, and what tells of the past is kept back.
    fn give_up(&self) {
        self.held_since.set(None);
        let mut batch = self.batch.borrow_mut();
        self.settle(&mut batch, Appended::Failed);
    }

    fn hold_back(&self, batch: &mut Batch) {
        self.behind.set(true);
        let lost = batch.hold_back(&mut self.backlog.borrow_mut(), self.shared.mode == AuditMode::BestEffort);
        add(&self.shared.health.lost, lost);
    }

    fn tell(&self, places: impl Iterator<Item = usize>, result: Result<(), AuditUnavailable>) {
        let mut waiters = self.waiters.borrow_mut();
        for place in places {
            waiters.settle(place, result);
        }
    }

    /// What a request is told whose record was not kept.
    fn unkept(&self) -> Result<(), AuditUnavailable> {
        match self.shared.mode {
            AuditMode::Required => Err(AuditUnavailable),
            AuditMode::BestEffort => Ok(()),
        }
    }

    fn count_unkept(&self, intents: usize) {
        let health = &self.shared.health;
        match self.shared.mode {
            AuditMode::Required => add(&health.refused, intents),
            AuditMode::BestEffort => add(&health.unrecorded, intents),
        }
    }
}

/// Runs once a turn in which records became ready, after every task that was ready before it.
async fn flush_when_due(core: Weak<Core>) {
    // One timer for all batches: it is set back only to go off earlier, and finds nothing to do most times that it does.
    let mut alarm = pin!(tokio::time::sleep(Duration::ZERO));
    let mut set: Option<Instant> = None;
    poll_fn(|context: &mut Context<'_>| {
        let Some(core) = core.upgrade() else { return Poll::Ready(()) };
        core.remember(context.waker());
        while let Some(until) = core.flush() {
            if set.is_none_or(|set| until < set) {
                set = Some(until);
                alarm.as_mut().reset(until.into());
            }
            if alarm.as_mut().poll(context).is_pending() {
                break;
            }
            set = None;
        }
        Poll::Pending
    })
    .await;
}

impl Drop for Core {
    /// What is left goes out now: the runtime is ending, no turn will come. A disk that hangs holds this up for
    /// [`PATIENCE`].
    fn drop(&mut self) {
        while self.flush().is_some() {
            thread::sleep(Duration::from_millis(1));
        }
        let lost = self.backlog.get_mut().lines().len() + self.flight.get().map_or(0, |flight| flight.lines);
        if lost > 0 {
            add(&self.shared.health.lost, lost);
            tracing::error!(lost, "the last audit records of a core could not be written");
        }
    }
}
