//! The feed of changes: every write notes what it touched, in its own transaction; brokers read on from where they are.

use super::engine::Tx;
use super::error::{Result, StoreError};
use super::rows::Change;
use super::value::Value;
use super::{Store, keys, teams, tokens};
use crate::ids::TeamId;
use std::collections::HashSet;

/// Changes that are kept. A broker that was away for longer loads everything anew.
const KEPT: i64 = 100_000;

/// Changes read at once.
const BATCH: i64 = 1_000;

/// Rows read at once by [`Store::load_all`]: a few megabytes.
const PAGE: i64 = 10_000;

/// How far a reader has come: the newest change that it knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The change's number; 0: none yet.
    pub id: i64,
    /// Its mark. A store that was restored from a copy counts the same numbers again, and marks them otherwise.
    pub mark: i64,
}

/// What [`Store::changes_since`] found.
#[derive(Debug)]
pub enum Catchup {
    /// Everything up to and with change `through`; ask again until `through` stays the same.
    Changes {
        /// In the order in which they were noted; each carries the present state.
        changes: Vec<Change>,
        /// Where to go on.
        through: Position,
    },
    /// Too much was missed, or the store was restored from a copy: load everything.
    Reload,
}

impl Store {
    /// Gives every team, token and current key to `take`, in this order, in chunks. The answer is where to go on with
    /// [`Store::changes_since`]; what changes meanwhile may be given in either state, and comes again from there.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if another store was put in this one's place.
    pub async fn load_all(&self, mut take: impl FnMut(Change) + Send) -> Result<Position> {
        self.still_itself().await?;
        let position = self.position().await?;
        let mut names = Vec::new();
        loop {
            let after = names.last().map_or("", TeamId::as_str);
            let page = teams::page(&mut self.read().await?, after, PAGE).await?;
            if page.is_empty() {
                break;
            }
            for team in page {
                names.push(team.name.clone());
                take(Change::Team(team));
            }
        }
        let mut after = Vec::new();
        loop {
            let page = tokens::page(&mut self.read().await?, &after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.sha256.to_vec();
            for token in page {
                take(Change::Token(token));
            }
        }
        let mut keyless: HashSet<TeamId> = names.into_iter().collect();
        let mut after = String::new();
        loop {
            let page = keys::current_page(&mut self.read().await?, &self.inner.sealer, &after, PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            last.as_str().clone_into(&mut after);
            for (team, key) in page {
                keyless.remove(&team);
                take(Change::Key(team, key));
            }
        }
        for team in keyless {
            take(Change::Key(team, None));
        }
        Ok(position)
    }

    /// What changed after change `since`.
    ///
    /// # Errors
    /// The database's own ([`StoreError`]).
    pub async fn changes_since(&self, since: Position) -> Result<Catchup> {
        let mut tx = self.read().await?;
        if !stands(&mut tx, since).await? {
            return Ok(Catchup::Reload);
        }
        let sql = "SELECT id, kind, entity, mark FROM changes WHERE id > ?1 ORDER BY id LIMIT ?2";
        let rows = tx.query(sql, vec![since.id.into(), BATCH.into()]).await?;
        let through = rows
            .last()
            .map_or(Ok(since), |row| Ok::<_, StoreError>(Position { id: row.int(0)?, mark: row.int(3)? }))?;
        let mut seen = HashSet::new();
        let mut changes = Vec::new();
        for row in &rows {
            let (kind, entity) = (row.text(1)?, row.text(2)?);
            if seen.insert((kind.to_owned(), entity.to_owned())) {
                changes.push(self.present(&mut tx, kind, entity).await?);
            }
        }
        Ok(Catchup::Changes { changes, through })
    }

    /// The newest change.
    ///
    /// # Errors
    /// The database's own ([`StoreError`]).
    pub async fn position(&self) -> Result<Position> {
        let sql = "SELECT id, mark FROM changes ORDER BY id DESC LIMIT 1";
        let rows = self.read().await?.query(sql, vec![]).await?;
        rows.first().map_or(Ok(Position::default()), |row| Ok(Position { id: row.int(0)?, mark: row.int(1)? }))
    }

    /// Whether what answers is the store that was opened: another may have been put in its place since.
    async fn still_itself(&self) -> Result<()> {
        let rows = self.read().await?.query("SELECT value FROM meta WHERE name = 'store_id'", vec![]).await?;
        let found = rows.first().map_or(Ok([0; 16]), |row| row.array::<16>(0))?;
        if found == self.inner.store_id {
            return Ok(());
        }
        Err(StoreError::Corrupt("another store was put in its place; restart sidekey to take it".to_owned()))
    }

    /// What is now so about one thing.
    async fn present(&self, tx: &mut Tx, kind: &str, entity: &str) -> Result<Change> {
        if kind == "token" {
            let mut sha256 = [0; 32];
            hex::decode_to_slice(entity, &mut sha256).map_err(|_| odd(entity))?;
            return Ok(tokens::one(tx, &sha256).await?.map_or(Change::TokenGone(sha256), Change::Token));
        }
        let name = TeamId::parse(entity).ok_or_else(|| odd(entity))?;
        match kind {
            "team" => Ok(teams::one(tx, &name).await?.map_or(Change::TeamGone(name), Change::Team)),
            "key" => {
                let key = keys::current_opened(tx, &self.inner.sealer, &name).await?;
                Ok(Change::Key(name, key))
            }
            _ => Err(odd(kind)),
        }
    }
}

/// Whether the change is still there, and still the same one: otherwise changes were forgotten, or the store was restored
/// from a copy. Ids have gaps (a server counts rolled back writes too), so that who knows no change yet may be told to
/// reload without need.
async fn stands(tx: &mut Tx, at: Position) -> Result<bool> {
    if at.id == 0 {
        let rows = tx.query("SELECT COALESCE(MIN(id), 0) FROM changes", vec![]).await?;
        return Ok(rows.first().map_or(Ok(0), |row| row.int(0))? <= 1);
    }
    let rows = tx.query("SELECT mark FROM changes WHERE id = ?1", vec![at.id.into()]).await?;
    Ok(rows.first().map(|row| row.int(0)).transpose()? == Some(at.mark))
}

/// Notes that the team is new, different or gone.
pub(super) async fn note_team(tx: &mut Tx, team: &TeamId) -> Result<()> {
    let id = tx.note("team", team.as_str()).await?;
    prune(tx, id).await
}

/// Notes that the token is new, revoked or gone.
pub(super) async fn note_token(tx: &mut Tx, sha256: &[u8; 32]) -> Result<()> {
    let id = tx.note("token", &hex::encode(sha256)).await?;
    prune(tx, id).await
}

/// Notes that each token of the team is gone: whole teams of them go under the one write lock, so in one statement.
pub(super) async fn note_tokens_of(tx: &mut Tx, team: &TeamId) -> Result<()> {
    tx.note_tokens_of(team.as_str()).await?;
    let sql = "DELETE FROM changes WHERE id <= (SELECT MAX(id) FROM changes) - ?1";
    tx.execute(sql, vec![Value::Int(KEPT)]).await.map(drop)
}

/// Notes that the team's key is another; answers the id of the change.
pub(super) async fn note_key(tx: &mut Tx, team: &TeamId) -> Result<i64> {
    let id = tx.note("key", team.as_str()).await?;
    prune(tx, id).await?;
    Ok(id)
}

/// Forgets the oldest changes now and then.
async fn prune(tx: &mut Tx, newest: i64) -> Result<()> {
    if newest % BATCH == 0 && newest > KEPT {
        tx.execute("DELETE FROM changes WHERE id <= ?1", vec![Value::Int(newest - KEPT)]).await?;
    }
    Ok(())
}

fn odd(what: &str) -> StoreError {
    StoreError::unreadable(format_args!("a change of {what:?}"))
}
