//! What a file leaves out: every default with its unit and its reason, in one place.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// `listen.proxy` where `[listen]` names no listener for callers: loopback, because plain HTTP carries proofs.
pub const PROXY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// `upstream.url`: Twilio's own API (Twilio docs).
pub const UPSTREAM_URL: &str = "https://api.twilio.com";

/// `upstream.connect_timeout`: three SYN retries (1 s, 2 s) fit, so one lost packet is not a failure.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// `upstream.response_timeout`: Twilio's slowest answers take some seconds, and its SDKs give up after 30 s or later.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// `store.max_staleness`: long enough to mend a database, and a minute less than a replaced key lives on, which `keys`
/// holds: a broker that does not hear of the new one never acts with one that is gone.
pub const MAX_STALENESS: Duration = Duration::from_mins(9);

/// `audit.file`: beside the config file.
pub const AUDIT_FILE: &str = "audit.jsonl";

/// `audit.max_size`, bytes: 256 MiB, about 600,000 records; small enough to grep, large enough not to litter.
pub const AUDIT_MAX_SIZE: u64 = 256 << 20;

/// `audit.max_age`: a day, so that files can be kept and dropped by date.
pub const AUDIT_MAX_AGE: Duration = Duration::from_hours(24);

/// `limits.max_body`, bytes: 16 MiB; Twilio's largest documented upload (a fax or media file) is smaller.
pub const MAX_BODY: u64 = 16 << 20;

/// `limits.max_body_memory`, bytes: 256 MiB, sixteen of the largest bodies at once or 65,536 of 4 KiB. Only the operations
/// that take an account in their body have it read before it is sent; all others stream.
pub const MAX_BODY_MEMORY: u64 = 256 << 20;

/// `limits.max_head`, bytes: 64 KiB; a Twilio request line with every documented filter is under 8 KiB, and a JWT proof
/// of 16 KiB still fits.
pub const MAX_HEAD: usize = 64 << 10;

/// `limits.max_connections`: 16,384 caller connections at some KiB each stay far below 1 GiB, and below common
/// descriptor limits with their upstream halves. Where the process may have fewer descriptors, three quarters of those.
pub const MAX_CONNECTIONS: usize = 16_384;

/// `limits.head_timeout`: a head is a few packets; more than 10 s is a slow-send attack or a dead peer.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// `limits.idle_timeout`: longer than the 60 s that SDK pools and load balancers commonly keep a connection, so that
/// the caller closes first and never meets a closing socket.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// `limits.body_timeout`: one stalled read or write; a peer that moves nothing for 30 s is gone.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// `limits.upstream_idle`: 128 idle connections per core and origin; at 20 ms an answer that is 6,400 requests a second.
pub const UPSTREAM_IDLE: usize = 128;

/// `limits.upstream_idle_timeout`: below the 60 s after which common load balancers close an idle connection.
pub const UPSTREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// `limits.drain_timeout`: below Kubernetes' default grace of 30 s, so that sidekey ends before it is killed.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(25);

/// `limits.team_rate`, requests a second: 0, which is no ceiling. What a team may need is the operator's to know; Twilio has
/// ceilings of its own for each account (Twilio docs, error 20429).
pub const TEAM_RATE: u32 = 0;

/// `limits.cores`: 0, which is as many runtimes as the process may use cores.
pub const CORES: usize = 0;

/// `jwt.algorithms`: what Kubernetes, SPIRE and the common identity providers sign with.
pub const JWT_ALGORITHMS: [&str; 3] = ["RS256", "ES256", "EdDSA"];

/// `jwt.leeway`: clocks of machines with a time service differ by far less than 30 s.
pub const JWT_LEEWAY: Duration = Duration::from_secs(30);

/// `jwt.max_age`: an hour with an unreachable key server; after that a key that was withdrawn must not count.
pub const JWT_MAX_AGE: Duration = Duration::from_hours(1);
