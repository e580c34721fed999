//! How fast a core flushes, and so who writes: a core with time to spare lets the scribe write, and a disk that hangs hangs
//! no core.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// The interval between two flushes from which on a core has time to spare. A hand-over costs 10 to 20 µs of CPU, so 2 %
/// of a core at most.
const LEISURE: Duration = Duration::from_millis(1);

/// Flushes in a row without such an interval after which a core is busy. A few requests at once, with their outcomes, are
/// no load.
const BUSY: u32 = 16;

/// One core's pace.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Cell<Option<Instant>>,
    /// Short intervals in a row.
    short: Cell<u32>,
}

impl Pace {
    /// Takes note of a flush; whether the core is busy.
    pub(super) fn is_busy(&self, now: Instant) -> bool {
        let last = self.last.replace(Some(now));
        let is_short = last.is_some_and(|last| now.saturating_duration_since(last) < LEISURE);
        self.short.set(if is_short { self.short.get().saturating_add(1) } else { 0 });
        self.short.get() >= BUSY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_is_busy_after_many_short_intervals_and_not_after_one_long() {
        let (pace, mut now) = (Pace::default(), Instant::now());
        let mut after = |interval: Duration| {
            now += interval;
            pace.is_busy(now)
        };
        let short = LEISURE / 10;
        assert!((0..BUSY).all(|_| !after(short)));
        assert!((0..100).all(|_| after(short)));
        assert!(!after(LEISURE));
        assert!((1..BUSY).all(|_| !after(short)) && after(short));
    }
}
