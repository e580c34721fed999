//! Tokens that were verified, by their SHA-256.
//!
//! Bounded, in shards, so that cores rarely wait for each other and never for a signature. A hit holds only while the
//! token is in time and the very key set that verified it is in force.

use super::JwtIdentity;
use crate::authn::jwks::KeySet;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A power of two well above the number of cores.
const SHARDS: usize = 16;

/// Tokens in one shard: 16,384 in all, about 4 MB.
const PER_SHARD: usize = 1024;

#[derive(Default)]
pub(super) struct Remembered {
    shards: [Mutex<HashMap<[u8; 32], Verified>>; SHARDS],
}

/// A token that was verified.
pub(super) struct Verified {
    identity: JwtIdentity,
    provider: usize,
    /// Of the set that verified it.
    set: Weak<KeySet>,
    /// Earlier than this the clock was set back, and the token may not have begun.
    since: u64,
}

impl Verified {
    /// Verified `now` by the set of a provider.
    pub(super) fn new(identity: JwtIdentity, provider: usize, set: &Arc<KeySet>, now: u64) -> Self {
        Self { identity, provider, set: Arc::downgrade(set), since: now }
    }
}

impl Remembered {
    /// A token verified before, if it still would be; `current` gives the provider's set in force.
    pub(super) fn find(
        &self,
        digest: &[u8; 32],
        now: u64,
        current: impl Fn(usize) -> Option<Arc<KeySet>>,
    ) -> Option<JwtIdentity> {
        let shard = self.shard(digest);
        let found = shard.get(digest)?;
        let in_time = found.since <= now && now < found.identity.expires;
        let same_set = || current(found.provider).is_some_and(|set| Arc::as_ptr(&set) == found.set.as_ptr());
        (in_time && same_set()).then(|| found.identity.clone())
    }

    /// Remembers a token. A full shard forgets what has expired, and everything if nothing has.
    pub(super) fn keep(&self, digest: [u8; 32], verified: Verified) {
        let (now, mut shard) = (verified.since, self.shard(&digest));
        if shard.len() >= PER_SHARD {
            shard.retain(|_, verified| now < verified.identity.expires && verified.set.strong_count() > 0);
        }
        if shard.len() >= PER_SHARD {
            shard.clear();
        }
        shard.insert(digest, verified);
    }

    fn shard(&self, digest: &[u8; 32]) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Verified>> {
        let shard = &self.shards[usize::from(digest[0]) % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().map_or(0, |shard| shard.len())).sum()
    }
}
