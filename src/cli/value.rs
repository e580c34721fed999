//! Readers of arguments. What clap says of a wrong one begins with the argument's name; these give the mend.

use crate::audit::moment;
use crate::clock::Clock;
use crate::config;
use crate::ids::{AccountSid, TeamId};
use crate::policy::rules;
use std::time::Duration;

/// A team's name.
pub(super) fn team(text: &str) -> Result<TeamId, &'static str> {
    TeamId::parse(text).ok_or(TeamId::RULE)
}

/// A duration that may be zero.
pub(super) fn duration(text: &str) -> Result<Duration, &'static str> {
    config::duration(text).ok_or(config::DURATION)
}

/// A duration of what is kept in whole seconds.
pub(super) fn whole_seconds(text: &str) -> Result<Duration, &'static str> {
    let span = duration(text)?;
    if span.subsec_nanos() == 0 { Ok(span) } else { Err("write whole seconds, such as 1s or 90d") }
}

/// An account's SID, or nothing, which clears the list.
pub(super) fn account(text: &str) -> Result<String, &'static str> {
    let known = text.is_empty() || AccountSid::parse(text).is_some();
    if known { Ok(text.to_owned()) } else { Err("write the account's SID: AC and 32 hex digits") }
}

/// A permission of a Restricted key, or nothing, which clears the list.
pub(super) fn permission(text: &str) -> Result<String, &'static str> {
    if text.is_empty() || rules::is_permission(text) { Ok(text.to_owned()) } else { Err(rules::PERMISSION) }
}

/// A public Ed25519 key, in lower case.
pub(super) fn public_key(text: &str) -> Result<String, String> {
    let shaped = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if shaped { Ok(text.to_ascii_lowercase()) } else { Err("write a public Ed25519 key: 64 hex digits".to_owned()) }
}

/// An instant, in microseconds since the Unix epoch: RFC 3339, or a duration before now.
pub(super) fn since(text: &str) -> Result<u64, &'static str> {
    moment(text, &Clock::system())
}
