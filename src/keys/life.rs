//! The life of a key: create, rotate, revoke, and what a delete of a team takes along.
//!
//! A new key is made before the old one is broken: create → prove with a harmless call → swap SID and secret as one value
//! → wait until no request holds the old key → grace → delete the old key upstream. Each step is journalled before it is
//! taken (`store::journal`), one process at a time takes steps (`store::lock`), and whoever takes the lock first settles
//! what a dead process left behind (`recover`). A team that had a working key never loses it to a rotation.

use super::error::LifeError;
use super::recover::Unsettled;
use super::upstream_keys::{KeysError, UpstreamKeys};
use crate::audit::Trail;
use crate::clock::Clock;
use crate::config::{self, defaults::MAX_STALENESS};
use crate::ids::{KeySid, TeamId};
use crate::secret::{Secret, random};
use crate::store::{Entry, KeyRow, KeysLock, Op, Store, StoreError};
use arc_swap::{ArcSwap, Guard};
use std::sync::Arc;
use std::time::Duration;

/// Grace of a rotation unless it is told: long enough for devices to fetch a new Access Token, which dies with the key
/// that signed it, and short enough that the account's number of keys stays small.
pub const DEFAULT_GRACE: Duration = Duration::from_mins(10);

/// A broker that does not hear of the new key refuses a minute before the old one may go ([`MAX_STALENESS`]).
const _: () = assert!(MAX_STALENESS.as_secs() + 60 <= DEFAULT_GRACE.as_secs());

/// How long a request that holds an old key may keep it alive beyond its grace. A request that is answered has long been
/// let in; this ends a replica that says nothing.
pub const LONGEST_DRAIN: Duration = Duration::from_mins(1);

/// How long to wait for another process that changes keys: longer than one change with all its tries takes.
const LOCK_PATIENCE: Duration = Duration::from_mins(1);

/// Why nothing is done now.
pub(super) const UNRECORDED: &str = "the audit can't be written, and what is done must be recorded";

/// Changes keys. One value serves a whole process.
#[derive(Debug)]
pub struct Life {
    pub(super) store: Store,
    upstream: ArcSwap<Result<UpstreamKeys, KeysError>>,
    /// Names this process in the journal.
    pub(super) owner: String,
    pub(super) clock: Clock,
    pub(super) unsettled: Unsettled,
    trail: Option<Trail>,
}

/// The upstream's Keys API, held for one change.
pub(super) struct Held(Guard<Arc<Result<UpstreamKeys, KeysError>>>);

impl Held {
    /// The API, or why there is none.
    pub(super) fn keys(&self) -> Result<&UpstreamKeys, LifeError> {
        self.0.as_ref().as_ref().map_err(|error| LifeError::Upstream(error.clone()))
    }
}

impl Life {
    /// Changes keys of this store at this upstream, and records it in `trail` if there is one.
    pub fn new(store: Store, upstream: &config::Upstream, clock: Clock, trail: Option<Trail>) -> Self {
        Self {
            store,
            upstream: ArcSwap::from_pointee(UpstreamKeys::new(upstream)),
            owner: hex::encode(*random::<8>()),
            clock,
            unsettled: Unsettled::default(),
            trail,
        }
    }

    /// Speaks to this upstream from now on: the config was reloaded.
    pub fn set_upstream(&self, upstream: &config::Upstream) {
        self.upstream.store(Arc::new(UpstreamKeys::new(upstream)));
    }

    /// The store.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Makes a team's first key, or replaces one that the upstream no longer takes.
    ///
    /// # Errors
    /// [`LifeError::Store`]: no such team, or it has a working key. [`LifeError::Upstream`]: it made no
    /// key, or did not say so. [`LifeError::Failed`]: the new key did not prove good, an earlier change can't be settled, or
    /// the lock was lost. [`LifeError::Busy`]: the lock was not free for a minute.
    pub async fn create(&self, team: &TeamId) -> Result<KeyRow, LifeError> {
        self.note_useless(team).await?;
        let entry = self.replace(Op::Create, team, DEFAULT_GRACE).await?;
        self.new_key(&entry).await
    }

