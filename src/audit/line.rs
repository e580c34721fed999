//! Writes the fields of a record as JSON, by hand: one line must cost well under a microsecond.
//!
//! No byte that a caller sends can end a string, a line or a record: everything outside printable ASCII, and `"` and
//! `\`, becomes `\u00XX`, byte by byte (so a path in UTF-8 reads as its bytes).

use super::facts::Peer;
use std::io::Write;
use std::net::SocketAddr;

/// Longest path kept, in bytes: longer than any path of Twilio's API by far, and bounds a line at about 16 KiB when
/// every byte needs escaping.
pub(super) const MAX_PATH: usize = 2048;
/// Longest of any other text, in bytes.
pub(super) const MAX_TEXT: usize = 256;

/// The beginning of a text field: `,"name":"`. One piece, so that it is one copy.
macro_rules! key {
    ($name:literal) => {
        concat!(",\"", $name, "\":\"")
    };
}
pub(super) use key;

/// Appends a text field, or `null`. `key` is from [`key!`].
#[inline]
pub(super) fn text(out: &mut Vec<u8>, key: &str, value: Option<&[u8]>, ceiling: usize) {
    match value {
        None => null(out, key),
        Some(value) => {
            out.extend_from_slice(key.as_bytes());
            escape(out, &value[..value.len().min(ceiling)]);
            out.push(b'"');
        }
    }
}

/// The same for text of our own, which needs no escape: printable ASCII without quotes.
#[inline]
pub(super) fn plain(out: &mut Vec<u8>, key: &str, value: Option<&[u8]>) {
    match value {
        None => null(out, key),
        Some(value) => {
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(value);
            out.push(b'"');
        }
    }
}

/// A text field whose name is not known beforehand.
pub(super) fn named_text(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    text(out, &format!(",\"{name}\":\""), Some(value), MAX_TEXT);
}

