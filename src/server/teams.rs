//! The directory of teams that the config file declares.

use crate::config::{self, Config, Kind};
use crate::directory::{Directory, Key, TeamState, TokenEntry};
use crate::ids::TokenId;
use std::sync::Arc;

/// Puts the config file's teams and the master credential into `directory`.
pub fn declare(config: &Config, directory: &Directory) {
    directory.set_master(config.upstream.master.as_ref().map(|master| {
        // An auth token signs nothing; a Main key does (Twilio docs, Access Tokens).
        let signs = master.username.starts_with("SK");
        Arc::new(Key::new(&master.username, master.password.clone(), signs))
    }));
    for team in &config.teams {
        let cell = directory.put_team(state(config, team));
        directory.put_tokens(team.token_sha256.iter().map(|digest| {
            let id = TokenId::new(&format!("sha256:{}", hex::encode(&digest[..6])));
            (*digest, TokenEntry::new(id, Arc::clone(&cell), None))
        }));
    }
}

/// A declared team as requests see it. A standard team without accounts is pinned to the broker's own.
fn state(config: &Config, team: &config::Team) -> TeamState {
    let mut accounts = team.accounts.clone();
    if accounts.is_empty() && team.kind == Kind::Standard {
        accounts.push(config.upstream.account_sid);
    }
    let key = team.key.as_ref().map(|key| Arc::new(Key::new(key.sid.as_str(), key.secret.clone(), true)));
    TeamState {
        id: team.name.clone(),
        kind: team.kind,
        accounts: accounts.into(),
        disabled: false,
        policy: Arc::new(team.policy.clone()),
        grants: None,
        key,
    }
}
