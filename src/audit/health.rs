//! Whether records can be kept now, and what was not kept.

use std::io;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

/// How long a request waits for a file that is being opened anew, or a write that has not come back, before it is
/// refused. A page-cache write takes microseconds and a slow sync some 100 ms; callers commonly give up after 5 s.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Why records can't be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No space, or a quota or size limit.
    Full,
    /// The file or its file system is read-only, or not ours to write.
    ReadOnly,
    /// The file is not where it was, and can't be made anew.
    Missing,
    /// A write has not come back.
    Stuck,
    /// Any other fault of the file.
    Failed,
}

impl Trouble {
    const ALL: [Self; 5] = [Self::Full, Self::ReadOnly, Self::Missing, Self::Stuck, Self::Failed];

    /// One word for logs, metrics and `/readyz`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::ReadOnly => "read_only",
            Self::Missing => "missing",
            Self::Stuck => "stuck",
            Self::Failed => "failed",
        }
    }

    pub(super) fn of(fault: &io::Error) -> Self {
        match fault.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Self::Full,
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => Self::ReadOnly,
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::TimedOut => Self::Stuck,
            _ => Self::Failed,
        }
    }
}

/// What a core may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Write.
    Up,
    /// Wait a moment: the file was moved and is being opened anew.
    Mending,
    /// Refuse.
    Down(Trouble),
}

/// What the trail has counted since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines written.
    pub records: u64,
    /// Writes that carried them.
    pub writes: u64,
    /// Requests refused because their intent could not be kept.
    pub refused: u64,
    /// Requests that passed without a kept intent (`best_effort`).
    pub unrecorded: u64,
    /// Lines given up: more than a core keeps back.
    pub lost: u64,
}

/// The state and the counts, shared by all cores.
#[derive(Debug, Default)]
pub(super) struct Health {
    state: AtomicU8,
    pub(super) records: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) unrecorded: AtomicU64,
    pub(super) lost: AtomicU64,
}

const UP: u8 = 0;
const MENDING: u8 = 1;
const DOWN: u8 = 2;

impl Health {
    pub(super) fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            UP => State::Up,
            MENDING => State::Mending,
            down => State::Down(Trouble::ALL[usize::from(down - DOWN)]),
        }
    }

    /// Takes a state; gives the one before.
    pub(super) fn set(&self, state: State) -> State {
        let before = self.state();
        let byte = match state {
            State::Up => UP,
            State::Mending => MENDING,
            // `as` of a field-less enum: its position, which `ALL` repeats.
            State::Down(trouble) => DOWN + trouble as u8,
        };
        self.state.store(byte, Ordering::Release);
        before
    }

    pub(super) fn counts(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            records: read(&self.records),
            writes: read(&self.writes),
            refused: read(&self.refused),
            unrecorded: read(&self.unrecorded),
            lost: read(&self.lost),
        }
    }
}

/// Adds to a count.
pub(super) fn add(count: &AtomicU64, more: usize) {
    count.fetch_add(u64::try_from(more).unwrap_or(u64::MAX), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_come_back_as_they_were_set() {
        let health = Health::default();
        assert_eq!(health.state(), State::Up);
        for trouble in Trouble::ALL {
            health.set(State::Down(trouble));
            assert_eq!(health.state(), State::Down(trouble));
        }
        assert_eq!(health.set(State::Mending), State::Down(Trouble::Failed));
    }
}