    /// Replaces a team's key. When this returns, requests use the new one; the old one is deleted when no request holds
    /// it and its grace is over, by [`Life::retire_due`].
    ///
    /// # Errors
    /// As [`Life::create`]; here a team without a key is refused. The old key stays in use.
    pub async fn rotate(&self, team: &TeamId, grace: Duration) -> Result<(KeyRow, Entry), LifeError> {
        self.note_useless(team).await?;
        let entry = self.replace(Op::Rotate, team, grace).await?;
        Ok((self.new_key(&entry).await?, entry))
    }

    /// Replaces a team's key if its time has come, as [`Life::rotate`] does; `None` if another replica was quicker.
    pub(super) async fn rotate_due(
        &self,
        team: &TeamId,
        grace: Duration,
        every: Option<Duration>,
    ) -> Result<Option<KeyRow>, LifeError> {
        let lock = self.exclusive().await?;
        self.recover(&lock, false).await?;
        // Asked again under the lock: the one before may have waited for just this rotation.
        if !self.rotations_due(every).await?.iter().any(|(due, _)| due == team) {
            return Ok(None);
        }
        // What would be refused at once is not asked for.
        self.upstream().keys()?;
        self.ask("key.rotate", team.as_str()).await?;
        let entry = self.replace_held(&lock, Op::Rotate, team, grace).await?;
        self.new_key(&entry).await.map(Some)
    }

    /// Whether nothing may be changed now: it could not be recorded, and must be.
    pub(super) fn is_forbidden(&self) -> bool {
        self.trail.as_ref().is_some_and(Trail::forbids)
    }

    /// Takes in a key that was made elsewhere. Speaks to nobody.
    ///
    /// # Errors
    /// As [`Store::import_key`], and [`StoreError::Refused`] for the master credential's own key.
    pub async fn import(
        &self,
        team: &TeamId,
        sid: KeySid,
        secret: &Secret,
        restricted: bool,
    ) -> Result<KeyRow, LifeError> {
        if self.upstream().keys().is_ok_and(|upstream| upstream.is_master(&sid)) {
            let text = format!("key {sid} is that of [upstream.master]: a team's rotation would delete it");
            return Err(StoreError::Refused(text).into());
        }
        self.note_useless(team).await?;
        let key = self.store.import_key(team, sid, secret, restricted).await?;
        self.record("key.import", &format!("{sid} of {team}"), "done").await;
        Ok(key)
    }

    /// Takes a key out of use, at once and for good, and deletes it upstream. If the upstream can't be reached, the key
    /// is out of use all the same, and its deletion is tried again by whoever changes keys next. An imported key is let go
    /// where there is no master credential to delete it with.
    ///
    /// # Errors
    /// [`LifeError::Store`]: no such key, or it is being made. [`LifeError::Upstream`]: there is no master credential;
    /// nothing was changed. [`LifeError::Failed`]: out of use, but not deleted upstream yet.
    pub async fn revoke(&self, sid: &KeySid) -> Result<(), LifeError> {
        // The key must be one of ours, and the upstream must be known, before anything changes.
        let row = self.store.key(sid).await?;
        let held = self.upstream();
        let subject = format!("{sid} of {}", row.team);
        if row.imported && matches!(held.keys(), Err(LifeError::Upstream(KeysError::NoMaster))) {
            self.store.release_key(sid).await?;
            tracing::warn!(%sid, "out of use; without [upstream.master] it is not deleted at the upstream: whoever made it may");
            self.record("key.revoke", &subject, "let go: no master credential to delete it with").await;
            return Ok(());
        }
        let upstream = held.keys()?;
        let entry = self.store.begin_revoke(sid, &self.owner).await?;
        let outcome = match upstream.delete(sid, row.restricted).await {
            Ok(()) => Ok(self.store.key_deleted(&entry).await.map(|_| ())?),
            Err(error) => Err(LifeError::Failed(format!(
                "key {sid} is out of use, but not deleted at the upstream yet ({error}); it is tried again by the broker \
                and by every key command"
            ))),
        };
        self.record("key.revoke", &subject, if outcome.is_ok() { "done" } else { "not deleted upstream yet" }).await;
        outcome
    }

