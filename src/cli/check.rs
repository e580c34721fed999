//! `sidekey check`: is the config good?

use super::{Context, Failure};
use crate::config::{self, Config, Faults};
use serde_json::json;

/// Checks the config and prints a summary. Faults go to stderr (and, as JSON, to stdout too).
pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let config = match config::load(context.path()) {
        Ok(config) => config,
        Err(faults) => return refuse(context, faults),
    };
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let file = context.path().display().to_string();
    let data = json!({ "file": file, "ok": true, "faults": [], "warnings": config.warnings });
    context.print(&data, || format!("{file}: good: {}\n", summary(&config)))
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

fn summary(config: &Config) -> String {
    let listen = &config.listen;
    let addresses = [("proxy", listen.proxy), ("tls", listen.tls), ("admin", listen.admin)];
    let mut parts: Vec<String> =
        addresses.iter().filter_map(|(name, address)| address.map(|address| format!("{name} on {address}"))).collect();
    parts.extend(listen.unix.as_ref().map(|path| format!("unix on {}", path.display())));
    parts.push(format!("upstream {}", config.upstream.url));
    parts.push(if config.store.is_some() { "a store".to_owned() } else { "no store".to_owned() });
    parts.push(match config.teams.len() {
        1 => "1 team in the file".to_owned(),
        count => format!("{count} teams in the file"),
    });
    parts.join(", ")
}
