//! The compression of rotated files, and the end of those that are past their retention.
//!
//! For a thread of its own, at the lowest priority, that rests. Idle time is not free: in a container it comes out of the
//! quota that requests need a moment later, and on a shared machine somebody pays for it. So one file that waits is given a
//! thirty-second of a CPU, which is enough for 6,000 requests a second, and each further one as much again.

use super::place::Place;
use super::rotate::{every, is_called_packed, is_older, is_partial, opening, with_suffix};
use super::shared::Shared;
use crate::clock::Clock;
use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::fs::{FlockOperation, flock};
use rustix::time::{ClockId, clock_gettime};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Lines of a trail repeat so much that more effort hardly finds more: 9.1 to 1 at 270 MB/s, where level 1 has 6.2 at 430 and
/// level 3 has 9.4 at 210.
const LEVEL: Compression = Compression::new(2);

/// The niceness of a sweep: on a CPU that is busy, a share of about 1.5 %.
const LOWEST: i32 = 19;

/// Each file that waits adds one part in so many of a CPU to what a sweep may take.
const PARTS: u32 = 32;

/// Bytes that are compressed between two rests: about a millisecond's work.
const PIECE: usize = 256 << 10;

/// How often the folder is looked at while a file is being compressed: retention goes on meanwhile, and the share grows with
/// what waits. A folder of thousands takes a while to read.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What sweeps a trail's rotated files.
pub(super) struct Sweep {
    path: PathBuf,
    retention: Option<Duration>,
    clock: Clock,
    /// The opening number of the oldest file that is being copied elsewhere.
    oldest_needed: Box<dyn Fn() -> Option<u64> + Send + Sync>,
    /// The trail is: whatever is left waits for the next run.
    closed: Arc<AtomicBool>,
    /// Somebody wants one that begins after this was set.
    asked: AtomicBool,
    sweeping: Mutex<()>,
}

impl Sweep {
    /// For a trail that is a file; files are kept for `retention`, for ever if there is none.
    pub(super) fn of(shared: &Shared, retention: Option<Duration>) -> Option<Self> {
        let Place::File { path, .. } = &shared.place else { return None };
        Some(Self {
            path: path.clone(),
            retention,
            clock: shared.clock.clone(),
            oldest_needed: Box::new(shared.shipping.oldest_needed()),
            closed: shared.closed.clone(),
            asked: AtomicBool::new(false),
            sweeping: Mutex::default(),
        })
    }

    /// Sweeps on a thread of its own; if one is at it, it looks once more when it is done.
    pub(super) fn start(self: &Arc<Self>) {
        self.asked.store(true, Ordering::SeqCst);
        let sweep = self.clone();
        let begun = thread::Builder::new().name("audit-sweep".to_owned()).spawn(move || {
            // Of the calling thread, on Linux.
            let _ = rustix::process::setpriority_process(None, LOWEST);
            let mut pace = Pace { looked: sweep.clock.instant(), worked: Duration::ZERO, waiting: 1 };
            // Looked at again without the lock: who asked while it was held has gone.
            while sweep.asked.load(Ordering::SeqCst) {
                let Ok(_alone) = sweep.sweeping.try_lock() else { return };
                while sweep.asked.swap(false, Ordering::SeqCst) {
                    sweep.run(&mut pace);
                }
            }
        });
        if let Err(fault) = begun {
            tracing::warn!(%fault, "no thread for compressing audit files");
        }
    }

    /// Compresses what is not, and removes what is past its retention, until there is nothing left to do. What can't be
    /// compressed is passed over: on a full disk, the next file may fit.
    fn run(&self, pace: &mut Pace) {
        let mut tried: Option<PathBuf> = None;
        while !self.closed.load(Ordering::SeqCst) {
            let waiting = self.look(pace);
            let Some(file) = waiting.into_iter().find(|file| tried.as_ref().is_none_or(|tried| tried < file)) else {
                return;
            };
            if let Err(fault) = self.compress(&file, pace) {
                tracing::warn!(%fault, file = %file.display(), "a rotated audit file could not be compressed");
            }
            pace.rest();
            tried = Some(file);
        }
    }

