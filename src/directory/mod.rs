//! The in-memory snapshot that requests are judged by.
//!
//! Reading takes no lock: a token's shard and a team's state are immutable values behind one atomic pointer each. A change
//! replaces one shard (about 1/4096 of the tokens) or one team's state, never the world. Whatever knows better (config
//! file, store) feeds changes in; a request only reads.

mod declared;
mod team;
mod tokens;

pub use declared::{Declared, declare};
pub use team::{Accounts, Key, TeamCell, TeamState};
pub use tokens::{Sought, TokenEntry, Tokens};

use crate::ids::TeamId;
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Everything a request is judged by.
#[derive(Debug)]
pub struct Directory {
    tokens: Tokens,
    teams: ArcSwap<HashMap<TeamId, Arc<TeamCell>>>,
    /// What master teams act with; `None` without `[upstream.master]`.
    master: ArcSwap<Option<Arc<Key>>>,
    /// Unix second after which what is known here is too old to serve; `u64::MAX`: never.
    fresh_until: AtomicU64,
    /// Held by whoever changes the set of teams, so that two changes do not lose one another.
    writing: Mutex<()>,
}

impl Default for Directory {
    fn default() -> Self {
        Self {
            tokens: Tokens::default(),
            teams: ArcSwap::default(),
            master: ArcSwap::default(),
            fresh_until: AtomicU64::new(u64::MAX),
            writing: Mutex::new(()),
        }
    }
}

impl Directory {
    /// Has the token with this SHA-256 fetched from memory, and does not wait for it.
    pub fn seek(&self, digest: [u8; 32]) -> Sought {
        self.tokens.seek(digest)
    }

    /// The team of this name.
    pub fn team(&self, name: &TeamId) -> Option<Arc<TeamCell>> {
        self.teams.load().get(name).cloned()
    }

    /// Every team.
    pub fn teams(&self) -> Vec<Arc<TeamCell>> {
        self.teams.load().values().cloned().collect()
    }

    /// What master teams act with.
    pub fn master(&self) -> Option<Arc<Key>> {
        self.master.load().as_ref().clone()
    }

    /// Sets what master teams act with.
    pub fn set_master(&self, key: Option<Arc<Key>>) {
        self.master.store(Arc::new(key));
    }

    /// Whether what is known here may still be served at Unix second `now`.
    pub fn fresh(&self, now: u64) -> bool {
        now <= self.fresh_until.load(Ordering::Relaxed)
    }

    /// Says until which Unix second what is known here may be served.
    pub fn set_fresh_until(&self, second: u64) {
        self.fresh_until.store(second, Ordering::Relaxed);
    }

    /// Adds a team or replaces its state; its tokens stay.
    pub fn put_team(&self, state: TeamState) -> Arc<TeamCell> {
        let _writing = self.write();
        if let Some(cell) = self.teams.load().get(&state.id) {
            cell.set(state);
            return Arc::clone(cell);
        }
        let mut teams = HashMap::clone(&self.teams.load());
        let cell = Arc::new(TeamCell::new(state));
        teams.insert(cell.id().clone(), Arc::clone(&cell));
        self.teams.store(Arc::new(teams));
        cell
    }

    /// Adds or replaces many teams at once: one copy of the table for all.
    pub fn put_teams(&self, states: impl IntoIterator<Item = TeamState>) {
        let _writing = self.write();
        let mut teams = HashMap::clone(&self.teams.load());
        for state in states {
            match teams.get(&state.id) {
                Some(cell) => cell.set(state),
                None => {
                    let cell = Arc::new(TeamCell::new(state));
                    teams.insert(cell.id().clone(), cell);
                }
            }
        }
        self.teams.store(Arc::new(teams));
    }

    /// Removes a team. Its tokens are refused from now on: the cell they point to is disabled.
    pub fn remove_team(&self, name: &TeamId) {
        let _writing = self.write();
        let mut teams = HashMap::clone(&self.teams.load());
        if let Some(cell) = teams.remove(name) {
            cell.update(|state| state.disabled = true);
            self.teams.store(Arc::new(teams));
        }
    }

    /// Adds or replaces a token.
    pub fn put_token(&self, digest: [u8; 32], entry: TokenEntry) {
        let _writing = self.write();
        self.tokens.put([(digest, entry)]);
    }

    /// Adds or replaces many tokens; each shard is copied at most once.
    pub fn put_tokens(&self, entries: impl IntoIterator<Item = ([u8; 32], TokenEntry)>) {
        let _writing = self.write();
        self.tokens.put(entries);
    }

    /// Removes a token: it is unknown from now on.
    pub fn remove_token(&self, digest: &[u8; 32]) {
        let _writing = self.write();
        self.tokens.remove(digest);
    }

    /// Removes the tokens that `keep` does not want.
    pub fn retain_tokens(&self, keep: impl Fn(&[u8; 32], &TokenEntry) -> bool) {
        let _writing = self.write();
        self.tokens.retain(keep);
    }

    /// How many tokens are known.
    pub fn token_count(&self) -> usize {
        self.tokens.len()
    }

    /// A panicked writer leaves whole values behind, never half of one, so its poison means nothing.
    fn write(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
