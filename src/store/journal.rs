//! The journal of key changes: each step is written here before it is taken upstream, so that whoever comes after a
//! crash knows what may have happened, and finishes it or takes it back.
//!
//! ```text
//! create, rotate:  intended ─▶ created ─▶ swapped ─▶ deleting ─▶ done      (no old key: created ─▶ done)
//!                      ├◀─(withdrawn)┘
//!                      ├────────────────▶ rolled_back
//!                      └──▶ doubtful ────────┘
//! revoke:          deleting ─▶ done
//! import:          done
//! ```
//! A step is taken only by the entry's owner; a process that takes over after a crash becomes the owner first, so that
//! one that was only slow finds its next step refused.

use super::engine::Tx;
use super::entry::{COLUMNS, Draft, Entry, OPS, Op, STEPS, Step, friendly_name, own_prefix, read, word};
use super::error::{Result, StoreError};
use super::keys::{self, CURRENT};
use super::rows::{KeyRow, KeyState};
use super::value::{Value, time};
use super::{Store, changes, teams};
use crate::ids::{KeySid, TeamId};
use crate::secret::Secret;
use std::time::Duration;

/// How long finished entries are kept: they tell which keys sidekey made.
const KEPT: Duration = Duration::from_hours(24 * 400);

impl Store {
    /// Begins to make a key for a team: its first ([`Op::Create`]; a current key that the upstream no longer takes may
    /// be replaced) or another ([`Op::Rotate`]). The old one is to live on for `grace` after the swap.
    ///
    /// # Errors
    /// [`StoreError::Unknown`]: no such team. [`StoreError::Refused`]: an earlier change of its key is not settled, it
    /// has a working key already (create), or none to replace (rotate).
    pub async fn begin_key(&self, op: Op, team: &TeamId, owner: &str, grace: Duration) -> Result<Entry> {
        self.transact(async |tx| begin(self, tx, op, team, (owner, grace)).await).await
    }

    /// Keeps the new key, sealed, in state proving.
    ///
    /// # Errors
    /// [`StoreError::Refused`]: another process has taken the entry over. [`StoreError::Unknown`]: the team is gone. The key
    /// is not kept then.
    pub async fn key_created(&self, entry: &Entry, sid: KeySid, secret: &Secret) -> Result<Entry> {
        self.transact(async |tx| created(self, tx, entry, sid, secret).await).await
    }

    /// Makes the new key the team's key, and the old one a retiring one until its grace is over.
    ///
    /// # Errors
    /// [`StoreError::Refused`]: another process has taken the entry over, or the new key was revoked meanwhile.
    /// [`StoreError::Corrupt`]: the entry has no new key.
    pub async fn key_swapped(&self, entry: &Entry) -> Result<Entry> {
        self.transact(async |tx| swapped(self, tx, entry).await).await
    }

    /// Says that the old key is about to be deleted upstream.
    ///
    /// # Errors
    /// [`StoreError::Refused`]: another process has taken the entry over.
    pub async fn key_deleting(&self, entry: &Entry) -> Result<Entry> {
        let step = Step::Deleting;
        self.transact(async |tx| advance(tx, entry, step, self.now()).await).await?;
        Ok(Entry { step, ..entry.clone() })
    }

    /// Says that the old key is gone upstream, and forgets it. Whoever saw it gone may say so, and twice: a revocation
    /// waits for no lock, so another process may have taken its entry over meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Refused`]: the entry is at another step than the deletion.
    pub async fn key_deleted(&self, entry: &Entry) -> Result<Entry> {
        let now = self.now();
        self.transact(async |tx| {
            let sql =
                "UPDATE journal SET step = 'done', updated_at = ?2 WHERE id = ?1 AND step IN ('deleting', 'done')";
            if tx.execute(sql, vec![entry.id.into(), time(now)]).await? == 0 {
                return Err(taken_over(entry));
            }
            if let Some(sid) = entry.old_sid {
                keys::forget(tx, &sid, "('retiring', 'revoking')").await?;
            }
            Ok(Entry { step: Step::Done, ..entry.clone() })
        })
        .await
    }

