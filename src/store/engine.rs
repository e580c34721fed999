//! One way to talk to either database: a [`Tx`] runs the same statements on both.
//!
//! Statements are written with `?1`, `?2`, … for their parameters. A write transaction is exclusive in the whole store
//! (`BEGIN IMMEDIATE`, or an advisory lock), so that changes get their ids in the order of their commits and rules can
//! be checked before a row is written.

use super::error::{Result, StoreError};
use super::postgres::{self, Postgres};
use super::sqlite::Sqlite;
use super::value::{Row, Value};
use super::watch::Signal;
use crate::secret::random;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio_postgres::Client;

/// Either database.
pub(super) enum Engine {
    /// A file.
    Sqlite(Arc<Mutex<Sqlite>>),
    /// A server.
    Postgres(Postgres),
}

impl Engine {
    /// Opens a file.
    pub(super) async fn sqlite(path: &Path) -> Result<Self> {
        Ok(Self::Sqlite(Arc::new(Mutex::new(Sqlite::open(path).await?))))
    }

    /// A session in which each statement stands for itself: for reading.
    pub(super) async fn read(&self) -> Result<Tx> {
        let session = match self {
            Self::Sqlite(handle) => Session::Sqlite(Arc::clone(handle).lock_owned().await),
            Self::Postgres(server) => Session::Postgres(server.session().await?),
        };
        Ok(Tx { session, open: false, noted: None, done: None })
    }

    /// An exclusive write transaction. `done` is raised when a commit holds changes.
    pub(super) async fn write(&self, done: Signal) -> Result<Tx> {
        let mut tx = self.read().await?;
        tx.done = Some(done);
        // Set before the wait: a future dropped here must roll back too.
        tx.open = true;
        let begin = match tx.session {
            Session::Sqlite(_) => "BEGIN IMMEDIATE".to_owned(),
            Session::Postgres(_) => format!("BEGIN; SELECT pg_advisory_xact_lock({})", postgres::WRITE_LOCK),
        };
        tx.raw_batch(&begin).await?;
        Ok(tx)
    }
}

/// Lets a connection go that has answered nothing: behind a middlebox it may look open for ever.
fn keep<T>(outcome: Result<T>, client: &mut Option<Client>) -> Result<T> {
    if matches!(outcome, Err(StoreError::Unreachable(_))) {
        *client = None;
    }
    outcome
}

enum Session {
    Sqlite(OwnedMutexGuard<Sqlite>),
    Postgres(OwnedMutexGuard<Option<Client>>),
}

/// A session with either database, alone on its connection. A write transaction that is dropped is rolled back.
pub(super) struct Tx {
    session: Session,
    /// Whether a transaction is open.
    open: bool,
    /// The id of the last change noted here.
    noted: Option<i64>,
    done: Option<Signal>,
}

impl Tx {
    /// Runs a statement that answers rows.
    pub(super) async fn query(&mut self, sql: &str, params: Vec<Value>) -> Result<Vec<Row>> {
        match &mut self.session {
            Session::Sqlite(handle) => Ok(handle.run(sql, params).await?.0),
            Session::Postgres(client) => {
                let held = client.as_ref().ok_or_else(lost)?;
                keep(postgres::query(held, &sql.replace('?', "$"), &params).await, client)
            }
        }
    }

    /// Runs a statement that answers how many rows it changed.
    pub(super) async fn execute(&mut self, sql: &str, params: Vec<Value>) -> Result<u64> {
        match &mut self.session {
            Session::Sqlite(handle) => Ok(handle.run(sql, params).await?.1),
            Session::Postgres(client) => {
                let held = client.as_ref().ok_or_else(lost)?;
                keep(postgres::execute(held, &sql.replace('?', "$"), &params).await, client)
            }
        }
    }

    /// Runs schema statements, respelled for the database at hand.
    pub(super) async fn batch(&mut self, sql: &str) -> Result<()> {
        match &self.session {
            Session::Sqlite(_) => self.raw_batch(&super::schema::for_sqlite(sql)).await,
            Session::Postgres(_) => self.raw_batch(sql).await,
        }
    }

    async fn raw_batch(&mut self, sql: &str) -> Result<()> {
        match &mut self.session {
            Session::Sqlite(handle) => handle.batch(sql).await,
            Session::Postgres(client) => {
                let held = client.as_ref().ok_or_else(lost)?;
                keep(postgres::batch(held, sql).await, client)
            }
        }
    }

