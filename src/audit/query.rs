//! Searches a trail: which records, by whom, on what.

use super::change::Settings;
use super::private::Private;
use super::rotate::{is_older, open, rotated};
use super::scan::{Pattern, is_record, scan};
use super::{line, scan::time_of};
use crate::clock::Clock;
use crate::config::{self, Audit};
use crate::ids::{AccountSid, KeySid, TeamId};
use std::collections::VecDeque;
use std::io::{self, Read as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// What is looked for; every part that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Records of this team: its requests, and what was done to it, its tokens and its keys.
    pub team: Option<TeamId>,
    /// Not before, in microseconds since the Unix epoch.
    pub since: Option<u64>,
    /// Not after, in microseconds since the Unix epoch.
    pub until: Option<u64>,
    /// Refused requests only.
    pub denied: bool,
    /// `intent`, `outcome`, `admin`, …
    pub phase: Option<String>,
    /// One operation (`api:Messages:create`), or those that begin with what stands before a final `*`.
    pub operation: Option<String>,
    /// Requests for this account.
    pub account: Option<AccountSid>,
    /// Requests that went upstream with this key, and what was done to it.
    pub key: Option<KeySid>,
    /// Requests with this id.
    pub id: Option<String>,
    /// Requests with this phone number in their path, in any spelling of its digits.
    pub phone: Option<String>,
    /// The newest so many.
    pub limit: Option<usize>,
}

/// The phases that records have.
pub const PHASES: [&str; 7] = ["intent", "outcome", "admin", "open", "checkpoint", "resume", "close"];

/// Whether a file that can be read holds something, and does not begin with a record.
pub fn is_no_trail(path: &Path) -> bool {
    let (mut first, record) = (Vec::new(), b"{\"ts\":\"");
    let read = open(path).and_then(|file| file.take(record.len() as u64).read_to_end(&mut first));
    read.is_ok() && !first.is_empty() && first != record
}

/// The files of a trail, oldest first: those that were rotated, and the one that is written now.
///
/// # Errors
/// The folder can't be read.
pub fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = rotated(path)?;
    files.push(path.to_owned());
    Ok(files)
}

/// An end of the time that is searched, in microseconds since the Unix epoch: RFC 3339, or a duration before now.
///
/// # Errors
/// What to write instead.
pub fn moment(text: &str, clock: &Clock) -> Result<u64, &'static str> {
    if let Some(ago) = config::duration(text) {
        return Ok(clock.unix_micros().saturating_sub(u64::try_from(ago.as_micros()).unwrap_or(u64::MAX)));
    }
    let instant = text.parse::<jiff::Timestamp>().ok().and_then(|at| u64::try_from(at.as_microsecond()).ok());
    instant.ok_or("write a duration such as 1h or 30d, or a time such as 2026-05-01T00:00:00Z")
}

/// Calls `each` with the lines that match, oldest first, until it breaks. `config` gives the key for phone numbers.
///
/// # Errors
/// A file that can't be read; for a phone number, a key that can't.
pub fn search(
    config: Option<&Audit>,
    files: &[PathBuf],
    query: &Query,
    mut each: impl FnMut(&[u8]) -> ControlFlow<()>,
) -> io::Result<()> {
    let pattern = query.pattern(config)?;
    let relevant = files.iter().filter(|file| !query.since.is_some_and(|since| is_older(file, since)));
    let Some(limit) = query.limit else {
        for file in relevant {
            if scan(file, &pattern, &mut each)?.is_break() {
                break;
            }
        }
        return Ok(());
    };
    for line in newest(relevant.rev(), &pattern, limit)? {
        if each(&line).is_break() {
            break;
        }
    }
    Ok(())
}

/// The newest lines that match, from files that come newest first.
fn newest<'f>(
    files: impl Iterator<Item = &'f PathBuf>,
    pattern: &Pattern,
    limit: usize,
) -> io::Result<VecDeque<Vec<u8>>> {
    let mut found: VecDeque<Vec<u8>> = VecDeque::new();
    for file in files {
        let wanted = limit - found.len();
        if wanted == 0 {
            break;
        }
        let mut own = VecDeque::new();
        let _ = scan(file, pattern, &mut |line| {
            if own.len() == wanted {
                own.pop_front();
            }
            own.push_back(line.to_vec());
            ControlFlow::Continue(())
        })?;
        own.append(&mut found);
        found = own;
    }
    Ok(found)
}

