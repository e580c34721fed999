//! One core's share of the trail: the turn's batch, who waits for it, and the flush that writes it.

use super::batch::{Batch, Kind};
use super::health::{State, Trouble, add};
use super::line::Stamp;
use super::pace::Pace;
use super::shared::{Appended, Shared};
use super::waiters::{AuditUnavailable, Kept, NOBODY, Waiters};
use crate::config::{AuditMode, Durability};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How long a request waits for a file that is being opened anew, or a write that has not come back, before it is
/// refused. A page-cache write takes microseconds and a slow sync some 100 ms; callers commonly give up after 5 s.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// `buffered`: the stated loss window. Records are written at the latest after this time, or at [`BUFFERED_BYTES`].
const BUFFERED_FOR: Duration = Duration::from_millis(100);

/// `buffered`: how much a core holds before it writes early.
const BUFFERED_BYTES: usize = 256 << 10;

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
    flight: RefCell<Option<Flight>>,
    stamp: RefCell<Stamp>,
    flusher: RefCell<Option<Waker>>,
    /// The flusher was woken and has not run.
    due: Cell<bool>,
    /// Since when the batch has been held up.
    held_since: Cell<Option<Instant>>,
    pace: Pace,
}

/// A batch that the scribe has.
struct Flight {
    since: Instant,
    /// Who waits for it, to be told even if it never comes back.
    places: Vec<usize>,
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
            flight: RefCell::default(),
            stamp: RefCell::default(),
            flusher: RefCell::default(),
            due: Cell::new(false),
            held_since: Cell::new(None),
            pace: Pace::default(),
        });
        tokio::task::spawn_local(flush_when_due(Rc::downgrade(&core)));
        core
    }

    /// Renders one line into the turn's batch; whoever wants to know waits.
    pub(super) fn record(self: &Rc<Self>, kind: Kind, unix_micros: u64, render: impl FnOnce(&mut Vec<u8>)) -> Kept {
        if let State::Down(_) = self.shared.health.state() {
            if kind == Kind::Intent {
                self.count_unkept(1);
            }
            if kind != Kind::Intent || self.shared.mode == AuditMode::BestEffort {
                self.push(kind, NOBODY, unix_micros, render);
            }
            return Kept::settled(self.clone(), self.unkept());
        }
        if self.shared.durability == Durability::Buffered {
            self.push(kind, NOBODY, unix_micros, render);
            return Kept::settled(self.clone(), Ok(()));
        }
        let place = self.waiters.borrow_mut().take();
        self.push(kind, place, unix_micros, render);
        Kept::waiting(self.clone(), place)
    }

    /// Renders one line into the turn's batch; `place` is who waits for it.
    pub(super) fn push(&self, kind: Kind, place: usize, unix_micros: u64, render: impl FnOnce(&mut Vec<u8>)) {
        let mut batch = self.batch.borrow_mut();
        self.stamp.borrow_mut().begin(batch.buffer(), unix_micros);
        render(batch.buffer());
        batch.seal(kind, place);
        if !self.due.replace(true)
            && let Some(flusher) = &*self.flusher.borrow()
        {
            flusher.wake_by_ref();
        }
    }

    /// Writes what there is. Gives when it wants to run again at the latest.
    fn flush(&self) -> Option<Duration> {
        self.due.set(false);
        self.collect();
        if self.flight.borrow().is_some() {
            return self.watch_flight();
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
        } else if let Some(wait) = self.buffered_for() {
            return Some(wait);
        }
        self.write_out()
    }

    /// `buffered`: how long the batch may still grow.
    fn buffered_for(&self) -> Option<Duration> {
        if self.shared.durability != Durability::Buffered || self.batch.borrow().len() >= BUFFERED_BYTES {
            return None;
        }
        self.left_of(BUFFERED_FOR)
    }

    /// Writes the batch here, or hands it to the scribe.
    fn write_out(&self) -> Option<Duration> {
        self.held_since.set(None);
        if self.writes_itself() {
            let mut batch = self.batch.borrow_mut();
            let appended = self.shared.append(self.number, &batch);
            let done = self.settle(&mut batch, appended);
            drop(batch);
            return if done { None } else { self.hold() };
        }
        let batch = self.batch.take();
        let since = self.shared.clock.instant();
        let (places, intents) = (batch.places().collect(), batch.intents_waiting());
        *self.flight.borrow_mut() = Some(Flight { since, places, intents, abandoned: false });
        self.shared.lanes[self.number].hand_over(batch);
        self.shared.scribe.wake();
        Some(PATIENCE)
    }

    /// Whether this core writes its batch by itself: it is busy, and a write is a copy that has not hung lately.
    fn writes_itself(&self) -> bool {
        if !self.shared.inline {
            return false;
        }
        let now = self.shared.clock.instant();
        self.pace.is_busy(now) && !self.shared.is_wary(now)
    }

    /// Tells whoever waits how a batch went. `false`: it must go again.
    fn settle(&self, batch: &mut Batch, appended: Appended) -> bool {
        match appended {
            Appended::Kept => self.tell(batch.places(), Ok(())),
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

    /// Takes back what the scribe has written.
    fn collect(&self) {
        let Some((mut batch, appended)) = self.shared.lanes[self.number].take_back() else { return };
        let abandoned = self.flight.take().is_some_and(|flight| flight.abandoned);
        if abandoned {
            if !matches!(appended, Appended::Kept | Appended::Unsynced) {
                self.hold_back(&mut batch);
            }
        } else if !self.settle(&mut batch, appended) {
            // It goes again, before what has gathered since.
            batch.append(&mut self.batch.borrow_mut());
        }
        if self.batch.borrow().is_empty() {
            self.batch.replace(batch);
        }
    }

    /// Watches over the batch that the scribe has: one that does not come back refuses its requests.
    fn watch_flight(&self) -> Option<Duration> {
        let mut flight = self.flight.borrow_mut();
        let flight = flight.as_mut()?;
        if !flight.abandoned {
            let passed = self.shared.clock.instant().saturating_duration_since(flight.since);
            let left = PATIENCE.saturating_sub(passed);
            if !left.is_zero() {
                return Some(left);
            }
            flight.abandoned = true;
            self.shared.fault(Trouble::Stuck);
            self.count_unkept(flight.intents);
            self.tell(flight.places.drain(..), self.unkept());
        }
        self.give_up();
        None
    }

    /// Waits for the warden, but not for ever.
    fn hold(&self) -> Option<Duration> {
        let left = match self.shared.health.state() {
            State::Down(_) => None,
            State::Up | State::Mending if self.batch.borrow().is_empty() => return None,
            State::Up | State::Mending => self.left_of(PATIENCE),
        };
        if left.is_none() {
            self.shared.fault(Trouble::Stuck);
            self.give_up();
        }
        left
    }

    /// What is left of a wait that began when this was first asked.
    fn left_of(&self, wait: Duration) -> Option<Duration> {
        let now = self.shared.clock.instant();
        let since = self.held_since.get().unwrap_or(now);
        self.held_since.set(Some(since));
        let left = wait.saturating_sub(now.saturating_duration_since(since));
        (!left.is_zero()).then_some(left)
    }

    /// The trail is down: whoever waits is told, and what tells of the past is kept back.
    fn give_up(&self) {
        self.held_since.set(None);
        let mut batch = self.batch.borrow_mut();
        self.settle(&mut batch, Appended::Failed);
    }

    fn hold_back(&self, batch: &mut Batch) {
        let passed = self.shared.mode == AuditMode::BestEffort || self.shared.durability == Durability::Buffered;
        let lost = batch.hold_back(&mut self.backlog.borrow_mut(), passed);
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
    let mut alarm = None;
    poll_fn(|context: &mut Context<'_>| {
        let Some(core) = core.upgrade() else { return Poll::Ready(()) };
        core.remember(context.waker());
        alarm = core.flush().map(|wait| Box::pin(tokio::time::sleep(wait)));
        while let Some(sleep) = &mut alarm
            && sleep.as_mut().poll(context).is_ready()
        {
            alarm = core.flush().map(|wait| Box::pin(tokio::time::sleep(wait)));
        }
        Poll::Pending
    })
    .await;
}

impl Core {
    fn remember(&self, waker: &Waker) {
        let mut flusher = self.flusher.borrow_mut();
        if !flusher.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *flusher = Some(waker.clone());
            self.shared.lanes[self.number].register(waker);
        }
    }
}

impl Drop for Core {
    /// What is left goes out now: the runtime is ending, no turn will come.
    fn drop(&mut self) {
        self.backlog.get_mut().append(self.batch.get_mut());
        if !self.backlog.get_mut().is_empty() {
            self.shared.append_last(self.number, self.backlog.get_mut());
        }
    }
}
