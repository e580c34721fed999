//! `sidekey key`: the Twilio keys that teams act with.

use super::{Context, Failure, team, value};
use crate::ids::{KeySid, TeamId};
use clap::Subcommand;
use std::path::PathBuf;
use std::time::Duration;

/// `sidekey key …`
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a key at the upstream for a team
    Create {
        /// The team
        #[arg(value_parser = value::team)]
        team: TeamId,
    },
    /// Take over a key that exists at the upstream
    Import {
        /// The team
        #[arg(value_parser = value::team)]
        team: TeamId,
        /// The key's SID
        #[arg(long, value_name = "SK…")]
        sid: KeySid,
        /// File that holds the key's secret; `-` is stdin
        #[arg(long, value_name = "FILE")]
        secret_file: PathBuf,
    },
    /// List keys, of one team or of all; secrets are never shown
    List {
        /// Only this team's
        #[arg(value_parser = value::team)]
        team: Option<TeamId>,
    },
    /// Replace a team's key without losing a request
    Rotate {
        /// The team
        #[arg(value_parser = value::team)]
        team: TeamId,
        /// How long the old key is kept after the swap
        #[arg(long, value_name = "DURATION", value_parser = value::duration)]
        grace: Option<Duration>,
    },
    /// Delete a key at the upstream and forget it
    Revoke {
        /// The key's SID
        #[arg(value_name = "SK…")]
        sid: KeySid,
    },
    /// Compare the upstream's keys with the store: orphans, strangers and missing ones
    Reconcile {
        /// Delete the orphans: keys that sidekey made and no team holds
        #[arg(long)]
        delete_orphans: bool,
    },
}

pub(super) fn run(_command: Command, context: &Context) -> Result<(), Failure> {
    Err(team::needs_store(context))
}
