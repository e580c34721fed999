//! What is left to do: entries of processes that died, old keys whose time has come, keys that are due for rotation.

use super::error::LifeError;
use super::health::Backlog;
use super::life::{DEFAULT_GRACE, LONGEST_DRAIN, Life, still};
use super::upstream_keys::KeysError;
use crate::ids::{KeySid, TeamId};
use crate::store::{Entry, KeysLock, Step, StoreError};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// First and longest wait before an entry that could not be settled is tried again.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// Entries that could not be settled: when they are tried again, and after what wait.
#[derive(Debug, Default)]
pub(super) struct Unsettled(Mutex<HashMap<i64, (Instant, Duration)>>);

impl Unsettled {
    fn is_due(&self, entry: i64, now: Instant) -> bool {
        self.entries().get(&entry).is_none_or(|(at, _)| now >= *at)
    }

    /// Notes how a try went; whether that is news.
    fn tried(&self, entry: i64, now: Instant, settled: bool) -> bool {
        let mut entries = self.entries();
        let before = entries.remove(&entry).map(|(_, wait)| wait);
        if !settled {
            let wait = before.map_or(WAITS.0, |wait| (wait * 2).min(WAITS.1));
            entries.insert(entry, (now + wait, wait));
        }
        settled || before.is_none()
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, HashMap<i64, (Instant, Duration)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of a change that somebody else had begun; `deleting`: only the old key was left of it.
fn told(entry: &Entry, deleting: bool) -> String {
    match (entry.step, entry.new_sid, entry.old_sid) {
        (_, _, Some(old)) if deleting => format!("settled: {old} is deleted"),
        (Step::RolledBack, Some(new), _) => format!("settled: {new} is taken back"),
        (Step::RolledBack, None, _) => "settled: nothing of it is left upstream".to_owned(),
        (Step::Doubtful, ..) => "settled: nothing of it is seen upstream, where it is looked for once more".to_owned(),
        (_, Some(new), _) => format!("settled: {new} is in use"),
        (_, None, _) => "settled".to_owned(),
    }
}

impl Life {
    /// Settles what dead processes left behind: whoever holds the lock knows that nobody is in the middle of a change.
    /// A key that may have been made is deleted by its name; one that was made is proven and put in use; a deletion is
    /// done again. What could not be settled is tried again after a while, doubled each time; `now`: whatever was tried last.
    /// Answers why, for each team of which something could not be settled.
    pub(super) async fn recover(&self, lock: &KeysLock, now: bool) -> Result<BTreeMap<TeamId, LifeError>, LifeError> {
        let mut failed = BTreeMap::new();
        let entries = self.store.unfinished_entries().await?;
        self.unsettled.entries().retain(|id, _| entries.iter().any(|entry| entry.id == *id));
        for entry in entries {
            if !(self.is_open(&entry) && (now || self.unsettled.is_due(entry.id, self.clock.instant()))) {
                continue;
            }
            still(lock)?;
            let Some(entry) = self.take_over(&entry).await? else { continue };
            let subject = format!("change {} of {}'s key", entry.id, entry.team);
            self.ask("key.recover", &subject).await?;
            let deleting = entry.step == Step::Deleting;
            let outcome = self.settle(&entry).await;
            let result = match &outcome {
                Ok(()) => told(&self.store.entry(entry.id).await?, deleting),
                Err(error) => error.to_string(),
            };
            if self.unsettled.tried(entry.id, self.clock.instant(), outcome.is_ok()) {
                self.record("key.recover", &subject, &result).await;
            }
            match outcome {
                Ok(()) => {}
                Err(LifeError::Store(error)) if error.is_lost() => return Err(error.into()),
                // Whoever does not answer won't answer about the others either, and the lock is wanted.
                Err(error @ LifeError::Upstream(KeysError::Unclear(_))) => {
                    failed.insert(entry.team, error);
                    break;
                }
                // What the upstream won't settle today must not stand in the way of other teams' keys.
                Err(error) => {
                    failed.insert(entry.team, error);
                }
            }
        }
        Ok(failed)
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
                Ok(key) => match self.prove_and_swap(upstream, entry, &key.secret).await {
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
            (Step::Intended | Step::Created | Step::Doubtful, _) => {
                self.take_back(upstream, entry, "the process that made it ended", None).await
            }
            (Step::Deleting, _) => self.delete_old(entry).await,
            (Step::Swapped | Step::Done | Step::RolledBack, _) => Ok(()),
        }
    }

    /// Deletes old keys whose grace is over and that no request holds. One that the upstream does not delete is warned of,
    /// and tried again as an unsettled change; the answer is the numbers of those entries.
    ///
    /// # Errors
    /// [`LifeError::Store`]; [`LifeError::Failed`]: the lock was lost, or what is done can't be recorded.
    pub async fn retire_due(&self) -> Result<Vec<i64>, LifeError> {
        let (mut due, mut left) = (Vec::new(), Vec::new());
        for entry in self.swapped().await? {
            if self.is_due(&entry).await? {
                due.push(entry);
            }
        }
        if due.is_empty() {
            return Ok(left);
        }
        let Some(lock) = self.store.try_keys_lock().await? else { return Ok(left) };
        // Read again under the lock: another process may have been quicker.
        let now = self.swapped().await?;
        for entry in due.iter().filter(|entry| now.contains(entry)) {
            still(&lock)?;
            let Some(entry) = self.take_over(entry).await? else { continue };
            if let Some(sid) = &entry.old_sid {
                self.ask("key.delete", &format!("{sid} of {}", entry.team)).await?;
            }
            let entry = self.store.key_deleting(&entry).await?;
            let Err(error) = self.delete_old(&entry).await else { continue };
            let LifeError::Upstream(error) = error else { return Err(error) };
            let key = entry.old_sid.as_ref().map_or("?", KeySid::as_str);
            tracing::warn!(team = %entry.team, key, %error, "an old key is not deleted at the upstream yet; it is tried again");
            left.push(entry.id);
            // Whoever does not answer won't answer about the others either: they are next in a moment.
            if matches!(error, KeysError::Unclear(_)) {
                break;
            }
        }
        Ok(left)
    }

    /// Whether something died in the middle of a change and is to be settled now, as far as can be told without the lock.
    pub(super) fn is_unsettled(&self, unfinished: &[Entry]) -> bool {
        let now = self.clock.instant();
        unfinished.iter().any(|entry| self.is_open(entry) && self.unsettled.is_due(entry.id, now))
    }

    /// What is left to do, for who watches. An old key within its grace is none of it.
    pub(super) fn backlog(&self, unfinished: &[Entry]) -> Backlog {
        let now = self.store.now();
        let mut left = Backlog::default();
        for entry in unfinished {
            let end = entry.retire_at.unwrap_or(0).saturating_add(LONGEST_DRAIN.as_secs());
            match entry.step {
                Step::Swapped if now < end => {}
                Step::Swapped | Step::Deleting => left.undeleted += 1,
                _ => left.unsettled += 1,
            }
        }
        left
    }

    /// Whether it is time for an unfinished entry's next step. What was swapped has its own: [`Life::retire_due`].
    fn is_open(&self, entry: &Entry) -> bool {
        match entry.step {
            Step::Swapped => false,
            Step::Doubtful => entry.retire_at.is_none_or(|at| self.store.now() >= at),
            _ => true,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn what_can_not_be_settled_is_tried_less_and_less_and_told_once() {
        let (unsettled, mut now, mut tries) = (Unsettled::default(), Clock::system().instant(), 0);
        let end = now + Duration::from_mins(10);
        while now < end {
            if unsettled.is_due(1, now) {
                assert_eq!(unsettled.tried(1, now, false), tries == 0);
                tries += 1;
            }
            now += Duration::from_millis(500);
        }
        // After 1, 3, 7, 15, 31 and 63 seconds, and each minute from then on.
        assert_eq!(tries, 15);
        assert!(unsettled.is_due(2, now), "another one waits for nothing");
        assert!(unsettled.tried(1, now, true), "that it is settled is news");
        assert!(unsettled.is_due(1, now) && unsettled.tried(1, now, false));
    }
}
