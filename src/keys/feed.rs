//! What the store knows, carried into the directory: all of it once, then change by change.
//!
//! Requests never wait for this: they read the directory. When the store is lost, the directory stays as it was until
//! `store.max_staleness` is over; then it refuses.

use super::changes::{describe, fresh};
use super::health::Health;
use crate::clock::Clock;
use crate::config::{Config, Kind};
use crate::directory::{Declared, Directory, Key, TeamState, TokenEntry, declare};
use crate::ids::{AccountSid, KeySid, TeamId};
use crate::store::{Catchup, Change, KeyState, Position, Result, SealedKey, Store, TeamRow, TokenRow};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Tokens handed to the directory at once while everything is loaded: each of its shards is then copied a few times, not
/// once a token.
const CHUNK: usize = 100_000;

/// How long a revoked or expired token is still told from an unknown one in the audit; then it takes no memory.
const REMEMBERED: u64 = 30 * 24 * 3600;

/// A key's last use is written when it is this much newer than what was written, in seconds: it is stated to the minute.
const TOUCH: u64 = 60;

/// Carries changes into a directory.
#[derive(Debug)]
pub struct Feed {
    store: Store,
    directory: Arc<Directory>,
    /// What a standard team without accounts is pinned to.
    account: AccountSid,
    max_staleness: Duration,
    /// What the config file has of its own.
    declared: Declared,
    /// The config file changed what is taken from the store: all of it must be loaded again.
    outdated: bool,
    clock: Clock,
    health: Arc<Health>,
    position: Position,
    /// Keys that were replaced, with the last change before that: some request may still hold one.
    replaced: Vec<(i64, Weak<Key>)>,
    /// The store's teams; others are the config file's.
    teams: HashSet<TeamId>,
    /// What the store was last told of each key: its last use, and whether the upstream refused it.
    told: HashMap<KeySid, (u64, bool)>,
}

impl Feed {
    /// A feed of this store into this directory. Teams that the config file declares are left as the file has them.
    pub fn new(store: Store, directory: Arc<Directory>, config: &Config, clock: Clock) -> Self {
        Self {
            store,
            directory,
            account: config.upstream.account_sid,
            max_staleness: config.store.as_ref().map_or(Duration::MAX, |store| store.max_staleness),
            declared: Declared::of(config),
            outdated: false,
            clock,
            health: Arc::default(),
            position: Position::default(),
            replaced: Vec::new(),
            teams: HashSet::new(),
            told: HashMap::new(),
        }
    }

    /// Goes on with a config that was reloaded. What the file no longer declares is gone when this returns; what the store
    /// has in its stead comes with the next [`Feed::follow`].
    pub fn adopt(&mut self, config: &Config) {
        let declared = Declared::of(config);
        self.declared.withdraw(&declared, &self.directory);
        self.outdated |= self.declared != declared || self.account != config.upstream.account_sid;
        self.teams.retain(|name| !declared.has_team(name));
        self.declared = declared;
        self.account = config.upstream.account_sid;
        // Once more: a change of the store may have come in between.
        declare(config, &self.directory);
        if let Some(store) = &config.store {
            self.max_staleness = store.max_staleness;
            self.state_freshness();
        }
    }

    /// How it does.
    pub const fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// The last change that was applied.
    pub const fn position(&self) -> Position {
        self.position
    }

    /// Loads everything. What is in the directory and no longer in the store goes.
    ///
    /// # Errors
    /// The store's. What was loaded before stays in the directory.
    pub async fn load(&mut self) -> Result<()> {
        let mut seen = HashSet::new();
        // Tokens are weighed only where there may be old ones: a set of a million digests is not free.
        let mut digests = (self.health.heard() > 0).then(HashSet::new);
        let mut tokens = Vec::new();
        let now = self.clock.unix_seconds();
        let since = self.position.id;
        let store = self.store.clone();
        let position = store
            .load_all(|change| match change {
                Change::Token(row) if !self.declared.has_team(&row.team) => {
                    if let Some(digests) = &mut digests {
                        digests.insert(row.sha256);
                    }
                    tokens.extend(self.entry(&row, now).map(|entry| (row.sha256, entry)));
                    if tokens.len() >= CHUNK {
                        self.directory.put_tokens(tokens.drain(..));
                    }
                }
                other => {
                    if let Change::Team(row) = &other {
                        seen.insert(row.name.clone());
                    }
                    self.apply(other, since);
                }
            })
            .await?;
        self.directory.put_tokens(tokens);
        if let Some(digests) = digests {
            let kept = |digest: &[u8; 32], _: &TokenEntry| digests.contains(digest) || self.declared.has_token(digest);
            self.directory.retain_tokens(kept);
        }
        let gone: Vec<TeamId> = self.teams.difference(&seen).cloned().collect();
        for name in gone {
            self.apply(Change::TeamGone(name), since);
        }
        self.position = position;
        self.heard();
        Ok(())
    }

