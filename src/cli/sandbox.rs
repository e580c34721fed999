//! `sidekey sandbox`: a Twilio-compatible upstream in memory.

use super::{Context, Failure, value};
use crate::ids::AccountSid;
use std::net::SocketAddr;
use std::time::Duration;

/// `sidekey sandbox`
#[derive(clap::Args, Debug)]
pub(super) struct Arguments {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4010")]
    listen: SocketAddr,
    /// The main account [default: a fixed one]
    #[arg(long, value_name = "AC…")]
    account_sid: Option<AccountSid>,
    /// The main account's auth token [default: a random one]
    #[arg(long, value_name = "TOKEN")]
    auth_token: Option<String>,
    /// How long each answer is held back
    #[arg(long, value_name = "DURATION", value_parser = value::duration, default_value = "0s")]
    latency: Duration,
}

pub(super) fn run(_arguments: Arguments, _context: &Context) -> Result<(), Failure> {
    Err(Failure::failed("this build has no sandbox"))
}
