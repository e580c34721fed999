//! Tokens by SHA-256, in shards that are replaced whole.

use super::team::TeamCell;
use crate::ids::TokenId;
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// Shards; a power of two. With 1,000,000 tokens one change copies about 250 entries.
const SHARDS: usize = 4096;

/// What is known of one token.
#[derive(Clone, Debug)]
pub struct TokenEntry {
    /// Its public id.
    pub id: TokenId,
    /// Whose it is.
    pub team: Arc<TeamCell>,
    /// Unix second from which it is refused; `u64::MAX`: never; [`TokenEntry::REVOKED`]: it was revoked.
    pub expires: u64,
}

impl TokenEntry {
    /// The end of a token that was revoked: kept for a while, so that the audit can tell it from an unknown one.
    pub const REVOKED: u64 = 0;

    /// A token of `team`.
    pub fn new(id: TokenId, team: Arc<TeamCell>, expires: Option<u64>) -> Self {
        Self { id, team, expires: expires.unwrap_or(u64::MAX) }
    }
}

/// A digest is uniform already: eight of its bytes are as good a hash as any.
#[derive(Default)]
pub struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Bytes 8.. : the first two choose the shard, so they say nothing within one.
        if let Some(eight) = bytes.get(8..16).and_then(|slice| slice.try_into().ok()) {
            self.0 = u64::from_le_bytes(eight);
        }
    }

    fn write_usize(&mut self, _length: usize) {}
}

/// A digest as a map key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Digest([u8; 32]);

impl std::hash::Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

/// Entries lie in the table itself: see [`TokenId`].
type Shard = HashMap<Digest, TokenEntry, BuildHasherDefault<DigestHasher>>;

/// All tokens.
#[derive(Debug)]
pub struct Tokens {
    shards: Box<[ArcSwap<Shard>]>,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| ArcSwap::default()).collect() }
    }
}

impl Tokens {
    /// Shows the token with this digest to `see`. Comparing digests in variable time tells nothing: a digest is no secret's prefix.
    pub fn with<T>(&self, digest: &[u8; 32], see: impl FnOnce(&TokenEntry) -> T) -> Option<T> {
        self.shards[shard(digest)].load().get(&Digest(*digest)).map(see)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.load().len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds or replaces. Only one writer at a time, which [`super::Directory`] sees to.
    pub(super) fn put(&self, entries: impl IntoIterator<Item = ([u8; 32], TokenEntry)>) {
        let mut changed: HashMap<usize, Shard> = HashMap::new();
        for (digest, entry) in entries {
            let at = shard(&digest);
            let shard = match changed.entry(at) {
                Entry::Occupied(slot) => slot.into_mut(),
                Entry::Vacant(slot) => slot.insert(Shard::clone(&self.shards[at].load())),
            };
            shard.insert(Digest(digest), entry);
        }
        for (at, shard) in changed {
            self.shards[at].store(Arc::new(shard));
        }
    }

    /// Removes those that `keep` does not want. Only one writer at a time, which [`super::Directory`] sees to.
    pub(super) fn retain(&self, keep: impl Fn(&[u8; 32], &TokenEntry) -> bool) {
        for cell in &self.shards {
            let shard = cell.load();
            if shard.iter().all(|(digest, entry)| keep(&digest.0, entry)) {
                continue;
            }
            let mut shard = Shard::clone(&shard);
            shard.retain(|digest, entry| keep(&digest.0, entry));
            cell.store(Arc::new(shard));
        }
    }

    /// Removes one.
    pub(super) fn remove(&self, digest: &[u8; 32]) {
        let cell = &self.shards[shard(digest)];
        let mut shard = Shard::clone(&cell.load());
        if shard.remove(&Digest(*digest)).is_some() {
            cell.store(Arc::new(shard));
        }
    }
}

/// Which shard a digest lives in.
fn shard(digest: &[u8; 32]) -> usize {
    usize::from(u16::from_le_bytes([digest[0], digest[1]])) % SHARDS
}
