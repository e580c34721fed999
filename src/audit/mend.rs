//! What the warden does to the file while nobody writes: mending, opening it anew, and the records that say so.

use super::batch::Appended;
use super::chain::Head;
use super::control::{Mended, Why};
use super::health::{PATIENCE, State};
use super::place::Place;
use super::rotate;
use super::shared::{Hand, Shared};
use super::slot::Slot;
use crate::clock::Clock;
use crate::config::Durability;
use rustix::fs::FlockOperation;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, TryLockError};
use std::thread;
use std::time::Duration;

/// Every slot's lock: nobody writes.
pub(super) type Slots<'a> = Vec<MutexGuard<'a, Slot>>;

/// Takes every slot's lock, in order; `None` if a writer does not let go.
pub(super) fn lock_all(shared: &Shared) -> Option<Slots<'_>> {
    let deadline = shared.clock.instant() + PATIENCE / 4;
    let mut slots = Vec::with_capacity(shared.slots.len());
    for slot in &shared.slots {
        loop {
            match slot.try_lock() {
                Ok(slot) => break slots.push(slot),
                Err(TryLockError::Poisoned(slot)) => break slots.push(slot.into_inner()),
                Err(TryLockError::WouldBlock) if shared.clock.instant() > deadline => return None,
                Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_micros(50)),
            }
        }
    }
    Some(slots)
}

/// Makes the trail writable: mends, opens the file anew if it was moved, and says in it what was not kept meanwhile.
pub(super) fn try_recover(shared: &Shared, before: State) -> io::Result<()> {
    // While a batch hangs, what this would write would hang too.
    let slots = if shared.is_stuck(&[Hand::Scribe]) { None } else { lock_all(shared) };
    let mut slots = slots.ok_or(io::ErrorKind::TimedOut)?;
    if shared.closed.load(Ordering::SeqCst) {
        return Err(io::Error::other("the trail is closed"));
    }
    let moved = !shared.place.holds(slots[0].identity)?;
    let blanked = match mend(shared, &mut slots) {
        // A disk that was replaced because it can't be written must not stand in the way of the new one.
        Err(fault) if moved => {
            tracing::warn!(%fault, "a torn line stays behind in the audit file that was moved away");
            Vec::new()
        }
        mended => mended?,
    };
    if moved || slots.iter().any(|slot| slot.identity != slots[0].identity) {
        let why = if slots[0].is_removed() { Why::Removed } else { Why::Renamed };
        if why == Why::Renamed {
            write_to_old(shared, &mut slots);
        }
        reopen(shared, &mut slots, why)?;
    } else {
        // The disk was full when the file was begun, or somebody has emptied it since.
        let unopened = shared.control().unopened.clone();
        match unopened {
            Some((why, mended)) => begin(shared, &mut slots, why, &mended)?,
            None if matches!(shared.place, Place::File { .. }) && is_empty(&slots[0]) => {
                reopen(shared, &mut slots, Why::Restart)?;
            }
            None => {}
        }
    }
    let State::Down(trouble) = before else { return Ok(()) };
    let counts = shared.health.counts();
    let counts = [("refused", counts.refused), ("unrecorded", counts.unrecorded), ("lost", counts.lost)];
    let now = shared.clock.unix_micros();
    let batch = shared.control().resumption(now, trouble.name(), &counts, &blanked);
    slots[0].write(&batch)?;
    shared.sync_file(&slots[0].file)
}

/// Takes off pieces of writes that failed half-way. Where another writer's line follows, the piece is blanked instead.
fn mend(shared: &Shared, slots: &mut Slots<'_>) -> io::Result<Vec<(u64, u64)>> {
    let mut torn: Vec<_> = slots.iter().filter_map(|slot| slot.torn).collect();
    torn.sort_unstable();
    let mut blanked = Vec::new();
    for (from, to) in torn.into_iter().rev() {
        if slots[0].file.metadata()?.len() == to {
            slots[0].file.set_len(from)?;
        } else if let Place::File { path, .. } = &shared.place {
            blank(path, from, to - from)?;
            blanked.push((from, to - from));
        }
    }
    for slot in slots.iter_mut() {
        slot.torn = None;
    }
    Ok(blanked)
}

