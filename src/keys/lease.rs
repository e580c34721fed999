//! Grant → lease: the right to send one request with the team's key.
//!
//! [`Lease`] has no constructor but [`lease()`], which asks for a [`Grant`]. The key that signs Access Tokens is no lease:
//! nothing is sent with it.

use crate::config::Kind;
use crate::directory::{Directory, Key, TeamState};
use crate::error::Reason;
use crate::policy::Grant;
use std::sync::{Arc, Weak};

/// A key, held for one request. SID and secret are one value behind one pointer, so a rotation can't split them, and the
/// pointer's count tells the rotation when the last request with the old key has ended.
#[must_use]
#[derive(Clone, Debug)]
pub struct Lease {
    key: Arc<Key>,
}

impl Lease {
    /// The key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The key, for whoever remembers it and must not hold it.
    pub fn downgrade(&self) -> Weak<Key> {
        Arc::downgrade(&self.key)
    }

    /// Whether this is the key.
    pub fn holds(&self, key: &Weak<Key>) -> bool {
        std::ptr::eq(key.as_ptr(), Arc::as_ptr(&self.key))
    }
}

/// Leases the key that a granted request goes upstream with: the team's own, or the master credential.
///
/// # Errors
/// `no_key` where there is none.
pub fn lease(_grant: &Grant, team: &TeamState, directory: &Directory, now: u64) -> Result<Lease, Reason> {
    take(team, directory, now).map(|key| Lease { key })
}

/// The key that signs Access Tokens for a proven team. Nothing goes upstream with it, so no grant is asked for.
///
/// # Errors
/// `no_key` where there is none.
pub fn signing_key(team: &TeamState, directory: &Directory, now: u64) -> Result<Arc<Key>, Reason> {
    take(team, directory, now)
}

fn take(team: &TeamState, directory: &Directory, now: u64) -> Result<Arc<Key>, Reason> {
    let key = match (&team.key, team.kind) {
        (_, Kind::Master) => directory.master(),
        (key, Kind::Standard) => key.clone(),
    };
    let key = key.ok_or(Reason::NoKey)?;
    key.touch(now);
    Ok(key)
}
