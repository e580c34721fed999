//! Keys as rows: read, import, mark, touch. Their steps through life are in `journal`.

use super::engine::Tx;
use super::entry::{Draft, Op, Step};
use super::error::{Result, StoreError};
use super::rows::{KeyRow, KeyState, SealedKey};
use super::seal::{Place, Sealer};
use super::value::{Row, Value, time};
use super::{Store, changes, journal, teams};
use crate::ids::{KeySid, TeamId};
use crate::secret::Secret;
use std::time::Duration;

const COLUMNS: &str = "sid, team, version, state, restricted, imported, friendly_name, created_at, last_used_at, sealed
    FROM keys";

/// SQL's word for the states of [`KeyState::is_current`].
pub(super) const CURRENT: &str = "('active', 'rejected', 'missing')";

impl Store {
    /// The keys of one team, or of all, newest first within a team.
    ///
    /// # Errors
    /// [`StoreError::Unknown`]: no such team.
    pub async fn keys(&self, team: Option<&TeamId>) -> Result<Vec<KeyRow>> {
        let mut tx = self.read().await?;
        let Some(team) = team else {
            let rows = tx.query(&format!("SELECT {COLUMNS} ORDER BY team, version DESC"), vec![]).await?;
            return rows.iter().map(read).collect();
        };
        if teams::one(&mut tx, team).await?.is_none() {
            return Err(StoreError::unknown("team", team));
        }
        let sql = format!("SELECT {COLUMNS} WHERE team = ?1 ORDER BY version DESC");
        tx.query(&sql, vec![team.as_str().into()]).await?.iter().map(read).collect()
    }

    /// The key with this SID.
    ///
    /// # Errors
    /// [`StoreError::Unknown`]: no such key.
    pub async fn key(&self, sid: &KeySid) -> Result<KeyRow> {
        one(&mut self.read().await?, sid).await?.ok_or_else(|| StoreError::unknown("key", sid))
    }

    /// The key with this SID, opened.
    ///
    /// # Errors
    /// [`StoreError::Unknown`]: no such key. [`StoreError::Sealed`]: its secret was moved or edited.
    pub async fn open_key(&self, sid: &KeySid) -> Result<SealedKey> {
        let sql = format!("SELECT {COLUMNS} WHERE sid = ?1");
        let rows = self.read().await?.query(&sql, vec![sid.as_str().into()]).await?;
        let row = rows.first().ok_or_else(|| StoreError::unknown("key", sid))?;
        open(&self.inner.sealer, row)
    }

    /// Takes in a key that was made elsewhere.
    ///
    /// # Errors
    /// [`StoreError::Unknown`]: no such team. [`StoreError::Duplicate`]: the store has this key.
    /// [`StoreError::Refused`]: the team has a key.
    pub async fn import_key(&self, team: &TeamId, sid: KeySid, secret: &Secret, restricted: bool) -> Result<KeyRow> {
        self.transact(async |tx| import(self, tx, team, (sid, secret), restricted).await).await
    }

    /// Says how the upstream sees a team's current key; answers whether that is news. Other keys stay as they are.
    ///
    /// # Errors
    /// The database's own ([`StoreError`]).
    pub async fn mark_key(&self, sid: &KeySid, state: KeyState) -> Result<bool> {
        debug_assert!(state.is_current(), "a mark never moves a key through its life");
        self.transact(async |tx| {
            let sql = format!(
                "UPDATE keys SET state = ?2 WHERE sid = ?1 AND state <> ?2 AND state IN {CURRENT} RETURNING team"
            );
            let rows = tx.query(&sql, vec![sid.as_str().into(), state.name().into()]).await?;
            let Some(row) = rows.first() else { return Ok(false) };
            let team = TeamId::parse(row.text(0)?).ok_or_else(|| StoreError::unreadable("a key's team"))?;
            changes::note_key(tx, &team).await.map(|_| true)
        })
        .await
    }

