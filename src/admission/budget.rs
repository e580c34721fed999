//! Memory that many requests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that all requests of a process hold together. The ceiling comes with each demand, since a reload may change it.
#[derive(Debug, Default)]
pub struct Budget {
    held: AtomicU64,
}

impl Budget {
    /// A share without a byte.
    pub fn share(self: &Arc<Self>) -> Share {
        Share { budget: Arc::clone(self), bytes: 0 }
    }

    /// Bytes that are held now.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }
}

/// What one request holds of a [`Budget`]; given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Share {
    /// Takes so many more bytes. `false`, and nothing is taken, if all shares together would hold more than `ceiling`.
    #[must_use = "without the bytes, nothing may be kept"]
    pub fn grow(&mut self, more: u64, ceiling: u64) -> bool {
        let within = |held: u64| held.checked_add(more).filter(|held| *held <= ceiling);
        let taken = self.budget.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within).is_ok();
        if taken {
            self.bytes += more;
        }
        taken
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_stay_within_the_ceiling_and_come_back() {
        let budget = Arc::<Budget>::default();
        let (mut one, mut other) = (budget.share(), budget.share());
        assert!(one.grow(60, 100) && other.grow(40, 100));
        assert!(!one.grow(1, 100) && !one.grow(u64::MAX, u64::MAX));
        assert_eq!(budget.held(), 100);
        drop(other);
        assert!(one.grow(40, 100));
        drop(one);
        assert_eq!(budget.held(), 0);
    }
}
