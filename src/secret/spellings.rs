//! The ways a secret can be spelled in an answer: what an echoing upstream could send back.

use super::Secret;
use super::sieve::Sieve;
use aho_corasick::{AhoCorasick, MatchKind, packed};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use std::fmt;
use std::fmt::Write;
use std::ops::Range;
use std::sync::OnceLock;
use zeroize::{Zeroize, Zeroizing};

/// Secrets shorter than this are not sought: they would be found everywhere. Twilio's have 32 characters.
const SHORTEST: usize = 8;

/// Texts of so many bytes are sieved first. In shorter ones the sieve's table, fetched from memory, would cost more than it
/// saves.
const LONG: usize = 4 * 1024;

/// Finds a secret in raw, Base64 (at any offset, so also inside a Basic value), hexadecimal, percent-encoded,
/// JSON-escaped, XML-escaped and UTF-16 form; and a Basic value that carries it in the same forms, for that is what an
/// upstream hears.
pub struct Spellings {
    finder: Finder,
    /// Made for the first long text; `None` within if the secret is too short for it.
    sieve: OnceLock<Option<Sieve>>,
    /// Wiped when dropped.
    patterns: Vec<Vec<u8>>,
    longest: usize,
}

/// Finds the first of all patterns.
enum Finder {
    /// Nothing is sought.
    Nothing,
    /// Several bytes at a time, on processors that can: some 0.1 ns a byte instead of 1.
    Packed(packed::Searcher),
    /// Byte by byte.
    Automaton(AhoCorasick),
}

impl Finder {
    fn of(patterns: &[Vec<u8>]) -> Self {
        let mut builder = packed::Config::new().match_kind(packed::MatchKind::LeftmostFirst).builder();
        builder.extend(patterns).build().map_or_else(
            || {
                let automaton = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(patterns);
                Self::Automaton(automaton.expect("some sixty short patterns are far below its ceilings"))
            },
            Self::Packed,
        )
    }

    fn find(&self, text: &[u8]) -> Option<Range<usize>> {
        let found = match self {
            Self::Nothing => None,
            Self::Packed(searcher) => searcher.find(text),
            Self::Automaton(automaton) => automaton.find(text),
        };
        found.map(|found| found.range())
    }
}

impl Drop for Spellings {
    fn drop(&mut self) {
        self.patterns.zeroize();
    }
}

impl fmt::Debug for Spellings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spellings(…)")
    }
}

impl Spellings {
    /// The spellings of `secret`, the password of `username` in a Basic value.
    pub fn of(username: &str, secret: &Secret) -> Self {
        let bytes = secret.expose();
        if bytes.len() < SHORTEST {
            return Self { finder: Finder::Nothing, sieve: OnceLock::new(), patterns: Vec::new(), longest: 0 };
        }
        let mut patterns = spelled(bytes);
        // What the name and the colon leave of a group of three is where the secret begins in the value.
        let sent = Zeroizing::new(base64_core(&STANDARD_NO_PAD, bytes, (username.len() + 1) % 3));
        patterns.append(&mut spelled(sent.as_bytes()));
        patterns.sort();
        patterns.dedup();
        let longest = patterns.iter().map(Vec::len).max().unwrap_or(0);
        let finder = Finder::of(&patterns);
        Self { finder, sieve: OnceLock::new(), patterns, longest }
    }
    /// How many bytes at the end of `text` could be the beginning of a spelling that goes on in the next piece.
    pub fn tail(&self, text: &[u8]) -> usize {
        let from = text.len().saturating_sub(self.longest.saturating_sub(1));
        let begins = |at: &usize| self.patterns.iter().any(|pattern| pattern.starts_with(&text[*at..]));
        (from..text.len()).find(begins).map_or(0, |at| text.len() - at)
    }

    /// Whether a spelling stands somewhere in `text`.
    pub fn found_in(&self, text: &[u8]) -> bool {
        self.find(text).is_some()
    }

