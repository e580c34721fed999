//! Tokens: issue, list, revoke. Only their SHA-256 is kept.

use super::engine::Tx;
use super::error::{Result, StoreError};
use super::rows::TokenRow;
use super::value::{Row, Value, time};
use super::{Store, changes, teams};
use crate::ids::{TeamId, TokenId};

const COLUMNS: &str = "sha256, id, team, name, created_at, expires_at, revoked_at FROM tokens";

/// Longest name of a token, in bytes: a line in a list.
const NAME_MAX: usize = 200;

/// Tokens listed at once: a few megabytes.
pub const TOKENS_PAGE: usize = 10_000;

/// A token just made: what is kept of it.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Names it in commands and the audit.
    pub id: TokenId,
    /// Whose it is.
    pub team: TeamId,
    /// SHA-256 of its text.
    pub sha256: [u8; 32],
    /// What its owner calls it; may be empty; at most 200 bytes.
    pub name: String,
    /// From this Unix second on it is refused; `None`: never.
    pub expires_at: Option<u64>,
}

impl Store {
    /// Takes in a token that was made for a team. All or none, if several.
    ///
    /// # Errors
    /// [`StoreError::Refused`]: a name is too long or has control characters. [`StoreError::Unknown`]: no such team.
    pub async fn add_tokens(&self, tokens: Vec<NewToken>) -> Result<Vec<TokenRow>> {
        if tokens.iter().any(|token| token.name.len() > NAME_MAX || token.name.chars().any(char::is_control)) {
            let text = format!("a token's name has at most {NAME_MAX} bytes and no control characters");
            return Err(StoreError::Refused(text));
        }
        let now = self.now();
        self.transact(async |tx| insert(tx, tokens, now).await).await
    }

    /// The tokens of one team, or of all, oldest first; revoked and expired ones included.
    ///
    /// # Errors
    /// [`StoreError::Unknown`]: no such team.
    pub async fn tokens(&self, team: Option<&TeamId>) -> Result<Vec<TokenRow>> {
        let mut all = self.tokens_page(team, None).await?;
        while let Some(last) = all.last() {
            let page = self.tokens_page(team, Some(last)).await?;
            if page.is_empty() {
                break;
            }
            all.extend(page);
        }
        Ok(all)
    }

    /// The same in pages of up to [`TOKENS_PAGE`], each after the last token of the one before; an empty one is the end.
    ///
    /// # Errors
    /// [`StoreError::Unknown`]: no such team.
    pub async fn tokens_page(&self, team: Option<&TeamId>, after: Option<&TokenRow>) -> Result<Vec<TokenRow>> {
        let mut tx = self.read().await?;
        let (of, since, id) = after.map_or(("", 0, ""), |last| (last.team.as_str(), last.created_at, last.id.as_str()));
        let (sql, of) = match team {
            Some(team) if teams::one(&mut tx, team).await?.is_none() => return Err(StoreError::unknown("team", team)),
            Some(team) => ("WHERE team = ?1 AND (created_at, id) > (?2, ?3) ORDER BY created_at, id", team.as_str()),
            None => ("WHERE (team, created_at, id) > (?1, ?2, ?3) ORDER BY team, created_at, id", of),
        };
        let sql = format!("SELECT {COLUMNS} {sql} LIMIT {TOKENS_PAGE}");
        tx.query(&sql, vec![of.into(), time(since), id.into()]).await?.iter().map(read).collect()
    }

    /// The token of this id.
    ///
    /// # Errors
    /// [`StoreError::Unknown`]: no such token.
    pub async fn token(&self, id: &TokenId) -> Result<TokenRow> {
        by_id(&mut self.read().await?, id).await
    }

    /// Revokes a token; doing it twice keeps the first time.
    ///
    /// # Errors
    /// [`StoreError::Unknown`]: no such token.
    pub async fn revoke_token(&self, id: &TokenId) -> Result<TokenRow> {
        let now = self.now();
        self.transact(async |tx| {
            let mut token = by_id(tx, id).await?;
            if token.revoked_at.is_none() {
                token.revoked_at = Some(now);
                let sql = "UPDATE tokens SET revoked_at = ?2 WHERE id = ?1";
                tx.execute(sql, vec![id.as_str().into(), time(now)]).await?;
                changes::note_token(tx, &token.sha256).await?;
            }
            Ok(token)
        })
        .await
    }
}

async fn insert(tx: &mut Tx, tokens: Vec<NewToken>, now: u64) -> Result<Vec<TokenRow>> {
    let mut rows: Vec<TokenRow> = Vec::with_capacity(tokens.len());
    for NewToken { id, team, sha256, name, expires_at } in tokens {
        if rows.last().is_none_or(|row| row.team != team) && teams::one(tx, &team).await?.is_none() {
            return Err(StoreError::unknown("team", &team));
        }
        let row = TokenRow { id, team, sha256, name, created_at: now, expires_at, revoked_at: None };
        insert_one(tx, &row).await?;
        rows.push(row);
    }
    Ok(rows)
}

async fn insert_one(tx: &mut Tx, token: &TokenRow) -> Result<()> {
    let sql = "INSERT INTO tokens (sha256, id, team, name, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let values = vec![
        Value::Blob(token.sha256.to_vec()),
        token.id.as_str().into(),
        token.team.as_str().into(),
        token.name.as_str().into(),
        time(token.created_at),
        token.expires_at.map_or(Value::Null, time),
    ];
    tx.execute(sql, values).await?;
    changes::note_token(tx, &token.sha256).await
}

async fn by_id(tx: &mut Tx, id: &TokenId) -> Result<TokenRow> {
    let rows = tx.query(&format!("SELECT {COLUMNS} WHERE id = ?1"), vec![id.as_str().into()]).await?;
    rows.first().map(read).transpose()?.ok_or_else(|| StoreError::unknown("token", id))
}

/// The token with this SHA-256, if there is one.
pub(super) async fn one(tx: &mut Tx, sha256: &[u8; 32]) -> Result<Option<TokenRow>> {
    let rows = tx.query(&format!("SELECT {COLUMNS} WHERE sha256 = ?1"), vec![Value::Blob(sha256.to_vec())]).await?;
    rows.first().map(read).transpose()
}

/// Up to `count` tokens after `after`, by SHA-256.
pub(super) async fn page(tx: &mut Tx, after: &[u8], count: i64) -> Result<Vec<TokenRow>> {
    let sql = format!("SELECT {COLUMNS} WHERE sha256 > ?1 ORDER BY sha256 LIMIT ?2");
    tx.query(&sql, vec![after.into(), count.into()]).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<TokenRow> {
    Ok(TokenRow {
        sha256: row.array(0)?,
        id: TokenId::new(row.text(1)?),
        team: TeamId::parse(row.text(2)?).ok_or_else(|| StoreError::unreadable("a token's team"))?,
        name: row.text(3)?.to_owned(),
        created_at: row.time(4)?,
        expires_at: row.opt_time(5)?,
        revoked_at: row.opt_time(6)?,
    })
}
