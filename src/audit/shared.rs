//! What all cores share: the writers' slots, the health, and the ways to the scribe and the warden.

use super::batch::Batch;
use super::control::Control;
use super::health::{Health, State, Trouble, add};
use super::lane::Lane;
use super::place::Place;
use super::private::Private;
use super::scribe::Scribe;
use super::ship::Shipping;
use super::slot::Slot;
use super::warden::Job;
use crate::clock::Clock;
use crate::config::{AuditMode, Durability};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError, mpsc};
use std::time::{Duration, Instant};

/// What all cores share. No lock here is taken by two cores on the hot path.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) mode: AuditMode,
    pub(super) durability: Durability,
    pub(super) place: Place,
    /// Whether busy cores write by themselves: a write is then a copy into the page cache.
    pub(super) inline: bool,
    /// Until when they don't, because a write has hung: in microseconds after `began`; 0: never.
    pub(super) wary_until: AtomicU64,
    pub(super) health: Health,
    /// By writer: 0 is the trail itself.
    pub(super) slots: Box<[Mutex<Slot>]>,
    /// By writer too; the trail's own is not used.
    pub(super) lanes: Box<[Lane]>,
    /// By writer: when its write in progress began, in microseconds after `began`; 0: none.
    pub(super) marks: Box<[AtomicU64]>,
    pub(super) began: Instant,
    pub(super) scribe: Scribe,
    pub(super) control: Mutex<Control>,
    pub(super) private: Private,
    pub(super) shipping: Shipping,
    pub(super) jobs: mpsc::Sender<Job>,
    /// A stream has one position, and its writers take turns.
    pub(super) turn: Mutex<()>,
    /// Rotate above this many bytes.
    pub(super) max_size: u64,
    /// Asked for, and not done.
    pub(super) rotation_due: AtomicBool,
    pub(super) closed: AtomicBool,
}

/// How long cores leave all writing to the scribe after a write has hung: a disk that hung once will again.
const WARY: Duration = Duration::from_mins(10);

/// Microseconds between two looks whether the file was renamed.
const LOOK_AGAIN: u64 = 10_000;

/// How the writing of a batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Appended {
    /// In the trail.
    Kept,
    /// The warden is at work on the slot; try again when it wakes you.
    Busy,
    /// Written to a file that no name leads to any more; write it again when the warden has opened another.
    Removed,
    /// Written, but the disk did not confirm it.
    Unsynced,
    /// Not written.
    Failed,
}

impl Shared {
    /// Writes a batch as the next lines of a writer; never waits for another writer.
    pub(super) fn append(&self, n: usize, batch: &Batch) -> Appended {
        match self.slots[n].try_lock() {
            Ok(mut slot) => self.append_locked(n, &mut slot, batch),
            Err(TryLockError::Poisoned(slot)) => self.append_locked(n, &mut slot.into_inner(), batch),
            Err(TryLockError::WouldBlock) => Appended::Busy,
        }
    }

    /// The same for a thread that may wait.
    pub(super) fn append_waiting(&self, n: usize, batch: &Batch) -> Appended {
        let mut slot = self.slot(n);
        // The trail's own last record is its closing one; another process may have the file by now.
        if n == 0 && self.closed.load(Ordering::SeqCst) {
            return Appended::Failed;
        }
        // Looked at under the lock: the warden sets it under the lock.
        match self.health.state() {
            State::Up => self.append_locked(n, &mut slot, batch),
            State::Mending => Appended::Busy,
            State::Down(_) => Appended::Failed,
        }
    }

    /// The last lines of a core whose runtime has ended.
    pub(super) fn append_last(&self, n: usize, batch: &Batch) {
        let appended = match self.health.state() {
            State::Down(_) => Appended::Failed,
            State::Up | State::Mending => self.append_locked(n, &mut self.slot(n), batch),
        };
        if appended != Appended::Kept {
            let lost = batch.lines().count();
            add(&self.health.lost, lost);
            tracing::error!(lost, "the last audit records of a core could not be written");
        }
    }

    pub(super) fn slot(&self, n: usize) -> MutexGuard<'_, Slot> {
        self.slots[n].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes and looks whether the file is still the named one. Held: the slot's lock.
    pub(super) fn append_locked(&self, n: usize, slot: &mut Slot, batch: &Batch) -> Appended {
        let now = self.since_began(self.clock.instant());
        self.marks[n].store(now, Ordering::Relaxed);
        let written = {
            let _turn = matches!(self.place, Place::Stream(_))
                .then(|| self.turn.lock().unwrap_or_else(PoisonError::into_inner));
            slot.write(batch)
        };
        let named = written.is_err() || self.is_named(slot, now);
        self.marks[n].store(0, Ordering::Relaxed);
        if let Err(fault) = written {
            self.fault(Trouble::of(&fault));
            return Appended::Failed;
        }
        add(&self.health.writes, 1);
        add(&self.health.records, batch.lines().len());
        if !named {
            return self.moved(slot);
        }
        if slot.head.end > self.max_size && !self.rotation_due.swap(true, Ordering::Relaxed) {
            self.ask(Job::Rotate);
        }
        Appended::Kept
    }

    /// Whether the file that was written to is still the trail's. That it is not removed is seen after each write: what
    /// no name leads to is lost. Under another name nothing is lost, and a look by name costs more than the write.
    fn is_named(&self, slot: &mut Slot, now: u64) -> bool {
        if matches!(self.place, Place::Stream(_)) {
            return true;
        }
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
        self.ask(Job::Recover);
        // In a renamed file the lines are still part of the trail.
        if slot.is_removed() { Appended::Removed } else { Appended::Kept }
    }

    /// Records can't be kept from now on; the warden tries until they can.
    pub(super) fn fault(&self, trouble: Trouble) {
        if !matches!(self.health.set(State::Down(trouble)), State::Down(_)) {
            tracing::error!(trouble = trouble.name(), "the audit trail can't be written");
        }
        self.ask(Job::Recover);
    }

    /// A write has hung: for a while, no core writes by itself.
    pub(super) fn be_wary(&self) {
        self.wary_until.store(self.since_began(self.clock.instant() + WARY), Ordering::Relaxed);
    }

    /// Whether a write has hung lately.
    pub(super) fn is_wary(&self, now: Instant) -> bool {
        let until = self.wary_until.load(Ordering::Relaxed);
        until > 0 && self.since_began(now) < until
    }

    /// How long the oldest write in progress has been at it.
    pub(super) fn longest_write(&self) -> Duration {
        let now = self.since_began(self.clock.instant());
        let oldest = self.marks.iter().map(|mark| mark.load(Ordering::Relaxed)).filter(|&mark| mark > 0).min();
        oldest.map_or(Duration::ZERO, |mark| Duration::from_micros(now.saturating_sub(mark)))
    }

    /// Waits until what has been written is on disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        // The lock is not held meanwhile: any descriptor of the file syncs what all have written.
        let file = self.slot(0).file.clone();
        match file.sync_data() {
            // Pipes and terminals have nothing to sync.
            Err(fault) if fault.kind() == io::ErrorKind::InvalidInput => Ok(()),
            done => done,
        }
    }

    pub(super) fn ask(&self, job: Job) {
        // Without a warden the process is ending.
        drop(self.jobs.send(job));
    }

    fn since_began(&self, now: Instant) -> u64 {
        let micros = now.saturating_duration_since(self.began).as_micros();
        u64::try_from(micros).unwrap_or(u64::MAX).max(1)
    }
}