    /// Applies what has changed since, and says what that was, in words for the audit.
    ///
    /// # Errors
    /// The store's. What was applied before stays, and the rest comes with the next call.
    pub async fn follow(&mut self) -> Result<Vec<(&'static str, String)>> {
        let mut news = Vec::new();
        if self.outdated {
            self.load().await?;
            self.outdated = false;
            news.push(("store.reload", "the config file declares something else".to_owned()));
        }
        loop {
            match self.store.changes_since(self.position).await? {
                Catchup::Reload => {
                    tracing::warn!("too many changes were missed, or the store was restored: loading all of it");
                    self.load().await?;
                    news.push(("store.reload", "all of it".to_owned()));
                }
                Catchup::Changes { changes, through } => {
                    let before = self.position;
                    for change in changes {
                        news.push(describe(&change));
                        self.apply(change, before.id);
                        self.health.count();
                    }
                    self.position = through;
                    self.heard();
                    if through == before {
                        return Ok(news);
                    }
                }
            }
        }
    }

    /// The store did not answer: how long that has been is what `/readyz` says.
    pub fn lost(&self) {
        self.health.unanswered(self.clock.unix_seconds());
    }

    /// The last change from whose time on no request of this process holds a replaced key.
    pub fn drained(&mut self) -> i64 {
        self.replaced.retain(|(_, key)| key.strong_count() > 0);
        self.replaced.iter().map(|(before, _)| *before).min().unwrap_or(self.position.id)
    }

    /// Tells the store which keys were used, and how the upstream took them; answers whose standing is news.
    ///
    /// # Errors
    /// The store's. What it did not take is told again.
    pub async fn report(&mut self) -> Result<Vec<(KeySid, KeyState)>> {
        let mut used = Vec::new();
        let mut marks = Vec::new();
        for cell in self.directory.teams() {
            let Some(key) = cell.load().key.clone() else { continue };
            let Some(sid) = key.key_sid() else { continue };
            let (last_use, rejected) = (key.last_use(), key.is_rejected());
            let told = self.told.get(&sid).copied().unwrap_or_default();
            if last_use >= told.0 + TOUCH {
                used.push((sid, last_use));
            }
            if rejected != told.1 {
                marks.push((sid, if rejected { KeyState::Rejected } else { KeyState::Active }));
            }
        }
        // Told is what the store took: what it refused is told again.
        self.store.touch_keys(&used).await?;
        for (sid, last_use) in used {
            self.told.entry(sid).or_default().0 = last_use;
        }
        let mut news = Vec::new();
        for (sid, state) in marks {
            if self.store.mark_key(&sid, state).await? {
                news.push((sid, state));
            }
            self.told.entry(sid).or_default().1 = state == KeyState::Rejected;
        }
        Ok(news)
    }

    /// Makes `change` so. `before` is the last change before it that is known to be applied.
    fn apply(&mut self, change: Change, before: i64) {
        if self.is_declared(&change) {
            return;
        }
        let now = self.clock.unix_seconds();
        match change {
            Change::Team(row) => {
                self.teams.insert(row.name.clone());
                self.put_team(row);
            }
            Change::TeamGone(name) => {
                self.teams.remove(&name);
                self.set_key(&name, None, before);
                self.directory.remove_team(&name);
            }
            Change::Token(row) => match self.entry(&row, now) {
                Some(entry) => self.directory.put_token(row.sha256, entry),
                None => self.directory.remove_token(&row.sha256),
            },
            Change::TokenGone(digest) => self.directory.remove_token(&digest),
            Change::Key(name, key) => self.set_key(&name, key, before),
        }
    }

