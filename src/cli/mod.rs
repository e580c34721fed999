//! Commands.

/// Runs the command line; the exit code is 0 done, 1 failed, 64 usage or config error.
pub fn run() -> std::process::ExitCode {
    std::process::ExitCode::from(64)
}
