//! One key for another: make, prove, swap, or take back.

use super::error::LifeError;
use super::life::{Life, still};
use super::upstream_keys::{KeysError, Proof, UpstreamKeys};
use crate::ids::{KeySid, TeamId};
use crate::secret::Secret;
use crate::store::{Entry, KeysLock, Op, Step, StoreError};
use std::time::Duration;

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

impl Life {
    /// Replaces a team's key, or makes its first, under a lock that is waited for.
    pub(super) async fn replace(&self, op: Op, team: &TeamId, grace: Duration) -> Result<Entry, LifeError> {
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

    /// The same for whoever has the lock and has settled what was left behind.
    pub(super) async fn replace_held(
        &self,
        lock: &KeysLock,
        op: Op,
        team: &TeamId,
        grace: Duration,
    ) -> Result<Entry, LifeError> {
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
            Proof::Good => match self.store.key_swapped(entry).await {
                Err(StoreError::Refused(why)) => Err(self.give_up(upstream, entry, why).await),
                outcome => Ok(outcome?),
            },
            Proof::Refused(why) | Proof::Unclear(why) => {
                let why = format!("the new key {sid} did not prove good: {why}");
                Err(self.give_up(upstream, entry, why).await)
            }
        }
    }

    /// Takes a new key back that is not to be used; answers how things stand then.
    async fn give_up(&self, upstream: &UpstreamKeys, entry: &Entry, why: String) -> LifeError {
        let kept = match &entry.old_sid {
            Some(old) => format!("{old} stays in use"),
            None => "the team has no key of sidekey's making".to_owned(),
        };
        LifeError::Failed(match self.take_back(upstream, entry, &why, None).await {
            Ok(()) => format!("{why}; it was deleted again, and {kept}"),
            // Whoever took the change over decides what becomes of it.
            Err(LifeError::Store(StoreError::Refused(other))) => format!("{why}; {other}"),
            Err(error) => format!("{why}; {kept}, and the new key is still to be deleted upstream ({error})"),
        })
    }

    /// Deletes what the entry made upstream, if anything, and closes the entry.
    pub(super) async fn take_back(
        &self,
        upstream: &UpstreamKeys,
        entry: &Entry,
        why: &str,
        failed: Option<&KeysError>,
    ) -> Result<(), LifeError> {
        // Before the deletion: a process that took the change over meanwhile may have put the key in use.
        let withdrawn = match entry.step {
            Step::Created => Some(self.store.key_withdrawn(entry).await?),
            _ => None,
        };
        let entry = withdrawn.as_ref().unwrap_or(entry);
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
        debug_assert!(matches!(entry.step, Step::Intended | Step::Doubtful), "what is in use is not taken back");
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
