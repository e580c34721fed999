//! `sidekey audit`: the audit trail.

use super::context::unless_closed;
use super::{Context, Failure, value};
use crate::audit::verify::{End, Verdict, verify};
use crate::audit::{self, Query};
use crate::clock::Clock;
use crate::config::{self, Audit};
use crate::ids::{AccountSid, KeySid, TeamId};
use crate::policy::rules;
use clap::{Args, Subcommand};
use serde_json::json;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

/// Not a doc comment: it names a setting as it is written.
const KEY_HELP: &str = "Public Ed25519 key, 64 hex digits, that must have signed every checkpoint; \
    once for each key that was in use [default: of the config's audit.signing_key, for the config's own trail]";

/// `sidekey audit …`
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check audit files; exit 1 naming the first line that was edited, removed, reordered, cut or spliced in, or that
    /// is lost in a damaged compressed file
    Verify {
        /// The files of one trail, rotated and compressed ones too
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// Public Ed25519 key, 64 hex digits, that must have signed every checkpoint
        #[arg(long = "key", value_name = "HEX", help = KEY_HELP, value_parser = value::public_key)]
        keys: Vec<String>,
        /// Fail too if the trail does not end with its closing record
        #[arg(long)]
        closed: bool,
    },
    /// Print the newest records
    Tail {
        #[command(flatten)]
        filter: Filter,
        /// How many
        #[arg(long, short = 'n', value_name = "COUNT", default_value_t = 20)]
        lines: usize,
        /// Go on with records as they are written (as JSON: one line each)
        #[arg(long, short)]
        follow: bool,
    },
    /// Search the trail
    Query {
        #[command(flatten)]
        filter: Filter,
        /// Only the newest so many
        #[arg(long, value_name = "COUNT")]
        limit: Option<usize>,
    },
    /// Sum up the trail: use by team and operation, denials by reason, idle tokens and keys
    Report {
        #[command(flatten)]
        filter: Filter,
        /// What was not used for so long is idle
        #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = value::duration)]
        idle: Duration,
    },
}

/// Which records.
#[derive(Debug, Args)]
pub(super) struct Filter {
    /// Files to read [default: the config's audit.file and what was rotated before it]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Only this team's
    #[arg(long, value_parser = value::team)]
    team: Option<TeamId>,
    /// Only records since then: a duration such as 1h, or an RFC 3339 time
    #[arg(long, value_name = "WHEN", value_parser = value::since)]
    since: Option<u64>,
    /// Only records until then
    #[arg(long, value_name = "WHEN", value_parser = value::since)]
    until: Option<u64>,
    /// Only denied requests
    #[arg(long)]
    denied: bool,
    /// Only this operation, such as api:Messages:create; a final * stands for any rest
    #[arg(long, value_name = "NAME")]
    operation: Option<String>,
    /// Only requests for this account
    #[arg(long, value_name = "AC…")]
    account: Option<AccountSid>,
    /// Only requests that went upstream with this key
    #[arg(long, value_name = "SK…")]
    key: Option<KeySid>,
    /// Only requests with this phone number in their path
    #[arg(long, value_name = "NUMBER")]
    phone: Option<String>,
    /// Only this request: the Sidekey-Request-Id of its answer
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Only records of this phase: intent, outcome, admin, …
    #[arg(long)]
    phase: Option<String>,
}

pub(super) fn run(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Verify { files, keys, closed } => check(&files, keys, closed, context),
        Command::Tail { filter, lines, follow } => {
            let (source, query) = filter.read(context)?;
            print(&source, &Query { limit: Some(lines), ..query.clone() }, Form::of(context, follow))?;
            if follow { watch(&source, &query, context) } else { Ok(()) }
        }
        Command::Query { filter, limit } => {
            let (source, query) = filter.read(context)?;
            print(&source, &Query { limit, ..query }, Form::of(context, false))
        }
        Command::Report { filter, idle } => {
            let (source, query) = filter.read(context)?;
            let now = Clock::system().unix_micros();
            let report = audit::report(source.config.as_ref(), &source.files, &query, idle, now)?;
            context.print(&report, || report.to_string())
        }
    }
}

/// What is read, and the settings that a phone number is searched for with.
struct Source {
    files: Vec<PathBuf>,
    config: Option<Audit>,
}

impl Filter {
    fn read(self, context: &Context) -> Result<(Source, Query), Failure> {
        // A newer sidekey's trail may name more: nothing is refused.
        if let Some(name) = self.operation.as_deref().filter(|name| !has_records(name)) {
            tracing::warn!("--operation '{name}' fits no operation; {}", rules::MEND);
        }
        if let Some(name) = self.phase.as_deref().filter(|name| !audit::PHASES.contains(name)) {
            tracing::warn!("--phase '{name}' is none of {}", audit::PHASES.join(", "));
        }
        if let Some(number) = self.phone.as_deref().filter(|number| !number.bytes().any(|b| b.is_ascii_digit())) {
            tracing::warn!("--phone '{number}' has no digits");
        }
        for file in self.files.iter().filter(|file| audit::is_no_trail(file)) {
            tracing::warn!("{} does not begin with a record: name the files of a trail", file.display());
        }
        // With files named, the config is needed for phone numbers only.
        let config = if self.files.is_empty() || self.phone.is_some() { Some(context.load()?.audit) } else { None };
        let files = match config.as_ref().and_then(|config| config.file.as_deref()) {
            _ if !self.files.is_empty() => self.files,
            Some(path) if path.is_file() => audit::files(path)?,
            Some(path) => {
                let mend = "the broker makes it, or name the files to read";
                return Err(Failure::failed(format!("{} is not there yet, or no file; {mend}", path.display())));
            }
            None => return Err(Failure::failed("the config's audit.file is stdout: name the files to read")),
        };
        let query = Query {
            team: self.team,
            since: self.since,
            // A whole second is meant to its end.
            until: self.until.map(|at| if at % 1_000_000 == 0 { at.saturating_add(999_999) } else { at }),
            denied: self.denied,
            phase: self.phase,
            operation: self.operation,
            account: self.account,
            key: self.key,
            id: self.id,
            phone: self.phone,
            limit: None,
        };
        Ok((Source { files, config }, query))
    }
}

