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
        let micros = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        match &self.turned {
            None => micros,
            Some(turned) => micros.saturating_add_signed(turned.load(Ordering::Relaxed).saturating_mul(1_000_000)),
        }
    }

    /// Seconds since the Unix epoch.
    pub fn unix_seconds(&self) -> u64 {
        self.unix_micros() / 1_000_000
    }

    /// A monotonic instant, for durations and deadlines.
    pub fn instant(&self) -> Instant {
        Instant::now()
    }
}
