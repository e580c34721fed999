//! How a command fails: what is said, and the exit code.

use crate::config::Faults;
use crate::ids::may_be_token;
use clap::error::{ContextKind, ContextValue};
use std::fmt;
use std::process::ExitCode;

/// Exit code of usage and config errors: `EX_USAGE` of BSD's sysexits.
const USAGE: u8 = 64;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was understood and did not work, or the answer is no. Exit 1.
    Failed(String),
    /// The answer is no, and has been printed. Exit 1.
    Denied,
    /// It was not said what to do. Exit 64.
    Usage(String),
    /// The config can't be used. Exit 64.
    Config(Faults),
}

impl Failure {
    /// A failure with its reason; whole sentences are not needed, the mend is.
    pub(crate) fn failed(reason: impl Into<String>) -> Self {
        Self::Failed(reason.into())
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Failed(_) | Self::Denied => ExitCode::FAILURE,
            Self::Usage(_) | Self::Config(_) => ExitCode::from(USAGE),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(reason) | Self::Usage(reason) => writeln!(f, "sidekey: {reason}"),
            Self::Denied => Ok(()),
            Self::Config(faults) => writeln!(f, "{faults}"),
        }
    }
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Self::Config(faults)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<crate::tls::Error> for Failure {
    fn from(error: crate::tls::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Prints what clap says, help included, and gives its exit code.
pub(super) fn usage(mut error: clap::Error) -> ExitCode {
    // A token where a name belongs is not repeated: what is said here may be kept somewhere.
    if let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidValue)
        && may_be_token(given)
    {
        error.insert(ContextKind::InvalidValue, ContextValue::String("skt…".to_owned()));
    }
    // Nobody is left to tell if the stream is gone.
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}
