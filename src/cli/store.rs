//! `sidekey store`: the store itself.

use super::stored::{Change, recorded, with_config};
use super::{Context, Failure};
use crate::config::RootKey;
use crate::secret::Secret;
use clap::Subcommand;
use std::path::Path;

/// `sidekey store …`
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Change the root key: wraps the data key anew; brokers that run go on
    Rekey {
        /// The new root key, `file:PATH` (from the config's folder) or `env:NAME`: 32 random bytes as base64, as
        /// `openssl rand -base64 32` prints
        #[arg(long, value_name = "REFERENCE", value_parser = reference)]
        new_root_key: RootKey,
    },
}

pub(super) fn run(command: &Command, context: &Context) -> Result<(), Failure> {
    let Command::Rekey { new_root_key } = command;
    let new_root_key = &at_home(new_root_key, context)?;
    with_config(context, async |store, config| {
        let old = config.store.as_ref().map(|settings| &settings.root_key);
        let old = old.ok_or_else(|| Failure::failed("the store has no root key"))?;
        recorded(config, Change::new("store.rekey", "root key"), store.rekey(old, new_root_key)).await
    })?;
    let path = context.path().display().to_string();
    context.print(&serde_json::json!({ "rekeyed": true }), || {
        format!(
            "the store opens with the new root key alone: name it as store.root_key in {path} before the next start\n"
        )
    })
}

/// The new root key, whose file is looked for where the config's own would be; it must be there.
fn at_home(key: &RootKey, context: &Context) -> Result<RootKey, Failure> {
    let RootKey::File(path) = key else { return Ok(key.clone()) };
    let path = context.path().parent().unwrap_or(Path::new("")).join(path);
    if path.try_exists().is_ok_and(|there| !there) {
        let name = path.display();
        let mend = format!("make it with `openssl rand -base64 32 > {name}; chmod 600 {name}`");
        return Err(Failure::failed(format!("--new-root-key: there is no {name}: {mend}")));
    }
    Ok(RootKey::File(path))
}

fn reference(text: &str) -> Result<RootKey, String> {
    if let Some(path) = text.strip_prefix("file:").filter(|path| !path.is_empty()) {
        return Ok(RootKey::File(path.into()));
    }
    let mend = "write file:PATH or env:NAME";
    let name = text.strip_prefix("env:").ok_or(mend)?;
    let value = std::env::var(name).map_err(|_| format!("the environment has no {name}"))?;
    Ok(RootKey::Value(Secret::from(value)))
}