    /// Overwrites every spelling in `text` with asterisks; says whether there was one. The length stays.
    pub fn mask(&self, text: &mut [u8]) -> bool {
        let mut from = 0;
        let mut masked = false;
        while let Some(found) = self.find(&text[from..]) {
            text[from + found.start..from + found.end].fill(b'*');
            from += found.end;
            masked = true;
        }
        masked
    }

    /// The first spelling in `text`.
    fn find(&self, text: &[u8]) -> Option<Range<usize>> {
        let sieve =
            if text.len() < LONG { None } else { self.sieve.get_or_init(|| Sieve::of(&self.patterns)).as_ref() };
        let Some(sieve) = sieve else { return self.finder.find(text) };
        let mut from = 0;
        loop {
            let place = from + sieve.first(text.get(from..)?)?;
            let begin = (place + 1).saturating_sub(sieve.stride());
            let end = text.len().min(place + self.longest);
            // What begins behind the place may have its end behind `end`: it has a place of its own.
            let found = self.finder.find(&text[begin..end]);
            if let Some(found) = found.filter(|found| begin + found.start <= place) {
                return Some(begin + found.start..begin + found.end);
            }
            from = place + sieve.stride();
        }
    }
}

/// Everything that `bytes` can look like.
fn spelled(bytes: &[u8]) -> Vec<Vec<u8>> {
    let hex = hex::encode(bytes);
    let mut patterns = vec![bytes.to_vec()];
    patterns.push(hex.to_uppercase().into_bytes());
    patterns.push(hex.into_bytes());
    patterns.push(escaped(bytes, "%", false));
    patterns.push(escaped(bytes, "%", true));
    patterns.push(escaped(bytes, "\\u00", false));
    patterns.push(escaped(bytes, "\\u00", true));
    patterns.push(bytes.iter().flat_map(|byte| format!("&#{byte};").into_bytes()).collect());
    patterns.push(bytes.iter().flat_map(|byte| format!("&#x{byte:x};").into_bytes()).collect());
    patterns.push(bytes.iter().flat_map(|byte| format!("&#x{byte:X};").into_bytes()).collect());
    // UTF-16 in either order of bytes, for what is ASCII: what stands between the first and the last byte is the same.
    patterns.push(bytes.iter().flat_map(|byte| [0, *byte]).skip(1).collect());
    for offset in 0..3 {
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let core = base64_core(engine, bytes, offset);
            patterns.push(core.replace('+', "%2B").replace('/', "%2F").into_bytes());
            patterns.push(core.replace('+', "%2b").replace('/', "%2f").into_bytes());
            patterns.push(core.replace('/', "\\/").into_bytes());
            patterns.push(core.into_bytes());
        }
    }
    patterns
}

/// Each byte as `prefix` and two hex digits.
fn escaped(bytes: &[u8], prefix: &str, upper: bool) -> Vec<u8> {
    let mut text = String::with_capacity(bytes.len() * (prefix.len() + 2));
    for byte in bytes {
        // Writing to a String never fails.
        let _ = if upper { write!(text, "{prefix}{byte:02X}") } else { write!(text, "{prefix}{byte:02x}") };
    }
    text.into_bytes()
}

