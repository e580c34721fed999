//! Readers of arguments. What clap says of a wrong one begins with the argument's name; these give the mend.

use crate::clock::Clock;
use crate::config;
use crate::ids::TeamId;
use std::time::Duration;

/// A team's name.
pub(super) fn team(text: &str) -> Result<TeamId, String> {
    TeamId::parse(text).ok_or_else(|| {
        "a team's name is 1 to 63 letters, digits, `-`, `_` or `.`, beginning with a letter or digit".to_owned()
    })
}

/// A duration that may be zero.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    config::duration(text)
        .ok_or_else(|| "write a whole number and a unit, at most 36525d: 50ms, 2s, 10m, 1h, 90d or 0s".to_owned())
}

/// A public Ed25519 key, in lower case.
pub(super) fn public_key(text: &str) -> Result<String, String> {
    let shaped = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if shaped { Ok(text.to_ascii_lowercase()) } else { Err("write a public Ed25519 key: 64 hex digits".to_owned()) }
}

/// An instant, in microseconds since the Unix epoch: RFC 3339, or a duration before now.
pub(super) fn since(text: &str) -> Result<u64, String> {
    if let Some(ago) = config::duration(text) {
        let ago = u64::try_from(ago.as_micros()).unwrap_or(u64::MAX);
        return Ok(Clock::system().unix_micros().saturating_sub(ago));
    }
    let instant = text.parse::<jiff::Timestamp>().ok().and_then(|at| u64::try_from(at.as_microsecond()).ok());
    instant.ok_or_else(|| "write a duration such as 1h or 30d, or a time such as 2026-05-01T00:00:00Z".to_owned())
}
