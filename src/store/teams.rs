//! Teams: make, read, change, disable, delete.

use super::engine::Tx;
use super::error::{Result, StoreError};
use super::rows::TeamRow;
use super::value::{Row, Value, time};
use super::{Store, changes};
use crate::config::{Kind, TeamPolicy};
use crate::ids::{AccountSid, TeamId};
use std::time::Duration;

const COLUMNS: &str =
    "name, kind, accounts, disabled, policy, key_permissions, grants, rotate_every, created_at FROM teams";

impl Store {
    /// Makes a team; its `created_at` is set here.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`]: the name is taken. [`StoreError::Refused`]: its key would be rotated more often than
    /// each second.
    pub async fn create_team(&self, mut team: TeamRow) -> Result<TeamRow> {
        team.created_at = self.now();
        self.transact(async |tx| {
            if one(tx, &team.name).await?.is_some() {
                return Err(StoreError::duplicate("team", &team.name));
            }
            check(&team)?;
            let sql = "INSERT INTO teams
                (name, kind, accounts, disabled, policy, key_permissions, grants, rotate_every, created_at)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
            tx.execute(sql, values(&team)).await?;
            changes::note_team(tx, &team.name).await?;
            Ok(team)
        })
        .await
    }

    /// The team of this name.
    ///
    /// # Errors
    /// [`StoreError::Unknown`]: no such team.
    pub async fn team(&self, name: &TeamId) -> Result<TeamRow> {
        one(&mut self.read().await?, name).await?.ok_or_else(|| StoreError::unknown("team", name))
    }

    /// Every team, by name.
    ///
    /// # Errors
    /// The database's own ([`StoreError`]).
    pub async fn teams(&self) -> Result<Vec<TeamRow>> {
        let rows = self.read().await?.query(&format!("SELECT {COLUMNS} ORDER BY name"), vec![]).await?;
        rows.iter().map(read).collect()
    }

    /// Disables or enables a team; answers it as it is now.
    ///
    /// # Errors
    /// [`StoreError::Unknown`]: no such team.
    pub async fn set_team_disabled(&self, name: &TeamId, disabled: bool) -> Result<TeamRow> {
        self.change_team(name, |team| team.disabled = disabled).await
    }

    /// Changes a team through `edit`, which may not rename it.
    ///
    /// # Errors
    /// [`StoreError::Unknown`]: no such team. [`StoreError::Refused`]: its key would be rotated more often than each
    /// second.
    pub async fn change_team(&self, name: &TeamId, edit: impl FnOnce(&mut TeamRow)) -> Result<TeamRow> {
        self.transact(async |tx| {
            let mut team = one(tx, name).await?.ok_or_else(|| StoreError::unknown("team", name))?;
            edit(&mut team);
            name.clone_into(&mut team.name);
            check(&team)?;
            let sql = "UPDATE teams SET kind = ?2, accounts = ?3, disabled = ?4, policy = ?5, key_permissions = ?6,
                grants = ?7, rotate_every = ?8, created_at = ?9 WHERE name = ?1";
            tx.execute(sql, values(&team)).await?;
            changes::note_team(tx, name).await?;
            Ok(team)
        })
        .await
    }

    /// Deletes a team and its tokens. A team that still has keys is refused: they would be left upstream.
    ///
    /// # Errors
    /// [`StoreError::Unknown`]: no such team. [`StoreError::Refused`]: it has keys.
    pub async fn delete_team(&self, name: &TeamId) -> Result<()> {
        self.transact(async |tx| delete(tx, name).await).await
    }
}

/// Refuses what can't be kept: a time between rotations is kept in whole seconds, and none would rotate without end.
fn check(team: &TeamRow) -> Result<()> {
    if team.rotate_every.is_some_and(|every| every.as_secs() == 0) {
        return Err(StoreError::Refused("a team's key is rotated every second at most: write 1s or more".to_owned()));
    }
    Ok(())
}

async fn delete(tx: &mut Tx, name: &TeamId) -> Result<()> {
    if one(tx, name).await?.is_none() {
        return Err(StoreError::unknown("team", name));
    }
    let keys = tx.query("SELECT sid FROM keys WHERE team = ?1", vec![name.as_str().into()]).await?;
    if let Some(key) = keys.first() {
        return Err(StoreError::Refused(format!("team {name} still has key {}: revoke it first", key.text(0)?)));
    }
    // One change a token: a new team of this name must not wake the old team's tokens in a broker.
    changes::note_tokens_of(tx, name).await?;
    tx.execute("DELETE FROM tokens WHERE team = ?1", vec![name.as_str().into()]).await?;
    tx.execute("DELETE FROM teams WHERE name = ?1", vec![name.as_str().into()]).await?;
    changes::note_team(tx, name).await
}

/// The team of this name, if there is one.
pub(super) async fn one(tx: &mut Tx, name: &TeamId) -> Result<Option<TeamRow>> {
    let rows = tx.query(&format!("SELECT {COLUMNS} WHERE name = ?1"), vec![name.as_str().into()]).await?;
    rows.first().map(read).transpose()
}

/// Up to `count` teams after `after`, by name.
pub(super) async fn page(tx: &mut Tx, after: &str, count: i64) -> Result<Vec<TeamRow>> {
    let sql = format!("SELECT {COLUMNS} WHERE name > ?1 ORDER BY name LIMIT ?2");
    tx.query(&sql, vec![after.into(), count.into()]).await?.iter().map(read).collect()
}

fn values(team: &TeamRow) -> Vec<Value> {
    let accounts: Vec<&str> = team.accounts.iter().map(AccountSid::as_str).collect();
    vec![
        team.name.as_str().into(),
        match team.kind {
            Kind::Standard => "standard",
            Kind::Master => "master",
        }
        .into(),
        json(&accounts),
        team.disabled.into(),
        json(&team.policy),
        json(&team.key_permissions),
        team.grants.as_ref().map_or(Value::Null, json),
        team.rotate_every.map_or(Value::Null, |every| time(every.as_secs())),
        time(team.created_at),
    ]
}

fn json(value: &impl serde::Serialize) -> Value {
    Value::Text(serde_json::to_string(value).expect("strings and lists of strings always serialise"))
}

fn read(row: &Row) -> Result<TeamRow> {
    let name = TeamId::parse(row.text(0)?).ok_or_else(|| StoreError::unreadable("a team's name"))?;
    let kind = match row.text(1)? {
        "standard" => Kind::Standard,
        "master" => Kind::Master,
        _ => return Err(StoreError::unreadable("a team's kind")),
    };
    let accounts: Vec<String> = parse(row.text(2)?, "a team's accounts")?;
    let accounts =
        accounts.iter().map(|sid| AccountSid::parse(sid).ok_or_else(|| StoreError::unreadable("a team's accounts")));
    Ok(TeamRow {
        name,
        kind,
        accounts: accounts.collect::<Result<_>>()?,
        disabled: row.int(3)? != 0,
        policy: parse::<TeamPolicy>(row.text(4)?, "a team's policy")?,
        key_permissions: parse(row.text(5)?, "a team's key permissions")?,
        grants: row.opt_text(6)?.map(|text| parse(text, "a team's grants")).transpose()?,
        rotate_every: row.opt_time(7)?.map(Duration::from_secs),
        created_at: row.time(8)?,
    })
}

fn parse<T: serde::de::DeserializeOwned>(text: &str, what: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|_| StoreError::unreadable(what))
}
