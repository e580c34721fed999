//! How long the old key of a change is to live on, kept with the change: whoever finishes it after a crash keeps to it.

use super::error::{Result, StoreError};
use super::{Entry, Store};
use std::time::Duration;

/// What an entry's note begins with until there is something else to tell of it.
const GRACE: &str = "grace ";

impl Store {
    /// Keeps the grace of a change that has just begun, in whole seconds.
    pub async fn keep_grace(&self, entry: &Entry, grace: Duration) -> Result<()> {
        let seconds = grace.as_secs().saturating_add(u64::from(grace.subsec_nanos() > 0));
        let sql = "UPDATE journal SET note = ?2 WHERE id = ?1";
        let values = vec![entry.id.into(), format!("{GRACE}{seconds}").as_str().into()];
        self.transact(async |tx| tx.execute(sql, values).await.map(drop)).await
    }

    /// The grace that was kept; `None` if none was.
    pub async fn kept_grace(&self, entry: &Entry) -> Result<Option<Duration>> {
        let rows = self.read().await?.query("SELECT note FROM journal WHERE id = ?1", vec![entry.id.into()]).await?;
        let Some(note) = rows.first().map(|row| row.opt_text(0)).transpose()?.flatten() else { return Ok(None) };
        let Some(seconds) = note.strip_prefix(GRACE) else { return Ok(None) };
        let seconds = seconds.parse().map_err(|_| StoreError::Corrupt("a grace in the journal".to_owned()))?;
        Ok(Some(Duration::from_secs(seconds)))
    }
}
