//! Why there is no broker.

use std::fmt;

/// Why a broker did not start. Nothing of it is left running.
#[derive(Debug)]
pub struct StartError(pub(super) String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

impl StartError {
    pub(super) fn of(what: &str, error: impl fmt::Display) -> Self {
        Self(format!("{what}: {error}"))
    }
}