    /// Takes the entry back: the new key, gone upstream, is forgotten.
    ///
    /// # Errors
    /// [`StoreError::Refused`]: another process has taken the entry over.
    pub async fn key_rolled_back(&self, entry: &Entry, why: &str) -> Result<Entry> {
        let now = self.now();
        self.transact(async |tx| {
            advance(tx, entry, Step::RolledBack, now).await?;
            if let Some(sid) = &entry.new_sid {
                keys::forget(tx, sid, "('proving')").await?;
            }
            tx.execute("UPDATE journal SET note = ?2 WHERE id = ?1", vec![entry.id.into(), why.into()]).await?;
            Ok(Entry { step: Step::RolledBack, ..entry.clone() })
        })
        .await
    }

    /// Says that the new key is about to be deleted upstream, and forgets its secret: from now on nobody can put it in use.
    ///
    /// # Errors
    /// [`StoreError::Refused`]: another process has taken the entry over.
    pub async fn key_withdrawn(&self, entry: &Entry) -> Result<Entry> {
        let now = self.now();
        self.transact(async |tx| {
            advance(tx, entry, Step::Intended, now).await?;
            if let Some(sid) = &entry.new_sid {
                keys::forget(tx, sid, "('proving')").await?;
            }
            Ok(Entry { step: Step::Intended, ..entry.clone() })
        })
        .await
    }

    /// Says that nothing of the entry is seen upstream, and that it is to be looked for again after `wait`.
    ///
    /// # Errors
    /// [`StoreError::Refused`]: another process has taken the entry over.
    pub async fn key_doubtful(&self, entry: &Entry, why: &str, wait: Duration) -> Result<Entry> {
        let now = self.now();
        let again_at = now.saturating_add(wait.as_secs()).saturating_add(1);
        self.transact(async |tx| {
            advance(tx, entry, Step::Doubtful, now).await?;
            let sql = "UPDATE journal SET note = ?2, retire_at = ?3 WHERE id = ?1";
            tx.execute(sql, vec![entry.id.into(), why.into(), time(again_at)]).await?;
            Ok(Entry { step: Step::Doubtful, retire_at: Some(again_at), ..entry.clone() })
        })
        .await
    }

    /// Revokes a key: from now on no request uses it; its deletion upstream is the entry's to finish.
    ///
    /// # Errors
    /// [`StoreError::Unknown`]: no such key. [`StoreError::Refused`]: it is being made right now.
    pub async fn begin_revoke(&self, sid: &KeySid, owner: &str) -> Result<Entry> {
        self.transact(async |tx| revoke(self, tx, sid, owner).await).await
    }

    /// Entries with something left to do, oldest first.
    ///
    /// # Errors
    /// The database's own ([`StoreError`]).
    pub async fn unfinished_entries(&self) -> Result<Vec<Entry>> {
        let sql = format!("SELECT {COLUMNS} WHERE step NOT IN ('done', 'rolled_back') ORDER BY id");
        self.read().await?.query(&sql, vec![]).await?.iter().map(read).collect()
    }

    /// The entry with this number.
    ///
    /// # Errors
    /// [`StoreError::Unknown`]: no such entry.
    pub async fn entry(&self, id: i64) -> Result<Entry> {
        let rows = self.read().await?.query(&format!("SELECT {COLUMNS} WHERE id = ?1"), vec![id.into()]).await?;
        rows.first().map(read).transpose()?.ok_or_else(|| StoreError::unknown("journal entry", id))
    }

    /// Makes `owner` the one who takes the entry's next step.
    ///
    /// # Errors
    /// [`StoreError::Refused`]: it has moved on since it was read.
    pub async fn take_over(&self, entry: &Entry, owner: &str) -> Result<Entry> {
        self.transact(async |tx| {
            advance(tx, entry, entry.step, self.now()).await?;
            let sql = "UPDATE journal SET owner = ?2 WHERE id = ?1";
            tx.execute(sql, vec![entry.id.into(), owner.into()]).await?;
            Ok(Entry { owner: owner.to_owned(), ..entry.clone() })
        })
        .await
    }

    /// What the `FriendlyName` of every key made through this store begins with.
    pub fn own_prefix(&self) -> String {
        own_prefix(self.instance())
    }

