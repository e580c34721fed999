//! The process itself: no core dumps, logs on stderr, panics that say where and not what, last words.

use super::Output;
use crate::log;
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use std::io;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

/// Keeps secrets in memory from reaching a disk or another process: no core dumps, no attaching by others of the same
/// user. A system that refuses goes on without: it isn't less safe than without sidekey.
pub(super) fn harden() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::setrlimit(Resource::Core, none);
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    // The payload of a panic may quote what was being handled; the place is enough to find the fault.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        log::say(&format!("sidekey: panicked at {place}\n"));
    }));
}

/// Sends diagnostics to stderr: what `RUST_LOG` asks for (`debug`, `info,sidekey::audit=debug`), else all from `info` up for
/// the broker and from `warn` up for commands. As JSON lines where the output is JSON.
pub(super) fn log(broker: bool, output: Output) {
    let default = if broker { LevelFilter::INFO } else { LevelFilter::WARN };
    let asked = std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
    let asked = asked.as_deref().map(filter);
    let odd = asked.as_ref().and_then(|asked| asked.as_ref().err().cloned());
    let filter = asked.and_then(Result::ok).unwrap_or_else(|| Targets::new().with_default(default));
    let lines = fmt::layer().with_writer(|| log::Lines).with_ansi(false);
    let start = tracing_subscriber::registry().with(filter);
    // A second call finds a subscriber in place and changes nothing.
    let _ = match (broker, output) {
        (true, Output::Json) => start.with(lines.json()).try_init(),
        (true, Output::Text) => start.with(lines).try_init(),
        (false, _) => start.with(lines.without_time().with_target(false)).try_init(),
    };
    if let Some(odd) = odd {
        let mend = "write trace, debug, info, warn, error or off, or TARGET=LEVEL";
        tracing::warn!("RUST_LOG: `{odd}` is no level, and the default is used; {mend}");
    }
}

/// Reads `RUST_LOG`, or answers what of it is no level. A bare word that is none would be a target, all of which is shown, and
/// nothing else.
fn filter(text: &str) -> Result<Targets, String> {
    let is_bare =
        |part: &&str| !part.contains('=') && !part.starts_with("sidekey") && part.parse::<LevelFilter>().is_err();
    if let Some(odd) = text.split(',').map(str::trim).find(is_bare) {
        return Err(odd.to_owned());
    }
    text.parse().map_err(|_| text.to_owned())
}

/// A runtime on this thread, for what a command has to wait for.
pub(super) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// How long the end of the process waits for a stderr that takes no lines.
const LAST: Duration = Duration::from_secs(2);

/// Has the last lines written when it is dropped, by a panic too.
pub(super) struct LastWords;

impl Drop for LastWords {
    fn drop(&mut self) {
        log::finish(LAST);
    }
}
