//! Tokens by SHA-256, in shards that are replaced whole.

use super::team::TeamCell;
use crate::ids::{KeptId, TokenId};
use arc_swap::{ArcSwapAny, Guard};
use prefetch_index::prefetch_index;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use triomphe::ThinArc;

/// Shards; a power of two. With 1,000,000 tokens one change copies about 250 entries.
const SHARDS: usize = 4096;

/// What is known of one token.
#[derive(Clone, Debug)]
pub struct TokenEntry {
    id: KeptId,
    /// Whose it is.
    pub team: Arc<TeamCell>,
    /// Unix second from which it is refused; `u64::MAX`: never; [`TokenEntry::REVOKED`]: it was revoked.
    pub expires: u64,
}

impl TokenEntry {
    /// The end of a token that was revoked: kept for a while, so that the audit can tell it from an unknown one.
    pub const REVOKED: u64 = 0;

    /// A token of `team`.
    pub fn new(id: &TokenId, team: Arc<TeamCell>, expires: Option<u64>) -> Self {
        Self { id: KeptId::new(id), team, expires: expires.unwrap_or(u64::MAX) }
    }

    /// Its public id.
    pub fn id(&self) -> TokenId {
        self.id.get()
    }
}

/// The tokens of one shard: an open-addressing table that never changes once it is built, with how many are in it before it.
/// It has twice as many slots as tokens, so that most lie where they belong; one at least is free, or there are none.
///
/// Of a million tokens each request meets another one, which no cache holds. Here it is found with one look at one place:
/// digest and entry lie side by side where the digest itself points to, or next to it. A general map looks at its control
/// bytes first, which is one more wait for memory, and with that many pages one more for the address of the page.
type Table = ThinArc<usize, Option<Slot>>;

/// A token and its digest, in one line of the cache.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Slot {
    digest: [u8; 32],
    entry: TokenEntry,
}

const _: () = assert!(size_of::<Option<Slot>>() == 64, "a slot is one line of the cache");

/// Of two slots with the same digest the later one counts.
fn table(all: impl IntoIterator<Item = Slot>, at_most: usize) -> Table {
    let mut slots: Vec<Option<Slot>> = vec![None; at_most * 2];
    let mut len = 0;
    for slot in all {
        let at = find(&slots, &slot.digest);
        if let Some(place) = at.and_then(|at| slots.get_mut(at)) {
            len += usize::from(place.is_none());
            *place = Some(slot);
        }
    }
    Table::from_header_and_iter(len, slots.into_iter())
}

/// Where the digest is, or where it would be put; `None` of an empty table.
fn find(slots: &[Option<Slot>], digest: &[u8; 32]) -> Option<usize> {
    let mut at = Some(home(slots.len(), digest)).filter(|_| !slots.is_empty())?;
    while slots[at].as_ref().is_some_and(|slot| slot.digest != *digest) {
        at = if at + 1 == slots.len() { 0 } else { at + 1 };
    }
    Some(at)
}

/// Where the search begins, of so many slots. A digest is uniform already: eight of its bytes are as good a hash as any.
fn home(slots: usize, digest: &[u8; 32]) -> usize {
    // The first two bytes choose the shard, so they say nothing within one.
    let hash = u64::from_le_bytes([
        digest[8], digest[9], digest[10], digest[11], digest[12], digest[13], digest[14], digest[15],
    ]);
    // Less than `slots`, which fits.
    usize::try_from((u128::from(hash) * slots as u128) >> 64).unwrap_or_default()
}

/// One shard: its table, and how many slots that has.
#[derive(Debug)]
struct Shard {
    table: ArcSwapAny<Table>,
    /// For a guess, so that a slot is fetched while the table's own length is still on its way from another page of memory.
    /// Beside the pointer it may be another table's for a moment: then the guess is wrong, which only costs time.
    slots: AtomicUsize,
}

impl Shard {
    fn new(table: Table) -> Self {
        Self { slots: AtomicUsize::new(table.slice.len()), table: ArcSwapAny::new(table) }
    }

    fn set(&self, table: Table) {
        let slots = table.slice.len();
        self.table.store(table);
        self.slots.store(slots, Ordering::Relaxed);
    }

