//! The thread that does the exceptional: recovery, rotation, checkpoints, and the trail's own records.
//!
//! It alone takes more than one slot's lock, always in order, and gives up after a moment: a writer that hangs holds up
//! nobody but itself.

use super::batch::{Appended, Batch};
use super::control::Why;
use super::health::{State, Trouble};
use super::inbox;
use super::job::Job;
use super::mend::{Slots, lock_all, reopen, try_recover, write_checkpoint, write_last, write_to_old};
use super::place::Place;
use super::rotate;
use super::shared::{Hand, Shared};
use super::sweep::Sweep;
use std::fs;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

/// How often the warden looks around unasked.
const TICK: Duration = Duration::from_millis(250);
/// How often a busy trail gets a checkpoint: what a cut can take unseen is bounded by it.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(10);
/// How often retention is looked after at least.
const SWEEP_EVERY: Duration = Duration::from_hours(1);
/// First and last wait between tries to recover.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// The warden's own memory.
struct Warden {
    max_age: Duration,
    opened: Instant,
    collected: Instant,
    checked: Instant,
    checked_heads: Vec<u64>,
    /// What stood against taking what commands have left, the last time.
    uncollected: Option<io::ErrorKind>,
    swept: Option<Instant>,
    /// Of a trail that is a file.
    sweep: Option<Arc<Sweep>>,
    retry_in: Duration,
    retry_at: Option<Instant>,
}

/// Starts the thread. It ends with the last owner of `shared`.
pub(super) fn start(
    shared: &Arc<Shared>,
    jobs: Receiver<Job>,
    retention: Option<Duration>,
    max_age: Duration,
) -> io::Result<()> {
    let now = shared.clock.instant();
    // A file that an earlier run began is as old as it is; where the file system does not tell, it begins now.
    let created = shared.slot(0).file.metadata().and_then(|found| found.created());
    let wall = UNIX_EPOCH + Duration::from_micros(shared.clock.unix_micros());
    let age = created.ok().and_then(|created| wall.duration_since(created).ok()).unwrap_or_default();
    let mut warden = Warden {
        max_age,
        opened: now.checked_sub(age).unwrap_or(now),
        // At once: the last run may have left some.
        collected: now.checked_sub(TICK).unwrap_or(now),
        checked: now,
        checked_heads: Vec::new(),
        uncollected: None,
        swept: None,
        sweep: Sweep::of(shared, retention).map(Arc::new),
        retry_in: RETRY.0,
        retry_at: None,
    };
    let weak = Arc::downgrade(shared);
    thread::Builder::new().name("audit-warden".to_owned()).spawn(move || warden.run(&weak, &jobs))?;
    Ok(())
}

