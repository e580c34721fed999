//! Text → values that cannot be wrong; reports all faults at once.
//!
//! [`Config`] is what the rest of the program sees: every value is checked, every secret reference is read. `raw` walks
//! the file and remembers lines, `check` turns it into a [`Config`], `defaults` holds what a file leaves out, and each
//! [`Fault`] says where it is and what to write instead. A fault never repeats a value: what was pasted may be a secret.

mod check;
pub mod defaults;
mod environment;
mod fault;
mod origin;
mod raw;
mod reference;
mod stamp;
#[cfg(test)]
mod tests;
mod types;
mod value;
mod watch;

pub use environment::{Environment, ProcessEnvironment};
pub use fault::{Fault, Faults};
pub use origin::Origin;
pub use stamp::Stamp;
pub use types::{
    API_HOST, Admin, Audit, AuditMode, Certificate, Config, Durability, Intercept, Jwks, Jwt, Kind, Limits, Listen,
    Master, Named, Peer, RootKey, Ship, ShipTo, Store, StoreUrl, Team, TeamKey, TeamPolicy, Tls, Upstream,
};
pub use value::{DURATION, duration, size};
pub use watch::Watch;

use std::path::Path;

/// Largest config file, in bytes: a million token digests fit, a mistaken path to something huge does not.
const MAX_FILE: u64 = 128 << 20;

/// Reads and checks the config file at `path`; `env:` references are looked up in the process's environment.
///
/// # Errors
/// All faults at once, that of a file that can't be read included.
pub fn load(path: &Path) -> Result<Config, Faults> {
    load_whole(path, |_| Vec::new())
}

/// The same; `look` looks into the files that it names, and what it finds is told after the config's own faults.
///
/// # Errors
/// All faults at once, that of a file that can't be read included.
pub fn load_whole(path: &Path, look: impl FnOnce(&Named<'_>) -> Vec<Fault>) -> Result<Config, Faults> {
    let text = reference::read_text(path, MAX_FILE).map_err(|what| Faults::one(Fault::unreadable(path, &what)))?;
    check::check(&text, path, &ProcessEnvironment, look)
}

/// Checks `text` as the content of `file`. Relative paths in it are relative to the file's folder.
///
/// # Errors
/// All faults at once.
pub fn parse(text: &str, file: &Path, environment: &dyn Environment) -> Result<Config, Faults> {
    check::check(text, file, environment, |_| Vec::new())
}
