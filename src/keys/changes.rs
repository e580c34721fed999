//! Changes of the store, in words and as the directory takes them.

use crate::directory::Key;
use crate::store::{Change, KeyState, SealedKey};

/// A change in words. Whoever made it may have been a command, which writes no audit of its own.
pub(super) fn describe(change: &Change) -> (&'static str, String) {
    match change {
        Change::Team(row) if row.disabled => ("store.team", format!("{} is disabled", row.name)),
        Change::Team(row) => ("store.team", format!("{} is new or different", row.name)),
        Change::TeamGone(name) => ("store.team", format!("{name} is gone")),
        Change::Token(row) if row.revoked_at.is_some() => {
            ("store.token", format!("{} of {} is revoked", row.id, row.team))
        }
        Change::Token(row) => ("store.token", format!("{} of {} is new", row.id, row.team)),
        Change::TokenGone(digest) => ("store.token", format!("sha256:{} is gone", hex::encode(&digest[..6]))),
        Change::Key(name, Some(key)) => ("store.key", format!("{} of {name} is {}", key.row.sid, key.row.state.name())),
        Change::Key(name, None) => ("store.key", format!("{name} has none")),
    }
}

/// The key as requests use it; one that the upstream no longer takes is marked so.
pub(super) fn fresh(key: SealedKey) -> Key {
    let made = Key::new(key.row.sid.as_str(), key.secret, !key.row.restricted);
    if key.row.state != KeyState::Active {
        // Somebody has told the store long since.
        made.reject(key.row.created_at);
    }
    made
}