    /// Enabled teams whose key is older than their own time between rotations, or than `every` where they have
    /// none; with that time.
    ///
    /// # Errors
    /// The database's own ([`StoreError`]).
    pub async fn rotations_due(&self, every: Option<Duration>) -> Result<Vec<(TeamId, Duration)>> {
        // A key that the upstream no longer takes is not replaced by itself: somebody may have deleted it for a reason.
        let sql = "SELECT keys.team, COALESCE(teams.rotate_every, ?2) FROM keys JOIN teams ON teams.name = keys.team
            WHERE keys.state = 'active' AND teams.disabled = 0
            AND keys.created_at + COALESCE(teams.rotate_every, ?2) <= ?1 ORDER BY keys.team";
        let params = vec![time(self.now()), every.map_or(Value::Null, |every| time(every.as_secs()))];
        let rows = self.read().await?.query(sql, params).await?;
        let read = |row: &Row| {
            let team = TeamId::parse(row.text(0)?).ok_or_else(|| StoreError::unreadable("a key's team"))?;
            Ok((team, Duration::from_secs(row.time(1)?)))
        };
        rows.iter().map(read).collect()
    }

    /// Forgets an imported key and leaves it to whoever made it.
    ///
    /// # Errors
    /// [`StoreError::Unknown`]: no such key. [`StoreError::Refused`]: sidekey made it.
    pub async fn release_key(&self, sid: &KeySid) -> Result<()> {
        self.transact(async |tx| {
            let key = one(tx, sid).await?.ok_or_else(|| StoreError::unknown("key", sid))?;
            if !key.imported {
                return Err(StoreError::Refused(format!("key {sid} was made by sidekey: revoke it")));
            }
            tx.execute("DELETE FROM keys WHERE sid = ?1", vec![sid.as_str().into()]).await?;
            changes::note_key(tx, &key.team).await.map(drop)
        })
        .await
    }

    /// Writes when keys were last used. No change is noted: brokers need not hear of it.
    ///
    /// # Errors
    /// The database's own ([`StoreError`]).
    pub async fn touch_keys(&self, used: &[(KeySid, u64)]) -> Result<()> {
        if used.is_empty() {
            return Ok(());
        }
        let sql = "UPDATE keys SET last_used_at = ?2 WHERE sid = ?1 AND (last_used_at IS NULL OR last_used_at < ?2)";
        self.transact(async |tx| {
            for (sid, at) in used {
                tx.execute(sql, vec![sid.as_str().into(), time(*at)]).await?;
            }
            Ok(())
        })
        .await
    }
}

async fn import(
    store: &Store,
    tx: &mut Tx,
    team: &TeamId,
    (sid, secret): (KeySid, &Secret),
    restricted: bool,
) -> Result<KeyRow> {
    if teams::one(tx, team).await?.is_none() {
        return Err(StoreError::unknown("team", team));
    }
    if one(tx, &sid).await?.is_some() {
        return Err(StoreError::duplicate("key", sid));
    }
    if let Some(held) = current(tx, team).await? {
        return Err(StoreError::Refused(format!("team {team} has key {} already: revoke it first", held.sid)));
    }
    journal::none_under_way(tx, team).await?;
    let draft = Draft { op: Op::Import, step: Step::Done, team, restricted, old_sid: None, grace: Duration::ZERO };
    let entry = journal::insert(tx, store, "import", &draft).await?;
    let key = KeyRow {
        sid,
        team: team.clone(),
        version: entry.id,
        state: KeyState::Active,
        restricted,
        imported: true,
        friendly_name: None,
        created_at: store.now(),
        last_used_at: None,
    };
    insert(tx, &store.inner.sealer, &key, secret).await?;
    changes::note_key(tx, team).await?;
    Ok(key)
}

/// Writes a key and its secret, sealed into its place.
pub(super) async fn insert(tx: &mut Tx, sealer: &Sealer, key: &KeyRow, secret: &Secret) -> Result<()> {
    let sealed = sealer.seal(place(key), secret)?;
    let sql = "INSERT INTO keys (sid, team, version, state, restricted, imported, friendly_name, created_at, sealed)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let values = vec![
        key.sid.as_str().into(),
        key.team.as_str().into(),
        key.version.into(),
        key.state.name().into(),
        key.restricted.into(),
        key.imported.into(),
        key.friendly_name.clone().into(),
        time(key.created_at),
        sealed.into(),
    ];
    tx.execute(sql, values).await?;
    Ok(())
}