    fn seek(&self, digest: [u8; 32]) -> Sought {
        let guess = home(self.slots.load(Ordering::Relaxed), &digest);
        let table = self.table.load();
        prefetch_index(&table.slice, guess);
        prefetch_index(std::slice::from_ref(&table.header), 0);
        Sought { table, digest, guess }
    }
}

/// A token that is on its way from memory, if there is one. What is seen is what was known when it was sought.
#[must_use]
pub struct Sought {
    table: Guard<Table>,
    digest: [u8; 32],
    guess: usize,
}

impl Sought {
    /// SHA-256 of the token.
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Shows the token to `see`, where it lies: a copy would count at its team, which all cores share. Comparing digests in
    /// variable time tells nothing: a digest is no secret's prefix.
    pub fn see<T>(&self, see: impl FnOnce(&TokenEntry) -> T) -> Option<T> {
        let slots = &self.table.slice;
        let slot = match slots.get(self.guess) {
            Some(Some(slot)) if slot.digest == self.digest => slot,
            _ => slots[find(slots, &self.digest)?].as_ref()?,
        };
        Some(see(&slot.entry))
    }
}

impl fmt::Debug for Sought {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sought").finish_non_exhaustive()
    }
}

/// All tokens.
#[derive(Debug)]
pub struct Tokens {
    shards: Box<[Shard]>,
}

impl Default for Tokens {
    fn default() -> Self {
        let none = table([], 0);
        Self { shards: (0..SHARDS).map(|_| Shard::new(none.clone())).collect() }
    }
}

impl Tokens {
    /// Has the token with this digest fetched from memory, and does not wait for it.
    pub fn seek(&self, digest: [u8; 32]) -> Sought {
        self.shards[shard(&digest)].seek(digest)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.table.load().header.header).sum()
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
            let before = self.shards[at].table.load();
            let at_most = before.header.header + added.len();
            self.shards[at].set(table(before.slice.iter().flatten().cloned().chain(added), at_most));
        }
    }

    /// Removes those that `keep` does not want. Only one writer at a time, which [`super::Directory`] sees to.
    pub(super) fn retain(&self, keep: impl Fn(&[u8; 32], &TokenEntry) -> bool) {
        for shard in &self.shards {
            let before = shard.table.load();
            let kept = before.slice.iter().flatten().filter(|slot| keep(&slot.digest, &slot.entry));
            let kept: Vec<_> = kept.cloned().collect();
            if kept.len() < before.header.header {
                let at_most = kept.len();
                shard.set(table(kept, at_most));
            }
        }
    }

    /// Removes one.
    pub(super) fn remove(&self, digest: &[u8; 32]) {
        let shard = &self.shards[shard(digest)];
        if shard.seek(*digest).see(|_| ()).is_some() {
            let before = shard.table.load();
            let kept = before.slice.iter().flatten().filter(|slot| slot.digest != *digest).cloned();
            shard.set(table(kept, before.header.header - 1));
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

    #[test]
    fn a_wrong_guess_hides_no_token() {
        let (tokens, team) = (Tokens::default(), team());
        let all: Vec<_> = (0..200).map(|hash| digest((0, hash, 0))).collect();
        let entry = |_| TokenEntry::new(&TokenId::new("id"), Arc::clone(&team), None);
        tokens.put(all.iter().map(|digest| (*digest, entry(digest))));
        for slots in [0, 1, 399, 400, 401, 100_000, usize::MAX] {
            tokens.shards[0].slots.store(slots, Ordering::Relaxed);
            assert!(all.iter().all(|digest| tokens.seek(*digest).see(|_| ()).is_some()), "{slots}");
            assert!(tokens.seek(digest((0, 200, 0))).see(|_| ()).is_none(), "{slots}");
        }
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
                        let entry = |expires| TokenEntry::new(&TokenId::new("id"), Arc::clone(&team), Some(expires));
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
                    prop_assert_eq!(tokens.seek(digest).see(|entry| entry.expires), model.get(&digest).copied());
                }
            }
        }
    }
}
