//! What is left to do: entries of processes that died, old keys whose time has come, keys that are due for rotation.

use super::life::{DEFAULT_GRACE, LONGEST_DRAIN, Life, LifeError, still};
use crate::ids::TeamId;
use crate::store::{Entry, KeysLock, Step, StoreError};
use std::time::Duration;

impl Life {
    /// Settles what dead processes left behind: whoever holds the lock knows that nobody is in the middle of a change.
    /// A key that may have been made is deleted by its name; one that was made is proven and put in use; a deletion is
    /// done again.
    pub(super) async fn recover(&self, lock: &KeysLock) -> Result<(), LifeError> {
        for entry in self.store.unfinished_entries().await? {
            if entry.step == Step::Swapped {
                continue;
            }
            still(lock)?;
            let Some(entry) = self.take_over(&entry).await? else { continue };
            let subject = format!("change {} of {}'s key", entry.id, entry.team);
            let outcome = self.settle(&entry).await;
            let result = outcome.as_ref().map_or_else(ToString::to_string, |()| "settled".to_owned());
            self.record("key.recover", &subject, &result).await;
            // What the upstream won't settle today must not stand in the way of other teams' keys.
            if let Err(error @ LifeError::Store(_)) = outcome {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Takes an entry over; `None`: it has moved on since it was read. A revocation waits for no lock.
    async fn take_over(&self, entry: &Entry) -> Result<Option<Entry>, LifeError> {
        match self.store.take_over(entry, &self.owner).await {
            Ok(entry) => Ok(Some(entry)),
            Err(StoreError::Refused(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn settle(&self, entry: &Entry) -> Result<(), LifeError> {
        let held = self.upstream();
        let upstream = held.keys()?;
        match (entry.step, &entry.new_sid) {
            (Step::Created, Some(sid)) => match self.store.open_key(sid).await {
                // Failed here means taken back: settled too, but for a key that could not be deleted.
                Ok(key) => match self.prove_and_swap(upstream, entry, &key.secret, DEFAULT_GRACE).await {
                    Ok(_) => Ok(()),
                    Err(error) => match self.store.entry(entry.id).await?.step {
                        Step::RolledBack => Ok(()),
                        _ => Err(error),
                    },
                },
                Err(StoreError::Unknown { .. } | StoreError::Sealed(_)) => {
                    self.take_back(upstream, entry, "the new key can't be opened", None).await
                }
                Err(error) => Err(error.into()),
            },
            (Step::Intended | Step::Created, _) => {
                self.take_back(upstream, entry, "the process that made it ended", None).await
            }
            (Step::Deleting, _) => self.delete_old(entry).await,
            (Step::Swapped | Step::Done | Step::RolledBack, _) => Ok(()),
        }
    }

    /// Deletes old keys whose grace is over and that no request holds; answers how many are still to come.
    pub async fn retire_due(&self) -> Result<usize, LifeError> {
        let mut waiting = 0;
        let mut due = Vec::new();
        for entry in self.swapped().await? {
            if self.is_due(&entry).await? { due.push(entry) } else { waiting += 1 }
        }
        if due.is_empty() {
            return Ok(waiting);
        }
        let Some(lock) = self.store.try_keys_lock().await? else { return Ok(waiting + due.len()) };
        // Read again under the lock: another process may have been quicker.
        let now = self.swapped().await?;
        for entry in due.iter().filter(|entry| now.contains(entry)) {
            still(&lock)?;
            let Some(entry) = self.take_over(entry).await? else { continue };
            let entry = self.store.key_deleting(&entry).await?;
            self.delete_old(&entry).await?;
        }
        Ok(waiting)
    }

    /// Whether something died in the middle of a change, as far as can be told without the lock.
    pub(super) async fn is_unsettled(&self) -> Result<bool, LifeError> {
        Ok(self.store.unfinished_entries().await?.iter().any(|entry| entry.step != Step::Swapped))
    }

    /// Teams whose key is due for rotation, with the grace that fits.
    pub(super) async fn rotations_due(&self, every: Option<Duration>) -> Result<Vec<(TeamId, Duration)>, LifeError> {
        let due = self.store.rotations_due(every).await?;
        Ok(due.into_iter().map(|(team, every)| (team, every.min(DEFAULT_GRACE))).collect())
    }

    async fn swapped(&self) -> Result<Vec<Entry>, LifeError> {
        let mut entries = self.store.unfinished_entries().await?;
        entries.retain(|entry| entry.step == Step::Swapped);
        Ok(entries)
    }

    async fn is_due(&self, entry: &Entry) -> Result<bool, LifeError> {
        let now = self.store.now();
        let (Some(swapped_at), Some(retire_at)) = (entry.swapped_at, entry.retire_at) else { return Ok(true) };
        if now < retire_at {
            return Ok(false);
        }
        let patience_over = now >= swapped_at.saturating_add(LONGEST_DRAIN.as_secs());
        Ok(patience_over || self.store.drained(entry.swapped_by.unwrap_or(0)).await?)
    }

    async fn delete_old(&self, entry: &Entry) -> Result<(), LifeError> {
        if let Some(sid) = &entry.old_sid {
            // The row is gone only if the key is: then there is nothing to delete.
            match self.store.key(sid).await {
                Ok(row) => self.upstream().keys()?.delete(sid, row.restricted).await?,
                Err(StoreError::Unknown { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            self.record("key.delete", &format!("{sid} of {}", entry.team), "done").await;
        }
        self.store.key_deleted(entry).await?;
        Ok(())
    }
}
