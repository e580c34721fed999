//! One process at a time changes keys, and replicas say how far they have come.
//!
//! The lock ends with its holder, however that dies: `flock` on a file beside an embedded store, a session lock on a
//! server. A replica says which changes it has applied so far that no request of its holds an older key; a retired key
//! is deleted upstream only when every replica that is alive has got there.

use super::engine::Engine;
use super::error::{Result, StoreError};
use super::value::time;
use super::{Store, sqlite};
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;
use tokio_postgres::Client;

/// A replica that was silent for this long is dead: six missed beats of five seconds.
const ALIVE: Duration = Duration::from_secs(30);

/// The right to change keys, until it is dropped.
pub struct KeysLock(Held);

enum Held {
    /// Kept for its drop.
    File { _lock: File },
    /// The session that holds the lock.
    Session(Client),
}

impl KeysLock {
    /// Whether the right still stands: a lost connection loses it.
    pub fn holds(&self) -> bool {
        match &self.0 {
            Held::File { .. } => true,
            Held::Session(client) => !client.is_closed(),
        }
    }
}

impl Store {
    /// Takes the right to change keys; `None` while another process has it.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`] if the lock file can't be opened; a server's own.
    pub async fn try_keys_lock(&self) -> Result<Option<KeysLock>> {
        match (&self.inner.engine, &self.inner.path) {
            (Engine::Postgres(server), _) => {
                Ok(server.keys_lock().await?.map(|client| KeysLock(Held::Session(client))))
            }
            (Engine::Sqlite(_), Some(path)) => lock_file(&sqlite::lock_path(path)),
            (Engine::Sqlite(_), None) => Err(StoreError::Database("an embedded store without a file".to_owned())),
        }
    }

    /// Says that replica `id` is alive and that no request of its holds a key older than change `drained`.
    ///
    /// # Errors
    /// The database's own ([`StoreError`]).
    pub async fn beat(&self, id: &str, drained: i64) -> Result<()> {
        self.ask_time().await?;
        let now = self.now();
        self.transact(async |tx| {
            let sql = "INSERT INTO replicas (id, seen_at, drained) VALUES (?1, ?2, ?3)
                ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, drained = excluded.drained";
            tx.execute(sql, vec![id.into(), time(now), drained.into()]).await?;
            let dead = time(now.saturating_sub(20 * ALIVE.as_secs()));
            tx.execute("DELETE FROM replicas WHERE seen_at < ?1", vec![dead]).await.map(drop)
        })
        .await
    }

    /// Says that replica `id` is leaving.
    ///
    /// # Errors
    /// The database's own ([`StoreError`]).
    pub async fn leave(&self, id: &str) -> Result<()> {
        let sql = "DELETE FROM replicas WHERE id = ?1";
        self.transact(async |tx| tx.execute(sql, vec![id.into()]).await.map(drop)).await
    }

    /// Whether every replica that is alive has let go of the keys that change `change` replaced.
    ///
    /// # Errors
    /// The database's own ([`StoreError`]).
    pub async fn drained(&self, change: i64) -> Result<bool> {
        let since = self.now().saturating_sub(ALIVE.as_secs());
        let sql = "SELECT COUNT(*) FROM replicas WHERE seen_at >= ?1 AND drained < ?2";
        let rows = self.read().await?.query(sql, vec![time(since), change.into()]).await?;
        Ok(rows.first().map_or(Ok(0), |row| row.int(0))? == 0)
    }
}

fn lock_file(path: &std::path::Path) -> Result<Option<KeysLock>> {
    let fault = |error: std::io::Error| StoreError::ReadOnly(format!("{}: {error}", path.display()));
    // Never truncated or removed: another process may hold it.
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(path).map_err(fault)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(KeysLock(Held::File { _lock: file }))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(fault(error)),
    }
}
