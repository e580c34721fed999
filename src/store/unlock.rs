//! Opening a store: schema, root key, data key; and changing the root key.

use super::engine::{Engine, Tx};
use super::error::{Result, StoreError};
use super::postgres::Postgres;
use super::seal::{KEY_LEN, RootKey, Sealer};
use super::value::{Value, time};
use super::watch::Signal;
use super::{Store, root_key, schema};
use crate::clock::Clock;
use crate::config::{self, StoreUrl};
use crate::secret::random;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroizing;

/// What [`open`] found or made.
pub(super) struct Opened {
    pub(super) engine: Engine,
    pub(super) sealer: Sealer,
    pub(super) store_id: [u8; 16],
}

/// Opens or makes the store.
pub(super) async fn open(config: &config::Store, clock: &Clock) -> Result<Opened> {
    let mut root = None;
    let engine = match &config.url {
        StoreUrl::Sqlite(path) => {
            if path.exists() {
                filled(path).await?;
            } else {
                // First the key: a store without one could never be opened.
                root = Some(root_key::read_or_make(&config.root_key)?);
            }
            let engine = Engine::sqlite(path).await?;
            warn_if_open(path);
            engine
        }
        StoreUrl::Postgres(url) => Engine::Postgres(Postgres::new(url)?),
    };
    let found = schema::version(&mut engine.read().await?).await?;
    if found > schema::known() {
        return Err(StoreError::Newer { found, known: schema::known() });
    }
    let root = match root {
        Some(root) => root,
        None => root_key::read(&config.root_key)?,
    };
    let from = root_key::name(&config.root_key);
    let opened = if found == schema::known() {
        unlock(&mut engine.read().await?, &root, &from).await?
    } else {
        let mut tx = engine.write(Signal::default()).await?;
        let outcome = prepare(&mut tx, &root, &from, clock).await;
        let (opened, made) = tx.finish(outcome).await?;
        if made {
            match &config.url {
                StoreUrl::Sqlite(path) => tracing::warn!("made a new store at {}", path.display()),
                StoreUrl::Postgres(_) => tracing::warn!("made a new store in the database of store.url"),
            }
        }
        opened
    };
    Ok(Opened { engine, sealer: Sealer::new(&opened.data_key, opened.store_id)?, store_id: opened.store_id })
}

/// Whether the root key is one and opens the store, as far as that can be told without a network: a `PostgreSQL` store is
/// not asked. Makes nothing and changes nothing.
pub(super) async fn probe(config: &config::Store) -> Result<()> {
    let path = match &config.url {
        StoreUrl::Sqlite(path) => path,
        StoreUrl::Postgres(url) => {
            Postgres::new(url)?;
            return root_key::read(&config.root_key).map(drop);
        }
    };
    if !path.exists() {
        return root_key::read_if_there(&config.root_key);
    }
    if is_empty(path) {
        return Err(emptied(path));
    }
    let engine = Engine::sqlite(path).await?;
    let mut tx = engine.read().await?;
    match schema::version(&mut tx).await? {
        0 => root_key::read(&config.root_key).map(drop),
        found if found > schema::known() => Err(StoreError::Newer { found, known: schema::known() }),
        _ => {
            let root = root_key::read(&config.root_key)?;
            unlock(&mut tx, &root, &root_key::name(&config.root_key)).await.map(drop)
        }
    }
}

/// Refuses an empty file: it was a store once. One that another process makes at this moment is filled at once.
async fn filled(path: &Path) -> Result<()> {
    const TRIES: u32 = 40;
    for _ in 0..TRIES {
        if !is_empty(path) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(emptied(path))
}

fn is_empty(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.len() == 0)
}

fn emptied(path: &Path) -> StoreError {
    StoreError::Corrupt(format!("{} is empty; put your copy back, or delete the file to begin anew", path.display()))
}

/// Of a group nothing is said: it may be the one that Kubernetes gives a volume.
fn warn_if_open(path: &Path) {
    if std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o007 != 0) {
        tracing::warn!(path = %path.display(), "the store's file is open to others; chmod 600 it");
    }
}

