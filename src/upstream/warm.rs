//! When a connection is opened before a request needs it.

use std::cell::Cell;

/// Ticks of a second without a request after which a host's connections are no longer renewed: longer than the pauses of
/// a service at work, and short enough that a broker nobody uses leaves its upstream alone.
const WARM_TICKS: u32 = 600;

/// Most ticks between two tries to reach a host that can't be reached.
const MAX_PAUSE: u32 = 60;

/// One host's need of a spare connection: there is one as long as the host is in use, the start of the broker counting as
/// a use. Never more than one is being opened, and a host that can't be reached is tried ever more rarely.
#[derive(Debug, Default)]
pub(super) struct Warmth {
    /// Ticks since the last request.
    quiet: Cell<u32>,
    /// Ticks until the next try.
    pause: Cell<u32>,
    /// Tries that failed in a row.
    failed: Cell<u32>,
    opening: Cell<bool>,
}

impl Warmth {
    /// A request takes a connection.
    pub(super) fn used(&self) {
        self.quiet.set(0);
    }

    /// Once a tick: whether a connection is to be opened now, in which case [`Warmth::opened`] says what came of it.
    /// `spare`: whether one is idle.
    pub(super) fn tick(&self, spare: bool) -> bool {
        let quiet = self.quiet.get().saturating_add(1);
        self.quiet.set(quiet);
        let pause = self.pause.get();
        self.pause.set(pause.saturating_sub(1));
        let due = !spare && !self.opening.get() && pause == 0 && quiet <= WARM_TICKS;
        self.opening.set(self.opening.get() || due);
        due
    }

    /// The end of what [`Warmth::tick`] asked for.
    pub(super) fn opened(&self, good: bool) {
        self.opening.set(false);
        let failed = if good { 0 } else { self.failed.get().saturating_add(1) };
        self.failed.set(failed);
        self.pause.set(if good { 0 } else { 1_u32.checked_shl(failed).unwrap_or(MAX_PAUSE).min(MAX_PAUSE) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: [u32; 0] = [];

    /// The ticks, of the next `count`, at which a connection is asked for; each try ends at once.
    fn tries(warmth: &Warmth, count: u32, spare: bool, good: bool) -> Vec<u32> {
        let asked = |_: &u32| {
            let due = warmth.tick(spare);
            if due {
                warmth.opened(good);
            }
            due
        };
        (1..=count).filter(asked).collect()
    }

    #[test]
    fn a_host_in_use_has_a_spare_connection() {
        let warmth = Warmth::default();
        assert_eq!(tries(&warmth, 3, true, true), NEVER, "one is there");
        assert_eq!(tries(&warmth, 3, false, true), [1, 2, 3]);
    }

    #[test]
    fn one_is_opened_at_a_time() {
        let warmth = Warmth::default();
        assert!(warmth.tick(false));
        assert!(!warmth.tick(false), "the first is still being opened");
        warmth.opened(true);
        assert!(warmth.tick(false));
    }

    #[test]
    fn a_host_that_nobody_asks_is_left_alone() {
        let warmth = Warmth::default();
        assert_eq!(tries(&warmth, WARM_TICKS, true, true), NEVER);
        assert_eq!(tries(&warmth, 10, false, true), NEVER);
        warmth.used();
        assert_eq!(tries(&warmth, 1, false, true), [1]);
    }

    #[test]
    fn a_host_that_is_away_is_tried_ever_more_rarely() {
        let warmth = Warmth::default();
        assert_eq!(tries(&warmth, 300, false, false), [1, 4, 9, 18, 35, 68, 129, 190, 251]);
        // Back again: no wait is left over.
        assert_eq!(tries(&warmth, 200, false, true)[1..3], [13, 14]);
    }
}
