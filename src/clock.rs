//! Wall and monotonic time. No other module reads a clock, so tests can turn this one.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where time comes from. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Seconds a test has turned the wall clock by; `None` in production.
    turned: Option<Arc<AtomicI64>>,
}

/// A point in time on both clocks: a request reads the wall clock once, and counts from there.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    instant: Instant,
    unix_micros: u64,
}

impl Moment {
    /// On the monotonic clock.
    pub const fn instant(&self) -> Instant {
        self.instant
    }

    /// Microseconds since the Unix epoch.
    pub const fn unix_micros(&self) -> u64 {
        self.unix_micros
    }

    /// Microseconds from here to `later`; 0 if it is none.
    pub fn micros_to(&self, later: Instant) -> u64 {
        let passed = later.saturating_duration_since(self.instant);
        passed.as_secs().saturating_mul(1_000_000).saturating_add(passed.subsec_micros().into())
    }
}

impl Clock {
    /// The machine's own clock.
    pub const fn system() -> Self {
        Self { turned: None }
    }

    /// A clock that starts at the machine's time and that [`Clock::turn`] moves.
    pub fn cranked() -> Self {
        Self { turned: Some(Arc::default()) }
    }

    /// Moves a cranked clock's wall time; a system clock stays.
    pub fn turn(&self, seconds: i64) {
        if let Some(turned) = &self.turned {
            turned.fetch_add(seconds, Ordering::Relaxed);
        }
    }

    /// Microseconds since the Unix epoch; 0 before it.
    pub fn unix_micros(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let micros = now.as_secs().saturating_mul(1_000_000).saturating_add(now.subsec_micros().into());
        match &self.turned {
            None => micros,
            Some(turned) => micros.saturating_add_signed(turned.load(Ordering::Relaxed).saturating_mul(1_000_000)),
        }
    }

    /// Seconds since the Unix epoch.
    pub fn unix_seconds(&self) -> u64 {
        self.unix_micros() / 1_000_000
    }

    /// Now, on both clocks.
    pub fn moment(&self) -> Moment {
        Moment { instant: self.instant(), unix_micros: self.unix_micros() }
    }

    /// A monotonic instant, for durations and deadlines.
    pub fn instant(&self) -> Instant {
        Instant::now()
    }
}
