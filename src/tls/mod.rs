//! rustls settings and their reload: what callers see ([`server`]), what upstreams see ([`upstream`]), and the leaves of
//! the private CA ([`leaf`]).
//!
//! Owns every certificate and private key of TLS; never opens a socket and never decides who a caller is: it hands on
//! the [`identity`] that a verified client certificate states, and `authn` makes a team of it. One TLS stack (rustls),
//! one crypto provider (aws-lc-rs).

pub mod ca;
pub mod callers;
pub mod files;
pub mod identity;
pub mod leaf;
pub mod server;
mod settings;
#[cfg(test)]
pub(crate) mod testing;
pub mod upstream;
pub mod watch;
use rustls::crypto::CryptoProvider;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// The one crypto provider of the process: aws-lc-rs, installed as rustls' default the first time it is asked for.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let install = || {
        // A second installer loses; both would install the same one, so the loss means nothing.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        CryptoProvider::get_default()
            .cloned()
            .unwrap_or_else(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
    };
    PROVIDER.get_or_init(install).clone()
}

/// A TLS file that can't be used: which, why, and the mend. Never quotes what the file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The file at fault; `None` when no one file is.
    pub path: Option<PathBuf>,
    /// What is wrong, and what would mend it.
    pub problem: String,
}

impl Error {
    /// A fault of one file.
    pub fn of(path: &Path, problem: impl Into<String>) -> Self {
        Self { path: Some(path.to_owned()), problem: problem.into() }
    }

    /// A fault that no one file is to blame for.
    pub fn general(problem: impl Into<String>) -> Self {
        Self { path: None, problem: problem.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{}: {}", path.display(), self.problem),
            None => f.write_str(&self.problem),
        }
    }
}

impl std::error::Error for Error {}