    /// Whether sidekey itself made this key, by its journal.
    ///
    /// # Errors
    /// The database's own ([`StoreError`]).
    pub async fn made_here(&self, sid: &KeySid) -> Result<bool> {
        let sql = "SELECT id FROM journal WHERE new_sid = ?1 AND op <> 'import'";
        Ok(!self.read().await?.query(sql, vec![sid.as_str().into()]).await?.is_empty())
    }
}

async fn begin(store: &Store, tx: &mut Tx, op: Op, team: &TeamId, (owner, grace): (&str, Duration)) -> Result<Entry> {
    let row = teams::one(tx, team).await?.ok_or_else(|| StoreError::unknown("team", team))?;
    none_under_way(tx, team).await?;
    let held = keys::current(tx, team).await?;
    match (op, &held) {
        (Op::Create, Some(key)) if key.state == KeyState::Active => {
            return Err(StoreError::Refused(format!("team {team} has key {} already: rotate it instead", key.sid)));
        }
        (Op::Rotate, None) => {
            return Err(StoreError::Refused(format!("team {team} has no key to rotate: create one")));
        }
        _ => {}
    }
    let draft = Draft {
        op,
        step: Step::Intended,
        team,
        restricted: !row.key_permissions.is_empty(),
        old_sid: held.map(|key| key.sid),
        grace,
    };
    insert(tx, store, owner, &draft).await
}

/// Refuses where a key of the team's is being made, or may have been made by a process that died.
pub(super) async fn none_under_way(tx: &mut Tx, team: &TeamId) -> Result<()> {
    let sql = "SELECT id FROM journal WHERE team = ?1 AND step IN ('intended', 'created')";
    if tx.query(sql, vec![team.as_str().into()]).await?.is_empty() {
        return Ok(());
    }
    let text = format!(
        "a change of {team}'s key is under way, or was interrupted and can't be settled yet; brokers and key commands try it again"
    );
    Err(StoreError::Refused(text))
}

async fn created(store: &Store, tx: &mut Tx, entry: &Entry, sid: KeySid, secret: &Secret) -> Result<Entry> {
    // A team may go while its key is made: nothing of it is held back by an entry.
    if teams::one(tx, &entry.team).await?.is_none() {
        return Err(StoreError::unknown("team", &entry.team));
    }
    advance(tx, entry, Step::Created, store.now()).await?;
    let sql = "UPDATE journal SET new_sid = ?2 WHERE id = ?1";
    tx.execute(sql, vec![entry.id.into(), sid.as_str().into()]).await?;
    let key = KeyRow {
        sid,
        team: entry.team.clone(),
        version: entry.id,
        state: KeyState::Proving,
        restricted: entry.restricted,
        imported: false,
        friendly_name: Some(entry.friendly_name.clone()),
        created_at: store.now(),
        last_used_at: None,
    };
    keys::insert(tx, &store.inner.sealer, &key, secret).await?;
    Ok(Entry { step: Step::Created, new_sid: Some(sid), ..entry.clone() })
}

async fn swapped(store: &Store, tx: &mut Tx, entry: &Entry) -> Result<Entry> {
    let now = store.now();
    let new = entry.new_sid.ok_or_else(|| StoreError::Corrupt("a created key without SID".to_owned()))?;
    // The old key may have been revoked meanwhile: then it is not ours to retire.
    let retires = match &entry.old_sid {
        Some(old) => keys::set_state(tx, old, CURRENT, KeyState::Retiring).await?,
        None => false,
    };
    if let Some(held) = keys::current(tx, &entry.team).await? {
        return Err(StoreError::Refused(format!("team {} has key {} meanwhile", entry.team, held.sid)));
    }
    if !keys::set_state(tx, &new, "('proving')", KeyState::Active).await? {
        return Err(StoreError::Refused(format!("key {new} was revoked before it was in use")));
    }
    let change = changes::note_key(tx, &entry.team).await?;
    let step = if retires { Step::Swapped } else { Step::Done };
    advance(tx, entry, step, now).await?;
    // Of this second nobody knows how much is over already, and who deletes the key may be a second ahead of who counts
    // here: the old key lives on for no less than it was granted.
    let spare = if entry.grace.is_zero() { 0 } else { 2 };
    let retire_at = now.saturating_add(entry.grace.as_secs()).saturating_add(spare);
    let sql = "UPDATE journal SET swapped_by = ?2, swapped_at = ?3, retire_at = ?4 WHERE id = ?1";
    tx.execute(sql, vec![entry.id.into(), change.into(), time(now), time(retire_at)]).await?;
    let old = time(now.saturating_sub(KEPT.as_secs()));
    tx.execute("DELETE FROM journal WHERE step IN ('done', 'rolled_back') AND updated_at < ?1", vec![old]).await?;
    Ok(Entry { step, swapped_by: Some(change), swapped_at: Some(now), retire_at: Some(retire_at), ..entry.clone() })
}

