//! Whether the store answers and what is left to do, told by the keeper and read by whoever is asked for it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How the feed and the care of keys do, for `/readyz` and the metrics.
#[derive(Debug, Default)]
pub struct Health {
    /// Unix second of the last answer of the store; 0: none yet.
    heard: AtomicU64,
    /// Unix second since which the store has not answered; 0: it answers.
    lost: AtomicU64,
    /// Changes applied so far.
    applied: AtomicU64,
    /// The store did not take what was last to be written.
    mute: AtomicBool,
    /// What [`Backlog`] counts.
    undeleted: AtomicU64,
    unsettled: AtomicU64,
}

/// What is left to do of key changes, in the whole store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Keys out of use whose time has come, and that the upstream has not deleted yet.
    pub undeleted: u64,
    /// Changes that are under way, or were interrupted: a key that nobody holds may exist upstream.
    pub unsettled: u64,
}

impl Health {
    /// Since which Unix second the store has not answered; `None`: it answers.
    pub fn lost_since(&self) -> Option<u64> {
        Some(self.lost.load(Ordering::Relaxed)).filter(|second| *second != 0)
    }

    /// Unix second of the store's last answer.
    pub fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// Changes applied since the start.
    pub fn applied(&self) -> u64 {
        self.applied.load(Ordering::Relaxed)
    }

    /// Whether the store answers, and took what was last written.
    pub fn is_writable(&self) -> bool {
        self.lost_since().is_none() && !self.mute.load(Ordering::Relaxed)
    }

    /// What was left to do when the store last said so.
    pub fn backlog(&self) -> Backlog {
        let [undeleted, unsettled] = [&self.undeleted, &self.unsettled].map(|count| count.load(Ordering::Relaxed));
        Backlog { undeleted, unsettled }
    }

    /// This much is left to do.
    pub(super) fn left(&self, backlog: Backlog) {
        self.undeleted.store(backlog.undeleted, Ordering::Relaxed);
        self.unsettled.store(backlog.unsettled, Ordering::Relaxed);
    }

    /// Whether the store took what was to be written; answers whether that is news.
    pub(super) fn wrote(&self, taken: bool) -> bool {
        self.mute.swap(!taken, Ordering::Relaxed) == taken
    }

    /// The store answered at Unix second `now`.
    pub(super) fn answered(&self, now: u64) {
        self.heard.store(now, Ordering::Relaxed);
        self.lost.store(0, Ordering::Relaxed);
    }

    /// The store did not answer at Unix second `now`; the first time counts.
    pub(super) fn unanswered(&self, now: u64) {
        let _ = self.lost.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// A change was applied.
    pub(super) fn count(&self) {
        self.applied.fetch_add(1, Ordering::Relaxed);
    }
}
