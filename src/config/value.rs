//! Readers of single values: durations, sizes, SIDs, addresses, origins.

use super::origin::Origin;
use super::raw::{Entry, Wrong};
use super::reference;
use crate::ids::{AccountSid, KeySid, TeamId};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;
use toml::de::DeValue;

/// What an account's SID is, for faults.
pub(super) const ACCOUNT: &str = "write the account's SID: AC and 32 hex digits";

/// What a duration may be, for whoever wrote one that is none.
pub const DURATION: &str =
    "write a whole number and a unit, at most 36525d: \"50ms\", \"2s\", \"10m\", \"1h\", \"90d\" or \"0s\"";

/// Reads `50ms`, `2s`, `10m`, `1h`, `90d` or `0s`: one whole number and one unit, at most 100 years.
pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let (number, most) = (u64::from(u32::try_from(number).ok()?), 36_525);
    let span = match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number * 60),
        "h" => Duration::from_secs(number * 3600),
        "d" => Duration::from_secs(number * 86_400),
        _ => return None,
    };
    (span <= Duration::from_secs(most * 86_400)).then_some(span)
}

/// Reads `100B`, `16KiB`, `16MiB` or `1GiB` as bytes.
pub fn size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let shift = match unit {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

/// A duration that may be zero.
pub(super) fn any_duration(entry: &Entry<'_, '_>) -> Result<Duration, Wrong> {
    duration(entry.text(DURATION)?).ok_or_else(|| Wrong::new("is not a duration", DURATION))
}

/// A duration between two ends, both allowed.
pub(super) fn duration_in(ends: RangeInclusive<Duration>) -> impl Fn(&Entry<'_, '_>) -> Result<Duration, Wrong> {
    move |entry| {
        let span = any_duration(entry)?;
        if ends.contains(&span) {
            return Ok(span);
        }
        let mend = format!("write something from {:?} to {:?}", ends.start(), ends.end());
        Err(Wrong::new("is out of range", mend))
    }
}

/// A size in bytes between two ends, both allowed.
pub(super) fn size_in(ends: RangeInclusive<u64>) -> impl Fn(&Entry<'_, '_>) -> Result<u64, Wrong> {
    move |entry| {
        let mend = "write a whole number and a unit: \"512B\", \"16KiB\", \"16MiB\" or \"1GiB\"";
        let bytes = size(entry.text(mend)?).ok_or_else(|| Wrong::new("is not a size", mend))?;
        if ends.contains(&bytes) {
            return Ok(bytes);
        }
        Err(Wrong::new("is out of range", format!("write something from {} to {} bytes", ends.start(), ends.end())))
    }
}

/// A whole number between two ends, both allowed.
pub(super) fn count_in(ends: RangeInclusive<usize>) -> impl Fn(&Entry<'_, '_>) -> Result<usize, Wrong> {
    move |entry| {
        let mend = || format!("write a whole number from {} to {}", ends.start(), ends.end());
        let DeValue::Integer(number) = entry.value else { return Err(Wrong::new("is not a whole number", mend())) };
        let digits: String = number.as_str().chars().filter(|c| *c != '_').collect();
        match usize::from_str_radix(&digits, number.radix()) {
            Ok(count) if ends.contains(&count) => Ok(count),
            _ => Err(Wrong::new("is out of range", mend())),
        }
    }
}

/// One of a closed set of words.
pub(super) fn one_of<T: Copy>(words: &'static [(&'static str, T)]) -> impl Fn(&Entry<'_, '_>) -> Result<T, Wrong> {
    move |entry| {
        let known: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let mend = format!("write one of {}", known.join(", "));
        let text = entry.text(&mend)?;
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).ok_or_else(|| Wrong::new("is not a word known here", mend))
    }
}

/// A text that is neither empty nor padded nor broken by control characters.
pub(super) fn plain_text(entry: &Entry<'_, '_>) -> Result<String, Wrong> {
    let mend = "write one line of text without blanks at its ends";
    let text = entry.text(mend)?;
    let plain = !text.is_empty() && text.trim().len() == text.len() && !text.chars().any(char::is_control);
    plain.then(|| text.to_owned()).ok_or_else(|| Wrong::new("is empty, padded or broken by a control character", mend))
}

