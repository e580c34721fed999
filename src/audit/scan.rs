//! Finds lines in files of any size without parsing them.
//!
//! The writer's lines are canonical and no caller's quote reaches them unescaped, so a piece of text such as
//! `,"team":"billing"` is in a line exactly if the field has that value. A scan is then a substring search over big blocks.

use super::rotate;
use aho_corasick::{AhoCorasick, MatchKind};
use memchr::memmem::{self, Finder};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes read at once: large enough that a read costs nothing beside the search, small enough for the cache.
const BLOCK: usize = 1 << 20;

/// How far lines may stand from the order of their times: those of two cores, one of them held up.
const DISORDER: u64 = 10_000_000;

/// Pieces of text that a line must hold, and the times between which it must be.
#[derive(Debug, Default)]
pub(super) struct Pattern {
    pub(super) pieces: Vec<Piece>,
    /// First and last time, as the lines spell it.
    pub(super) since: Option<String>,
    pub(super) until: Option<String>,
    /// Microseconds since the epoch: where a sorted file may be entered.
    pub(super) since_micros: Option<u64>,
}

/// What a line must hold.
#[derive(Debug)]
pub(super) enum Piece {
    /// This text.
    Text(Box<Finder<'static>>),
    /// The first of these texts, or, in a record of an administrator's act, any of them.
    AdminToo(AhoCorasick),
}

/// What the records of administrators' acts hold.
const ADMIN: &[u8] = b"\"phase\":\"admin\"";

impl Piece {
    /// Where it may be in a block of lines.
    fn find(&self, block: &[u8]) -> Option<usize> {
        match self {
            Self::Text(text) => text.find(block),
            Self::AdminToo(texts) => texts.find(block).map(|found| found.start()),
        }
    }

    fn is_in(&self, line: &[u8]) -> bool {
        match self {
            Self::Text(text) => text.find(line).is_some(),
            Self::AdminToo(texts) => {
                let mut is_first = texts.find_iter(line).map(|found| found.pattern().as_usize() == 0);
                is_first.any(|is_first| is_first || memmem::find(line, ADMIN).is_some())
            }
        }
    }
}

impl Pattern {
    pub(super) fn piece(&mut self, text: &str) {
        self.pieces.push(Piece::Text(Box::new(Finder::new(text).into_owned())));
    }

    /// The text, or one of the others in a record of an administrator's act.
    pub(super) fn piece_or_of_admin(&mut self, text: &str, others: &[String]) -> io::Result<()> {
        let texts = std::iter::once(text).chain(others.iter().map(String::as_str));
        // Leftmost: the field's own text may hold one of the others.
        let texts =
            AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(texts).map_err(io::Error::other)?;
        self.pieces.push(Piece::AdminToo(texts));
        Ok(())
    }

    /// Whether one line matches.
    pub(super) fn matches_line(&self, line: &[u8]) -> bool {
        self.pieces.iter().all(|piece| piece.is_in(line)) && self.in_time(line)
    }

    fn in_time(&self, line: &[u8]) -> bool {
        let time = time_of(line);
        self.since.as_ref().is_none_or(|since| time >= since.as_bytes())
            && self.until.as_ref().is_none_or(|until| time <= until.as_bytes())
    }
}

/// The time of a line as it is spelled: RFC 3339 of one width sorts as text.
pub(super) fn time_of(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"{\"ts\":\"").and_then(|rest| rest.get(..27)).unwrap_or_default()
}

/// Whether a line can be a record: another file's lines are not shown as if they were some.
pub(super) fn is_record(line: &[u8]) -> bool {
    line.starts_with(b"{\"ts\":\"") && line.ends_with(b"}")
}

/// Calls `each` with the records of a file that match, in their order, each without its newline.
pub(super) fn scan(
    path: &Path,
    pattern: &Pattern,
    each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    let named = |fault: io::Error| io::Error::new(fault.kind(), format!("{}: {fault}", path.display()));
    scan_unnamed(path, pattern, each).map_err(named)
}

fn scan_unnamed(
    path: &Path,
    pattern: &Pattern,
    each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    let mut reader: Box<dyn Read> = match (pattern.since_micros, plain(path)?) {
        (Some(since), Some(mut file)) => {
            let start = entry(&file, &super::line::rfc3339(since.saturating_sub(DISORDER)))?;
            file.seek(SeekFrom::Start(start))?;
            Box::new(file)
        }
        _ => rotate::open(path)?,
    };
    let mut block = Vec::with_capacity(2 * BLOCK);
    loop {
        let kept = block.len();
        let read = reader.by_ref().take(BLOCK as u64).read_to_end(&mut block)?;
        // Whole lines only; what is left waits for the rest of its line.
        let whole = match memchr::memrchr(b'\n', &block[kept..]) {
            Some(newline) => kept + newline + 1,
            None if read > 0 => continue,
            None => 0,
        };
        if matching(&block[..whole], pattern, each).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        block.drain(..whole);
        if read == 0 {
            return Ok(ControlFlow::Continue(()));
        }
    }
}