impl Warden {
    fn run(&mut self, shared: &Weak<Shared>, jobs: &Receiver<Job>) {
        loop {
            let job = jobs.recv_timeout(TICK);
            let Some(shared) = shared.upgrade() else { return };
            shared.begin(Hand::Warden);
            self.do_what_is_due(&shared);
            match job {
                Ok(Job::Record(batch, reply)) => {
                    // Who asked may have given up waiting.
                    let _ = reply.send(keep(&shared, &batch));
                }
                Ok(Job::Close(reply)) => {
                    let _ = reply.try_send(write_last(&shared));
                }
                Ok(Job::Look) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.look_around(&shared);
            shared.rest(Hand::Warden);
        }
    }

    /// What others have found to be done.
    fn do_what_is_due(&mut self, shared: &Arc<Shared>) {
        if shared.recovery_due.swap(false, Ordering::SeqCst) {
            self.recover(shared);
        }
        if shared.rotation_due.load(Ordering::SeqCst) {
            // Each write until then has found the same file too big.
            self.rotate(shared, |slots| slots.iter().any(|slot| slot.head.end > shared.max_size));
            shared.rotation_due.store(false, Ordering::SeqCst);
        }
    }

    fn look_around(&mut self, shared: &Arc<Shared>) {
        let now = shared.clock.instant();
        if now.saturating_duration_since(self.collected) >= TICK {
            self.collected = now;
            self.collect(shared);
        }
        if self.retry_at.is_some_and(|at| now >= at) {
            self.recover(shared);
        }
        if now.saturating_duration_since(self.checked) >= CHECKPOINT_EVERY {
            self.checked = now;
            self.checkpoint(shared);
        }
        if now.saturating_duration_since(self.opened) >= self.max_age {
            self.opened = now;
            // A file with hardly more than its opening waits for another day.
            if shared.slot(0).file.metadata().is_ok_and(|found| found.len() > 4096) {
                self.rotate(shared, |_| true);
            }
        }
        if self.swept.is_none_or(|at| now.saturating_duration_since(at) >= SWEEP_EVERY) {
            self.swept = Some(now);
            if let Some(sweep) = &self.sweep {
                sweep.start();
            }
        }
    }

    /// Writes what commands have left.
    fn collect(&mut self, shared: &Shared) {
        let Place::File { path, .. } = &shared.place else { return };
        if shared.health.state() != State::Up || shared.closed.load(Ordering::SeqCst) {
            return;
        }
        let collected = inbox::collect(path, |left| {
            let fields = [
                ("actor", left.actor.as_str()),
                ("action", &left.action),
                ("subject", &left.subject),
                ("result", &left.result),
                ("told_at", &left.told_at),
            ];
            let batch = shared.control().admin(shared.clock.unix_micros(), &fields);
            keep(shared, &batch)
        });
        let before = std::mem::replace(&mut self.uncollected, collected.as_ref().err().map(io::Error::kind));
        if let Err(fault) = collected
            && before != self.uncollected
        {
            tracing::warn!(%fault, "what commands left for the audit trail can't be taken");
        }
    }

    /// Tries to make the trail writable again; if it can't, tries later.
    fn recover(&mut self, shared: &Arc<Shared>) {
        let before = match shared.health.state() {
            // A fault came while the last one was mended, and left a piece behind.
            State::Up if is_torn(shared) => State::Down(Trouble::Failed),
            State::Up => {
                self.retry_at = None;
                return;
            }
            before => before,
        };
        match try_recover(shared, before) {
            Ok(()) => {
                shared.health.set(State::Up);
                self.retry_at = None;
                self.retry_in = RETRY.0;
                tracing::info!("the audit trail is being written again");
            }
            Err(fault) => {
                let trouble = Trouble::of(&fault);
                if shared.health.set(State::Down(trouble)) == State::Mending {
                    tracing::error!(trouble = trouble.name(), %fault, "the audit trail can't be opened anew");
                }
                self.retry_at = Some(shared.clock.instant() + self.retry_in);
                self.retry_in = (self.retry_in * 2).min(RETRY.1);
            }
        }
        shared.wake_all();
    }

    /// Every slot's lock, unless the trail has its closing record, so that another process may have the file by now, or
    /// waits to be mended: no start looks for a torn piece before a checkpoint.
    fn lock_open(shared: &Shared) -> Option<Slots<'_>> {
        lock_all(shared).filter(|_| !shared.closed.load(Ordering::SeqCst) && shared.health.state() == State::Up)
    }

    fn checkpoint(&mut self, shared: &Arc<Shared>) {
        let Some(mut slots) = Self::lock_open(shared) else { return };
        let seqs: Vec<u64> = slots.iter().map(|slot| slot.head.seq).collect();
        if seqs != self.checked_heads {
            write_checkpoint(shared, &mut slots, "checkpoint");
            self.checked_heads = slots.iter().map(|slot| slot.head.seq).collect();
        }
        drop(slots);
        shared.wake_all();
    }

    /// Goes on in a new file, if that is `due` once nobody writes.
    fn rotate(&mut self, shared: &Arc<Shared>, due: impl FnOnce(&Slots<'_>) -> bool) {
        let Place::File { path, .. } = &shared.place else { return };
        let Some(mut slots) = Self::lock_open(shared).filter(due) else { return };
        self.opened = shared.clock.instant();
        let aside = rotate::next_name(path, shared.clock.unix_micros());
        if let Err(fault) = fs::rename(path, &aside) {
            tracing::error!(%fault, "the audit file can't be rotated: it grows on");
            return;
        }
        write_to_old(shared, &mut slots);
        if let Err(fault) = reopen(shared, &mut slots, Why::Rotated) {
            shared.fault(Trouble::of(&fault));
        }
        drop(slots);
        shared.wake_all();
        self.swept = None;
    }
}

/// Writes a record of the trail's own; whether it is kept as `durability` says.
fn keep(shared: &Shared, batch: &Batch) -> bool {
    // One of many that were left does not hang because all of them take long.
    shared.begin(Hand::Warden);
    shared.append(0, batch) == Appended::Kept && shared.sync().is_ok()
}

/// Whether a write has left a piece behind. A writer at work will tell by itself.
fn is_torn(shared: &Shared) -> bool {
    shared.slots.iter().any(|slot| slot.try_lock().is_ok_and(|slot| slot.torn.is_some()))
}
