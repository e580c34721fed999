//! Counters whose labels are closed sets: no caller's text ever becomes a label.
//!
//! Each core counts for itself ([`Core`]), so that counting never makes two cores share a cache line; reading adds up.

mod histogram;

pub use histogram::Histogram;

use crate::error::Reason;
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What one core has counted.
#[derive(Debug, Default)]
pub struct Core {
    /// Upstream answers that were passed on, by the hundred of their status (index 0: none of 1 to 5).
    answered: [AtomicU64; 6],
    /// Refusals by reason, in the order of the table.
    refused: [AtomicU64; Reason::ALL.len()],
    /// Requests whose caller hung up or whose answer was cut.
    aborted: AtomicU64,
    /// Body bytes from callers.
    bytes_in: AtomicU64,
    /// Body bytes to callers.
    bytes_out: AtomicU64,
    /// Connections of callers now open.
    connections: AtomicI64,
    /// How long requests took.
    duration: Histogram,
}

/// Picks one counter.
type Pick<'p> = &'p dyn Fn(&Core) -> &AtomicU64;

/// Every core's counters.
#[derive(Debug, Default)]
pub struct Metrics {
    cores: Mutex<Vec<Arc<Core>>>,
}

impl Core {
    /// An upstream answer was passed on.
    pub fn answered(&self, status: u16, bytes_in: u64, bytes_out: u64, took: Duration) {
        let class = usize::from(status / 100);
        self.answered[if class < 6 { class } else { 0 }].fetch_add(1, Ordering::Relaxed);
        self.bytes_in.fetch_add(bytes_in, Ordering::Relaxed);
        self.bytes_out.fetch_add(bytes_out, Ordering::Relaxed);
        self.duration.observe(took);
    }

    /// A request was refused.
    pub fn refused(&self, reason: Reason) {
        if let Some(at) = Reason::ALL.iter().position(|&row| row == reason) {
            self.refused[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A caller hung up, or an answer was cut.
    pub fn aborted(&self) {
        self.aborted.fetch_add(1, Ordering::Relaxed);
    }

    /// A caller's connection was opened (`1`) or closed (`-1`).
    pub fn connections(&self, change: i64) {
        self.connections.fetch_add(change, Ordering::Relaxed);
    }
}

impl Metrics {
    /// Counters for one more core.
    pub fn core(&self) -> Arc<Core> {
        let core = Arc::new(Core::default());
        self.cores().push(Arc::clone(&core));
        core
    }

    /// The counters in Prometheus' text format.
    pub fn render(&self) -> String {
        let cores = self.cores().clone();
        let sum = |pick: Pick<'_>| -> u64 { cores.iter().map(|core| pick(core).load(Ordering::Relaxed)).sum() };
        let mut out = String::with_capacity(4096);
        head(&mut out, "sidekey_answers_total", "counter", "Upstream answers passed on, by hundreds of their status.");
        for class in 0..6 {
            let name = if class == 0 { "other".to_owned() } else { format!("{class}xx") };
            sample(&mut out, &format!("sidekey_answers_total{{class=\"{name}\"}}"), sum(&|core| &core.answered[class]));
        }
        head(&mut out, "sidekey_refusals_total", "counter", "Requests that sidekey answered itself, by reason.");
        for (at, reason) in Reason::ALL.iter().enumerate() {
            let name = format!("sidekey_refusals_total{{reason=\"{}\"}}", reason.name());
            sample(&mut out, &name, sum(&|core| &core.refused[at]));
        }
        let plain: [(&str, &str, Pick<'_>); 3] = [
            ("sidekey_aborted_total", "Requests whose caller hung up or whose answer was cut.", &|core| &core.aborted),
            ("sidekey_request_body_bytes_total", "Body bytes from callers.", &|core| &core.bytes_in),
            ("sidekey_answer_body_bytes_total", "Body bytes to callers.", &|core| &core.bytes_out),
        ];
        for (name, help, pick) in plain {
            metric(&mut out, name, help, sum(pick));
        }
        let open: i64 = cores.iter().map(|core| core.connections.load(Ordering::Relaxed)).sum();
        let open = u64::try_from(open).unwrap_or(0);
        metric(&mut out, "sidekey_connections", "Caller connections now open.", open);
        let name = "sidekey_request_duration_seconds";
        head(&mut out, name, "histogram", "From the request's head to the answer's last byte.");
        Histogram::render(cores.iter().map(|core| &core.duration), name, &mut out);
        out
    }

    /// Counters are whole at every instant, so a panicked holder's poison means nothing.
    fn cores(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Core>>> {
        self.cores.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A metric of one sample without labels, in Prometheus' text format: a counter if its name ends in `_total`, as those of
/// counters do, else a gauge.
pub fn metric(out: &mut String, name: &str, help: &str, value: u64) {
    head(out, name, if name.ends_with("_total") { "counter" } else { "gauge" }, help);
    sample(out, name, value);
}

/// The two lines before a metric's samples.
fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    // A String takes all that is written to it.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn sample(out: &mut String, name: &str, value: u64) {
    let _ = writeln!(out, "{name} {value}");
}
