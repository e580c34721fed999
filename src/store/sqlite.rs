//! The embedded database: one connection on a thread of its own, fed over a bounded channel.
//!
//! Settings: WAL (readers never wait for a writer), `synchronous=FULL` (a committed change survives power loss),
//! foreign keys, and a busy timeout for other processes on the same file.

use super::error::{Result, StoreError};
use super::value::{Row, Value};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How long a statement waits for another process that writes to the same file. A write takes a few milliseconds; five
/// seconds ride out a slow disk, and no request waits for it.
const BUSY: Duration = Duration::from_secs(5);

/// Statements that may wait in the channel; its sender is exclusive, so two are in use at most.
const QUEUE: usize = 4;

/// One thing for the thread to do.
enum Job {
    /// One statement; the answer is its rows and the number of changed rows.
    Run { sql: String, params: Vec<Value>, reply: oneshot::Sender<Result<(Vec<Row>, u64)>> },
    /// Several statements without parameters.
    Batch { sql: String, reply: Option<oneshot::Sender<Result<()>>> },
}

/// The handle of the thread; when it is dropped, the thread ends and closes the file.
#[derive(Debug)]
pub(super) struct Sqlite {
    jobs: mpsc::Sender<Job>,
}

impl Sqlite {
    /// Opens the file, making an empty one (mode 0600) if there is none.
    pub(super) async fn open(path: &Path) -> Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (ready, opened) = oneshot::channel();
        let path = path.to_owned();
        std::thread::Builder::new()
            .name("sidekey-store".to_owned())
            .spawn(move || serve(&path, ready, queue))
            .map_err(|error| StoreError::Database(format!("no thread for the store: {error}")))?;
        opened.await.map_err(|_| gone())??;
        Ok(Self { jobs })
    }

    /// Runs one statement.
    pub(super) async fn run(&self, sql: &str, params: Vec<Value>) -> Result<(Vec<Row>, u64)> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Run { sql: sql.to_owned(), params, reply }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Runs several statements.
    pub(super) async fn batch(&self, sql: &str) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Batch { sql: sql.to_owned(), reply: Some(reply) }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Asks for a rollback without waiting for it: what a dropped transaction does.
    pub(super) fn abandon(&self) {
        // The channel has room: its one user has at most one job in it.
        let _ = self.jobs.try_send(Job::Batch { sql: "ROLLBACK".to_owned(), reply: None });
    }
}

fn gone() -> StoreError {
    StoreError::Unreachable("the store's thread has ended".to_owned())
}

/// The thread: opens, then works until every handle is gone.
fn serve(path: &Path, ready: oneshot::Sender<Result<()>>, mut queue: mpsc::Receiver<Job>) {
    let mut opened = match make_private(path).and_then(|()| Opened::open(path)) {
        Ok(opened) => opened,
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    let _ = ready.send(Ok(()));
    while let Some(job) = queue.blocking_recv() {
        let there = opened.follow(path);
        let connection = &opened.connection;
        match job {
            Job::Run { sql, params, reply } => {
                let outcome =
                    there.and_then(|()| run(connection, &sql, &params).map_err(|error| explain(path, &error)));
                let _ = reply.send(outcome);
            }
            Job::Batch { sql, reply } => {
                let outcome =
                    there.and_then(|()| connection.execute_batch(&sql).map_err(|error| explain(path, &error)));
                if let Some(reply) = reply {
                    let _ = reply.send(outcome);
                }
            }
        }
    }
}

/// A connection, and which file it has open.
struct Opened {
    connection: Connection,
    /// Device and inode.
    file: (u64, u64),
}

impl Opened {
    fn open(path: &Path) -> Result<Self> {
        // Asked first: a file that comes in between is then taken for another, which it is.
        let file = identity(path)?;
        Ok(Self { connection: connect(path)?, file })
    }

    /// Goes over to the file that is there now, if it is another one: a copy that was put back. Whoever stayed with the old
    /// file would hear of no change any more.
    fn follow(&mut self, path: &Path) -> Result<()> {
        if !self.connection.is_autocommit() || identity(path)? == self.file {
            return Ok(());
        }
        let new = Self::open(path)?;
        if new.store_id() != self.store_id() {
            return Err(StoreError::Corrupt(format!(
                "{}: another store was put in its place; restart sidekey to take it",
                path.display()
            )));
        }
        // By its name, the log beside the file is the new one's by now: the old connection must not tidy it away.
        let kept = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        kept.map_err(|error| explain(path, &error))?;
        *self = new;
        tracing::warn!(path = %path.display(), "went over to the file that was put in the store's place");
        Ok(())
    }

    /// What the store was called when it was made; `None`: it is none.
    fn store_id(&self) -> Option<Vec<u8>> {
        let sql = "SELECT value FROM meta WHERE name = 'store_id'";
        self.connection.query_row(sql, [], |row| row.get(0)).ok()
    }
}

/// Which file is there.
fn identity(path: &Path) -> Result<(u64, u64)> {
    match std::fs::metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino())),
        Err(error) => Err(StoreError::Unreachable(format!("{}: {error}; put the file back", path.display()))),
    }
}

fn connect(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        connection.execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA secure_delete=ON;
             PRAGMA trusted_schema=OFF;",
        )?;
        Ok(connection)
    };
    open().map_err(|error| explain(path, &error))
}

/// Makes the file, if it is missing, with mode 0600; `SQLite` gives its journals the same mode.
fn make_private(path: &Path) -> Result<()> {
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::ReadOnlyFilesystem => {
            Err(StoreError::ReadOnly(format!("{}: {error}", path.display())))
        }
        Err(error) => Err(StoreError::Unreachable(format!(
            "{}: {error}; the folder must exist and be writable for sidekey",
            path.display()
        ))),
    }
}

fn run(connection: &Connection, sql: &str, params: &[Value]) -> rusqlite::Result<(Vec<Row>, u64)> {
    let mut statement = connection.prepare_cached(sql)?;
    let columns = statement.column_count();
    if columns == 0 {
        let changed = statement.execute(rusqlite::params_from_iter(params))?;
        return Ok((Vec::new(), changed as u64));
    }
    let mut rows = Vec::new();
    let mut cursor = statement.query(rusqlite::params_from_iter(params))?;
    while let Some(row) = cursor.next()? {
        rows.push(Row((0..columns).map(|at| row.get(at)).collect::<rusqlite::Result<_>>()?));
    }
    let changed = rows.len() as u64;
    Ok((rows, changed))
}

/// Turns `SQLite`'s codes into words for an operator.
fn explain(path: &Path, error: &rusqlite::Error) -> StoreError {
    let text = format!("{}: {error}", path.display());
    match error.sqlite_error_code() {
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => StoreError::ReadOnly(text),
        Some(ErrorCode::DiskFull) => StoreError::Full(text),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt(text),
        Some(ErrorCode::CannotOpen | ErrorCode::SystemIoFailure) => StoreError::Unreachable(text),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy(text),
        _ => StoreError::Database(text),
    }
}

/// The file beside the database whose lock says who changes keys: `NAME.lock`.
pub(super) fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}
