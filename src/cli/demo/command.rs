//! The demo's own operator: runs this very program, as a person would type it.

use crate::cli::Failure;
use std::path::Path;
use std::process::Stdio;

/// Runs `sidekey ARGUMENTS --config CONFIG --output json` and gives its data. A command that fails is a failure with
/// what it said.
pub(super) async fn run(arguments: &[&str], config: &Path) -> Result<serde_json::Value, Failure> {
    let program = std::env::current_exe()?;
    let ended = tokio::process::Command::new(program)
        .args(arguments)
        .arg("--config")
        .arg(config)
        .args(["--output", "json"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    if !ended.status.success() {
        let said = String::from_utf8_lossy(&ended.stderr);
        return Err(Failure::failed(format!("`sidekey {}` failed: {}", arguments.join(" "), said.trim_end())));
    }
    serde_json::from_slice(&ended.stdout)
        .map_err(|_| Failure::failed(format!("`sidekey {}` printed no JSON", arguments.join(" "))))
}

/// A text member of a command's data.
pub(super) fn word(data: &serde_json::Value, name: &str) -> Result<String, Failure> {
    data[name].as_str().map(str::to_owned).ok_or_else(|| Failure::failed(format!("a command's data has no `{name}`")))
}
