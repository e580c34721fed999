//! Names and secrets that the sandbox makes: random, in Twilio's shapes.

use crate::secret::random;
use std::fmt;

/// Two letters and 32 hex digits. Not a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sid([u8; 34]);

impl Sid {
    /// A new name with these two letters.
    pub fn fresh(prefix: &str) -> Self {
        let mut name = [b'0'; 34];
        name[..2].copy_from_slice(&prefix.as_bytes()[..2]);
        name[2..].copy_from_slice(hex32().as_bytes());
        Self(name)
    }

    /// Reads a name; `None` unless it is `prefix` and 32 hex digits.
    pub fn parse(text: &str, prefix: &str) -> Option<Self> {
        let bytes: [u8; 34] = text.as_bytes().try_into().ok()?;
        let shaped = bytes.starts_with(prefix.as_bytes()) && bytes[2..].iter().all(u8::is_ascii_hexdigit);
        shaped.then_some(Self(bytes))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        // Only ASCII gets past `fresh` and `parse`.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// 32 lowercase hex digits: the shape of an auth token and of a request id's tail.
pub fn hex32() -> String {
    hex::encode(*random::<16>())
}

/// 32 characters of base62: the shape of a key's secret.
pub fn base62() -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut secret = String::with_capacity(32);
    while secret.len() < 32 {
        // 248 is the largest multiple of 62 in a byte: above it the letters would not be equally likely.
        let bytes = random::<32>();
        let fair = bytes.iter().filter(|byte| **byte < 248);
        secret.extend(fair.take(32 - secret.len()).map(|byte| char::from(ALPHABET[usize::from(byte % 62)])));
    }
    secret
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_secrets_have_twilios_shapes() {
        let sid = Sid::fresh("SK");
        assert_eq!(Sid::parse(sid.as_str(), "SK"), Some(sid));
        assert_eq!(Sid::parse(sid.as_str(), "AC"), None);
        assert!(base62().len() == 32 && base62().bytes().all(|b| b.is_ascii_alphanumeric()));
        assert_ne!(base62(), base62());
    }
}
