//! `sidekey ca`: the private CA used for interception.

use super::{Context, Failure};
use crate::clock::Clock;
use crate::tls::ca;
use clap::Subcommand;
use serde_json::json;
use std::path::{Path, PathBuf};

/// `sidekey ca …`
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a CA: writes DIR/ca.pem and DIR/ca.key, never over existing files; needs no config
    Init {
        /// Folder for the two files; made if need be
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Print the certificate of the CA that `[intercept]` names, as PEM
    Show,
}

pub(super) fn run(command: &Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Init { folder } => init(folder, context),
        Command::Show => show(context),
    }
}

fn init(folder: &Path, context: &Context) -> Result<(), Failure> {
    let made = ca::init(folder, &Clock::system())?;
    let (cert, key) = (made.cert.display().to_string(), made.key.display().to_string());
    let data = json!({ "ca_cert": cert, "ca_key": key });
    context.print(&data, || {
        format!(
            "[intercept]\nca_cert = \"{cert}\"   # give this one to callers\nca_key = \"{key}\"    # sidekey's alone\n"
        )
    })
}

fn show(context: &Context) -> Result<(), Failure> {
    let config = context.load()?;
    let Some(intercept) = config.intercept else {
        let mend = "make a CA with `sidekey ca init DIR` and add [intercept] with `ca_cert` and `ca_key`";
        return Err(Failure::failed(format!("{} has no [intercept]; {mend}", context.path().display())));
    };
    let pem = ca::show(&intercept.ca_cert)?;
    context.print(&json!({ "ca_cert": intercept.ca_cert.display().to_string(), "pem": pem }), || pem.clone())
}