async fn revoke(store: &Store, tx: &mut Tx, sid: &KeySid, owner: &str) -> Result<Entry> {
    let key = keys::one(tx, sid).await?.ok_or_else(|| StoreError::unknown("key", sid))?;
    if key.state == KeyState::Proving {
        return Err(StoreError::Refused(format!("key {sid} is being made right now: try again in a moment")));
    }
    keys::set_state(tx, sid, "('active', 'rejected', 'missing', 'retiring')", KeyState::Revoking).await?;
    changes::note_key(tx, &key.team).await?;
    let draft = Draft {
        op: Op::Revoke,
        step: Step::Deleting,
        team: &key.team,
        restricted: key.restricted,
        old_sid: Some(*sid),
        grace: Duration::ZERO,
    };
    insert(tx, store, owner, &draft).await
}

/// Writes a new entry and gives it its `FriendlyName`.
pub(super) async fn insert(tx: &mut Tx, store: &Store, owner: &str, draft: &Draft<'_>) -> Result<Entry> {
    let sql = "INSERT INTO journal (op, team, step, owner, friendly_name, restricted, old_sid, started_at, updated_at,
        grace) VALUES (?1, ?2, ?3, ?4, '', ?5, ?6, ?7, ?7, ?8) RETURNING id";
    let grace = draft.grace.as_secs().saturating_add(u64::from(draft.grace.subsec_nanos() > 0));
    let values = vec![
        word(&OPS, draft.op).into(),
        draft.team.as_str().into(),
        word(&STEPS, draft.step).into(),
        owner.into(),
        draft.restricted.into(),
        draft.old_sid.as_ref().map_or(Value::Null, |sid| sid.as_str().into()),
        time(store.now()),
        time(grace),
    ];
    let rows = tx.query(sql, values).await?;
    let id = rows.first().map_or(Ok(0), |row| row.int(0))?;
    let friendly_name = friendly_name(store.instance(), draft.team, id);
    let sql = "UPDATE journal SET friendly_name = ?2 WHERE id = ?1";
    tx.execute(sql, vec![id.into(), friendly_name.as_str().into()]).await?;
    Ok(Entry {
        id,
        op: draft.op,
        team: draft.team.clone(),
        step: draft.step,
        owner: owner.to_owned(),
        friendly_name,
        restricted: draft.restricted,
        new_sid: None,
        old_sid: draft.old_sid,
        grace: Duration::from_secs(grace),
        swapped_by: None,
        swapped_at: None,
        retire_at: None,
    })
}

fn taken_over(entry: &Entry) -> StoreError {
    StoreError::Refused(format!("another sidekey has taken over the change of {}'s key", entry.team))
}

/// Moves an entry on, if nobody else has.
async fn advance(tx: &mut Tx, entry: &Entry, to: Step, now: u64) -> Result<()> {
    let sql = "UPDATE journal SET step = ?4, updated_at = ?5 WHERE id = ?1 AND step = ?2 AND owner = ?3";
    let values = vec![
        entry.id.into(),
        word(&STEPS, entry.step).into(),
        entry.owner.as_str().into(),
        word(&STEPS, to).into(),
        time(now),
    ];
    if tx.execute(sql, values).await? == 0 {
        return Err(taken_over(entry));
    }
    Ok(())
}