struct Unlocked {
    data_key: Zeroizing<[u8; KEY_LEN]>,
    store_id: [u8; 16],
}

/// Migrates an older store, or fills an empty one; whether it was empty. An older store is unlocked first: a wrong key
/// changes nothing.
async fn prepare(tx: &mut Tx, root: &RootKey, from: &str, clock: &Clock) -> Result<(Unlocked, bool)> {
    if schema::version(tx).await? > 0 {
        let opened = unlock(tx, root, from).await?;
        schema::migrate(tx).await?;
        return Ok((opened, false));
    }
    tx.ensure_namespace().await?;
    schema::migrate(tx).await?;
    let store_id = *random::<16>();
    let data_key = random::<KEY_LEN>();
    tx.execute("INSERT INTO meta (name, value) VALUES ('store_id', ?1)", vec![Value::Blob(store_id.to_vec())]).await?;
    wrap(tx, root, &Unlocked { data_key: data_key.clone(), store_id }, clock).await?;
    Ok((Unlocked { data_key, store_id }, true))
}

async fn wrap(tx: &mut Tx, root: &RootKey, opened: &Unlocked, clock: &Clock) -> Result<()> {
    let wrapped = root.wrap(&opened.store_id, &opened.data_key)?;
    let sql = "INSERT INTO data_keys (root_id, wrapped, created_at) VALUES (?1, ?2, ?3)";
    tx.execute(sql, vec![Value::Blob(root.id().to_vec()), wrapped.into(), time(clock.unix_seconds())]).await?;
    Ok(())
}

async fn unlock(tx: &mut Tx, root: &RootKey, from: &str) -> Result<Unlocked> {
    let rows = tx.query("SELECT value FROM meta WHERE name = 'store_id'", vec![]).await?;
    let store_id = rows.first().ok_or_else(|| StoreError::Corrupt("its own id is lost".to_owned()))?.array(0)?;
    let mut known = Vec::new();
    for row in tx.query("SELECT root_id, wrapped FROM data_keys", vec![]).await? {
        let id = row.blob(0)?;
        if id == root.id() {
            let data_key = root.unwrap(&store_id, row.blob(1)?).ok_or_else(|| {
                StoreError::Corrupt("the wrapped data key was edited; restore the store from a copy".to_owned())
            })?;
            return Ok(Unlocked { data_key, store_id });
        }
        known.push(hex::encode(id));
    }
    if known.is_empty() {
        return Err(StoreError::Corrupt("its wrapped data key is lost; restore the store from a copy".to_owned()));
    }
    Err(StoreError::RootKey(format!(
        "{from} holds key {}, and this store opens with key {}; nothing was changed",
        hex::encode(root.id()),
        known.join(" or ")
    )))
}

impl Store {
    /// Wraps the data key with a new root key; the old one opens the store no longer. What is sealed stays as it is, so
    /// brokers that run go on; one that starts needs the new key. `new` must exist.
    ///
    /// # Errors
    /// [`StoreError::RootKey`]: one of them can't be read, or `old` does not open the store. [`StoreError::Refused`]:
    /// they are the same. Nothing is changed then.
    pub async fn rekey(&self, old: &config::RootKey, new: &config::RootKey) -> Result<()> {
        let (old_key, new_key) = (root_key::read(old)?, root_key::read(new)?);
        if old_key.id() == new_key.id() {
            return Err(StoreError::Refused("the new root key is the one in use".to_owned()));
        }
        self.transact(async |tx| rewrap(tx, &old_key, &root_key::name(old), &new_key, &self.inner.clock).await).await
    }
}

async fn rewrap(tx: &mut Tx, old: &RootKey, from: &str, new: &RootKey, clock: &Clock) -> Result<()> {
    let opened = unlock(tx, old, from).await?;
    tx.execute("DELETE FROM data_keys", vec![]).await?;
    wrap(tx, new, &opened, clock).await?;
    // Read back before the commit: a key that doesn't open what it wrapped must not replace one that does.
    let again = unlock(tx, new, "the new root key").await?;
    if again.data_key == opened.data_key { Ok(()) } else { Err(StoreError::Sealed("the new wrap differs".to_owned())) }
}
