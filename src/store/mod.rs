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
pub use tokens::NewToken;
pub use watch::Watch;

use crate::clock::Clock;
use crate::config;
use engine::{Engine, Tx};
use seal::Sealer;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
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
    /// Seconds by which the server's clock is ahead of ours.
    ahead: AtomicI64,
    signal: Signal,
    /// The store's own, made with it.
    store_id: [u8; 16],
    /// Names this store in the `FriendlyName` of its keys: 8 hex digits.
    instance: String,
    /// The file, for an embedded store.
    path: Option<PathBuf>,
}

impl Store {
    /// Opens the store and brings its schema up to date. A new embedded store is made, with its root key if that is a
    /// file that does not exist. A wrong or missing root key, a newer schema and a read-only disk are refused untouched.
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
            clock,
            ahead: AtomicI64::new(0),
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
    /// same; those of an embedded store share one.
    pub fn now(&self) -> u64 {
        self.inner.clock.unix_seconds().saturating_add_signed(self.inner.ahead.load(Ordering::Relaxed))
    }

    /// Looks at the server's clock.
    async fn ask_time(&self) -> Result<()> {
        let Engine::Postgres(_) = self.inner.engine else { return Ok(()) };
        let sql = "SELECT FLOOR(EXTRACT(EPOCH FROM clock_timestamp()))::bigint";
        let rows = self.read().await?.query(sql, vec![]).await?;
        let theirs = rows.first().map_or(Ok(0), |row| row.int(0))?;
        let own = i64::try_from(self.inner.clock.unix_seconds()).unwrap_or(i64::MAX);
        self.inner.ahead.store(theirs.saturating_sub(own), Ordering::Relaxed);
        Ok(())
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("instance", &self.inner.instance).finish_non_exhaustive()
    }
}