/// Makes a line of spaces of a piece of the file.
pub(super) fn blank(path: &Path, from: u64, length: u64) -> io::Result<()> {
    // A descriptor that appends writes at the end, whatever it is told.
    let file = fs::OpenOptions::new().write(true).open(path)?;
    let mut blank = vec![b' '; usize::try_from(length).unwrap_or_default()];
    if let Some(last) = blank.last_mut() {
        *last = b'\n';
    }
    file.write_all_at(&blank, from)
}

/// Opens the named file for every writer and begins it.
pub(super) fn reopen(shared: &Shared, slots: &mut Slots<'_>, why: Why) -> io::Result<()> {
    if let Place::File { path, .. } = &shared.place {
        set_aside(path, shared.clock.unix_micros())?;
    }
    let files = slots.iter().map(|_| shared.place.open()).collect::<io::Result<Vec<_>>>()?;
    for (slot, file) in slots.iter_mut().zip(files) {
        slot.reopen(file)?;
    }
    for head in &mut shared.control().retired {
        head.end = 0;
    }
    begin(shared, slots, why, &Mended::default())
}

fn is_empty(slot: &Slot) -> bool {
    slot.file.metadata().is_ok_and(|found| found.len() == 0)
}

/// Whatever is under the trail's name and not the trail gives way.
fn set_aside(path: &Path, now: u64) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.len() > 0 => {
            let aside = rotate::with_suffix(&rotate::rotated_name(path, now), ".foreign");
            tracing::warn!(aside = %aside.display(), "another file was put where the audit trail is written");
            fs::rename(path, aside)
        }
        _ => Ok(()),
    }
}

/// Locks the file against other processes and writes the record that begins it; until it is written, the trail is unopened.
pub(super) fn begin(shared: &Shared, slots: &mut Slots<'_>, why: Why, mended: &Mended) -> io::Result<()> {
    if let Place::File { .. } = &shared.place {
        // A `verify` may hold it for a moment.
        lock(&slots[0].file, &shared.clock, Duration::from_millis(250))?;
    }
    shared.control().unopened = Some((why, mended.clone()));
    let heads: Vec<Head> = slots.iter().map(|slot| slot.head).collect();
    let batch = shared.control().opening(shared.clock.unix_micros(), why, &heads, mended);
    slots[0].write(&batch)?;
    if shared.durability == Durability::Fsync {
        slots[0].file.sync_all()?;
        shared.place.sync_folder()?;
    }
    let root = slots[0].head.digest;
    // A chain without a line is rooted in the newest opening.
    slots.iter_mut().filter(|slot| slot.head.seq == 0).for_each(|slot| slot.head.digest = root);
    shared.control().unopened = None;
    Ok(())
}

/// Locks a file against other processes, waiting for a while.
pub(super) fn lock(file: &File, clock: &Clock, patience: Duration) -> io::Result<()> {
    let deadline = clock.instant() + patience;
    while let Err(fault) = rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        if fault != rustix::io::Errno::WOULDBLOCK {
            return Err(fault.into());
        }
        if clock.instant() > deadline {
            return Err(io::Error::other("another process writes this audit file: give each broker its own"));
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// The closing record of a file that has another name now. Without it the file only lacks its tidy end.
pub(super) fn write_to_old(shared: &Shared, slots: &mut Slots<'_>) {
    let heads: Vec<Head> = slots.iter().map(|slot| slot.head).collect();
    let batch = shared.control().checkpoint(shared.clock.unix_micros(), "close", &heads);
    if let Err(fault) = slots[0].write(&batch) {
        tracing::warn!(%fault, "the closing record of a renamed audit file could not be written");
    }
}

/// Writes where every chain stands.
pub(super) fn write_checkpoint(shared: &Shared, slots: &mut Slots<'_>, phase: &str) -> bool {
    let heads: Vec<Head> = slots.iter().map(|slot| slot.head).collect();
    let batch = shared.control().checkpoint(shared.clock.unix_micros(), phase, &heads);
    shared.append_locked(&mut slots[0], &batch) == Appended::Kept
}

/// Writes the closing record, and lets go of the file: whoever comes next need not wait until the last thread has.
pub(super) fn write_last(shared: &Shared) -> bool {
    let Some(mut slots) = lock_all(shared) else { return false };
    let written = shared.health.state() == State::Up && write_checkpoint(shared, &mut slots, "close");
    let synced = written && shared.sync_file(&slots[0].file).is_ok();
    let _ = rustix::fs::flock(&*slots[0].file, FlockOperation::Unlock);
    synced
}

#[cfg(test)]
mod tests;
