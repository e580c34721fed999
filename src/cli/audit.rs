//! `sidekey audit`: the audit trail.

use super::{Context, Failure, value};
use crate::ids::TeamId;
use clap::Subcommand;
use std::path::PathBuf;

/// `sidekey audit …`
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Verify the chain of audit files, oldest first; exit 1 if a line was changed, removed or moved
    Verify {
        /// The files, in order
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
    /// Print records as they are written
    Tail,
    /// Search the trail
    Query {
        /// Only this team's
        #[arg(long, value_parser = value::team)]
        team: Option<TeamId>,
        /// Only records since then: a duration such as 1h, or an RFC 3339 time
        #[arg(long, value_name = "WHEN", value_parser = value::since)]
        since: Option<u64>,
        /// Only denied requests
        #[arg(long)]
        denied: bool,
        /// Only this operation, such as api:Messages:create
        #[arg(long, value_name = "NAME")]
        operation: Option<String>,
    },
}

pub(super) fn run(_command: Command, _context: &Context) -> Result<(), Failure> {
    Err(Failure::failed("this build can't read audit files"))
}