    /// Whether a change is about a team of the config file, which wins over the store's.
    fn is_declared(&self, change: &Change) -> bool {
        let team = match change {
            Change::Team(row) => &row.name,
            Change::TeamGone(name) | Change::Key(name, _) => name,
            Change::Token(row) => &row.team,
            Change::TokenGone(_) => return false,
        };
        let declared = self.declared.has_team(team);
        if declared && matches!(change, Change::Team(_)) {
            tracing::warn!(%team, "is in the config file and in the store: the file is heard");
        }
        declared
    }

    fn put_team(&self, row: TeamRow) {
        let mut accounts = row.accounts;
        if accounts.is_empty() && row.kind == Kind::Standard {
            accounts.push(self.account);
        }
        let key = self.directory.team(&row.name).and_then(|cell| cell.load().key.clone());
        self.directory.put_team(TeamState {
            id: row.name,
            kind: row.kind,
            accounts: accounts.into(),
            disabled: row.disabled,
            policy: row.policy.into_shared(),
            grants: row.grants.map(Into::into),
            key,
        });
    }

    fn entry(&self, row: &TokenRow, now: u64) -> Option<TokenEntry> {
        let team = self.directory.team(&row.team)?;
        // By the clock that it is judged by here.
        let ends = row.revoked_at.or(row.expires_at).map(|at| self.store.own_time(at));
        if ends.is_some_and(|end| end + REMEMBERED < now) {
            return None;
        }
        let expires = if row.revoked_at.is_some() { Some(TokenEntry::REVOKED) } else { ends };
        Some(TokenEntry::new(&row.id, team, expires))
    }

    fn set_key(&mut self, name: &TeamId, key: Option<Box<SealedKey>>, before: i64) {
        let Some(cell) = self.directory.team(name) else { return };
        let old = cell.load().key.clone();
        let new = match (&old, key) {
            // The same key, only marked: requests, counts and last use stay with it.
            (Some(old), Some(key)) if old.key_sid() == Some(key.row.sid) => {
                if key.row.state == KeyState::Active {
                    old.accept();
                } else {
                    old.reject(self.clock.unix_seconds());
                }
                self.told.entry(key.row.sid).or_default().1 = old.is_rejected();
                return;
            }
            (_, key) => key.map(|key| Arc::new(fresh(*key))),
        };
        cell.update(|state| state.key.clone_from(&new));
        if let Some((sid, new)) = new.as_ref().and_then(|new| Some((new.key_sid()?, new))) {
            self.told.insert(sid, (0, new.is_rejected()));
        }
        if let Some(old) = old {
            if let Some(sid) = old.key_sid() {
                self.told.remove(&sid);
            }
            self.replaced.push((before, Arc::downgrade(&old)));
        }
    }

    fn heard(&self) {
        self.health.answered(self.clock.unix_seconds());
        self.state_freshness();
    }

    /// Says until when what is known may be served.
    fn state_freshness(&self) {
        self.directory.set_fresh_until(self.health.heard().saturating_add(self.max_staleness.as_secs()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ProcessEnvironment, parse};

    #[test]
    fn a_new_staleness_holds_for_a_feed_that_runs() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = |staleness: &str| {
            let text = format!(
                "[listen]\nproxy = \"127.0.0.1:0\"\n[upstream]\naccount_sid = \"AC00000000000000000000000000000001\"\n\
                 [store]\nurl = \"sqlite:store.db\"\nroot_key = \"file:root.key\"\nmax_staleness = \"{staleness}\"\n"
            );
            parse(&text, &folder.path().join("sidekey.toml"), &ProcessEnvironment).expect("a good config")
        };
        let (long, short) = (config("1h"), config("1s"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let settings = long.store.as_ref().expect("named above");
            let store = Store::open(settings, Clock::system()).await.expect("a new store");
            let directory = Arc::new(Directory::default());
            let mut feed = Feed::new(store, Arc::clone(&directory), &long, Clock::system());
            feed.load().await.expect("an empty store");
            let soon = feed.health().heard() + 60;
            assert!(directory.fresh(soon));
            feed.adopt(&short);
            assert!(!directory.fresh(soon));
            feed.adopt(&long);
            assert!(directory.fresh(soon));
        });
    }
}