    /// Deletes a team, its tokens and its keys. Keys that sidekey made are deleted upstream; imported ones are let go.
    ///
    /// # Errors
    /// [`LifeError::Store`]: no such team. [`LifeError::Upstream`]: keys are to be deleted, and there is no master
    /// credential. [`LifeError::Failed`]: it is disabled, but a key of it is not deleted upstream yet.
    pub async fn delete_team(&self, team: &TeamId) -> Result<(), LifeError> {
        let keys = self.store.keys(Some(team)).await?;
        if keys.iter().any(|key| !key.imported) {
            self.upstream().keys()?;
        }
        if !keys.is_empty() {
            // Before its keys go: its callers are told that their proof is no good, not that there is no key.
            self.store.set_team_disabled(team, true).await?;
        }
        for key in keys {
            let gone = if key.imported {
                self.store.release_key(&key.sid).await.map_err(LifeError::from)
            } else {
                self.revoke(&key.sid).await
            };
            match gone {
                // Somebody else has revoked it meanwhile.
                Ok(()) | Err(LifeError::Store(StoreError::Unknown { .. })) => {}
                Err(error) if key.imported => return Err(error),
                Err(error) => {
                    let text = format!("team {team} is disabled, but not deleted yet: {error}; delete it again");
                    return Err(LifeError::Failed(text));
                }
            }
        }
        self.store.delete_team(team).await?;
        self.record("team.delete", team.as_str(), "done").await;
        Ok(())
    }

    /// Writes a step into the trail, if this process has one; answers whether the trail took it. A change that can't be
    /// recorded is not undone.
    pub async fn record(&self, action: &str, subject: &str, result: &str) -> bool {
        tracing::info!(action, subject, result);
        let Some(trail) = &self.trail else { return true };
        let kept = trail.admin_record("sidekey", action, subject, result).await;
        if let Err(error) = &kept {
            tracing::error!(%error, action, subject, "the audit did not take this");
        }
        kept.is_ok()
    }

    /// Records what this process is about to do by itself; where that must be recorded and can't be, it is not to be done.
    pub(super) async fn ask(&self, action: &str, subject: &str) -> Result<(), LifeError> {
        let Some(trail) = &self.trail else { return Ok(()) };
        match trail.admin_record("sidekey", action, subject, "asked").await {
            Err(_) if trail.requires() => Err(LifeError::Failed(UNRECORDED.to_owned())),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    pub(super) fn upstream(&self) -> Held {
        Held(self.upstream.load())
    }

    /// The right to change keys, waited for.
    pub(super) async fn exclusive(&self) -> Result<KeysLock, LifeError> {
        let (until, mut pause) = (self.clock.instant() + LOCK_PATIENCE, Duration::from_millis(50));
        loop {
            if let Some(lock) = self.store.try_keys_lock().await? {
                return Ok(lock);
            }
            if self.clock.instant() > until {
                return Err(LifeError::Busy);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    async fn new_key(&self, entry: &Entry) -> Result<KeyRow, LifeError> {
        let sid = entry.new_sid.ok_or_else(|| LifeError::Failed("the journal lost the new key".to_owned()))?;
        Ok(self.store.key(&sid).await?)
    }
}

/// Refuses to go on without the lock.
pub(super) fn still(lock: &KeysLock) -> Result<(), LifeError> {
    if lock.holds() {
        return Ok(());
    }
    Err(LifeError::Failed(
        "the connection to the store was lost in between; what was begun is settled later".to_owned(),
    ))
}
