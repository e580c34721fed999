//! The life of a key: create, rotate, revoke, and what a delete of a team takes along.
//!
//! A new key is made before the old one is broken: create → prove with a harmless call → swap SID and secret as one value
//! → wait until no request holds the old key → grace → delete the old key upstream. Each step is journalled before it is
//! taken (`store::journal`), one process at a time takes steps (`store::lock`), and whoever takes the lock first settles
//! what a dead process left behind (`recover`). A team that had a working key never loses it to a rotation.

use super::recover::Unsettled;
use super::upstream_keys::{KeysError, Proof, UpstreamKeys};
use crate::audit::Trail;
use crate::clock::Clock;
use crate::config;
use crate::ids::{KeySid, TeamId};
use crate::secret::{Secret, random};
use crate::store::{Entry, KeyRow, KeysLock, Op, Step, Store, StoreError};
use arc_swap::{ArcSwap, Guard};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Grace of a rotation unless it is told: long enough for devices to fetch a new Access Token, which dies with the key
/// that signed it, and short enough that the account's number of keys stays small.
pub const DEFAULT_GRACE: Duration = Duration::from_mins(10);

/// How long a request that holds an old key may keep it alive beyond its grace. A request that is answered has long been
/// let in; this ends a replica that says nothing.
pub const LONGEST_DRAIN: Duration = Duration::from_mins(1);

/// How long to wait for another process that changes keys: longer than one change with all its tries takes.
const LOCK_PATIENCE: Duration = Duration::from_mins(1);

/// Longest time for all tries of a proof together: whoever proves holds up every other change.
const PROOF_PATIENCE: Duration = Duration::from_secs(30);

/// Waits between tries of a proof: a new key takes a moment to be known everywhere at the upstream.
const PROOF_WAITS: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_millis(600),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

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

/// Why a key was not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LifeError {
    /// The store's word.
    Store(StoreError),
    /// The upstream's word.
    Upstream(KeysError),
    /// Another sidekey was changing keys all the while.
    Busy,
    /// Something else stood against it; the text says what, and how things stand now.
    Failed(String),
}

