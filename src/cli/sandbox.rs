//! `sidekey sandbox`: a Twilio-compatible upstream in memory.

use super::{Context, Failure, value};
use crate::ids::AccountSid;
use crate::sandbox::{self, Options, Sandbox};
use crate::secret::Secret;
use std::net::SocketAddr;
use std::time::Duration;

/// `sidekey sandbox`
#[derive(clap::Args, Debug)]
pub(super) struct Arguments {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4010")]
    listen: SocketAddr,
    /// The main account [default: a random one]
    #[arg(long, value_name = "AC…")]
    account_sid: Option<AccountSid>,
    /// The main account's auth token [default: a random one]
    #[arg(long, value_name = "TOKEN")]
    auth_token: Option<String>,
    /// How long each answer is held back
    #[arg(long, value_name = "DURATION", value_parser = value::duration, default_value = "0s")]
    latency: Duration,
}

pub(super) fn run(arguments: Arguments, context: &Context) -> Result<(), Failure> {
    let Arguments { listen, account_sid, auth_token, latency } = arguments;
    let auth_token = auth_token.map(Secret::from);
    let options = Options { listen, account_sid, auth_token, latency, ..Options::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut printed = Ok(());
    let stopped = runtime.block_on(sandbox::run(options, |sandbox| printed = announce(sandbox, context)));
    printed?;
    stopped.map_err(|error| Failure::failed(format!("the sandbox can't listen on {listen}: {error}")))
}

fn announce(sandbox: &Sandbox, context: &Context) -> Result<(), Failure> {
    let (url, account_sid, auth_token) = sandbox.credentials();
    let data = serde_json::json!({"url": url, "account_sid": account_sid, "auth_token": auth_token});
    context.print(&data, || format!("url          {url}\naccount_sid  {account_sid}\nauth_token   {auth_token}\n"))
}
