//! A histogram with a bucket for every doubling.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets: up to 64 µs, 128 µs, … 33.6 s; the last takes the rest.
const BUCKETS: usize = 21;

/// Exponent of the first bucket's bound, in microseconds.
const FIRST: u32 = 6;

/// Counts durations.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    micros: AtomicU64,
}

impl Histogram {
    /// Counts one.
    pub fn observe(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let doublings = (u64::BITS - micros.saturating_sub(1).leading_zeros()).saturating_sub(FIRST);
        let at = (doublings as usize).min(BUCKETS - 1);
        self.buckets[at].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Writes the sum of several as one histogram in Prometheus' text format.
    pub fn render<'h>(all: impl Iterator<Item = &'h Self>, name: &str, out: &mut String) {
        let (mut counts, mut micros) = ([0_u64; BUCKETS], 0_u64);
        for one in all {
            for (sum, bucket) in counts.iter_mut().zip(&one.buckets) {
                *sum += bucket.load(Ordering::Relaxed);
            }
            micros += one.micros.load(Ordering::Relaxed);
        }
        let mut total = 0;
        for (at, count) in counts.iter().enumerate() {
            total += count;
            let bound = Duration::from_micros(1 << (FIRST as usize + at)).as_secs_f64();
            let bound = if at == BUCKETS - 1 { "+Inf".to_owned() } else { bound.to_string() };
            // A String takes all that is written to it.
            let _ = writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {total}");
        }
        let _ = writeln!(out, "{name}_sum {}\n{name}_count {total}", Duration::from_micros(micros).as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_falls_below_its_bound() {
        let histogram = Histogram::default();
        for micros in [0, 64, 65, 128, 129, 40_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let mut out = String::new();
        Histogram::render([&histogram].into_iter(), "x", &mut out);
        assert!(out.contains("x_bucket{le=\"0.000064\"} 2\n"), "{out}");
        assert!(out.contains("x_bucket{le=\"0.000128\"} 4\n"), "{out}");
        assert!(out.contains("x_bucket{le=\"0.000256\"} 5\n"), "{out}");
        assert!(out.contains("x_bucket{le=\"+Inf\"} 6\n") && out.contains("x_count 6\n"), "{out}");
    }
}
