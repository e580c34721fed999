//! Wall and monotonic time. No other module reads a clock, so tests can turn this one.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where time comes from. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// What a test has done to it; `None` in production.
    turned: Option<Arc<Turned>>,
}

#[derive(Debug, Default)]
struct Turned {
    /// Seconds by which the wall clock was set.
    set: AtomicI64,
    /// Seconds that are taken to have passed, on both clocks.
    passed: AtomicU64,
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

    /// A clock that starts at the machine's time and that [`Clock::turn`] and [`Clock::pass`] move.
    pub fn cranked() -> Self {
        Self { turned: Some(Arc::default()) }
    }

    /// Sets a cranked clock's wall time, as somebody may set a machine's; a system clock stays.
    pub fn turn(&self, seconds: i64) {
        if let Some(turned) = &self.turned {
            turned.set.fetch_add(seconds, Ordering::Relaxed);
        }
    }

    /// Lets time pass on a cranked clock; a system clock stays.
    pub fn pass(&self, seconds: u64) {
        if let Some(turned) = &self.turned {
            turned.passed.fetch_add(seconds, Ordering::Relaxed);
        }
    }

    /// Microseconds since the Unix epoch; 0 before it.
    pub fn unix_micros(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let micros = now.as_secs().saturating_mul(1_000_000).saturating_add(now.subsec_micros().into());
        match &self.turned {
            None => micros,
            Some(turned) => {
                let passed = turned.passed.load(Ordering::Relaxed).saturating_mul(1_000_000);
                let set = turned.set.load(Ordering::Relaxed).saturating_mul(1_000_000);
                micros.saturating_add(passed).saturating_add_signed(set)
            }
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
        let now = Instant::now();
        match &self.turned {
            None => now,
            Some(turned) => now + Duration::from_secs(turned.passed.load(Ordering::Relaxed)),
        }
    }
}
