//! `sidekey team`: who owns callers, tokens and keys.

use super::{Context, Failure, value};
use crate::ids::{AccountSid, TeamId};
use clap::Subcommand;

/// `sidekey team …`
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a team
    Create {
        /// Its name
        #[arg(value_parser = value::team)]
        name: TeamId,
        /// Create a master team: it may manage accounts and keys, and acts with [upstream.master]
        #[arg(long)]
        master: bool,
        #[arg(long = "account", value_name = "AC…")]
        #[arg(
            help = "An account the team is pinned to; repeatable [default for a standard team: upstream.account_sid]"
        )]
        accounts: Vec<AccountSid>,
    },
    /// List teams
    List,
    /// Show one team
    Show {
        /// Its name
        #[arg(value_parser = value::team)]
        name: TeamId,
    },
    /// Refuse a team's callers until it is enabled again
    Disable {
        /// Its name
        #[arg(value_parser = value::team)]
        name: TeamId,
    },
    /// Let a disabled team's callers in again
    Enable {
        /// Its name
        #[arg(value_parser = value::team)]
        name: TeamId,
    },
    /// Delete a team and its tokens
    Delete {
        /// Its name
        #[arg(value_parser = value::team)]
        name: TeamId,
    },
}

pub(super) fn run(_command: Command, context: &Context) -> Result<(), Failure> {
    Err(needs_store(context))
}

/// Refuses a command that works on the store.
pub(super) fn needs_store(context: &Context) -> Failure {
    match context.load() {
        Ok(config) if config.store.is_none() => {
            let file = context.path().display();
            Failure::failed(format!(
                "this command needs [store] in {file}; teams declared in the file are edited there"
            ))
        }
        Ok(_) => Failure::failed("this build can't open a store"),
        Err(failure) => failure,
    }
}
