//! The upstream's list of keys against the store's.

use super::error::LifeError;
use super::life::Life;
use super::upstream_keys::Listed;
use crate::ids::{KeySid, TeamId};
use crate::store::{KeyRow, KeyState};
use std::collections::BTreeSet;

/// What differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Sidekey made them, and no team holds them.
    pub orphans: Vec<Listed>,
    /// Sidekey did not make them: they are never deleted.
    pub strangers: Vec<Listed>,
    /// A team holds them, and the upstream doesn't list them.
    pub missing: Vec<(KeySid, TeamId)>,
    /// Orphans that were deleted just now.
    pub deleted: Vec<KeySid>,
}

impl Life {
    /// Compares, and marks keys that have gone missing or come back. With `delete_orphans`, settles what dead processes
    /// left behind and deletes orphans; without it, nothing is deleted.
    ///
    /// # Errors
    /// [`LifeError::Upstream`]: it does not list its keys, or did not delete one. [`LifeError::Busy`]: another process
    /// changes keys. [`LifeError::Failed`]: the lock was lost while old changes were settled.
    pub async fn reconcile(&self, delete_orphans: bool) -> Result<Reconciled, LifeError> {
        let held = self.upstream();
        let upstream = held.keys()?;
        // While a change is under way, its new key would look like an orphan.
        let lock = self.exclusive().await?;
        if delete_orphans {
            self.recover(&lock, true).await?;
        }
        let rows = self.store.keys(None).await?;
        let teams = self.store.teams().await?;
        let with_iam =
            rows.iter().any(|row| row.restricted) || teams.iter().any(|team| !team.key_permissions.is_empty());
        let listed = upstream.list(with_iam).await?;
        // Once more: a revocation, or an import, waits for no lock.
        let after = self.store.keys(None).await?;
        let mut found = self.sort((&rows, &after), listed).await?;
        self.mark(&rows, &found.missing).await?;
        if delete_orphans {
            for orphan in &found.orphans {
                upstream.delete(&orphan.sid, orphan.restricted).await?;
                self.record("key.delete", &format!("orphan {}", orphan.sid), "done").await;
                found.deleted.push(orphan.sid);
            }
        }
        Ok(found)
    }

    /// `rows` are the store's keys before the upstream's were listed, and after.
    async fn sort(&self, rows: (&[KeyRow], &[KeyRow]), listed: Vec<Listed>) -> Result<Reconciled, LifeError> {
        let held: BTreeSet<KeySid> = rows.0.iter().chain(rows.1).map(|row| row.sid).collect();
        let there: BTreeSet<KeySid> = listed.iter().map(|key| key.sid).collect();
        let prefix = self.store.own_prefix();
        let mut found = Reconciled::default();
        for key in listed.into_iter().filter(|key| !held.contains(&key.sid)) {
            let named = key.friendly_name.as_deref().is_some_and(|name| name.starts_with(&prefix));
            if named || self.store.made_here(&key.sid).await? {
                found.orphans.push(key);
            } else {
                found.strangers.push(key);
            }
        }
        let expected = |row: &&KeyRow| row.state.is_current() || row.state == KeyState::Retiring;
        let still: BTreeSet<KeySid> = rows.1.iter().filter(expected).map(|row| row.sid).collect();
        let gone = rows.0.iter().filter(expected).filter(|row| still.contains(&row.sid) && !there.contains(&row.sid));
        found.missing = gone.map(|row| (row.sid, row.team.clone())).collect();
        Ok(found)
    }

    async fn mark(&self, rows: &[KeyRow], missing: &[(KeySid, TeamId)]) -> Result<(), LifeError> {
        for row in rows {
            let gone = missing.iter().any(|(sid, _)| *sid == row.sid);
            match (row.state, gone) {
                (KeyState::Active | KeyState::Rejected, true) => {
                    self.store.mark_key(&row.sid, KeyState::Missing).await?;
                }
                (KeyState::Missing, false) => {
                    self.store.mark_key(&row.sid, KeyState::Active).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}
