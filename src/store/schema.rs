//! The schema, written once, and its migrations.
//!
//! Written for `PostgreSQL` and respelled for `SQLite`. A migration is never edited once released: a new one is added.

use super::engine::Tx;
use super::error::{Result, StoreError};
use super::value::{Row, Value};

/// Every migration, oldest first; the version of a store is how many it has had.
const MIGRATIONS: &[&str] = &[FIRST, MARKED, GRACE];

/// The newest version that this program knows.
pub(super) fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

const FIRST: &str = "
CREATE TABLE meta (
  name TEXT PRIMARY KEY,
  value BYTEA NOT NULL
);
CREATE TABLE data_keys (
  root_id BYTEA PRIMARY KEY,
  wrapped BYTEA NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE TABLE teams (
  name TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  accounts TEXT NOT NULL,
  disabled BIGINT NOT NULL DEFAULT 0,
  policy TEXT NOT NULL,
  key_permissions TEXT NOT NULL,
  grants TEXT,
  rotate_every BIGINT,
  created_at BIGINT NOT NULL
);
CREATE TABLE tokens (
  sha256 BYTEA PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  team TEXT NOT NULL REFERENCES teams(name),
  name TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT,
  revoked_at BIGINT
)/* clustered */;
CREATE INDEX tokens_team ON tokens (team);
CREATE TABLE keys (
  sid TEXT PRIMARY KEY,
  team TEXT NOT NULL REFERENCES teams(name),
  version BIGINT NOT NULL,
  state TEXT NOT NULL,
  restricted BIGINT NOT NULL,
  imported BIGINT NOT NULL,
  friendly_name TEXT,
  sealed BYTEA NOT NULL,
  created_at BIGINT NOT NULL,
  last_used_at BIGINT
);
CREATE UNIQUE INDEX keys_current ON keys (team) WHERE state IN ('active', 'rejected', 'missing');
CREATE TABLE journal (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  op TEXT NOT NULL,
  team TEXT NOT NULL,
  step TEXT NOT NULL,
  owner TEXT NOT NULL,
  friendly_name TEXT NOT NULL,
  restricted BIGINT NOT NULL,
  new_sid TEXT,
  old_sid TEXT,
  swapped_by BIGINT,
  swapped_at BIGINT,
  retire_at BIGINT,
  started_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  note TEXT
);
CREATE INDEX journal_new ON journal (new_sid);
CREATE INDEX journal_step ON journal (step);
CREATE TABLE changes (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind TEXT NOT NULL,
  entity TEXT NOT NULL
);
CREATE TABLE replicas (
  id TEXT PRIMARY KEY,
  seen_at BIGINT NOT NULL,
  drained BIGINT NOT NULL
);
";

/// A change gets a random mark beside its number: a store that was restored from a copy uses its numbers again.
const MARKED: &str = "ALTER TABLE changes ADD COLUMN mark BIGINT NOT NULL DEFAULT 0;";

/// The grace of a key change, in seconds, gets a column of its own: it stood in the note before, as `grace 600`, and an
/// entry without had the default of then.
const GRACE: &str = "ALTER TABLE journal ADD COLUMN grace BIGINT NOT NULL DEFAULT 600;
UPDATE journal SET grace = CAST(SUBSTR(note, 7) AS BIGINT), note = NULL WHERE note LIKE 'grace %';";

/// Brings the store to the newest version, inside the transaction of `tx`; refuses a newer one untouched. Answers
/// whether the store was empty before.
pub(super) async fn migrate(tx: &mut Tx) -> Result<bool> {
    let found = version(tx).await?;
    if found > known() {
        return Err(StoreError::Newer { found, known: known() });
    }
    if found == 0 {
        tx.batch("CREATE TABLE schema_version (version BIGINT NOT NULL); INSERT INTO schema_version VALUES (0)")
            .await?;
    }
    let done = usize::try_from(found).unwrap_or(0);
    for migration in &MIGRATIONS[done..] {
        tx.batch(migration).await?;
    }
    if found < known() {
        tx.execute("UPDATE schema_version SET version = ?1", vec![Value::Int(known())]).await?;
    }
    Ok(found == 0)
}

/// The version of the store: 0 for an empty one.
pub(super) async fn version(tx: &mut Tx) -> Result<i64> {
    if !tx.has_table("schema_version").await? {
        return if tx.has_any_table().await? { Err(foreign()) } else { Ok(0) };
    }
    let rows = tx.query("SELECT version FROM schema_version", vec![]).await?;
    rows.first().map_or(Err(foreign()), |row: &Row| row.int(0))
}

fn foreign() -> StoreError {
    StoreError::Corrupt("it holds tables that sidekey did not make, or its version is lost".to_owned())
}

/// Respells the schema for `SQLite`: its own type names, strict tables, row ids that are never used twice; tokens lie in
/// the order of their key, in which a million of them is read at every start.
pub(super) fn for_sqlite(sql: &str) -> String {
    sql.replace("BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "INTEGER PRIMARY KEY AUTOINCREMENT")
        .replace("BYTEA", "BLOB")
        .replace("BIGINT", "INTEGER")
        .replace("\n)/* clustered */;", "\n) STRICT, WITHOUT ROWID;")
        .replace("\n);", "\n) STRICT;")
}
