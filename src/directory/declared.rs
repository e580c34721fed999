//! The teams that the config file declares.

use super::{Directory, Key, TeamState, TokenEntry};
use crate::config::{self, Config, Kind};
use crate::ids::{TeamId, TokenId};
use std::collections::HashSet;
use std::sync::Arc;

/// What a config file declares, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    teams: HashSet<TeamId>,
    tokens: HashSet<[u8; 32]>,
}

impl Declared {
    /// What this config declares.
    pub fn of(config: &Config) -> Self {
        Self {
            teams: config.teams.iter().map(|team| team.name.clone()).collect(),
            tokens: config.teams.iter().flat_map(|team| &team.token_sha256).copied().collect(),
        }
    }

    /// Whether the file declares this team.
    pub fn has_team(&self, name: &TeamId) -> bool {
        self.teams.contains(name)
    }

    /// Whether the file declares the token with this SHA-256.
    pub fn has_token(&self, digest: &[u8; 32]) -> bool {
        self.tokens.contains(digest)
    }

    /// Takes what this file declared and `after` does not out of `directory`.
    pub fn withdraw(&self, after: &Self, directory: &Directory) {
        for digest in self.tokens.difference(&after.tokens) {
            directory.remove_token(digest);
        }
        for team in self.teams.difference(&after.teams) {
            directory.remove_team(team);
        }
    }
}

/// Puts the config file's teams and the master credential into `directory`.
pub fn declare(config: &Config, directory: &Directory) {
    directory.set_master(config.upstream.master.as_ref().map(|master| {
        // An auth token signs nothing; a Main key does (Twilio docs, Access Tokens).
        let signs = master.username.starts_with("SK");
        Arc::new(Key::new(&master.username, master.password.clone(), signs))
    }));
    directory.put_teams(config.teams.iter().map(|team| state(config, team)));
    for team in &config.teams {
        let Some(cell) = directory.team(&team.name) else { continue };
        directory.put_tokens(team.token_sha256.iter().map(|digest| {
            let id = TokenId::new(&format!("sha256:{}", hex::encode(&digest[..6])));
            (*digest, TokenEntry::new(&id, Arc::clone(&cell), None))
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
        id: team.name.apart(),
        kind: team.kind,
        accounts: accounts.into(),
        disabled: false,
        policy: team.policy.clone().into_shared(),
        grants: None,
        key,
    }
}
