//! Keeps phone numbers and secrets out of recorded paths.
//!
//! A phone number becomes `tel:` and a keyed hash of its digits: who has the key can search for one number, and nobody
//! can list them. A word that looks like a secret becomes `secret:` and a keyed hash. When in doubt it is hidden: an id
//! of seven or more digits in a row is taken for a number.

use super::rotate::{beside, with_suffix};
use crate::config::Audit;
use crate::secret::{Secret, random};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Hex digits kept of a hash: 96 bits tell every phone number of the world apart.
const HASH: usize = 24;

/// Bytes of the shortest text in which anything is hidden.
const SHORTEST: usize = 5;

/// Hides what is private, with a key.
pub(super) struct Private(Key);

impl Private {
    /// With the configured key, or with one that is kept beside the file (made if it is not there). A stream without a
    /// configured key gets one for this run only: its numbers can be told apart, not searched for.
    pub(super) fn new(config: &Audit) -> io::Result<Self> {
        let secret = match (&config.hash_key, &config.file) {
            (Some(key), _) => key.clone(),
            (None, Some(file)) if !fs::metadata(file).is_ok_and(|found| !found.is_file()) => key_beside(file)?,
            (None, _) => Secret::new(*random::<32>()),
        };
        Ok(Self(Key::new(HMAC_SHA256, secret.expose())))
    }

    /// The word that stands for a phone number in the trail; digits count, punctuation does not.
    pub(super) fn phone(&self, number: &[u8]) -> String {
        let digits: Vec<u8> = number.iter().copied().filter(u8::is_ascii_digit).collect();
        format!("tel:{}", self.hash(b"phone ", &digits))
    }

    fn hash(&self, domain: &[u8], bytes: &[u8]) -> String {
        let mut hex = hex::encode(sign(&self.0, &[domain, bytes].concat()).as_ref());
        hex.truncate(HASH);
        hex
    }

    /// Gives the bytes with what is private hidden; `None` if nothing is.
    pub(super) fn hide(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        // Too short for a number or a secret: every method.
        if bytes.len() < SHORTEST || segments(bytes).all(is_harmless) {
            return None;
        }
        let mut out = Vec::with_capacity(bytes.len() + 2 * HASH);
        for (n, segment) in segments(bytes).enumerate() {
            if n > 0 {
                out.push(b'/');
            }
            if is_harmless(segment) {
                out.extend_from_slice(segment);
            } else {
                self.hide_in(&mut out, segment);
            }
        }
        Some(out)
    }

    fn hide_in(&self, out: &mut Vec<u8>, segment: &[u8]) {
        // Twice: a path that is encoded twice is refused, and recorded all the same. And as it stands: an escape that is
        // none may swallow digits.
        let once: Vec<u8> = percent_encoding::percent_decode(segment).collect();
        let twice: Vec<u8> = percent_encoding::percent_decode(&once).collect();
        let before = out.len();
        for reading in [&twice, &once, segment] {
            if self.hide_words(out, reading) {
                return;
            }
            out.truncate(before);
        }
        out.extend_from_slice(segment);
    }

    /// Appends a segment with its private words hidden. `false`: there were none.
    fn hide_words(&self, out: &mut Vec<u8>, mut rest: &[u8]) -> bool {
        let mut hidden = false;
        while !rest.is_empty() {
            let known = sid_length(rest).or_else(|| date_length(rest)).or_else(|| address_length(rest));
            let (taken, word) = if let Some(length) = known {
                (length, None)
            } else if let Some(length) = secret_length(rest) {
                (length, Some(format!("secret:{}", self.hash(b"secret ", &rest[..length]))))
            } else if let Some(length) = phone_length(rest) {
                (length, Some(self.phone(&rest[..length])))
            } else {
                // A run of letters or of digits that is neither, or one byte that is in none.
                let is_same = if rest[0].is_ascii_digit() { u8::is_ascii_digit } else { u8::is_ascii_alphabetic };
                (rest.iter().take_while(|b| is_same(b)).count().max(1), None)
            };
            out.extend_from_slice(word.as_ref().map_or(&rest[..taken], |word| word.as_bytes()));
            hidden |= word.is_some();
            rest = &rest[taken..];
        }
        hidden
    }
}

impl fmt::Debug for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Private(…)")
    }
}

/// What stands between slashes.
fn segments(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut from = 0;
    memchr::memchr_iter(b'/', bytes).chain([bytes.len()]).map(move |end| {
        let segment = &bytes[from..end];
        from = end + 1;
        segment
    })
}