/// Appends a number. `key` is from [`key!`].
#[inline]
pub(super) fn number(out: &mut Vec<u8>, key: &str, value: u64) {
    out.extend_from_slice(unquoted(key));
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a number or `null`.
#[inline]
pub(super) fn maybe_number(out: &mut Vec<u8>, key: &str, value: Option<u64>) {
    match value {
        Some(value) => number(out, key, value),
        None => null(out, key),
    }
}

/// Appends `,"peer":…`.
pub(super) fn peer(out: &mut Vec<u8>, peer: Peer) {
    out.extend_from_slice(key!("peer").as_bytes());
    match peer {
        Peer::Unix => out.extend_from_slice(b"unix"),
        Peer::Ip(SocketAddr::V4(address)) => {
            let mut number = itoa::Buffer::new();
            for octet in address.ip().octets() {
                out.extend_from_slice(number.format(octet).as_bytes());
                out.push(b'.');
            }
            out.pop();
            out.push(b':');
            out.extend_from_slice(number.format(address.port()).as_bytes());
        }
        // A Vec takes every write.
        Peer::Ip(address @ SocketAddr::V6(_)) => drop(write!(out, "{address}")),
    }
    out.push(b'"');
}

#[inline]
fn null(out: &mut Vec<u8>, key: &str) {
    out.extend_from_slice(unquoted(key));
    out.extend_from_slice(b"null");
}

#[inline]
fn unquoted(key: &str) -> &[u8] {
    &key.as_bytes()[..key.len() - 1]
}

/// Appends bytes so that they stay inside a JSON string.
pub(super) fn escape(out: &mut Vec<u8>, mut bytes: &[u8]) {
    // Without a branch, so that the compiler looks at many at once; nearly every text is clean.
    if bytes.iter().fold(0, |found, &byte| found | u8::from(needs_escape(byte))) == 0 {
        return out.extend_from_slice(bytes);
    }
    while let Some(at) = bytes.iter().position(|&byte| needs_escape(byte)) {
        out.extend_from_slice(&bytes[..at]);
        out.extend_from_slice(b"\\u00");
        out.extend_from_slice(&hex::<2>(&[bytes[at]]));
        bytes = &bytes[at + 1..];
    }
    out.extend_from_slice(bytes);
}

const fn needs_escape(byte: u8) -> bool {
    !matches!(byte, b' '..=b'~') || byte == b'"' || byte == b'\\'
}

/// Lower-case hex. `TWICE` is twice the number of bytes.
pub(super) fn hex<const TWICE: usize>(bytes: &[u8]) -> [u8; TWICE] {
    let mut out = [b'0'; TWICE];
    for (pair, byte) in out.as_chunks_mut().0.iter_mut().zip(bytes) {
        *pair = PAIRS[usize::from(*byte)];
    }
    out
}

/// Both digits of each byte.
static PAIRS: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < pairs.len() {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
};

/// Writes times as RFC 3339 with microseconds; the text of the second is kept, since most records share it.
#[derive(Debug, Default)]
pub(super) struct Stamp {
    second: Option<u64>,
    text: Vec<u8>,
}

impl Stamp {
    /// Appends `{"ts":"…"`: every line begins with it.
    pub(super) fn begin(&mut self, out: &mut Vec<u8>, unix_micros: u64) {
        let (second, mut micros) = (unix_micros / 1_000_000, unix_micros % 1_000_000);
        if self.second != Some(second) {
            self.text.clear();
            // Past the year 9999 the clock is broken; the epoch is as wrong as any other.
            let time = jiff::Timestamp::from_second(i64::try_from(second).unwrap_or_default()).unwrap_or_default();
            drop(write!(self.text, "{}", time.strftime("%Y-%m-%dT%H:%M:%S")));
            self.second = Some(second);
        }
        out.extend_from_slice(b"{\"ts\":\"");
        out.extend_from_slice(&self.text);
        let mut digits = *b".000000Z\"";
        for digit in digits[1..7].iter_mut().rev() {
            *digit = b'0' + u8::try_from(micros % 10).unwrap_or_default();
            micros /= 10;
        }
        out.extend_from_slice(&digits);
    }
}

/// A time as the lines spell it.
pub(super) fn rfc3339(unix_micros: u64) -> String {
    let mut out = Vec::new();
    Stamp::default().begin(&mut out, unix_micros);
    // `{"ts":"` before, `"` after.
    String::from_utf8_lossy(&out[7..out.len() - 1]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_rfc_3339_with_microseconds() {
        let mut stamp = Stamp::default();
        for (micros, want) in [
            (1_700_000_000_000_001, "{\"ts\":\"2023-11-14T22:13:20.000001Z\""),
            (1_700_000_000_123_456, "{\"ts\":\"2023-11-14T22:13:20.123456Z\""),
            (0, "{\"ts\":\"1970-01-01T00:00:00.000000Z\""),
        ] {
            let mut out = Vec::new();
            stamp.begin(&mut out, micros);
            assert_eq!(String::from_utf8_lossy(&out), want);
        }
    }

    #[test]
    fn peers_read_as_addresses() {
        for (given, want) in
            [("127.0.0.1:80", ",\"peer\":\"127.0.0.1:80\""), ("[::1]:8443", ",\"peer\":\"[::1]:8443\"")]
        {
            let mut out = Vec::new();
            peer(&mut out, Peer::Ip(given.parse().expect("an address")));
            assert_eq!(String::from_utf8_lossy(&out), want);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_leave_their_string(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut out = b"{\"a\":1".to_vec();
            text(&mut out, key!("b"), Some(&bytes), MAX_TEXT);
            out.push(b'}');
            prop_assert!(out.iter().all(|b| (0x20..0x7f).contains(b)));
            let value: serde_json::Value = serde_json::from_slice(&out).expect("valid JSON");
            let back: Vec<u32> = value["b"].as_str().expect("text").chars().map(u32::from).collect();
            prop_assert_eq!(back, bytes.iter().copied().map(u32::from).collect::<Vec<_>>());
        }
    }
}
