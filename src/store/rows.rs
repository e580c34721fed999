//! What the store keeps, as the rest of the program sees it.

use crate::config::{Kind, TeamPolicy};
use crate::ids::{AccountSid, KeySid, TeamId, TokenId};
use crate::secret::Secret;
use std::time::Duration;

/// A team.
#[derive(Clone, Debug, PartialEq)]
pub struct TeamRow {
    /// Its name.
    pub name: TeamId,
    /// Standard or master.
    pub kind: Kind,
    /// The accounts it is pinned to; empty: `upstream.account_sid` for a standard team, no pin for a master team.
    pub accounts: Vec<AccountSid>,
    /// Whether its callers are refused.
    pub disabled: bool,
    /// Its own policy.
    pub policy: TeamPolicy,
    /// Permissions of its keys, for Restricted keys; empty: Standard keys.
    pub key_permissions: Vec<String>,
    /// Grants that its Access Tokens may carry; `None`: all.
    pub grants: Option<Vec<String>>,
    /// How often its key is rotated; `None`: as `store.rotate_every` says.
    pub rotate_every: Option<Duration>,
    /// When it was made, in seconds since the Unix epoch.
    pub created_at: u64,
}

impl TeamRow {
    /// A standard team with nothing special.
    pub fn new(name: TeamId) -> Self {
        Self {
            name,
            kind: Kind::Standard,
            accounts: Vec::new(),
            disabled: false,
            policy: TeamPolicy::default(),
            key_permissions: Vec::new(),
            grants: None,
            rotate_every: None,
            created_at: 0,
        }
    }
}

/// A token, without its text: that is gone once shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// Names it in commands and the audit.
    pub id: TokenId,
    /// Whose callers hold it.
    pub team: TeamId,
    /// SHA-256 of its text.
    pub sha256: [u8; 32],
    /// What its owner calls it; may be empty.
    pub name: String,
    /// Seconds since the Unix epoch.
    pub created_at: u64,
    /// From this second on it is refused; `None`: never.
    pub expires_at: Option<u64>,
    /// When it was revoked.
    pub revoked_at: Option<u64>,
}

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Made upstream, not yet proven: no request uses it.
    Proving,
    /// The team's key.
    Active,
    /// The team's key, but the upstream refused it (401/20003).
    Rejected,
    /// The team's key, but the upstream doesn't list it.
    Missing,
    /// Replaced; requests that hold it finish, then it is deleted upstream.
    Retiring,
    /// Revoked here; being deleted upstream.
    Revoking,
}

impl KeyState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Proving, Self::Active, Self::Rejected, Self::Missing, Self::Retiring, Self::Revoking];

    /// The word in the store and in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Proving => "proving",
            Self::Active => "active",
            Self::Rejected => "rejected",
            Self::Missing => "missing",
            Self::Retiring => "retiring",
            Self::Revoking => "revoking",
        }
    }

    /// Whether this is the key that the team's requests use.
    pub const fn is_current(self) -> bool {
        matches!(self, Self::Active | Self::Rejected | Self::Missing)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == text)
    }
}

/// A key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// Its SID.
    pub sid: KeySid,
    /// Whose requests it signs.
    pub team: TeamId,
    /// Number of the journal entry that made or imported it.
    pub version: i64,
    /// Where it is in its life.
    pub state: KeyState,
    /// Whether it is a Restricted key: it can't sign Access Tokens, and it is managed through iam.
    pub restricted: bool,
    /// Whether it was made elsewhere and imported.
    pub imported: bool,
    /// The `FriendlyName` that sidekey gave it; `None` for an imported key.
    pub friendly_name: Option<String>,
    /// Seconds since the Unix epoch; for an imported key, when it was imported.
    pub created_at: u64,
    /// When a request last used it, to the minute.
    pub last_used_at: Option<u64>,
}

/// A key with its secret: one value, so that no request mixes two keys.
#[derive(Clone, Debug)]
pub struct SealedKey {
    /// The key.
    pub row: KeyRow,
    /// Its secret, opened.
    pub secret: Secret,
}

/// One thing that is now so. Applying a change twice does no harm: each carries the present state, not a difference.
#[derive(Clone, Debug)]
pub enum Change {
    /// The team is new or different.
    Team(TeamRow),
    /// The team is gone, with its tokens and its key.
    TeamGone(TeamId),
    /// The token is new, revoked or different.
    Token(TokenRow),
    /// The token with this SHA-256 is gone.
    TokenGone([u8; 32]),
    /// The team's key is this one now, or there is none.
    Key(TeamId, Option<Box<SealedKey>>),
}