/// An account's SID.
pub(super) fn account(entry: &Entry<'_, '_>) -> Result<AccountSid, Wrong> {
    AccountSid::parse(entry.text(ACCOUNT)?).ok_or_else(|| Wrong::new("is not an account's SID", ACCOUNT))
}

/// A key's SID.
pub(super) fn key_sid(entry: &Entry<'_, '_>) -> Result<KeySid, Wrong> {
    let mend = "write the key's SID: SK and 32 hex digits";
    KeySid::parse(entry.text(mend)?).ok_or_else(|| Wrong::new("is not a key's SID", mend))
}

/// A team's name.
pub(super) fn team(entry: &Entry<'_, '_>) -> Result<TeamId, Wrong> {
    TeamId::parse(entry.text(TeamId::RULE)?).ok_or_else(|| Wrong::new("is not a team's name", TeamId::RULE))
}

/// A SHA-256 in hex.
pub(super) fn sha256(entry: &Entry<'_, '_>) -> Result<[u8; 32], Wrong> {
    let mend = "write the `sha256` that `sidekey token generate` prints: 64 hex digits";
    let text = entry.text(mend)?;
    if text.starts_with("skt") {
        let mend = format!("{mend}; whoever could read this file has seen the token, so make a new one");
        return Err(Wrong::new("is a token, not its digest", mend));
    }
    let mut digest = [0; 32];
    hex::decode_to_slice(text, &mut digest).map_err(|_| Wrong::new("is not 64 hex digits", mend))?;
    Ok(digest)
}

/// Address and port to listen on.
pub(super) fn listen(entry: &Entry<'_, '_>) -> Result<SocketAddr, Wrong> {
    let mend = "write an IP address and a port: \"127.0.0.1:8080\" or \"[::1]:8080\"";
    entry.text(mend)?.parse().map_err(|_| Wrong::new("is not an address and a port", mend))
}

/// A path, relative to the config file's folder.
pub(super) fn path(entry: &Entry<'_, '_>) -> Result<PathBuf, Wrong> {
    let mend = "write a path; a relative one is relative to this file's folder";
    let text = entry.text(mend)?;
    if text.is_empty() || text.contains('\0') {
        return Err(Wrong::new("is not a path", mend));
    }
    Ok(entry.gather.path(text))
}

/// A path to a file that is there and can be read.
pub(super) fn readable(entry: &Entry<'_, '_>) -> Result<PathBuf, Wrong> {
    let path = path(entry)?;
    let wrong = |what: &str| Wrong::new(format!("{} {what}", path.display()), "name a file that sidekey can read");
    match std::fs::metadata(&path) {
        Err(error) => Err(wrong(&format!("can't be read: {}", reference::words(&error)))),
        Ok(facts) if !facts.is_file() => Err(wrong("is not a regular file")),
        Ok(_) => match std::fs::File::open(&path) {
            Ok(_) => Ok(path),
            Err(error) => Err(wrong(&format!("can't be read: {}", reference::words(&error)))),
        },
    }
}

/// The same for a private key: one that others can read is warned of.
pub(super) fn private(entry: &Entry<'_, '_>) -> Result<PathBuf, Wrong> {
    let path = readable(entry)?;
    if let Ok(facts) = std::fs::metadata(&path) {
        reference::warn_if_open(entry, &path.display().to_string(), facts.permissions().mode());
    }
    Ok(path)
}

/// Where an upstream is reached. Plain HTTP to another machine is allowed and warned of: keys would travel in clear.
pub(super) fn origin(entry: &Entry<'_, '_>) -> Result<Origin, Wrong> {
    let mend = "write scheme, host and port only: \"https://api.twilio.com\" or \"http://127.0.0.1:4010\"";
    let origin = Origin::parse(entry.text(mend)?).ok_or_else(|| Wrong::new("is not an origin", mend))?;
    if !origin.tls && !origin.is_loopback() {
        entry.warn(Wrong::new("sends keys in clear over the network", "use https://"));
    }
    Ok(origin)
}
