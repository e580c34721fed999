//! Commands: arguments in, data on stdout, diagnostics on stderr, an exit code.
//!
//! Each command has a file of its own with its arguments and a `run`. A command that fails returns a [`Failure`], which
//! is the only thing that chooses an exit code other than 0.

mod aside;
mod audit;
mod ca;
mod check;
mod context;
mod demo;
mod explain;
mod failure;
mod key;
mod process;
mod sandbox;
mod serve;
mod signals;
mod store;
mod stored;
mod team;
mod token;
mod value;

pub(crate) use context::{Context, Output};
pub(crate) use failure::Failure;

use crate::secret::random;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// An authenticating reverse proxy and credential broker for the Twilio REST API.
#[derive(Debug, Parser)]
#[command(name = "sidekey", version, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done (or allowed), 1 failed (or denied), 64 usage or config error.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    #[arg(long, value_name = "FILE", global = true)]
    #[arg(help = "The config file [default: SIDEKEY_CONFIG, else ./sidekey.toml]")]
    config: Option<PathBuf>,

    /// How data is printed
    #[arg(long, value_name = "FORM", global = true, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Try everything on one machine: a sandbox, a broker, two teams
    Demo(demo::Arguments),
    /// Run a Twilio-compatible upstream in memory
    Sandbox(sandbox::Arguments),
    /// Run the broker
    Serve,
    /// Validate the config; touches no network
    Check,
    /// Manage teams
    #[command(subcommand)]
    Team(team::Command),
    /// Manage the tokens that teams present
    #[command(subcommand)]
    Token(token::Command),
    /// Manage the Twilio keys that teams act with
    #[command(subcommand)]
    Key(key::Command),
    /// Manage the store itself
    #[command(subcommand)]
    Store(store::Command),
    /// Say how a request would be decided, without sending anything
    Explain(explain::Arguments),
    /// Read and verify the audit trail
    #[command(subcommand)]
    Audit(audit::Command),
    /// Make and show the private CA used for interception
    #[command(subcommand)]
    Ca(ca::Command),
}

/// Runs the command line; the exit code is 0 done, 1 failed, 64 usage or config error.
pub fn run() -> ExitCode {
    process::harden();
    let _last = process::LastWords;
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return failure::usage(error),
    };
    process::log(matches!(arguments.command, Command::Serve), arguments.output);
    let context = Context::new(arguments.config, arguments.output);
    match dispatch(arguments.command, &context) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            crate::log::say(&failure.to_string());
            failure.exit_code()
        }
    }
}

fn dispatch(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Demo(arguments) => demo::run(&arguments, context),
        Command::Sandbox(arguments) => sandbox::run(arguments, context),
        Command::Serve => serve::run(context),
        Command::Check => check::run(context),
        Command::Team(command) => team::run(command, context),
        Command::Token(command) => token::run(&command, context),
        Command::Key(command) => key::run(command, context),
        Command::Store(command) => store::run(&command, context),
        Command::Explain(arguments) => explain::run(&arguments, context),
        Command::Audit(command) => audit::run(command, context),
        Command::Ca(command) => ca::run(&command, context),
    }
}

/// 32 hex digits from the system's random source: the shape of Twilio's auth tokens (Twilio docs).
fn random_hex() -> String {
    hex::encode(*random::<16>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
