//! `sidekey token`: the tokens that teams present.

use super::{Context, Failure, team, value};
use crate::authn::Token;
use crate::ids::TeamId;
use clap::Subcommand;
use serde::Serialize;
use std::time::Duration;

/// `sidekey token …`
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Issue a token to a team and show it, once
    Issue {
        /// The team
        #[arg(value_parser = value::team)]
        team: TeamId,
        /// What the token is for, for lists and the audit
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
        /// How long the token is good for, such as 90d; without it, until it is revoked
        #[arg(long, value_name = "DURATION", value_parser = value::duration)]
        expires: Option<Duration>,
    },
    /// List tokens, of one team or of all; secrets are never shown again
    List {
        /// Only this team's
        #[arg(value_parser = value::team)]
        team: Option<TeamId>,
    },
    /// Revoke a token, at once and for good
    Revoke {
        /// The token's id, as `token list` shows it
        #[arg(value_name = "TOKEN_ID")]
        id: String,
    },
    /// Make tokens for teams that are declared in the config file; touches no store
    Generate {
        /// How many
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        count: u32,
    },
}

pub(super) fn run(command: &Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Generate { count } => generate(*count, context),
        Command::Issue { .. } | Command::List { .. } | Command::Revoke { .. } => Err(team::needs_store(context)),
    }
}

/// A token and what to write into the config file for it.
#[derive(Serialize)]
struct Generated {
    token: String,
    sha256: String,
}

fn generate(count: u32, context: &Context) -> Result<(), Failure> {
    let one = |_| {
        let made = Token::generate();
        Generated { token: made.show().to_owned(), sha256: hex::encode(made.digest()) }
    };
    let all: Vec<Generated> = (0..count).map(one).collect();
    let lines = || all.iter().flat_map(|made| ["token  ", &made.token, "\nsha256 ", &made.sha256, "\n"]).collect();
    context.print(&all, lines)
}
