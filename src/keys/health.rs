//! Whether the store answers, told by the feed and read by whoever is asked for it.

use std::sync::atomic::{AtomicU64, Ordering};

/// How the feed does, for `/readyz` and the metrics.
#[derive(Debug, Default)]
pub struct Health {
    /// Unix second of the last answer of the store; 0: none yet.
    heard: AtomicU64,
    /// Unix second since which the store has not answered; 0: it answers.
    lost: AtomicU64,
    /// Changes applied so far.
    applied: AtomicU64,
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