/// Sets the state of a key that is in one of the states of `from` (SQL's list).
pub(super) async fn set_state(tx: &mut Tx, sid: &KeySid, from: &str, to: KeyState) -> Result<bool> {
    let sql = format!("UPDATE keys SET state = ?2 WHERE sid = ?1 AND state IN {from}");
    Ok(tx.execute(&sql, vec![sid.as_str().into(), to.name().into()]).await? > 0)
}

/// Forgets a key that is in one of the states of `states` (SQL's list).
pub(super) async fn forget(tx: &mut Tx, sid: &KeySid, states: &str) -> Result<()> {
    tx.execute(&format!("DELETE FROM keys WHERE sid = ?1 AND state IN {states}"), vec![sid.as_str().into()]).await?;
    Ok(())
}

/// The key with this SID, if there is one.
pub(super) async fn one(tx: &mut Tx, sid: &KeySid) -> Result<Option<KeyRow>> {
    let rows = tx.query(&format!("SELECT {COLUMNS} WHERE sid = ?1"), vec![sid.as_str().into()]).await?;
    rows.first().map(read).transpose()
}

/// The key that the team's requests use, if there is one.
pub(super) async fn current(tx: &mut Tx, team: &TeamId) -> Result<Option<KeyRow>> {
    current_row(tx, team).await?.as_ref().map(read).transpose()
}

/// The same, opened. A secret that doesn't open costs its team the key and nobody else.
pub(super) async fn current_opened(tx: &mut Tx, sealer: &Sealer, team: &TeamId) -> Result<Option<Box<SealedKey>>> {
    let Some(row) = current_row(tx, team).await? else { return Ok(None) };
    open_or_none(sealer, team, &row)
}

/// The same of up to `count` teams that have one, after `after`, by name.
pub(super) async fn current_page(
    tx: &mut Tx,
    sealer: &Sealer,
    after: &str,
    count: i64,
) -> Result<Vec<(TeamId, Option<Box<SealedKey>>)>> {
    let sql = format!("SELECT {COLUMNS} WHERE team > ?1 AND state IN {CURRENT} ORDER BY team LIMIT ?2");
    let rows = tx.query(&sql, vec![after.into(), count.into()]).await?;
    let opened = |row: &Row| {
        let team = read(row)?.team;
        let key = open_or_none(sealer, &team, row)?;
        Ok((team, key))
    };
    rows.iter().map(opened).collect()
}

fn open_or_none(sealer: &Sealer, team: &TeamId, row: &Row) -> Result<Option<Box<SealedKey>>> {
    match open(sealer, row) {
        Ok(key) => Ok(Some(Box::new(key))),
        Err(error @ StoreError::Sealed(_)) => {
            tracing::error!(%team, %error, "the team is left without a key");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn current_row(tx: &mut Tx, team: &TeamId) -> Result<Option<Row>> {
    let sql = format!("SELECT {COLUMNS} WHERE team = ?1 AND state IN {CURRENT}");
    Ok(tx.query(&sql, vec![team.as_str().into()]).await?.pop())
}

fn open(sealer: &Sealer, row: &Row) -> Result<SealedKey> {
    let key = read(row)?;
    let secret = sealer.open(place(&key), row.blob(9)?)?;
    Ok(SealedKey { row: key, secret })
}

fn place(key: &KeyRow) -> Place<'_> {
    Place { team: &key.team, sid: &key.sid, version: key.version }
}

fn read(row: &Row) -> Result<KeyRow> {
    Ok(KeyRow {
        sid: KeySid::parse(row.text(0)?).ok_or_else(|| StoreError::unreadable("a key's SID"))?,
        team: TeamId::parse(row.text(1)?).ok_or_else(|| StoreError::unreadable("a key's team"))?,
        version: row.int(2)?,
        state: KeyState::parse(row.text(3)?).ok_or_else(|| StoreError::unreadable("a key's state"))?,
        restricted: row.int(4)? != 0,
        imported: row.int(5)? != 0,
        friendly_name: row.opt_text(6)?.map(str::to_owned),
        created_at: row.time(7)?,
        last_used_at: row.opt_time(8)?,
    })
}
