//! `sidekey check`: is the config good? Reads every file that it names; touches no network.

mod files;

use super::{Context, Failure, process};
use crate::clock::Clock;
use crate::config::{self, Config, Fault, Faults};
use crate::keys::view::moment;
use crate::policy::rules::{self, Idle};
use crate::store::{Store, StoreError};
use crate::tls::files::certificates;
use crate::tls::identity::PeerIdentity;
use crate::twilio::Host;
use serde_json::json;
use std::fmt::Write as _;
use std::path::Path;

/// Checks the config and prints a summary. Faults go to stderr (and, as JSON, to stdout too).
pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let config = match load(context.path()) {
        Ok(config) => config,
        Err(faults) => return refuse(context, faults),
    };
    if let Some(error) = store(&config)? {
        return Err(locked(context, &error));
    }
    let warnings: Vec<Fault> = config.warnings.iter().cloned().chain(idle(&config, context.path())).collect();
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    let file = context.path().display().to_string();
    let data = json!({ "file": file, "ok": true, "faults": [], "warnings": warnings });
    context.print(&data, || format!("{file}: good: {}\n", summary(&config)))
}

/// Reads a config and looks into the files that it names: what a broker wants to know before it uses one.
pub(super) fn load(path: &Path) -> Result<Config, Faults> {
    let mut config = config::load_whole(path, |named| files::faults(named, path))?;
    config.warnings.extend(ended(&config, path));
    Ok(config)
}

/// A certificate of `[tls]` past its end. It is served all the same: callers that check refuse it themselves, and the other
/// listeners need none.
fn ended(config: &Config, file: &Path) -> Option<Fault> {
    let cert = &config.tls.as_ref()?.cert;
    let end = PeerIdentity::of(certificates(cert).ok()?.first()?).not_after();
    (end <= Clock::system().unix_seconds()).then(|| Fault {
        file: file.to_owned(),
        line: None,
        at: "tls.cert".to_owned(),
        what: format!("{} ended at {}, and callers refuse it", cert.display(), moment(end)),
        mend: "put its successor there, with its key; it is taken over without a restart".to_owned(),
    })
}

fn refuse(context: &Context, faults: Faults) -> Result<(), Failure> {
    if context.is_json() {
        let all: Vec<_> = faults.iter().collect();
        let file = context.path().display().to_string();
        let data = json!({ "file": file, "ok": false, "faults": all, "warnings": [] });
        context.print(&data, String::new)?;
    }
    Err(faults.into())
}

/// Why the root key doesn't open the store, if it doesn't.
fn store(config: &Config) -> Result<Option<StoreError>, Failure> {
    let Some(settings) = &config.store else { return Ok(None) };
    let runtime = process::runtime()?;
    Ok(runtime.block_on(Store::check(settings)).err())
}

/// The config is good and the store stays shut: what every other command would say, and its exit code.
fn locked(context: &Context, error: &StoreError) -> Failure {
    let file = context.path().to_owned();
    let told = error.to_string();
    // What to do stands behind what is wrong, where there is something to be done at once.
    let (what, mend) = told.split_once("; ").unwrap_or((&told, "see [store]"));
    let (at, what, mend) = ("store".to_owned(), what.to_owned(), mend.to_owned());
    let data = json!({
        "file": file.display().to_string(),
        "ok": false,
        "faults": [Fault { file, line: None, at, what, mend }],
        "warnings": [],
    });
    match context.is_json().then(|| context.print(&data, String::new)) {
        Some(Err(failure)) => failure,
        _ => Failure::failed(error.to_string()),
    }
}

/// What is allowed and can have no effect.
fn idle(config: &Config, file: &Path) -> Vec<Fault> {
    let mut idle = Vec::new();
    let mut note = |at: &str, what: String, mend: &str| {
        idle.push(Fault { file: file.to_owned(), line: None, at: at.to_owned(), what, mend: mend.to_owned() });
    };
    for host in config.upstream.hosts.keys().filter(|host| Host::parse(host).is_none()) {
        let what = format!("{host} is not a host that sidekey knows, so requests for it are denied");
        note("upstream.hosts", what, "remove it, or mend its spelling");
    }
    for team in &config.teams {
        for Idle { rule, why, .. } in rules::idle(&team.policy) {
            note("team.policy", format!("`{rule}` of team `{}` {why}", team.name), rules::MEND);
        }
    }
    idle
}

fn summary(config: &Config) -> String {
    let listen = &config.listen;
    let mut text = String::new();
    for (name, address) in [("proxy", listen.proxy), ("tls", listen.tls), ("admin", listen.admin)] {
        if let Some(address) = address {
            let _ = write!(text, "{name} on {address}, ");
        }
    }
    if let Some(path) = &listen.unix {
        let _ = write!(text, "unix on {}, ", path.display());
    }
    if let Some(path) = &listen.admin_unix {
        let _ = write!(text, "admin on {}, ", path.display());
    }
    let store = if config.store.is_some() { "a store" } else { "no store" };
    let (teams, s) = (config.teams.len(), if config.teams.len() == 1 { "" } else { "s" });
    let _ = write!(text, "upstream {}, {store}", config.upstream.url);
    if teams > 0 || config.store.is_none() {
        let _ = write!(text, ", {teams} team{s} in the file");
    }
    text
}
