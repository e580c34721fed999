//! One writer's chain: each line carries the SHA-256 of the writer's line before it, and a short sum of itself.
//!
//! A line is `body` + `,"w":1,"seq":7,"at":4096,"prev":"<64 hex>"` + `,"sum":"<16 hex>"}` + newline. The digest of a line
//! is the SHA-256 of everything before `,"sum"`: `sum` is its first eight bytes, the next line's `prev` is all of it. So a
//! changed byte shows in the line itself, and a missing or foreign line in the one after it.
//!
//! `at` is where in the file the writer's line before ended. It stands on the first line of a write only; the lines
//! after it follow without a gap. So every line's place among the lines of other writers is bound too.

use super::line;
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
        line::number(out, "w", self.writer);
        line::number(out, "seq", self.seq);
        if first {
            line::number(out, "at", self.end);
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
    let mut hex = ROOT;
    // Two hex digits for each of 32 bytes: the lengths agree.
    let _ = hex::encode_to_slice(digest(&SHA256, bytes).as_ref(), &mut hex);
    hex
}
