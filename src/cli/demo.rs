//! `sidekey demo`: a sandbox, a broker and two teams on one machine.

use super::{Context, Failure};

/// `sidekey demo`
#[derive(clap::Args, Debug)]
pub(super) struct Arguments {
    /// Walk the story once, show each step and end; exit 0 only if every step held
    #[arg(long)]
    once: bool,
}

pub(super) fn run(_arguments: &Arguments, _context: &Context) -> Result<(), Failure> {
    Err(Failure::failed("this build has no demo"))
}