    /// Makes sidekey's own schema on a server, if it is missing; a file has only one.
    pub(super) async fn ensure_namespace(&mut self) -> Result<()> {
        if matches!(self.session, Session::Sqlite(_)) {
            return Ok(());
        }
        // Asked first: `IF NOT EXISTS` needs the right to create even when there is nothing to do.
        let rows = self.query("SELECT 1::bigint WHERE to_regnamespace('sidekey') IS NOT NULL", vec![]).await?;
        if rows.is_empty() { self.raw_batch("CREATE SCHEMA sidekey").await } else { Ok(()) }
    }

    /// Whether the table is there.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`]: it is there, and this role may not look into the schema.
    pub(super) async fn has_table(&mut self, name: &str) -> Result<bool> {
        let sql = match self.session {
            Session::Sqlite(_) => "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1",
            // Without the right to its schema a table seems not to exist.
            Session::Postgres(_) => {
                "SELECT has_schema_privilege('sidekey', 'USAGE')::int::bigint FROM pg_tables
                    WHERE schemaname = 'sidekey' AND tablename::text = ?1"
            }
        };
        match self.query(sql, vec![name.into()]).await?.first().map(|row| row.int(0)).transpose()? {
            Some(0) => Err(postgres::no_usage()),
            found => Ok(found.is_some()),
        }
    }

    /// Whether there is any table: a file that holds something else is not ours to fill.
    pub(super) async fn has_any_table(&mut self) -> Result<bool> {
        let sql = match self.session {
            Session::Sqlite(_) => "SELECT 1 FROM sqlite_schema LIMIT 1",
            Session::Postgres(_) => "SELECT 1::bigint FROM pg_tables WHERE schemaname = 'sidekey' LIMIT 1",
        };
        Ok(!self.query(sql, vec![]).await?.is_empty())
    }

    /// Notes that something changed, for every broker to see; answers the id of the change.
    pub(super) async fn note(&mut self, kind: &str, entity: &str) -> Result<i64> {
        let sql = "INSERT INTO changes (kind, entity, mark) VALUES (?1, ?2, ?3) RETURNING id";
        let rows = self.query(sql, vec![kind.into(), entity.into(), mark()]).await?;
        let id = rows.first().map_or(Ok(0), |row| row.int(0))?;
        self.noted = Some(id);
        Ok(id)
    }

    /// The same of each of a team's tokens. Their mark is one: it tells stores apart, and the number tells changes.
    pub(super) async fn note_tokens_of(&mut self, team: &str) -> Result<()> {
        let entity = match self.session {
            Session::Sqlite(_) => "lower(hex(sha256))",
            Session::Postgres(_) => "encode(sha256, 'hex')",
        };
        let sql = format!(
            "INSERT INTO changes (kind, entity, mark) SELECT 'token', {entity}, CAST(?2 AS BIGINT) FROM tokens WHERE team = ?1"
        );
        self.execute(&sql, vec![team.into(), mark()]).await.map(drop)
    }

    /// Commits if the work went well, and rolls back if not.
    pub(super) async fn finish<T>(mut self, outcome: Result<T>) -> Result<T> {
        match outcome {
            Ok(value) => {
                self.commit().await?;
                Ok(value)
            }
            Err(error) => {
                if self.raw_batch("ROLLBACK").await.is_ok() {
                    self.open = false;
                }
                Err(error)
            }
        }
    }

    async fn commit(&mut self) -> Result<()> {
        match (&self.session, self.noted) {
            (Session::Postgres(_), Some(id)) => {
                self.raw_batch(&format!("NOTIFY {}, '{id}'; COMMIT", postgres::CHANNEL)).await?;
            }
            _ => self.raw_batch("COMMIT").await?,
        }
        self.open = false;
        if let (Some(_), Some(done)) = (self.noted, &self.done) {
            done.raise();
        }
        Ok(())
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        match &mut self.session {
            Session::Sqlite(handle) => handle.abandon(),
            // The server rolls back when the connection ends.
            Session::Postgres(client) => **client = None,
        }
    }
}

/// What tells a change from that of the same number in a store restored from a copy.
fn mark() -> Value {
    Value::Int(i64::from_le_bytes(*random::<8>()))
}

fn lost() -> StoreError {
    StoreError::Unreachable("the connection was lost".to_owned())
}
