//! `sidekey serve`: the broker.

use super::{Context, Failure};

pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let _config = context.load()?;
    Err(Failure::failed("this build can't serve"))
}
