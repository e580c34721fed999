//! Tokens by SHA-256, in shards that are replaced whole.

use super::team::TeamCell;
use crate::ids::TokenId;
use arc_swap::ArcSwap;
use std::collections::HashMap;
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

/// The tokens of one shard: an open-addressing table that never changes once it is built.
///
/// Of a million tokens each request meets another one, which no cache holds. Here it is found with one look at one place:
/// digest and entry lie side by side where the digest itself points to, or next to it. A general map looks at its control
/// bytes first, which is one more wait for memory, and with that many pages one more for the address of the page.
#[derive(Debug, Default)]
struct Shard {
    /// Twice as many as tokens, so that most lie where they belong; one at least is free, or there are none.
    slots: Box<[Option<Slot>]>,
    len: usize,
}

#[derive(Clone, Debug)]
struct Slot {
    digest: [u8; 32],
    entry: TokenEntry,
}

impl Shard {
    /// Of two slots with the same digest the later one counts.
    fn build(all: impl IntoIterator<Item = Slot>, at_most: usize) -> Self {
        let mut shard = Self { slots: vec![None; at_most * 2].into(), len: 0 };
        for slot in all {
            let at = shard.find(&slot.digest);
            if let Some(place) = at.and_then(|at| shard.slots.get_mut(at)) {
                shard.len += usize::from(place.is_none());
                *place = Some(slot);
            }
        }
        shard
    }

    fn get(&self, digest: &[u8; 32]) -> Option<&TokenEntry> {
        self.slots[self.find(digest)?].as_ref().map(|slot| &slot.entry)
    }

    /// Where the digest is, or where it would be put; `None` of an empty table.
    fn find(&self, digest: &[u8; 32]) -> Option<usize> {
        let mut at = self.home(digest)?;
        while self.slots[at].as_ref().is_some_and(|slot| slot.digest != *digest) {
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
        Some(at)
    }

    /// Where the search begins. A digest is uniform already: eight of its bytes are as good a hash as any.
    fn home(&self, digest: &[u8; 32]) -> Option<usize> {
        // Bytes 8.. : the first two choose the shard, so they say nothing within one.
        let hash = u64::from_le_bytes(*digest[8..].first_chunk()?);
        let scaled = (u128::from(hash) * self.slots.len() as u128) >> 64;
        usize::try_from(scaled).ok().filter(|_| !self.slots.is_empty())
    }

    fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().flatten()
    }
}

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
        self.shards[shard(digest)].load().get(digest).map(see)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.load().len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds or replaces. Only one writer at a time, which [`super::Directory`] sees to.
    pub(super) fn put(&self, entries: impl IntoIterator<Item = ([u8; 32], TokenEntry)>) {
        let mut added: HashMap<usize, Vec<Slot>> = HashMap::new();
        for (digest, entry) in entries {
            added.entry(shard(&digest)).or_default().push(Slot { digest, entry });
        }
        for (at, added) in added {
            let before = self.shards[at].load();
            let at_most = before.len + added.len();
            self.shards[at].store(Arc::new(Shard::build(before.iter().cloned().chain(added), at_most)));
        }
    }

    /// Removes those that `keep` does not want. Only one writer at a time, which [`super::Directory`] sees to.
    pub(super) fn retain(&self, keep: impl Fn(&[u8; 32], &TokenEntry) -> bool) {
        for cell in &self.shards {
            let before = cell.load();
            let kept = before.iter().filter(|slot| keep(&slot.digest, &slot.entry));
            let kept: Vec<_> = kept.cloned().collect();
            if kept.len() < before.len {
                let at_most = kept.len();
                cell.store(Arc::new(Shard::build(kept, at_most)));
            }
        }
    }

    /// Removes one.
    pub(super) fn remove(&self, digest: &[u8; 32]) {
        let cell = &self.shards[shard(digest)];
        let before = cell.load();
        if before.get(digest).is_some() {
            let kept = before.iter().filter(|slot| slot.digest != *digest).cloned();
            cell.store(Arc::new(Shard::build(kept, before.len - 1)));
        }
    }
}

/// Which shard a digest lives in.
fn shard(digest: &[u8; 32]) -> usize {
    usize::from(u16::from_le_bytes([digest[0], digest[1]])) % SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Kind;
    use crate::directory::{Accounts, TeamState};
    use crate::ids::TeamId;
    use proptest::prelude::*;

    fn team() -> Arc<TeamCell> {
        Arc::new(TeamCell::new(TeamState {
            id: TeamId::parse("one").expect("a team's name"),
            kind: Kind::Standard,
            accounts: Accounts::new(),
            disabled: false,
            policy: Arc::default(),
            grants: None,
            key: None,
        }))
    }

    /// Few shards, and few places within one: a crowded table.
    fn digest((shard, hash, last): (u8, u8, u8)) -> [u8; 32] {
        let mut digest = [0; 32];
        (digest[0], digest[15], digest[31]) = (shard, hash, last);
        digest
    }

    #[derive(Clone, Debug)]
    enum Step {
        Put(Vec<((u8, u8, u8), u64)>),
        Remove((u8, u8, u8)),
        Retain(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        let one = || (0..2_u8, any::<u8>(), 0..4_u8);
        prop_oneof![
            proptest::collection::vec((one(), any::<u64>()), 0..40).prop_map(Step::Put),
            one().prop_map(Step::Remove),
            (0..4_u8).prop_map(Step::Retain),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn tokens_are_a_map_by_digest(steps in proptest::collection::vec(step(), 0..20)) {
            let (tokens, team) = (Tokens::default(), team());
            let mut model = HashMap::new();
            for step in steps {
                match step {
                    Step::Put(all) => {
                        let all: Vec<_> = all.into_iter().map(|(short, expires)| (digest(short), expires)).collect();
                        let entry = |expires| TokenEntry::new(TokenId::new("id"), Arc::clone(&team), Some(expires));
                        tokens.put(all.iter().map(|&(digest, expires)| (digest, entry(expires))));
                        model.extend(all);
                    }
                    Step::Remove(short) => {
                        tokens.remove(&digest(short));
                        model.remove(&digest(short));
                    }
                    Step::Retain(last) => {
                        tokens.retain(|digest, _| digest[31] != last);
                        model.retain(|digest, _| digest[31] != last);
                    }
                }
                prop_assert_eq!(tokens.len(), model.len());
                for (shard, hash, last) in (0..2).flat_map(|s| (0..=255).flat_map(move |h| (0..4).map(move |l| (s, h, l)))) {
                    let digest = digest((shard, hash, last));
                    prop_assert_eq!(tokens.with(&digest, |entry| entry.expires), model.get(&digest).copied());
                }
            }
        }
    }
}