    /// Removes what is past its retention and what a sweep that was killed has left. Gives what waits, oldest first.
    fn look(&self, pace: &mut Pace) -> Vec<PathBuf> {
        pace.looked = self.clock.instant();
        let files = every(&self.path).unwrap_or_else(|fault| {
            tracing::warn!(%fault, "rotated audit files could not be looked for");
            Vec::new()
        });
        let is_waiting = |file: &PathBuf| !self.is_cleared(file) && !is_called_packed(file);
        let waiting: Vec<_> = files.into_iter().filter(is_waiting).collect();
        pace.waiting = waiting.len();
        waiting
    }

    /// Whether a file is none that waits: it is removed here, or a copy of one.
    fn is_cleared(&self, file: &Path) -> bool {
        let left_over = is_partial(file) && !file.with_extension("").with_extension("").exists();
        let expired = !is_partial(file) && self.is_expired(file);
        if left_over || expired {
            match fs::remove_file(file) {
                Ok(()) if expired => tracing::info!(file = %file.display(), "removed an audit file past its retention"),
                Ok(()) => {}
                Err(fault) if fault.kind() == io::ErrorKind::NotFound => {}
                Err(fault) => tracing::warn!(%fault, file = %file.display(), "an audit file could not be removed"),
            }
        }
        expired || is_partial(file)
    }

    /// By its name alone: the folder of a relative path is spelled in more ways than one. What some place has not had all
    /// of stays; what can't be read is no reason to stay.
    fn is_expired(&self, file: &Path) -> bool {
        let Some(kept) = self.retention else { return false };
        let kept = u64::try_from(kept.as_micros()).unwrap_or(u64::MAX);
        is_older(file, self.clock.unix_micros().saturating_sub(kept))
            && (self.oldest_needed)().is_none_or(|needed| opening(file).ok().flatten().is_none_or(|own| own < needed))
    }

    /// Makes `file.gz` of `file`. The original goes only when the copy is on disk.
    ///
    /// Under a lock: a run that ends and the one that follows it may both be at it, and the one that comes too late would
    /// empty the copy of the other. A file that somebody else holds, or has done with, is left alone.
    fn compress(&self, file: &Path, pace: &mut Pace) -> io::Result<()> {
        let original = match File::open(file) {
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        if flock(&original, FlockOperation::NonBlockingLockExclusive).is_err() || !file.exists() {
            return Ok(());
        }
        let partial = with_suffix(file, ".gz.part");
        let packed = match self.pack(&original, &partial, pace) {
            // Past its retention meanwhile, or the trail has been closed.
            Ok(whole) if !whole || !file.exists() => return fs::remove_file(&partial).or(Ok(())),
            packed => packed.and_then(|_| fs::rename(&partial, with_suffix(file, ".gz"))),
        };
        if packed.is_err() {
            // On a full disk, half a copy only takes room. Fails where there is none.
            let _ = fs::remove_file(&partial);
        }
        packed.and_then(|()| fs::remove_file(file))
    }

    /// Writes a compressed copy, and waits until it is on disk. `false`: the trail was closed before the end.
    fn pack(&self, original: &File, partial: &Path, pace: &mut Pace) -> io::Result<bool> {
        let out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(partial)?;
        let mut packer = GzEncoder::new(out, LEVEL);
        let mut piece = Vec::with_capacity(PIECE);
        while original.take(PIECE as u64).read_to_end(&mut piece)? > 0 {
            packer.write_all(&piece)?;
            piece.clear();
            if self.clock.instant().saturating_duration_since(pace.looked) >= LOOK_EVERY {
                self.look(pace);
            }
            pace.rest();
            if self.closed.load(Ordering::SeqCst) {
                return Ok(false);
            }
        }
        let mut out = packer.finish()?;
        out.flush()?;
        out.sync_all()?;
        Ok(true)
    }
}

/// How much of a CPU a thread takes that does nothing but sweep.
struct Pace {
    /// When the folder was looked at last.
    looked: Instant,
    /// The thread's CPU time when it last went on from a rest.
    worked: Duration,
    waiting: usize,
}

impl Pace {
    fn rest(&mut self) {
        thread::sleep(rest(used().saturating_sub(self.worked), self.waiting));
        self.worked = used();
    }
}

/// How long to rest after so much work, with so many files that wait.
fn rest(worked: Duration, waiting: usize) -> Duration {
    let share = u32::try_from(waiting).unwrap_or(PARTS).clamp(1, PARTS);
    worked * (PARTS - share) / share
}

/// The CPU time of this thread so far. Not asked for where nothing is compressed: under valgrind the process ends here.
fn used() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
