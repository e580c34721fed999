//! What every command is given: the config's path and the form of its output.

use super::Failure;
use crate::config::{self, Config};
use serde::Serialize;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Form of the data on stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// One JSON value.
    Json,
}

/// What every command is given.
#[derive(Debug)]
pub(crate) struct Context {
    config: PathBuf,
    output: Output,
}

impl Context {
    pub(super) fn new(config: Option<PathBuf>, output: Output) -> Self {
        let named =
            config.or_else(|| std::env::var_os("SIDEKEY_CONFIG").filter(|path| !path.is_empty()).map(Into::into));
        Self { config: named.unwrap_or_else(|| PathBuf::from("sidekey.toml")), output }
    }

    /// Path of the config file.
    pub(crate) fn path(&self) -> &Path {
        &self.config
    }

    /// Whether stdout gets one JSON value.
    pub(crate) fn is_json(&self) -> bool {
        self.output == Output::Json
    }

    /// Reads and checks the config; its warnings go to stderr.
    pub(crate) fn load(&self) -> Result<Config, Failure> {
        let config = config::load(&self.config)?;
        warn(&config);
        Ok(config)
    }

    /// Prints a command's data: `data` as JSON, or `text` (its last line break included).
    pub(crate) fn print(&self, data: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
        let text = match self.output {
            Output::Text => text(),
            Output::Json => {
                let mut json = serde_json::to_string(data).map_err(|error| Failure::failed(error.to_string()))?;
                json.push('\n');
                json
            }
        };
        let mut stdout = io::stdout().lock();
        unless_closed(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
    }
}

/// `sidekey … | head`: whoever closed the pipe has seen enough.
pub(super) fn unless_closed(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Says on stderr what is unwise in a config.
pub(super) fn warn(config: &Config) {
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
}
