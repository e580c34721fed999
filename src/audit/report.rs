//! Who used what: a summary of a trail.

use super::query::{Query, search};
use crate::config::Audit;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

/// A summary of the outcomes in a stretch of time.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Time of the first outcome, RFC 3339.
    pub from: Option<String>,
    /// Time of the last outcome.
    pub to: Option<String>,
    /// By team; `-` is a caller whose proof led to none.
    pub teams: BTreeMap<String, Usage>,
    /// Refusals by reason, and by what the caller was not told.
    pub denials: BTreeMap<String, u64>,
    /// Tokens and other proofs that were used before, and not since the idle time.
    pub idle_tokens: Vec<Idle>,
    /// Keys likewise.
    pub idle_keys: Vec<Idle>,
}

/// What one team did.
#[derive(Debug, Default, Serialize)]
pub struct Usage {
    /// Requests, refused ones too.
    pub requests: u64,
    /// Refused ones.
    pub denied: u64,
    /// Bytes of request bodies.
    pub bytes_in: u64,
    /// Bytes of answer bodies.
    pub bytes_out: u64,
    /// Requests by operation.
    pub operations: BTreeMap<String, u64>,
}

/// Something that is not used any more.
#[derive(Debug, Serialize)]
pub struct Idle {
    /// The token's id or the key's SID.
    pub id: String,
    /// The team that used it.
    pub team: String,
    /// When it was last used, RFC 3339.
    pub last_used: String,
}

/// The fields of an outcome that count. Borrowed: the values of the writer hold no escapes but in paths.
#[derive(Deserialize)]
struct Outcome<'l> {
    ts: &'l str,
    team: Option<&'l str>,
    token_id: Option<std::borrow::Cow<'l, str>>,
    operation: Option<&'l str>,
    decision: Option<&'l str>,
    reason: Option<&'l str>,
    detail: Option<std::borrow::Cow<'l, str>>,
    key_sid: Option<&'l str>,
    #[serde(default)]
    bytes_in: u64,
    #[serde(default)]
    bytes_out: u64,
}

/// When something was last used, and by which team.
type LastUse = BTreeMap<String, (String, String)>;

/// Sums up the outcomes that match. What was last used more than `idle` before `now` (microseconds since the epoch) is
/// listed as idle; what was never used in these files is not known here.
///
/// # Errors
/// Those of [`search`].
pub fn report(
    config: Option<&Audit>,
    files: &[PathBuf],
    query: &Query,
    idle: Duration,
    now: u64,
) -> io::Result<Report> {
    let query = Query { phase: Some("outcome".to_owned()), limit: None, ..query.clone() };
    let mut report = Report::default();
    let (mut tokens, mut keys) = (LastUse::new(), LastUse::new());
    search(config, files, &query, |line| {
        if let Ok(outcome) = serde_json::from_slice::<Outcome<'_>>(line) {
            report.add(&outcome);
            note(&mut tokens, outcome.token_id.as_deref(), &outcome);
            note(&mut keys, outcome.key_sid, &outcome);
        }
        ControlFlow::Continue(())
    })?;
    let idle = u64::try_from(idle.as_micros()).unwrap_or(u64::MAX);
    let before = super::line::rfc3339(now.saturating_sub(idle));
    report.idle_tokens = idle_of(tokens, &before);
    report.idle_keys = idle_of(keys, &before);
    Ok(report)
}

impl Report {
    fn add(&mut self, outcome: &Outcome<'_>) {
        if self.from.is_none() {
            self.from = Some(outcome.ts.to_owned());
        }
        self.to = Some(outcome.ts.to_owned());
        let usage = self.teams.entry(outcome.team.unwrap_or("-").to_owned()).or_default();
        usage.requests += 1;
        usage.bytes_in += outcome.bytes_in;
        usage.bytes_out += outcome.bytes_out;
        *usage.operations.entry(outcome.operation.unwrap_or("-").to_owned()).or_default() += 1;
        if outcome.decision == Some("deny") {
            usage.denied += 1;
            let reason = outcome.reason.unwrap_or("-");
            let reason = outcome.detail.as_ref().map_or(reason.to_owned(), |detail| format!("{reason}: {detail}"));
            *self.denials.entry(reason).or_default() += 1;
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |time: &Option<String>| time.clone().unwrap_or_else(|| "-".to_owned());
        writeln!(f, "from {} to {}", time(&self.from), time(&self.to))?;
        writeln!(f, "\n{:<30} {:>12} {:>12} {:>14} {:>14}", "team", "requests", "denied", "bytes in", "bytes out")?;
        for (team, usage) in &self.teams {
            let Usage { requests, denied, bytes_in, bytes_out, operations } = usage;
            writeln!(f, "{team:<30} {requests:>12} {denied:>12} {bytes_in:>14} {bytes_out:>14}")?;
            for (operation, count) in operations {
                writeln!(f, "  {operation:<28} {count:>12}")?;
            }
        }
        let widest = self.denials.keys().map(|reason| reason.chars().count()).max().unwrap_or(0).max(43);
        writeln!(f, "\n{:<widest$} {:>12}", "denials", "requests")?;
        for (reason, count) in &self.denials {
            writeln!(f, "{reason:<widest$} {count:>12}")?;
        }
        for (title, idle) in [("idle tokens", &self.idle_tokens), ("idle keys", &self.idle_keys)] {
            writeln!(f, "\n{title:<36} {:<28} team", "last used")?;
            for Idle { id, team, last_used } in idle {
                writeln!(f, "{id:<36} {last_used:<28} {team}")?;
            }
        }
        Ok(())
    }
}

fn note(uses: &mut LastUse, id: Option<&str>, outcome: &Outcome<'_>) {
    let Some(id) = id else { return };
    let team = outcome.team.unwrap_or("-");
    match uses.get_mut(id) {
        Some((last, _)) if outcome.ts > last.as_str() => outcome.ts.clone_into(last),
        Some(_) => {}
        None => drop(uses.insert(id.to_owned(), (outcome.ts.to_owned(), team.to_owned()))),
    }
}

fn idle_of(uses: LastUse, before: &str) -> Vec<Idle> {
    let idle = uses.into_iter().filter(|(_, (last, _))| last.as_str() < before);
    idle.map(|(id, (last_used, team))| Idle { id, team, last_used }).collect()
}