/// Whether an operation's name is one that a record can have: Twilio's, or sidekey's own.
fn has_records(name: &str) -> bool {
    rules::is_known(name) || name.starts_with("sidekey:")
}

/// How records are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// For people.
    Text,
    /// One JSON array.
    Array,
    /// A JSON object a line, for what has no end.
    Lines,
}

impl Form {
    fn of(context: &Context, endless: bool) -> Self {
        match (context.is_json(), endless) {
            (false, _) => Self::Text,
            (true, false) => Self::Array,
            (true, true) => Self::Lines,
        }
    }

    fn write(self, out: &mut impl Write, line: &[u8]) -> io::Result<()> {
        match self {
            Self::Text => writeln!(out, "{}", audit::describe(line)),
            Self::Array => out.write_all(line),
            Self::Lines => out.write_all(line).and_then(|()| out.write_all(b"\n")),
        }
    }
}

/// Prints matching records as they are found.
fn print(source: &Source, query: &Query, form: Form) -> Result<(), Failure> {
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let (first, between, last): (&[u8], &[u8], &[u8]) = match form {
        Form::Array => (b"[", b",\n", b"]\n"),
        Form::Text | Form::Lines => (b"", b"", b""),
    };
    let (mut result, mut separator) = (out.write_all(first), &b""[..]);
    audit::search(source.config.as_ref(), &source.files, query, |line| {
        result = out.write_all(separator).and_then(|()| form.write(&mut out, line));
        separator = between;
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    unless_closed(result.and_then(|()| out.write_all(last)).and_then(|()| out.flush()))
}

/// Prints records as they are written.
fn watch(source: &Source, query: &Query, context: &Context) -> Result<(), Failure> {
    let Some(file) = source.files.last() else { return Ok(()) };
    let (mut result, form) = (Ok(()), Form::of(context, true));
    audit::follow(source.config.as_ref(), file, query, |line| {
        result = form.write(&mut io::stdout().lock(), line);
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    unless_closed(result)
}

fn check(files: &[PathBuf], keys: Vec<String>, closed: bool, context: &Context) -> Result<(), Failure> {
    let keys = if keys.is_empty() { own_key(files, context).into_iter().collect() } else { keys };
    let verdict = verify(files, &keys)?;
    let data = json!({
        "ok": verdict.tampering.is_none(),
        "files": verdict.files,
        "records": verdict.records,
        "writers": verdict.writers,
        "mended": verdict.mended,
        "closed": verdict.end == End::Closed,
        "signed_by": verdict.signed_by,
        "unsigned": verdict.unsigned,
        "tampering": verdict.tampering.as_ref().map(|found| json!({
            "file": found.file,
            "line": found.line,
            "how": found.how.name(),
            "detail": found.detail,
        })),
    });
    context.print(&data, || describe(&verdict))?;
    let is_open = closed && verdict.end == End::Open;
    if verdict.tampering.is_some() || is_open { Err(Failure::Denied) } else { Ok(()) }
}

fn describe(verdict: &Verdict) -> String {
    if let Some(found) = &verdict.tampering {
        return format!("{found}\n");
    }
    let files = verdict.files.len();
    let mut lines = vec![format!("ok: {} records of {} writers in {files} file(s)", verdict.records, verdict.writers)];
    if verdict.mended > 0 {
        lines.push(format!("{} torn last line(s) were mended by restarts", verdict.mended));
    }
    if !verdict.signed_by.is_empty() {
        let keys = verdict.signed_by.join(" and then ");
        lines.push(format!("signed by {keys}, but for the last {} record(s)", verdict.unsigned));
    }
    if verdict.end == End::Open {
        lines.push(
            "not closed: the broker is running, or was killed; a cut after the last checkpoint can't show".into(),
        );
    }
    lines.join("\n") + "\n"
}

/// The public key of the config's signing key, if these files are of the config's trail.
fn own_key(files: &[PathBuf], context: &Context) -> Option<String> {
    let config = config::load(context.path()).ok()?.audit;
    let own = config.file.as_deref()?.canonicalize().ok()?;
    let is_own = |file: &PathBuf| {
        file.canonicalize().is_ok_and(|file| file.to_string_lossy().starts_with(&*own.to_string_lossy()))
    };
    if files.iter().all(is_own) { audit::public_key(config.signing_key.as_ref()?) } else { None }
}