impl fmt::Display for LifeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Upstream(error) => error.fmt(f),
            Self::Busy => f.write_str("another sidekey is changing keys; try again"),
            Self::Failed(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for LifeError {}

impl From<StoreError> for LifeError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<KeysError> for LifeError {
    fn from(error: KeysError) -> Self {
        Self::Upstream(error)
    }
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
    pub async fn create(&self, team: &TeamId) -> Result<KeyRow, LifeError> {
        let entry = self.replace(Op::Create, team, DEFAULT_GRACE).await?;
        self.new_key(&entry).await
    }

    /// Replaces a team's key. When this returns, requests use the new one; the old one is deleted when no request holds
    /// it and its grace is over, by [`Life::retire_due`].
    pub async fn rotate(&self, team: &TeamId, grace: Duration) -> Result<(KeyRow, Entry), LifeError> {
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
        self.ask("key.rotate", team.as_str()).await?;
        let entry = self.replace_held(&lock, Op::Rotate, team, grace).await?;
        self.new_key(&entry).await.map(Some)
    }

    /// Whether nothing may be changed now: it could not be recorded, and must be.
    pub(super) fn is_forbidden(&self) -> bool {
        self.trail.as_ref().is_some_and(Trail::forbids)
    }

    /// Takes in a key that was made elsewhere. Speaks to nobody.
    pub async fn import(
        &self,
        team: &TeamId,
        sid: KeySid,
        secret: &Secret,
        restricted: bool,
    ) -> Result<KeyRow, LifeError> {
        let key = self.store.import_key(team, sid, secret, restricted).await?;
        self.record("key.import", &format!("{sid} of {team}"), "done").await;
        Ok(key)
    }

    /// Takes a key out of use, at once and for good, and deletes it upstream. If the upstream can't be reached, the key
    /// is out of use all the same, and its deletion is tried again by whoever changes keys next.
    pub async fn revoke(&self, sid: &KeySid) -> Result<(), LifeError> {
        // The key must be one of ours, and the upstream must be known, before anything changes.
        let row = self.store.key(sid).await?;
        let held = self.upstream();
        let upstream = held.keys()?;
        let entry = self.store.begin_revoke(sid, &self.owner).await?;
        let subject = format!("{sid} of {}", row.team);
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
            if key.imported {
                self.store.release_key(&key.sid).await?;
                continue;
            }
            self.revoke(&key.sid).await.map_err(|error| {
                LifeError::Failed(format!("team {team} is disabled, but not deleted yet: {error}; delete it again"))
            })?;
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
        let until = self.clock.instant() + LOCK_PATIENCE;
        loop {
            if let Some(lock) = self.store.try_keys_lock().await? {
                return Ok(lock);
            }
            if self.clock.instant() > until {
                return Err(LifeError::Busy);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn new_key(&self, entry: &Entry) -> Result<KeyRow, LifeError> {
        let sid = entry.new_sid.ok_or_else(|| LifeError::Failed("the journal lost the new key".to_owned()))?;
        Ok(self.store.key(&sid).await?)
    }

    async fn replace(&self, op: Op, team: &TeamId, grace: Duration) -> Result<Entry, LifeError> {
        self.upstream().keys()?;
        // Of a team that there is not, nobody has to wait to hear.
        self.store.team(team).await?;
        let lock = self.exclusive().await?;
        let unsettled = self.recover(&lock, true).await?;
        let outcome = self.replace_held(&lock, op, team, grace).await;
        match (outcome, unsettled.get(team)) {
            // What stands in the way is said in the upstream's own words.
            (Err(LifeError::Store(error @ StoreError::Refused(_))), Some(why)) => {
                Err(LifeError::Failed(format!("{error}; what stands against it: {why}")))
            }
            (outcome, _) => outcome,
        }
    }

    async fn replace_held(&self, lock: &KeysLock, op: Op, team: &TeamId, grace: Duration) -> Result<Entry, LifeError> {
        let held = self.upstream();
        let upstream = held.keys()?;
        let permissions = self.store.team(team).await?.key_permissions;
        let entry = self.store.begin_key(op, team, &self.owner, grace).await?;
        let outcome = self.carry_through(lock, upstream, entry, &permissions).await;
        let action = if op == Op::Create { "key.create" } else { "key.rotate" };
        match &outcome {
            Ok(entry) => {
                let sid = entry.new_sid.as_ref().map_or("?", KeySid::as_str);
                let instead = entry.old_sid.map(|old| format!(", instead of {old}")).unwrap_or_default();
                self.record(action, &format!("{sid} of {team}{instead}"), "done").await;
            }
            Err(error) => {
                self.record(action, team.as_str(), &error.to_string()).await;
            }
        }
        outcome
    }

    async fn carry_through(
        &self,
        lock: &KeysLock,
        upstream: &UpstreamKeys,
        entry: Entry,
        permissions: &[String],
    ) -> Result<Entry, LifeError> {
        let (sid, secret) = match upstream.create(&entry.friendly_name, permissions).await {
            Ok(made) => made,
            Err(error) => {
                if let Err(left) = self.take_back(upstream, &entry, &error.to_string(), Some(&error)).await {
                    tracing::warn!(%left, "a key may be left upstream until the next key command");
                }
                return Err(error.into());
            }
        };
        let created = match self.store.key_created(&entry, sid, &secret).await {
            Ok(created) => created,
            Err(error) => {
                // Its secret is known here alone: without a row, nobody could ever use it.
                upstream.delete(&sid, entry.restricted).await?;
                return Err(error.into());
            }
        };
        still(lock)?;
        self.prove_and_swap(upstream, &created, &secret).await
    }

    /// Proves a created key and puts it in use, or takes it back.
    pub(super) async fn prove_and_swap(
        &self,
        upstream: &UpstreamKeys,
        entry: &Entry,
        secret: &Secret,
    ) -> Result<Entry, LifeError> {
        let sid = entry.new_sid.ok_or_else(|| LifeError::Failed("the journal lost the new key".to_owned()))?;
        match prove(upstream, &sid, secret).await {
            Proof::Good => Ok(self.store.key_swapped(entry).await?),
            Proof::Refused(why) | Proof::Unclear(why) => {
                let why = format!("the new key did not prove good: {why}");
                let kept = match &entry.old_sid {
                    Some(old) => format!("{old} stays in use"),
                    None => "the team has no key".to_owned(),
                };
                match self.take_back(upstream, entry, &why, None).await {
                    Ok(()) => Err(LifeError::Failed(format!("{why}; it was deleted again, and {kept}"))),
                    Err(error) => Err(LifeError::Failed(format!(
                        "{why}; {kept}, and the new key {sid} is still to be deleted upstream ({error})"
                    ))),
                }
            }
        }
    }

    /// Deletes what the entry made upstream, if anything, and closes the entry.
    pub(super) async fn take_back(
        &self,
        upstream: &UpstreamKeys,
        entry: &Entry,
        why: &str,
        failed: Option<&KeysError>,
    ) -> Result<(), LifeError> {
        match (&entry.new_sid, failed) {
            (Some(sid), _) => {
                upstream.delete(sid, entry.restricted).await?;
                self.record("key.delete", &format!("{sid} of {}", entry.team), "taken back").await;
            }
            // Certainly not made.
            (None, Some(KeysError::NotDone(_) | KeysError::NoMaster)) => {}
            (None, _) => {
                let found = self.delete_by_name(upstream, entry).await?;
                // The call may be on its way still, though nobody waits for it.
                if found == 0 && entry.step != Step::Doubtful {
                    self.store.key_doubtful(entry, why, upstream.landing()).await?;
                    return Ok(());
                }
            }
        }
        debug_assert!(
            matches!(entry.step, Step::Intended | Step::Created | Step::Doubtful),
            "what is in use is not taken back"
        );
        self.store.key_rolled_back(entry, why).await?;
        Ok(())
    }

    /// Deletes what the upstream lists under the entry's name; answers how many there were.
    async fn delete_by_name(&self, upstream: &UpstreamKeys, entry: &Entry) -> Result<usize, LifeError> {
        let mut listed = upstream.list(entry.restricted).await?;
        listed.retain(|listed| listed.friendly_name.as_deref() == Some(&entry.friendly_name));
        for key in &listed {
            upstream.delete(&key.sid, key.restricted).await?;
            self.record("key.delete", &format!("{} of {}", key.sid, entry.team), "taken back").await;
        }
        Ok(listed.len())
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

async fn prove(upstream: &UpstreamKeys, sid: &KeySid, secret: &Secret) -> Proof {
    let tries = async {
        let mut waits = PROOF_WAITS.iter();
        loop {
            match (upstream.prove(sid, secret).await, waits.next()) {
                (Proof::Good, _) => return Proof::Good,
                (_, Some(wait)) => tokio::time::sleep(*wait).await,
                (failed, None) => return failed,
            }
        }
    };
    // A call that is given up was a harmless one.
    let given_up = |_| Proof::Unclear(format!("nothing was heard within {} s", PROOF_PATIENCE.as_secs()));
    tokio::time::timeout(PROOF_PATIENCE, tries).await.unwrap_or_else(given_up)
}