/// A quick look that most segments pass: no run for a number, no length for a secret.
fn is_harmless(segment: &[u8]) -> bool {
    if let Some(length) = sid_length(segment) {
        return segment.len() == length || (segment[length] == b'.' && segment.len() < length + 6);
    }
    let is_short = || segment.split(|b| !b.is_ascii_alphanumeric()).all(|word| word.len() < 24);
    let digits = segment.iter().filter(|b| b.is_ascii_digit()).count();
    segment == b"2010-04-01" || (digits < 5 && (segment.len() < 24 || is_short()))
}

/// Two letters and 32 hex digits, and then the end of a word.
fn sid_length(bytes: &[u8]) -> Option<usize> {
    let (head, rest) = bytes.split_at_checked(34)?;
    // Without a branch, so that the compiler looks at many at once.
    let is_hex = || head[2..].iter().fold(true, |all, b| all & b.is_ascii_hexdigit());
    let is_sid = head[..2].iter().all(u8::is_ascii_uppercase) && is_hex();
    (is_sid && !rest.first().is_some_and(u8::is_ascii_alphanumeric)).then_some(34)
}

/// A date such as 2026-01-31, and then the end of a number.
fn date_length(bytes: &[u8]) -> Option<usize> {
    let (date, rest) = bytes.split_at_checked(10)?;
    let is_date = date.iter().enumerate().all(|(n, b)| if n == 4 || n == 7 { *b == b'-' } else { b.is_ascii_digit() });
    (is_date && !rest.first().is_some_and(u8::is_ascii_digit)).then_some(10)
}

