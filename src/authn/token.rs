//! Tokens: a team's opaque proof.
//!
//! `skt`, 12 characters of id, 33 of secret and 6 of checksum, letters and digits only, because some SDKs refuse
//! anything else in an auth token. The id names the token in audit and commands and proves nothing; the secret holds
//! 33 × log2(62) = 196 bits; the checksum tells a mistyped token from an unknown one without a lookup and keeps
//! scanners for leaked secrets free of false alarms. Only the SHA-256 of the whole is ever kept.

use crate::ids::TokenId;
use crate::secret::{Secret, random};
use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

const PREFIX: &[u8; 3] = b"skt";
const ID: usize = 12;
const SECRET: usize = 33;
const CHECKSUM: usize = 6;
const BODY: usize = PREFIX.len() + ID + SECRET;

/// Longest text that is taken for an id, in bytes: with it a cut token shows nothing of its secret worth guessing.
const MAX_ID: usize = PREFIX.len() + ID;

/// Length of every token, in characters.
pub const LENGTH: usize = BODY + CHECKSUM;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A text of a token's shape. Says nothing about whether the token was ever issued.
#[derive(Clone, Copy)]
pub struct Token<'a>(&'a [u8; LENGTH]);

impl<'a> Token<'a> {
    /// Makes a new token from the system's random source.
    pub fn generate() -> Issued {
        let mut text = Zeroizing::new([0; LENGTH]);
        text[..PREFIX.len()].copy_from_slice(PREFIX);
        fill_base62(&mut text[PREFIX.len()..BODY]);
        let sum = checksum(&text[..BODY]);
        text[BODY..].copy_from_slice(&sum);
        Issued(Secret::new(text.as_slice()))
    }

    /// Takes a text of a token's shape: prefix, length, alphabet and checksum. Allocates nothing.
    pub fn parse(text: &'a str) -> Option<Self> {
        let text: &[u8; LENGTH] = text.as_bytes().try_into().ok()?;
        let shaped = text.starts_with(PREFIX) && text.iter().all(u8::is_ascii_alphanumeric);
        (shaped && checksum(&text[..BODY]) == text[BODY..]).then_some(Self(text))
    }

    /// SHA-256 of the whole text: what is kept and looked up. 196 random bits need no salt and no slow hash.
    pub fn digest(&self) -> [u8; 32] {
        sha256(self.0)
    }

    /// The public part, which names the token in audit and commands.
    pub fn id(&self) -> TokenId {
        public_part(self.0)
    }
}

/// Whom an operator names: an id, or a token itself. `None`: neither; it may be a token that was cut or mistyped, so it is not
/// to be repeated in an error or a record.
pub fn named(text: &str) -> Option<TokenId> {
    let whole = Token::parse(text).map(|token| token.id());
    whole.or_else(|| (text.len() <= MAX_ID).then(|| TokenId::new(text)))
}

/// A token just made: shown once, and never kept.
#[derive(Debug)]
pub struct Issued(Secret);

impl Issued {
    /// The token's text, for the one time that it is shown to whoever asked for it.
    pub fn show(&self) -> &str {
        self.0.expose_str().unwrap_or_default()
    }

    /// See [`Token::digest`].
    pub fn digest(&self) -> [u8; 32] {
        sha256(self.0.expose())
    }

    /// See [`Token::id`].
    pub fn id(&self) -> TokenId {
        public_part(self.0.expose())
    }
}

impl std::fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token({}…)", self.id())
    }
}

fn sha256(text: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, text).as_ref());
    out
}

fn public_part(text: &[u8]) -> TokenId {
    let id = text.get(PREFIX.len()..PREFIX.len() + ID).unwrap_or_default();
    TokenId::new(std::str::from_utf8(id).unwrap_or_default())
}

/// Fills with characters of the alphabet, each equally likely: bytes from 248 up are thrown away, since 248 = 4 × 62.
fn fill_base62(out: &mut [u8]) {
    let mut filled = 0;
    while filled < out.len() {
        for byte in random::<64>().iter().filter(|byte| **byte < 248) {
            if filled == out.len() {
                break;
            }
            out[filled] = ALPHABET[usize::from(byte % 62)];
            filled += 1;
        }
    }
}

/// CRC-32 in base 62, most significant first; 62^6 is more than 2^32.
fn checksum(body: &[u8]) -> [u8; CHECKSUM] {
    let mut crc = flate2::Crc::new();
    crc.update(body);
    let mut rest = crc.sum() as usize;
    let mut out = [0; CHECKSUM];
    for place in out.iter_mut().rev() {
        *place = ALPHABET[rest % 62];
        rest /= 62;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fresh() -> String {
        Token::generate().show().to_owned()
    }

    #[test]
    fn a_new_token_is_a_token() {
        let text = fresh();
        let token = Token::parse(&text).expect("a new token parses");
        assert_eq!(text.len(), 54);
        assert!(text.starts_with("skt"));
        assert_eq!(token.id().as_str(), &text[3..15]);
        assert_eq!(token.digest().as_slice(), digest(&SHA256, text.as_bytes()).as_ref());
        assert_ne!(text, fresh());
        let issued = Token::generate();
        let token = Token::parse(issued.show()).expect("a new token parses");
        assert_eq!((token.id(), token.digest()), (issued.id(), issued.digest()));
    }

    #[test]
    fn debug_shows_the_id_only() {
        let text = fresh();
        let shown = format!("{:?}", Token::parse(&text));
        assert!(shown.contains(&text[3..15]) && !shown.contains(&text[15..]), "{shown}");
    }

    #[test]
    fn every_character_is_about_as_likely_as_any_other() {
        let mut seen = [0_u32; 256];
        let mut bytes = vec![0; 62 * 10_000];
        fill_base62(&mut bytes);
        for byte in bytes {
            seen[usize::from(byte)] += 1;
        }
        // 10,000 are expected of each, and six standard deviations are about 600; taking all 256 bytes would make
        // some characters a fifth likelier.
        assert!(ALPHABET.iter().all(|c| (9_400..10_600).contains(&seen[usize::from(*c)])));
    }

    proptest! {
        #[test]
        fn one_wrong_character_is_found(place in 0..LENGTH, other in "[0-9A-Za-z]") {
            let text = fresh();
            prop_assume!(text[place..=place] != other);
            let mut wrong = text;
            wrong.replace_range(place..=place, &other);
            prop_assert!(Token::parse(&wrong).is_none());
        }

        #[test]
        fn any_text_is_taken_or_refused(text in ".*") {
            prop_assert!(Token::parse(&text).is_none());
        }
    }
}