fn matching(block: &[u8], pattern: &Pattern, each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> ControlFlow<()> {
    let mut rest = block;
    while !rest.is_empty() {
        // The first piece finds lines.
        let start = match pattern.pieces.first() {
            None => 0,
            Some(piece) => match piece.find(rest) {
                None => break,
                Some(found) => memchr::memrchr(b'\n', &rest[..found]).map_or(0, |newline| newline + 1),
            },
        };
        let end = memchr::memchr(b'\n', &rest[start..]).map_or(rest.len(), |length| start + length);
        if pattern.matches_line(&rest[start..end]) && is_record(&rest[start..end]) {
            each(&rest[start..end])?;
        }
        rest = &rest[(end + 1).min(rest.len())..];
    }
    ControlFlow::Continue(())
}

/// The file, if it is one that can be entered in the middle.
fn plain(path: &Path) -> io::Result<Option<File>> {
    let Ok(file) = File::open(path) else { return Ok(None) };
    let mut first = [0];
    Ok((file.metadata()?.is_file() && file.read_at(&mut first, 0)? == 1 && first == *b"{").then_some(file))
}

/// Where the first line begins that is not before a time: by halves, since lines stand nearly in the order of time.
fn entry(file: &File, time: &str) -> io::Result<u64> {
    let (mut low, mut high) = (0, file.metadata()?.len());
    while high - low > BLOCK as u64 {
        let middle = low + (high - low) / 2;
        match line_after(file, middle)? {
            Some((start, line)) if time_of(&line) < time.as_bytes() && start > low => low = start,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// The first line that begins after a position: where, and as much of it as holds its time.
fn line_after(file: &File, position: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
    let mut block = vec![0; 64 << 10];
    let read = file.read_at(&mut block, position)?;
    block.truncate(read);
    let Some(newline) = memchr::memchr(b'\n', &block) else { return Ok(None) };
    let line = block.split_off(newline + 1);
    Ok((line.len() >= 64).then(|| (position + newline as u64 + 1, line)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    fn file_of(lines: u64) -> tempfile::NamedTempFile {
        let mut text = String::new();
        for n in 0..lines {
            let time = super::super::line::rfc3339(1_700_000_000_000_000 + n * 1_000_000);
            let team = if n % 3 == 0 { "billing" } else { "other" };
            writeln!(text, "{{\"ts\":\"{time}\",\"n\":{n},\"team\":\"{team}\",\"pad\":\"{}\"}}", "x".repeat(200))
                .expect("a String");
        }
        let file = tempfile::NamedTempFile::new().expect("a throwaway file");
        std::fs::write(file.path(), text).expect("written");
        file
    }

    fn count(file: &tempfile::NamedTempFile, pattern: &Pattern) -> usize {
        let mut count = 0;
        let mut each = |_: &[u8]| {
            count += 1;
            ControlFlow::Continue(())
        };
        assert!(scan(file.path(), pattern, &mut each).expect("readable").is_continue());
        count
    }

    #[test]
    fn lines_are_found_across_blocks() {
        let file = file_of(30_000);
        let mut pattern = Pattern::default();
        assert_eq!(count(&file, &pattern), 30_000);
        pattern.piece(",\"team\":\"billing\"");
        assert_eq!(count(&file, &pattern), 10_000);
        pattern.piece("\"n\":29997,");
        assert_eq!(count(&file, &pattern), 1);
    }

    #[test]
    fn times_bound_a_scan() {
        let file = file_of(30_000);
        let since = 1_700_000_000_000_000 + 20_000 * 1_000_000;
        let spelled = super::super::line::rfc3339;
        let mut pattern = Pattern { since: Some(spelled(since)), since_micros: Some(since), ..Pattern::default() };
        assert_eq!(count(&file, &pattern), 10_000);
        pattern.until = Some(spelled(since + 99_000_000));
        assert_eq!(count(&file, &pattern), 100);
    }

    #[test]
    fn a_scan_stops_when_told() {
        let mut seen = 0;
        let mut each = |_: &[u8]| {
            seen += 1;
            ControlFlow::Break(())
        };
        assert!(scan(file_of(10).path(), &Pattern::default(), &mut each).expect("readable").is_break());
        assert_eq!(seen, 1);
    }
}
