//! Teams, tokens and keys as commands and the admin API show them: one shape for both, and never a secret.

use super::reconcile::Reconciled;
use super::upstream_keys::Listed;
use crate::config::{Kind, TeamPolicy};
use crate::ids::{KeySid, TeamId};
use crate::store::{KeyRow, TeamRow, TokenRow};
use serde::Serialize;

/// A Unix second in RFC 3339, UTC.
pub fn moment(second: u64) -> String {
    let instant = i64::try_from(second).ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
    instant.map_or_else(|| second.to_string(), |instant| instant.to_string())
}

/// A team in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TeamBrief {
    /// Its name.
    pub name: String,
    /// `standard` or `master`.
    pub kind: Kind,
    /// The accounts it is pinned to; empty: the broker's own for a standard team, no pin for a master team.
    pub accounts: Vec<String>,
    /// Whether its callers are refused.
    pub disabled: bool,
}

impl From<&TeamRow> for TeamBrief {
    fn from(team: &TeamRow) -> Self {
        Self {
            name: team.name.to_string(),
            kind: team.kind,
            accounts: team.accounts.iter().map(ToString::to_string).collect(),
            disabled: team.disabled,
        }
    }
}

/// A team with all that is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TeamFull {
    /// What a list shows.
    #[serde(flatten)]
    pub brief: TeamBrief,
    /// Its own policy.
    pub policy: TeamPolicy,
    /// Permissions of its keys; empty: Standard keys.
    pub key_permissions: Vec<String>,
    /// Grants that its Access Tokens may carry; `None`: all.
    pub grants: Option<Vec<String>>,
    /// How often its key is rotated; `None`: as `store.rotate_every` says.
    pub rotate_every: Option<String>,
    /// RFC 3339.
    pub created_at: String,
}

impl From<&TeamRow> for TeamFull {
    fn from(team: &TeamRow) -> Self {
        Self {
            brief: team.into(),
            policy: team.policy.clone(),
            key_permissions: team.key_permissions.clone(),
            grants: team.grants.clone(),
            rotate_every: team.rotate_every.map(|every| format!("{}s", every.as_secs())),
            created_at: moment(team.created_at),
        }
    }
}

/// A token in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenView {
    /// Names it; proves nothing.
    pub id: String,
    /// Whose it is.
    pub team: String,
    /// What its owner calls it.
    pub name: Option<String>,
    /// `active`, `expired` or `revoked`.
    pub state: &'static str,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339; `None`: never.
    pub expires_at: Option<String>,
    /// RFC 3339.
    pub revoked_at: Option<String>,
}

impl TokenView {
    /// The token as it is at Unix second `now`.
    pub fn at(row: &TokenRow, now: u64) -> Self {
        let expired = row.expires_at.is_some_and(|end| end <= now);
        Self {
            id: row.id.to_string(),
            team: row.team.to_string(),
            name: Some(row.name.clone()).filter(|name| !name.is_empty()),
            state: match row.revoked_at {
                Some(_) => "revoked",
                None if expired => "expired",
                None => "active",
            },
            created_at: moment(row.created_at),
            expires_at: row.expires_at.map(moment),
            revoked_at: row.revoked_at.map(moment),
        }
    }
}

/// A token just issued, with its text: the one time that it is shown.
#[derive(Serialize)]
pub struct IssuedView<'a> {
    /// Names it; proves nothing.
    pub id: String,
    /// Whose it is.
    pub team: String,
    /// What its owner calls it.
    pub name: Option<String>,
    /// The token itself.
    pub token: &'a str,
    /// RFC 3339; `None`: never.
    pub expires_at: Option<String>,
}

/// A key after a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyBrief {
    /// Its SID.
    pub sid: String,
    /// Whose it is.
    pub team: String,
    /// Where it is in its life.
    pub state: &'static str,
    /// RFC 3339.
    pub created_at: String,
}

impl From<&KeyRow> for KeyBrief {
    fn from(key: &KeyRow) -> Self {
        Self {
            sid: key.sid.to_string(),
            team: key.team.to_string(),
            state: key.state.name(),
            created_at: moment(key.created_at),
        }
    }
}

/// A key in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyView {
    /// What a change shows.
    #[serde(flatten)]
    pub brief: KeyBrief,
    /// `standard` or `restricted`.
    pub kind: &'static str,
    /// Whether it was made elsewhere.
    pub imported: bool,
    /// What it is called upstream.
    pub friendly_name: Option<String>,
    /// Seconds since it was made, or imported.
    pub age_seconds: u64,
    /// RFC 3339, to the minute.
    pub last_used_at: Option<String>,
}

impl KeyView {
    /// The key as it is at Unix second `now`.
    pub fn at(key: &KeyRow, now: u64) -> Self {
        Self {
            brief: key.into(),
            kind: if key.restricted { "restricted" } else { "standard" },
            imported: key.imported,
            friendly_name: key.friendly_name.clone(),
            age_seconds: now.saturating_sub(key.created_at),
            last_used_at: key.last_used_at.map(moment),
        }
    }
}

/// What `reconcile` found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Sidekey made them, and no team holds them.
    pub orphans: Vec<LooseKey>,
    /// Sidekey did not make them: they are never deleted.
    pub strangers: Vec<LooseKey>,
    /// A team holds them, and the upstream doesn't list them.
    pub missing: Vec<MissingKey>,
    /// Orphans that were deleted just now.
    pub deleted: Vec<String>,
}

/// A key that no team holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LooseKey {
    /// Its SID.
    pub sid: String,
    /// What it is called upstream.
    pub friendly_name: Option<String>,
    /// When it was made, in the upstream's own spelling.
    pub created_at: Option<String>,
}

/// A key that the upstream doesn't list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissingKey {
    /// Its SID.
    pub sid: String,
    /// Who holds it.
    pub team: String,
}

impl From<&Reconciled> for Difference {
    fn from(found: &Reconciled) -> Self {
        let loose = |key: &Listed| LooseKey {
            sid: key.sid.to_string(),
            friendly_name: key.friendly_name.clone(),
            created_at: key.date_created.clone(),
        };
        let missing = |(sid, team): &(KeySid, TeamId)| MissingKey { sid: sid.to_string(), team: team.to_string() };
        Self {
            orphans: found.orphans.iter().map(loose).collect(),
            strangers: found.strangers.iter().map(loose).collect(),
            missing: found.missing.iter().map(missing).collect(),
            deleted: found.deleted.iter().map(ToString::to_string).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_rfc_3339() {
        assert_eq!(moment(1_465_858_204), "2016-06-13T22:50:04Z");
    }
}
