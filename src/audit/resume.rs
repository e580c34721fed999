//! Finds where the chains of an existing file stand, so that a new run goes on with them.
//!
//! Only what lies behind the last record with `heads` is read, so a start costs the same for any file size.

use super::chain::{Head, Link, ROOT, digest_of};
use super::control::TrailId;
use memchr::memmem;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

/// What a file says of its end.
#[derive(Debug)]
pub(super) struct Resumed {
    pub(super) trail: TrailId,
    /// Where each writer's chain stands.
    pub(super) heads: BTreeMap<u64, Head>,
    /// Where the last whole line ends; what follows is torn.
    pub(super) whole: u64,
    /// Pieces of lines that a killed writer left before another writer's line: where, and how long.
    pub(super) torn: Vec<(u64, u64)>,
}

/// How far back one step looks. Checkpoints are seconds apart: one step is enough but for a very busy broker.
const STEP: u64 = 4 << 20;

/// Reads the end of a trail file; `None` if it holds no record that tells where chains stand.
pub(super) fn resume(file: &File) -> io::Result<Option<Resumed>> {
    let length = file.metadata()?.len();
    let mut from = length;
    while from > 0 {
        from = from.saturating_sub(STEP);
        let tail = read_from(file, from)?;
        if let Some(start) = last_anchor(&tail) {
            return Ok(follow(&tail[start..], from + at(start)));
        }
    }
    Ok(None)
}

/// The same for a rotated file that may be compressed: positions begin anew in its successor.
pub(super) fn resume_after(mut file: impl Read) -> io::Result<Option<Resumed>> {
    let mut all = Vec::new();
    file.read_to_end(&mut all)?;
    let resumed = last_anchor(&all).and_then(|start| follow(&all[start..], at(start)));
    Ok(resumed.map(|mut resumed| {
        resumed.heads.values_mut().for_each(|head| head.end = 0);
        resumed
    }))
}

/// Where the last whole line with `heads` begins. No caller's text can hold this pattern: its quotes are escaped.
fn last_anchor(bytes: &[u8]) -> Option<usize> {
    let mut end = bytes.len();
    while let Some(found) = memmem::rfind(&bytes[..end], b",\"heads\":[") {
        let start = memchr::memrchr(b'\n', &bytes[..found]).map_or(0, |newline| newline + 1);
        let line_end = memchr::memchr(b'\n', &bytes[found..]).map(|length| found + length);
        if let Some(line_end) = line_end
            && bytes[start..].starts_with(b"{\"ts\":")
            && Link::parse(&bytes[start..line_end]).is_some_and(is_sound)
        {
            return Some(start);
        }
        end = found;
    }
    None
}

fn follow(bytes: &[u8], offset: u64) -> Option<Resumed> {
    let mut lines = bytes.split_inclusive(|&b| b == b'\n');
    let anchor = lines.next()?;
    let value: Value = serde_json::from_slice(anchor).ok()?;
    let trail = value["trail"].as_str()?.as_bytes().try_into().ok()?;
    let mut heads: BTreeMap<u64, Head> =
        value["heads"].as_array()?.iter().filter_map(head).map(|h| (h.writer, h)).collect();
    let (mut end, mut whole, mut torn) = (offset, offset, Vec::new());
    for line in std::iter::once(anchor).chain(lines) {
        let start = end;
        end += at(line.len());
        let Some(line) = line.strip_suffix(b"\n") else { break };
        whole = end;
        // Every line begins so, and no caller's text can hold it.
        let begins = memmem::rfind(line, b"{\"ts\":\"").unwrap_or_default();
        // Whatever is no sound record is left for `verify` to name.
        if let Some(link) = Link::parse(&line[begins..]).filter(|link| is_sound(*link)) {
            if begins > 0 {
                torn.push((start, at(begins)));
            }
            let digest = digest_of(link.covered);
            heads.insert(link.writer, Head { writer: link.writer, seq: link.seq, digest, end });
        }
    }
    Some(Resumed { trail, heads, whole, torn })
}

/// Reads `[writer, seq, "digest", end]`.
pub(super) fn head(value: &Value) -> Option<Head> {
    let digest = value[2].as_str()?.as_bytes().try_into().ok()?;
    Some(Head { writer: value[0].as_u64()?, seq: value[1].as_u64()?, digest, end: value[3].as_u64()? })
}

fn is_sound(link: Link<'_>) -> bool {
    link.prev.len() == ROOT.len() && digest_of(link.covered).starts_with(link.sum)
}

fn read_from(file: &File, from: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read_at(&mut block, from + at(bytes.len()))? {
            0 => return Ok(bytes),
            n => bytes.extend_from_slice(&block[..n]),
        }
    }
}

/// A length as a position. `usize` is never wider than `u64` here.
fn at(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_before_another_writers_line_is_seen() {
        let trail = "0".repeat(32);
        let (mut one, mut two) = (Head::new(0, ROOT), Head::new(1, ROOT));
        let mut bytes = Vec::new();
        one.append(&mut bytes, format!("{{\"ts\":\"x\",\"trail\":\"{trail}\",\"heads\":[]").as_bytes(), true);
        let from = bytes.len();
        bytes.extend_from_slice(b"{\"ts\":\"y\",\"cut\":");
        let length = bytes.len() - from;
        two.append(&mut bytes, b"{\"ts\":\"z\"", true);
        bytes.extend_from_slice(b"{\"ts\":\"torn");
        let whole = at(bytes.len() - 11);
        let resumed = follow(&bytes, 0).expect("a trail");
        assert_eq!((resumed.torn, resumed.whole), (vec![(at(from), at(length))], whole));
        assert_eq!(resumed.heads[&1].digest, two.digest);
    }
}
