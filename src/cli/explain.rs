//! `sidekey explain`: how a request would be decided.

use super::{Context, Failure, value};
use crate::ids::TeamId;

/// `sidekey explain`
#[derive(clap::Args, Debug)]
pub(super) struct Arguments {
    /// Whose caller it would be
    #[arg(value_parser = value::team)]
    team: TeamId,
    /// HTTP method, such as GET or POST
    method: String,
    /// Absolute URL at Twilio, or a path at api.twilio.com
    url: String,
}

pub(super) fn run(_arguments: &Arguments, _context: &Context) -> Result<(), Failure> {
    Err(Failure::failed("this build can't decide"))
}