/// The characters that Base64 gives `bytes` when they begin `offset` bytes into a group of three, without those at
/// either end that also hold bits of a neighbour.
fn base64_core(engine: &impl Engine, bytes: &[u8], offset: usize) -> String {
    let mut padded = vec![0; offset];
    padded.extend_from_slice(bytes);
    let text = engine.encode(&padded);
    let first = (offset * 8).div_ceil(6);
    let whole = padded.len() * 8 / 6;
    text[first..whole].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_spelling_is_found_and_masked(
            secret in "[A-Za-z0-9+/~?]{32}", before in "[ -~]{0,9}", after in "[ -~]{0,9}"
        ) {
            let spellings = Spellings::of("SK", &Secret::from(secret.clone()));
            let whole = format!("{before}{secret}{after}");
            let spelled = [
                whole.clone(),
                STANDARD.encode(&whole),
                URL_SAFE.encode(&whole),
                hex::encode(&whole),
                hex::encode_upper(&whole),
                STANDARD.encode(&whole).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"),
                STANDARD.encode(&whole).replace('/', "\\/"),
                whole.bytes().map(|byte| format!("\\u{byte:04X}")).collect::<Vec<_>>().concat(),
                whole.bytes().map(|byte| format!("&#{byte};")).collect::<Vec<_>>().concat(),
                whole.encode_utf16().flat_map(u16::to_le_bytes).map(char::from).collect(),
                whole.encode_utf16().flat_map(u16::to_be_bytes).map(char::from).collect(),
            ];
            let value = STANDARD.encode(format!("SK:{whole}"));
            let sent = [
                hex::encode(&value),
                hex::encode_upper(&value),
                STANDARD.encode(format!("Basic {value}")),
                STANDARD.encode(format!("x{value}")),
                value.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat(),
                value.bytes().map(|byte| format!("\\u{byte:04x}")).collect::<Vec<_>>().concat(),
                value.encode_utf16().flat_map(u16::to_le_bytes).map(char::from).collect(),
            ];
            // Where something stands between the colon and the secret, it stands elsewhere in the value.
            let sent = sent.into_iter().filter(|_| before.is_empty());
            for text in spelled.into_iter().chain(sent) {
                let mut bytes = format!("x{text}y").into_bytes();
                let length = bytes.len();
                prop_assert!(spellings.found_in(&bytes), "{}", text);
                prop_assert!(spellings.mask(&mut bytes));
                prop_assert!(!spellings.found_in(&bytes));
                prop_assert_eq!(bytes.len(), length);
            }
        }
    }

    /// Pieces of what is sought, cut anywhere, whole, and other text.
    fn hostile(spellings: &Spellings, pieces: &[(usize, usize, usize)]) -> Vec<u8> {
        let cut = |&(which, from, to): &(usize, usize, usize)| {
            let pattern = &spellings.patterns[which % spellings.patterns.len()];
            let (from, to) = (from % pattern.len(), to % (pattern.len() + 1));
            match which % 3 {
                0 => pattern.clone(),
                1 => pattern[from.min(to)..from.max(to)].to_vec(),
                _ => b" and so on".repeat(from),
            }
        };
        pieces.iter().flat_map(cut).collect()
    }

    proptest! {
        #[test]
        fn a_sieved_text_is_read_as_a_plain_one(
            secret in "[A-Za-z0-9+/~?]{15,40}|(ab){16}|a{32}",
            pieces in proptest::collection::vec(any::<(usize, usize, usize)>(), 0..40), long: bool
        ) {
            let spellings = Spellings::of("SK", &Secret::from(secret));
            let mut text = hostile(&spellings, &pieces);
            text.resize(text.len().max(LONG), b'.');
            if long {
                text.splice(..0, b"0123456789abcdef".repeat(LONG / 8));
            }
            let (mut from, mut plain) = (0, text.clone());
            while let Some(found) = spellings.finder.find(&text[from..]) {
                prop_assert_eq!(spellings.find(&text[from..]), Some(found.clone()));
                plain[from + found.start..from + found.end].fill(b'*');
                from += found.end;
            }
            prop_assert_eq!(spellings.find(&text[from..]), None);
            spellings.mask(&mut text);
            prop_assert_eq!(text, plain);
        }
    }

    #[test]
    fn a_spelling_is_found_wherever_it_stands() {
        let spellings = Spellings::of("SK", &Secret::from("0123456789abcdefGHIJKLMNOPQRSTUV".to_owned()));
        for pattern in &spellings.patterns {
            for at in (0..2 * pattern.len()).chain(LONG - pattern.len()..=LONG) {
                let mut text = vec![b'a'; LONG + pattern.len()];
                text[at..at + pattern.len()].copy_from_slice(pattern);
                assert_eq!(spellings.find(&text), Some(at..at + pattern.len()));
            }
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        let spellings = Spellings::of("SK", &Secret::from("0123456789abcdef0123456789abcdef".to_owned()));
        let mut text = b"a body that says nothing".to_vec();
        assert!(!spellings.mask(&mut text));
        assert_eq!(text, b"a body that says nothing");
    }
}
