//! Teams, tokens and keys, kept in embedded `SQLite` or in `PostgreSQL`: one schema, one set of rules.
//!
//! Key secrets are sealed (`seal`), tokens are kept as SHA-256 only. Every change is noted in the transaction that makes
//! it, so that brokers follow without reading the world anew ([`Store::load_all`], [`Store::changes_since`],
//! [`Store::watch`]). No request ever reads the store: a broker serves from its own memory.

mod changes;
mod engine;
mod entry;
mod error;
mod journal;
mod keys;
mod lock;
mod postgres;
mod root_key;
mod rows;
mod schema;
mod seal;
mod sqlite;
mod teams;
mod tokens;
mod unlock;
mod value;
mod watch;

pub use changes::{Catchup, Position};
pub use entry::{Entry, Op, Step};
pub use error::{Result, StoreError};
pub use lock::KeysLock;
pub use rows::{Change, KeyRow, KeyState, SealedKey, TeamRow, TokenRow};
pub use tokens::{NewToken, TOKENS_PAGE};
pub use watch::Watch;

use crate::clock::Clock;
use crate::config;
use engine::{Engine, Tx};
use seal::Sealer;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;
use watch::Signal;

/// The store, open. Cheap to clone; all clones share one connection.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    sealer: Sealer,
    clock: Clock,
    opened: Instant,
    /// The server's clock when the store was opened, in seconds since the Unix epoch.
    server_opened: AtomicI64,
    signal: Signal,
    /// The store's own, made with it.
    store_id: [u8; 16],
    /// Names this store in the `FriendlyName` of its keys: 8 hex digits.
    instance: String,
    /// The file, for an embedded store.
    path: Option<PathBuf>,
}

impl Store {
    /// Opens the store and brings its schema up to date. A new embedded store is made where there is no file, with its root
    /// key if that is a file that does not exist. An empty file, a wrong or missing root key, a newer schema and a read-only
    /// disk are refused untouched.
    ///
    /// # Errors
    /// [`StoreError::RootKey`], [`StoreError::Newer`], [`StoreError::Corrupt`] for what is no store of ours, and the
    /// database's own.
    pub async fn open(config: &config::Store, clock: Clock) -> Result<Self> {
        let opened = unlock::open(config, &clock).await?;
        let path = match &config.url {
            config::StoreUrl::Sqlite(path) => Some(path.clone()),
            config::StoreUrl::Postgres(_) => None,
        };
        let inner = Inner {
            engine: opened.engine,
            sealer: opened.sealer,
            opened: clock.instant(),
            clock,
            server_opened: AtomicI64::new(0),
            signal: Signal::default(),
            store_id: opened.store_id,
            instance: hex::encode(&opened.store_id[..4]),
            path,
        };
        let store = Self { inner: Arc::new(inner) };
        store.ask_time().await?;
        Ok(store)
    }

    /// Whether [`Store::open`] would take the root key, told without a network and without making or changing anything.
    ///
    /// # Errors
    /// Why not.
    pub async fn check(config: &config::Store) -> Result<()> {
        unlock::probe(config).await
    }

    /// Names this store among others on one account: 8 hex digits, for ever the same.
    pub fn instance(&self) -> &str {
        &self.inner.instance
    }

    /// A session in which each statement stands for itself.
    async fn read(&self) -> Result<Tx> {
        self.inner.engine.read().await
    }

    /// Runs `work` in an exclusive write transaction: committed if it goes well, rolled back if not or if this is dropped.
    async fn transact<T>(&self, work: impl AsyncFnOnce(&mut Tx) -> Result<T>) -> Result<T> {
        let mut tx = self.inner.engine.write(self.inner.signal.clone()).await?;
        let outcome = work(&mut tx).await;
        tx.finish(outcome).await
    }

    /// The store's time, in seconds since the Unix epoch: a server's clock, so that processes whose own clocks differ mean the
    /// same, and one whose clock is set does not act on it; those of an embedded store share a clock.
    pub fn now(&self) -> u64 {
        let Engine::Postgres(_) = self.inner.engine else { return self.inner.clock.unix_seconds() };
        let since = self.inner.clock.instant().saturating_duration_since(self.inner.opened).as_secs();
        since.saturating_add_signed(self.inner.server_opened.load(Ordering::Relaxed))
    }

    /// What this process' own clock says at a time of the store's.
    pub fn own_time(&self, at: u64) -> u64 {
        at.saturating_add(self.inner.clock.unix_seconds()).saturating_sub(self.now())
    }

    /// Looks at the server's clock.
    async fn ask_time(&self) -> Result<()> {
        let Engine::Postgres(_) = self.inner.engine else { return Ok(()) };
        let sql = "SELECT FLOOR(EXTRACT(EPOCH FROM clock_timestamp()))::bigint";
        let rows = self.read().await?.query(sql, vec![]).await?;
        let theirs = rows.first().map_or(Ok(0), |row| row.int(0))?;
        let since = self.inner.clock.instant().saturating_duration_since(self.inner.opened).as_secs();
        let opened = theirs.saturating_sub(i64::try_from(since).unwrap_or(i64::MAX));
        self.inner.server_opened.store(opened, Ordering::Relaxed);
        Ok(())
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("instance", &self.inner.instance).finish_non_exhaustive()
    }
}
