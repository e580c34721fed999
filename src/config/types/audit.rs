//! `[audit]`: where records go, and what they are worth.

use crate::config::origin::Origin;
use crate::secret::Secret;
use std::path::PathBuf;
use std::time::Duration;

/// `[audit]`
#[derive(Clone, Debug)]
pub struct Audit {
    /// A file, or `None` for stdout.
    pub file: Option<PathBuf>,
    /// What happens to a request that can't be recorded.
    pub mode: AuditMode,
    /// How a record is kept before its request goes upstream.
    pub durability: Durability,
    /// Ed25519 seed (32 bytes) for signed checkpoints; `None`: chain only.
    pub signing_key: Option<Secret>,
    /// Key for hashing phone numbers; `None`: derived from a random key kept beside the file.
    pub hash_key: Option<Secret>,
    /// Rotate above this many bytes.
    pub max_size: u64,
    /// Rotate above this age.
    pub max_age: Duration,
    /// How long rotated files are kept; `None`: for ever.
    pub retention: Option<Duration>,
    /// Where the trail is copied to.
    pub ship: Vec<Ship>,
}

/// `[[audit.ship]]`: where the trail is copied to.
#[derive(Clone, Debug)]
pub struct Ship {
    /// As it is written in the file: names the place in logs, and its progress on disk.
    pub name: String,
    /// What it means.
    pub to: ShipTo,
    /// Extra roots for TLS, PEM.
    pub ca: Option<PathBuf>,
    /// The `Authorization` header for a collector.
    pub authorization: Option<Secret>,
}

/// A place that records are copied to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShipTo {
    /// Standard output: the records' own lines.
    Stdout,
    /// Syslog (RFC 5424) to a Unix datagram socket.
    SyslogUnix(PathBuf),
    /// Syslog, a datagram each; host and port.
    SyslogUdp(String, u16),
    /// Syslog with octet counts (RFC 6587, RFC 5425); host, port, and whether over TLS.
    SyslogTcp(String, u16, bool),
    /// OTLP over HTTP, JSON; the collector and its path.
    Otlp(Origin, String),
}

/// What happens to a request that can't be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditMode {
    /// It is refused with `audit_unavailable`.
    Required,
    /// It passes and is counted.
    BestEffort,
}

/// How a record is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// In the kernel: survives `kill -9`.
    Write,
    /// On disk: survives power loss.
    Fsync,
    /// In memory for at most the stated window.
    Buffered,
}
