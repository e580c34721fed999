//! `sidekey sandbox`: a Twilio-compatible upstream in memory.

use super::{Context, Failure, process, random_hex, signals, value};
use crate::clock::Clock;
use crate::ids::AccountSid;
use crate::net::{PORT_DENIED, with_mend};
use crate::sandbox::{Options, Sandbox};
use crate::secret::Secret;
use serde_json::json;
use std::io;
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
    #[arg(long, value_name = "TOKEN", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    auth_token: Option<String>,
    /// How long each answer is held back
    #[arg(long, value_name = "DURATION", value_parser = value::duration, default_value = "0s")]
    latency: Duration,
}

/// Runs until SIGTERM or SIGINT.
pub(super) fn run(arguments: Arguments, context: &Context) -> Result<(), Failure> {
    let runtime = process::runtime()?;
    runtime.block_on(async {
        let mut stop = signals::Stop::listen()?;
        let auth_token = arguments.auth_token.unwrap_or_else(random_hex);
        let options = Options {
            listen: arguments.listen,
            account_sid: arguments.account_sid,
            auth_token: Some(Secret::from(auth_token.clone())),
            latency: arguments.latency,
            tls: None,
            clock: Clock::system(),
        };
        let sandbox = Sandbox::start(options).map_err(|error| cannot_listen(arguments.listen, &error))?;
        let (url, account) = (sandbox.url(), sandbox.account_sid());
        let data = json!({ "url": url, "account_sid": account.as_str(), "auth_token": auth_token });
        context.print(&data, || format!("url          {url}\naccount_sid  {account}\nauth_token   {auth_token}\n"))?;
        stop.asked().await;
        Ok(())
    })
}

fn cannot_listen(at: SocketAddr, error: &io::Error) -> Failure {
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("{error}; another process has it: end that one, or choose another with --listen")
        }
        _ => with_mend(error, PORT_DENIED),
    };
    Failure::failed(format!("can't listen on {at}: {why}"))
}
