//! Copies the trail to other places: stdout, syslog, an OpenTelemetry collector.
//!
//! The trail's own files are the spool: a thread per place reads them behind the writers and remembers beside the file
//! how far it came. A slow or absent place holds up nobody and loses nothing, as rotated files stay until they are copied.
//! After a crash, records may be copied twice; `w` and `seq` tell them apart.

mod otlp;
mod source;
mod syslog;
mod wire;

use super::chain::digest_of;
use super::rotate::beside;
use crate::config::{Audit, Ship, ShipTo};
use source::Source;
use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A place that takes records.
trait Sink: Send {
    /// Hands over whole lines, each with its newline; when this returns, the place has them.
    fn send(&mut self, lines: &[u8]) -> io::Result<()>;
}

/// How often the file is looked at when all of it is copied.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// First and last wait between tries.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// How often a place is tried again once the trail is closed.
const LAST_TRIES: u32 = 5;
/// How long the end of the process waits for the last records to be copied.
const LAST: Duration = Duration::from_secs(2);

/// The threads that copy.
#[derive(Default)]
pub(super) struct Shipping {
    stop: Arc<AtomicBool>,
    /// By place: the number of the opening record of the file that it reads.
    progress: Vec<Arc<AtomicU64>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Shipping {
    /// Starts a thread for each place. Errors say which place can't be set up.
    pub(super) fn start(config: &Audit) -> io::Result<Self> {
        let mut shipping = Self::default();
        let Some(path) = config.file.as_deref() else { return Ok(shipping) };
        for ship in &config.ship {
            let named =
                |fault: &io::Error| io::Error::new(fault.kind(), format!("[[audit.ship]] {}: {fault}", ship.name));
            let sink = sink(ship).map_err(|fault| named(&fault))?;
            let progress = Arc::<AtomicU64>::default();
            let cursor = beside(path, &format!(".ship-{}", cursor_name(&ship.name)));
            let copier = Copier {
                name: ship.name.clone(),
                source: Source::new(path.to_owned(), cursor, progress.clone()),
                sink,
                stop: shipping.stop.clone(),
                failing: false,
            };
            let thread = thread::Builder::new().name("audit-ship".to_owned()).spawn(move || copier.run())?;
            shipping.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
            shipping.progress.push(progress);
        }
        Ok(shipping)
    }

    /// What tells the opening number of the oldest file that some place has not had all of; `None`: nothing is copied.
    pub(super) fn oldest_needed(&self) -> impl Fn() -> Option<u64> + Send + Sync + use<> {
        let progress = self.progress.clone();
        move || progress.iter().map(|progress| progress.load(Ordering::Relaxed)).min()
    }

    /// Lets the threads copy what is left, and ends them. `now` tells the time.
    pub(super) fn end(&self, now: impl Fn() -> Instant) {
        self.stop.store(true, Ordering::Relaxed);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let deadline = now() + LAST;
        while threads.iter().any(|thread| !thread.is_finished()) && now() < deadline {
            for thread in &threads {
                thread.thread().unpark();
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl fmt::Debug for Shipping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shipping({})", self.progress.len())
    }
}

/// One place and how far it came.
struct Copier {
    name: String,
    source: Source,
    sink: Box<dyn Sink>,
    stop: Arc<AtomicBool>,
    failing: bool,
}

impl Copier {
    fn run(mut self) {
        let (mut retry, mut last_tries) = (RETRY.0, LAST_TRIES);
        loop {
            // Asked before the look: what is written before the end is still seen.
            let stopping = self.stop.load(Ordering::Relaxed);
            match self.step() {
                Ok(true) => retry = RETRY.0,
                Ok(false) if stopping => break,
                Ok(false) => thread::park_timeout(LOOK_EVERY),
                Err(fault) => {
                    if !std::mem::replace(&mut self.failing, true) {
                        tracing::warn!(to = %self.name, %fault, "audit records can't be copied; they wait in the file");
                    }
                    if stopping && last_tries == 0 {
                        break;
                    }
                    last_tries -= u32::from(stopping);
                    thread::park_timeout(if stopping { RETRY.0 } else { retry });
                    retry = (retry * 2).min(RETRY.1);
                }
            }
        }
        self.source.save();
    }

    /// Copies the next lines. `false`: there are none.
    fn step(&mut self) -> io::Result<bool> {
        let lines = self.source.lines()?;
        if lines.is_empty() {
            self.source.save();
            return Ok(false);
        }
        self.sink.send(lines)?;
        self.source.advance();
        // A place that is far behind must not begin anew with each restart.
        self.source.save();
        if std::mem::take(&mut self.failing) {
            tracing::info!(to = %self.name, "audit records are being copied again");
        }
        Ok(true)
    }
}

fn sink(ship: &Ship) -> io::Result<Box<dyn Sink>> {
    Ok(match &ship.to {
        ShipTo::Stdout => Box::new(Stdout),
        ShipTo::SyslogUnix(path) => Box::new(syslog::Syslog::unix(path)),
        ShipTo::SyslogUdp(host, port) => Box::new(syslog::Syslog::udp(host, *port)),
        ShipTo::SyslogTcp(host, port, tls) => {
            Box::new(syslog::Syslog::tcp(wire::Address::new(host, *port, *tls, ship.ca.as_deref())?))
        }
        ShipTo::Otlp(origin, path) => {
            let address = wire::Address::new(&origin.host, origin.port, origin.tls, ship.ca.as_deref())?;
            Box::new(otlp::Otlp::new(address, path, ship.authorization.clone()))
        }
    })
}

/// The records' own lines.
struct Stdout;

impl Sink for Stdout {
    fn send(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(lines)?;
        out.flush()
    }
}

/// A file name for a place.
fn cursor_name(name: &str) -> String {
    String::from_utf8_lossy(&digest_of(name.as_bytes())[..12]).into_owned()
}

#[cfg(test)]
mod tests;
