//! Runs the real binary in a folder of its own.

use std::path::Path;
use std::process::{Command, Stdio};

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Data.
    pub stdout: String,
    /// Diagnostics.
    pub stderr: String,
}

impl Ended {
    /// Its data as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|fault| panic!("{fault}: {self:?}"))
    }
}

/// The binary, in `folder`, in an environment that holds only `variables`.
pub fn sidekey(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidekey"));
    command.args(arguments).current_dir(folder).env_clear().envs(variables.iter().copied()).stdin(Stdio::null());
    command
}

/// Runs the binary to its end.
pub fn run_with(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    let ended = sidekey(folder, arguments, variables).output().expect("the binary starts");
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    Ended { code: ended.status.code(), stdout: text(ended.stdout), stderr: text(ended.stderr) }
}

/// Runs the binary to its end, without variables.
pub fn run(folder: &Path, arguments: &[&str]) -> Ended {
    run_with(folder, arguments, &[])
}
