//! What all cores share: the writers' slots, the health, and the ways to the scribe and the warden.

use super::batch::{Appended, Batch};
use super::control::Control;
use super::health::{Health, PATIENCE, State, Trouble, add};
use super::job::Job;
use super::lane::{Lane, Scribe};
use super::place::Place;
use super::private::Private;
use super::ship::Shipping;
use super::slot::Slot;
use crate::clock::Clock;
use crate::config::{AuditMode, Durability};
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Instant;

/// What all cores share. A core takes no lock here but its lane's, which nobody holds while the disk is waited for.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) mode: AuditMode,
    pub(super) durability: Durability,
    pub(super) place: Place,
    pub(super) health: Health,
    /// By writer: 0 is the trail itself.
    pub(super) slots: Box<[Mutex<Slot>]>,
    /// By writer too; the trail's own is not used.
    pub(super) lanes: Box<[Lane]>,
    pub(super) began: Instant,
    /// By [`Hand`]: since when it is at what it does now, in microseconds after `began`; 0: it rests.
    pub(super) at_work: [AtomicU64; 2],
    pub(super) scribe: Scribe,
    pub(super) control: Mutex<Control>,
    pub(super) private: Private,
    pub(super) shipping: Shipping,
    pub(super) jobs: mpsc::SyncSender<Job>,
    /// A stream has one position, and its writers take turns.
    pub(super) turn: Mutex<()>,
    /// Rotate above this many bytes.
    pub(super) max_size: u64,
    /// Asked for, and not done: the file is too big.
    pub(super) rotation_due: AtomicBool,
    /// Asked for, and not begun: the trail can't be written, or its file was moved.
    pub(super) recovery_due: AtomicBool,
    pub(super) closed: Arc<AtomicBool>,
}

/// A thread that may wait for the disk.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hand {
    Scribe,
    Warden,
}

/// Microseconds between two looks whether the file was renamed.
const LOOK_AGAIN: u64 = 10_000;

impl Shared {
    /// Writes a batch as the next lines of a writer. Waits for the disk, and for the warden: never on a core.
    pub(super) fn append(&self, n: usize, batch: &Batch) -> Appended {
        let mut slot = self.slot(n);
        // The trail's own last record is its closing one; another process may have the file by now.
        if n == 0 && self.closed.load(Ordering::SeqCst) {
            return Appended::Failed;
        }
        // Looked at under the lock: the warden sets it under the lock.
        match self.health.state() {
            State::Up => self.append_locked(&mut slot, batch),
            State::Mending => Appended::Busy,
            State::Down(_) => Appended::Failed,
        }
    }

    pub(super) fn slot(&self, n: usize) -> MutexGuard<'_, Slot> {
        self.slots[n].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes and looks whether the file is still the named one. Held: the slot's lock.
    pub(super) fn append_locked(&self, slot: &mut Slot, batch: &Batch) -> Appended {
        let written = {
            let _turn = matches!(self.place, Place::Stream(_))
                .then(|| self.turn.lock().unwrap_or_else(PoisonError::into_inner));
            slot.write(batch)
        };
        if let Err(fault) = written {
            self.fault(Trouble::of(&fault));
            return Appended::Failed;
        }
        add(&self.health.writes, 1);
        add(&self.health.records, batch.lines().len());
        if !self.is_named(slot) {
            return self.moved(slot);
        }
        if slot.head.end > self.max_size {
            self.demand(&self.rotation_due);
        }
        Appended::Kept
    }

    /// Whether the file that was written to is still the trail's. That it is not removed is seen after each write: what
    /// no name leads to is lost. Under another name nothing is lost, and a look by name costs more than the write.
    fn is_named(&self, slot: &mut Slot) -> bool {
        if matches!(self.place, Place::Stream(_)) {
            return true;
        }
        let now = self.now();
        if slot.looked != 0 && now.saturating_sub(slot.looked) < LOOK_AGAIN {
            return !slot.is_removed();
        }
        slot.looked = now;
        // A fault of the look itself is no sign that the file is gone.
        self.place.holds(slot.identity).unwrap_or(true)
    }

    fn moved(&self, slot: &Slot) -> Appended {
        if self.health.state() == State::Up {
            self.health.set(State::Mending);
        }
        self.demand(&self.recovery_due);
        // In a renamed file the lines are still part of the trail.
        if slot.is_removed() { Appended::Removed } else { Appended::Kept }
    }

    /// Records can't be kept from now on; the warden tries until they can.
    pub(super) fn fault(&self, trouble: Trouble) {
        if !matches!(self.health.set(State::Down(trouble)), State::Down(_)) {
            tracing::error!(trouble = trouble.name(), "the audit trail can't be written");
        }
        self.demand(&self.recovery_due);
    }

    /// Says that a thread begins something that may hang.
    pub(super) fn begin(&self, hand: Hand) {
        self.at_work[hand as usize].store(self.now(), Ordering::Relaxed);
    }

    /// Says that it is done.
    pub(super) fn rest(&self, hand: Hand) {
        self.at_work[hand as usize].store(0, Ordering::Relaxed);
    }

    /// Whether one of these has been at it for so long that the disk must hang.
    pub(super) fn is_stuck(&self, hands: &[Hand]) -> bool {
        let since = |hand: &Hand| self.at_work[*hand as usize].load(Ordering::Relaxed);
        let longest = u64::try_from(PATIENCE.as_micros()).unwrap_or(u64::MAX);
        hands.iter().map(since).any(|since| since > 0 && self.now().saturating_sub(since) > longest)
    }

    /// Waits until what has been written is on disk, with `fsync`.
    pub(super) fn sync(&self) -> io::Result<()> {
        if self.durability != Durability::Fsync {
            return Ok(());
        }
        // The lock is not held meanwhile: any descriptor of the file syncs what all have written.
        let file = self.slot(0).file.clone();
        self.sync_file(&file)
    }

    /// The same for who holds the slots, if it is waited for at all.
    pub(super) fn sync_file(&self, file: &File) -> io::Result<()> {
        if self.durability != Durability::Fsync {
            return Ok(());
        }
        match file.sync_data() {
            // Pipes and terminals have nothing to sync.
            Err(fault) if fault.kind() == io::ErrorKind::InvalidInput => Ok(()),
            done => done,
        }
    }

    /// Asks the warden, unless it has been asked: a job that finds no room only wakes it, and it is awake then.
    fn demand(&self, due: &AtomicBool) {
        if !due.swap(true, Ordering::SeqCst) {
            self.ask(Job::Look);
        }
    }

    /// Asks the warden. Whoever waits for an answer hears at once that there is no room, or no warden since the process is
    /// ending: the way back is dropped with the job.
    pub(super) fn ask(&self, job: Job) {
        drop(self.jobs.try_send(job));
    }

    /// Runs every core's flusher soon.
    pub(super) fn wake_all(&self) {
        self.lanes.iter().for_each(Lane::wake);
    }

    /// In microseconds after the trail began, never 0.
    fn now(&self) -> u64 {
        let micros = self.clock.instant().saturating_duration_since(self.began).as_micros();
        u64::try_from(micros).unwrap_or(u64::MAX).max(1)
    }
}