/// An IPv4 address in the place of a host, with its port: where a broker is asked by its address.
fn address_length(bytes: &[u8]) -> Option<usize> {
    let port = |end: usize| bytes[end + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
    let end = memchr::memchr(b':', bytes)?;
    let whole = end + 1 + port(end) == bytes.len();
    let is_address = || std::str::from_utf8(&bytes[..end]).is_ok_and(|text| text.parse::<Ipv4Addr>().is_ok());
    (whole && is_address()).then_some(bytes.len())
}

/// The length of a word that looks like a secret: one of our tokens, a JWT, or a word as long as an auth token or a key's
/// secret, which may have something attached to it, or be coded in something longer. SIDs are told apart before.
fn secret_length(bytes: &[u8]) -> Option<usize> {
    let word = bytes.iter().take_while(|b| b.is_ascii_alphanumeric()).count();
    if bytes.starts_with(b"eyJ") {
        let is_part = |b: &u8| b.is_ascii_alphanumeric() || b"-_.=".contains(b);
        let length = bytes.iter().take_while(|b| is_part(b)).count();
        return (length >= 24).then_some(length);
    }
    let is_token = bytes.starts_with(b"skt") && word >= 24;
    (is_token || word >= 32).then_some(word)
}

/// The length of a phone number at the start: seven digits or more, five after a `+`, with punctuation of any kind between.
fn phone_length(bytes: &[u8]) -> Option<usize> {
    /// Bytes between two digits: `) ` and the like, or one dash or blank of Unicode's.
    const BETWEEN: usize = 3;
    let starts = bytes.iter().take_while(|b| b"+(".contains(b)).count();
    if starts == 0 && !bytes.first()?.is_ascii_digit() {
        return None;
    }
    let (mut digits, mut end) = (0, 0);
    for (n, byte) in bytes.iter().enumerate().skip(starts) {
        if byte.is_ascii_digit() {
            (digits, end) = (digits + 1, n + 1);
        } else if byte.is_ascii_alphabetic() || n >= end.max(starts) + BETWEEN {
            break;
        }
    }
    let needed = if bytes.starts_with(b"+") { 5 } else { 7 };
    (digits >= needed).then_some(end)
}

/// The key that is kept beside the trail: 32 random bytes in hex, for its owner alone.
fn key_beside(file: &Path) -> io::Result<Secret> {
    let path = beside(file, ".key");
    match fs::read_to_string(&path) {
        // A start that was killed, or had no space left, before the key was in it.
        Ok(text) if text.is_empty() => make_key(&path),
        Ok(text) => match hex::decode(text.trim()) {
            Ok(bytes) if bytes.len() == 32 => Ok(Secret::new(bytes)),
            _ => Err(io::Error::other(format!("{} does not hold 64 hex digits", path.display()))),
        },
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => make_key(&path),
        Err(fault) => Err(io::Error::new(fault.kind(), format!("{}: {fault}", path.display()))),
    }
}

/// Makes the key, whole or not at all: with half of one, no broker would start.
fn make_key(path: &Path) -> io::Result<Secret> {
    let (key, partial) = (Secret::new(*random::<32>()), with_suffix(path, ".part"));
    let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    out.write_all(hex::encode(key.expose()).as_bytes())?;
    out.sync_all()?;
    fs::rename(partial, path)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn private() -> Private {
        Private(Key::new(HMAC_SHA256, b"a key for tests"))
    }

    fn hidden(path: &str) -> String {
        let bytes = private().hide(path.as_bytes()).unwrap_or_else(|| path.as_bytes().to_vec());
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn a_key_is_made_once_and_half_a_one_made_again() {
        let folder = tempfile::tempdir().expect("a throwaway folder");
        let (file, key) = (folder.path().join("audit.jsonl"), folder.path().join(".audit.jsonl.key"));
        let made = key_beside(&file).expect("made");
        assert!(key_beside(&file).expect("read") == made);
        fs::write(&key, "").expect("written");
        assert!(key_beside(&file).expect("made again") != made);
        fs::write(&key, "00").expect("written");
        let fault = key_beside(&file).expect_err("no key");
        assert!(fault.to_string().contains("64 hex digits"), "{fault}");
    }

    #[test]
    fn every_spelling_of_a_number_is_the_same_word() {
        let word = private().phone(b"15558675310");
        for spelling in [
            "+15558675310",
            "%2B15558675310",
            "%252B15558675310",
            "%2b1%20(555)%20867-5310",
            "15558675310",
            "+1-555-867-5310",
            "+%31%35%35%35%38%36%37%35%33%31%30",
            "+1_555_867_5310",
            "+1:555,867;5310",
            "1%E2%80%91555%E2%80%91867%E2%80%915310",
        ] {
            assert_eq!(
                hidden(&format!("/v2/PhoneNumbers/{spelling}")),
                format!("/v2/PhoneNumbers/{word}"),
                "{spelling}"
            );
        }
        assert_eq!(hidden("/x/whatsapp:+15558675310.json"), format!("/x/whatsapp:{word}.json"));
        assert_ne!(private().phone(b"15558675311"), word);
    }

    #[test]
    fn sids_dates_and_words_stay() {
        for path in [
            "/2010-04-01/Accounts/AC00000000000000000000000000000001/Messages.json",
            "/2010-04-01/Accounts/AC00000000000000000000000000000001/Messages/SM12345678901234567890123456789012.json",
            "/v1/Services/MG12345678901234567890123456789012/AlphaSenders/my%20sender",
            "/v1/Usage/Records/2026-01-31",
            "/v1/Things/1234",
            "127.0.0.1:24080",
        ] {
            assert_eq!(hidden(path), path);
        }
    }

    #[test]
    fn an_escape_that_is_none_hides_no_number() {
        for path in ["/%10000000", "/%800000000"] {
            assert!(hidden(path).contains("tel:"), "{path}");
        }
    }

    #[test]
    fn secrets_in_a_path_are_hidden() {
        for secret in [
            "skt7Yx2AbCdEfGhIjKlMnOpQrStUvWxYz0123456789",
            "0123456789abcdef0123456789abcdef",
            "q1W2e3R4t5Y6u7I8o9P0a1S2d3F4g5H6",
            "xq1W2e3R4t5Y6u7I8o9P0a1S2d3F4g5H6",
            "0123456789abcdef0123456789abcdefSK",
            "ac0123456789abcdef0123456789abcdef",
            "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl",
        ] {
            let path = hidden(&format!("/v1/{secret}/x"));
            assert!(path.starts_with("/v1/secret:") && path.ends_with("/x"), "{path}");
        }
    }

    #[test]
    fn the_key_beside_the_file_is_made_once_and_read_again() {
        let folder = tempfile::tempdir().expect("a throwaway folder");
        let file = folder.path().join("audit.jsonl");
        let first = key_beside(&file).expect("made");
        assert_eq!(key_beside(&file).expect("read"), first);
        fs::write(folder.path().join(".audit.jsonl.key"), "short").expect("written");
        key_beside(&file).expect_err("no key");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_number_gets_through(number in "[1-9][0-9]{7,14}", before in "[a-zA-Z/:%._-]{0,12}", after in "[a-zA-Z/._-]{0,12}") {
            let path = hidden(&format!("/{before}{number}{after}"));
            prop_assert!(!path.contains(&number), "{}", path);
        }

        #[test]
        fn any_bytes_do(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            private().hide(&bytes);
        }
    }
}
