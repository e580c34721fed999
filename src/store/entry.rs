//! Entries of the journal: what they are about, how far they have come, and how they are kept.

use super::error::{Result, StoreError};
use super::value::Row;
use crate::ids::{KeySid, TeamId};
use std::time::Duration;

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// A team gets its first key.
    Create,
    /// A team's key is replaced.
    Rotate,
    /// A key is deleted.
    Revoke,
    /// A key made elsewhere was taken in.
    Import,
}

/// How far an entry has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A key may be about to exist upstream, under the entry's `FriendlyName`.
    Intended,
    /// The new key exists, is sealed here, and is being proven.
    Created,
    /// Requests use the new key; the old one waits for those that hold it, and for its grace.
    Swapped,
    /// The old key may be gone upstream already.
    Deleting,
    /// Nothing is left to do.
    Done,
    /// Taken back: the new key is gone, the old one never left.
    RolledBack,
    /// Taken back as far as can be seen: the upstream shows no new key, but a call that nobody waits for any more may
    /// still make one. It is looked for once more.
    Doubtful,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number, which is also the version of the key that it makes.
    pub id: i64,
    /// What it is about.
    pub op: Op,
    /// Whose key.
    pub team: TeamId,
    /// How far it has come.
    pub step: Step,
    /// The process that takes its steps.
    pub owner: String,
    /// What the new key is called upstream: unique, and at most 64 characters (Twilio docs).
    pub friendly_name: String,
    /// Whether the new key is a Restricted one.
    pub restricted: bool,
    /// The new key, once it exists.
    pub new_sid: Option<KeySid>,
    /// The key that goes.
    pub old_sid: Option<KeySid>,
    /// How long the old key lives on after the swap, in whole seconds. Whoever finishes the change keeps to it.
    pub grace: Duration,
    /// The change that swapped the keys.
    pub swapped_by: Option<i64>,
    /// When that was.
    pub swapped_at: Option<u64>,
    /// The old key is not deleted before this second; of a doubtful entry, when it is looked at again.
    pub retire_at: Option<u64>,
}

/// What a new entry begins with.
pub(super) struct Draft<'a> {
    pub(super) op: Op,
    pub(super) step: Step,
    pub(super) team: &'a TeamId,
    pub(super) restricted: bool,
    pub(super) old_sid: Option<KeySid>,
    /// Rounded up to whole seconds when it is written.
    pub(super) grace: Duration,
}

/// The journal's words.
pub(super) const OPS: [(Op, &str); 4] =
    [(Op::Create, "create"), (Op::Rotate, "rotate"), (Op::Revoke, "revoke"), (Op::Import, "import")];
/// The journal's words.
pub(super) const STEPS: [(Step, &str); 7] = [
    (Step::Intended, "intended"),
    (Step::Created, "created"),
    (Step::Swapped, "swapped"),
    (Step::Deleting, "deleting"),
    (Step::Done, "done"),
    (Step::RolledBack, "rolled_back"),
    (Step::Doubtful, "doubtful"),
];

/// The word of `item` in its table.
pub(super) fn word<T: Copy + PartialEq>(table: &[(T, &'static str)], item: T) -> &'static str {
    table.iter().find(|(known, _)| *known == item).map_or("", |(_, name)| name)
}

fn item<T: Copy>(table: &[(T, &'static str)], word: &str) -> Result<T> {
    let found = table.iter().find(|(_, name)| *name == word).map(|(item, _)| *item);
    found.ok_or_else(|| StoreError::unreadable(format_args!("{word:?} in the journal")))
}

/// What [`read`] reads.
pub(super) const COLUMNS: &str =
    "id, op, team, step, owner, friendly_name, restricted, new_sid, old_sid, swapped_by, swapped_at,
    retire_at, grace FROM journal";

/// `sidekey:INSTANCE:TEAM:NUMBER`, at most 64 characters (Twilio docs). The number makes it unique, so that a long
/// team name can be cut.
pub(super) fn friendly_name(instance: &str, team: &TeamId, number: i64) -> String {
    const LONGEST: usize = 64;
    let (head, tail) = (own_prefix(instance), format!(":{number}"));
    let room = LONGEST.saturating_sub(head.len() + tail.len()).min(team.as_str().len());
    format!("{head}{}{tail}", &team.as_str()[..room])
}

/// What the `FriendlyName` of every key of this store begins with.
pub(super) fn own_prefix(instance: &str) -> String {
    format!("sidekey:{instance}:")
}

/// The entry in a row of [`COLUMNS`].
pub(super) fn read(row: &Row) -> Result<Entry> {
    let sid = |at: usize| -> Result<Option<KeySid>> {
        let read = |text| KeySid::parse(text).ok_or_else(|| StoreError::unreadable("a SID in the journal"));
        row.opt_text(at)?.map(read).transpose()
    };
    Ok(Entry {
        id: row.int(0)?,
        op: item(&OPS, row.text(1)?)?,
        team: TeamId::parse(row.text(2)?).ok_or_else(|| StoreError::unreadable("a team in the journal"))?,
        step: item(&STEPS, row.text(3)?)?,
        owner: row.text(4)?.to_owned(),
        friendly_name: row.text(5)?.to_owned(),
        restricted: row.int(6)? != 0,
        new_sid: sid(7)?,
        old_sid: sid(8)?,
        grace: Duration::from_secs(row.time(12)?),
        swapped_by: row.opt_int(9)?,
        swapped_at: row.opt_time(10)?,
        retire_at: row.opt_time(11)?,
    })
}