impl Query {
    fn pattern(&self, config: Option<&Audit>) -> io::Result<Pattern> {
        let mut pattern = Pattern {
            since: self.since.map(line::rfc3339),
            until: self.until.map(line::rfc3339),
            since_micros: self.since,
            ..Pattern::default()
        };
        // The rarest first: it is what the scan looks for.
        if let Some(id) = &self.id {
            pattern.piece(&field("id", id));
        }
        if let Some(phone) = &self.phone {
            let config =
                config.ok_or_else(|| io::Error::other("a phone number is searched for with the config's key"))?;
            pattern.piece(&Private::new(config)?.phone(phone.as_bytes()));
        }
        if let Some(key) = &self.key {
            pattern.piece_or_of_admin(&field("key_sid", key.as_str()), &[key.as_str().to_owned()])?;
        }
        if self.denied {
            pattern.piece(&field("decision", "deny"));
        }
        if let Some(operation) = &self.operation {
            let piece = field("operation", operation);
            pattern.piece(piece.strip_suffix("*\"").unwrap_or(&piece));
        }
        if let Some(account) = &self.account {
            pattern.piece(&field("account", account.as_str()));
        }
        if let Some(team) = &self.team {
            // As subjects of admin records name a team.
            let with_settings = field("subject", &Settings::prefix(team));
            let subjects = [
                field("subject", team.as_str()),
                with_settings.trim_end_matches('"').to_owned(),
                format!(" of {team}\""),
                format!(" of {team}, instead of "),
                format!(" of {team}'s key\""),
            ];
            pattern.piece_or_of_admin(&field("team", team.as_str()), &subjects)?;
        }
        if let Some(phase) = &self.phase {
            pattern.piece(&field("phase", phase));
        }
        Ok(pattern)
    }
}

/// A field as the line writer spells it.
fn field(name: &str, value: &str) -> String {
    let mut out = Vec::new();
    line::named_text(&mut out, name, value.as_bytes());
    // The writer escapes all but ASCII.
    String::from_utf8_lossy(&out).into_owned()
}

/// How often a followed file is looked at: soon enough for someone who watches, and nearly free.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Calls `each` with matching lines as they are written from now on, through rotations, until it breaks.
///
/// # Errors
/// A file that can't be read; for a phone number, a key that can't.
pub fn follow(
    config: Option<&Audit>,
    path: &Path,
    query: &Query,
    mut each: impl FnMut(&[u8]) -> ControlFlow<()>,
) -> io::Result<()> {
    use std::io::{Read, Seek, SeekFrom};
    use std::os::unix::fs::MetadataExt;
    let pattern = query.pattern(config)?;
    let mut file = std::fs::File::open(path)?;
    file.seek(SeekFrom::End(0))?;
    let mut pending = Vec::new();
    loop {
        file.read_to_end(&mut pending)?;
        let whole = memchr::memrchr(b'\n', &pending).map_or(0, |newline| newline + 1);
        for line in pending[..whole].split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
            if pattern.matches_line(line) && is_record(line) && each(line).is_break() {
                return Ok(());
            }
        }
        let moved = std::fs::metadata(path).ok().filter(|now| file.metadata().is_ok_and(|own| own.ino() != now.ino()));
        if moved.is_some() && whole == 0 {
            file = std::fs::File::open(path)?;
        }
        pending.drain(..whole);
        if whole == 0 {
            thread::sleep(LOOK_EVERY);
        }
    }
}

/// A record for people: its time, what became of it, who and what. A line that is no record stands as it is, but for what
/// would steer a terminal.
pub fn describe(line: &[u8]) -> String {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(line) else {
        return String::from_utf8_lossy(line).chars().map(visible).collect();
    };
    let text = |name: &str| match &value[name] {
        // What a caller sent must not steer a terminal.
        serde_json::Value::String(text) => text.chars().map(visible).collect(),
        serde_json::Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let time = String::from_utf8_lossy(time_of(line)).into_owned();
    let phase = text("phase");
    match phase.as_str() {
        "intent" | "outcome" => format!(
            "{time} {phase:<7} {:<5} {:>3} {:<20} {} {} {}{} {}",
            text("decision"),
            text("status"),
            text("reason"),
            text("team"),
            text("method"),
            text("host"),
            text("path"),
            text("operation"),
        ),
        "admin" => {
            format!("{time} {phase:<7} {} {} {} {}", text("actor"), text("action"), text("subject"), text("result"))
        }
        _ => format!("{time} {phase:<7} {}", text("why")),
    }
}

fn visible(c: char) -> char {
    if c == ' ' || c.is_ascii_graphic() { c } else { char::REPLACEMENT_CHARACTER }
}

#[cfg(test)]
mod tests;
