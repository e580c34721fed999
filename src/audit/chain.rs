//! One writer's chain: each line carries the SHA-256 of the writer's line before it, and a short sum of itself.
//!
//! A line is `body` + `,"w":1,"seq":7,"at":4096,"prev":"<64 hex>"` + `,"sum":"<16 hex>"}` + newline. The digest of a line
//! is the SHA-256 of everything before `,"sum"`: `sum` is its first eight bytes, the next line's `prev` is all of it. So a
//! changed byte shows in the line itself, and a missing or foreign line in the one after it.
//!
//! `at` is where in the file the writer's line before ended. It stands on the first line of a write only; the lines
//! after it follow without a gap. So every line's place among the lines of other writers is bound too.

use super::line::{self, key};
use aws_lc_rs::digest::{SHA256, digest};

/// A digest as hex text.
pub(super) type Hex = [u8; 64];

/// What the first line of a chain that has no root says.
pub(super) const ROOT: Hex = [b'0'; 64];

/// Where a chain stands: after which line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The writer: 0 the trail itself, 1… the cores.
    pub(super) writer: u64,
    /// Number of the last line; 0: none yet.
    pub(super) seq: u64,
    /// Digest of the last line, or what the first one must say.
    pub(super) digest: Hex,
    /// Where in the current file the last line ended, in bytes; 0: no line in this file.
    pub(super) end: u64,
}

impl Head {
    pub(super) fn new(writer: u64, digest: Hex) -> Self {
        Self { writer, seq: 0, digest, end: 0 }
    }

    /// Appends one whole line to `out` and moves on. `first` of a write: the line says where the one before ended.
    pub(super) fn append(&mut self, out: &mut Vec<u8>, body: &[u8], first: bool) {
        let from = out.len();
        out.extend_from_slice(body);
        self.seq += 1;
        line::number(out, key!("w"), self.writer);
        line::number(out, key!("seq"), self.seq);
        if first {
            line::number(out, key!("at"), self.end);
        }
        out.extend_from_slice(b",\"prev\":\"");
        out.extend_from_slice(&self.digest);
        out.push(b'"');
        self.digest = digest_of(&out[from..]);
        out.extend_from_slice(b",\"sum\":\"");
        out.extend_from_slice(&self.digest[..16]);
        out.extend_from_slice(b"\"}\n");
    }
}

/// SHA-256 as hex.
pub(super) fn digest_of(bytes: &[u8]) -> Hex {
    line::hex(digest(&SHA256, bytes).as_ref())
}

/// What the end of a line says of its place in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link<'a> {
    pub(super) writer: u64,
    pub(super) seq: u64,
    /// Where the writer's line before ended, if this is the first of a write.
    pub(super) at: Option<u64>,
    pub(super) prev: &'a [u8],
    pub(super) sum: &'a [u8],
    /// What the digest covers.
    pub(super) covered: &'a [u8],
}

impl<'a> Link<'a> {
    /// Reads the end of a line (without its newline) exactly as [`Head::append`] writes it; `None` for anything else.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        const SUM: &[u8] = b",\"sum\":\"";
        const PREV: &[u8] = b",\"prev\":\"";
        // The longest `,"w":…,"seq":…,"at":…`: three names and three numbers of at most 20 digits.
        const NUMBERS: usize = 5 + 20 + 7 + 20 + 6 + 20;
        let rest = line.strip_suffix(b"\"}")?;
        let (rest, sum) = rest.split_at_checked(rest.len().checked_sub(16)?)?;
        let covered = rest.strip_suffix(SUM)?;
        let rest = covered.strip_suffix(b"\"")?;
        let (rest, prev) = rest.split_at_checked(rest.len().checked_sub(64)?)?;
        let rest = rest.strip_suffix(PREV)?;
        let window = &rest[rest.len().saturating_sub(NUMBERS)..];
        let start = memchr::memmem::rfind(window, b",\"w\":")?;
        let (writer, window) = leading_number(&window[start + 5..])?;
        let (seq, window) = leading_number(window.strip_prefix(b",\"seq\":")?)?;
        let at = match window.strip_prefix(b",\"at\":") {
            None => None,
            Some(window) => {
                let (at, rest) = leading_number(window)?;
                return rest.is_empty().then_some(Self { writer, seq, at: Some(at), prev, sum, covered });
            }
        };
        window.is_empty().then_some(Self { writer, seq, at, prev, sum, covered })
    }
}

/// A decimal number as [`line::number`] writes it, and what follows.
fn leading_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let digits = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    let (number, rest) = bytes.split_at(digits);
    if number.len() > 1 && number[0] == b'0' {
        return None;
    }
    Some((std::str::from_utf8(number).ok()?.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_as_it_was_written() {
        let mut head = Head::new(3, ROOT);
        let mut out = Vec::new();
        head.append(&mut out, b"{\"ts\":\"x\"", true);
        let first = head.digest;
        let from = out.len();
        head.append(&mut out, b"{\"ts\":\"y\"", false);
        let line = out[from..].strip_suffix(b"\n").expect("a line ends");
        let link = Link::parse(line).expect("a record");
        assert_eq!((link.writer, link.seq, link.at), (3, 2, None));
        assert_eq!(link.prev, first);
        assert_eq!(digest_of(link.covered), head.digest);
        assert_eq!(link.sum, &head.digest[..16]);
        let first = Link::parse(out[..from].strip_suffix(b"\n").expect("a line ends")).expect("a record");
        assert_eq!(first.at, Some(0));
    }

    #[test]
    fn what_is_no_record_is_no_link() {
        for line in [&b""[..], b"{}", b"\"}", b",\"sum\":\"0123456789abcdef\"}"] {
            assert_eq!(Link::parse(line), None);
        }
    }
}
