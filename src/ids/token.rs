//! The ids of tokens, and how a million of them are kept.

use std::fmt;
use std::sync::Arc;

/// The public part of a token or of another proof: names it in audit and commands, proves nothing.
#[derive(Clone)]
pub struct TokenId(Text);

/// Short ids lie where they are kept: of a million tokens each request meets another one, and a text elsewhere is one more
/// place in memory that no cache holds.
#[derive(Clone)]
enum Text {
    Short(u8, [u8; SHORT]),
    Long(Arc<str>),
}

/// Bytes of a short id: those of tokens have 12 or 19, and with more the whole would be larger.
const SHORT: usize = 22;

impl TokenId {
    /// Takes an id that sidekey made; at most 64 visible ASCII characters are kept, others become `?`.
    pub fn new(text: &str) -> Self {
        let clean: String = text.chars().take(64).map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect();
        match u8::try_from(clean.len()) {
            Ok(length) if clean.len() <= SHORT => {
                let mut bytes = [0; SHORT];
                bytes[..clean.len()].copy_from_slice(clean.as_bytes());
                Self(Text::Short(length, bytes))
            }
            _ => Self(Text::Long(clean.into())),
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            // Only ASCII gets past `new`.
            Text::Short(length, bytes) => std::str::from_utf8(&bytes[..usize::from(*length)]).unwrap_or_default(),
            Text::Long(text) => text,
        }
    }
}

/// A [`TokenId`] as it is kept of each of a million tokens: in 16 bytes, so that all that is known of a token fits into
/// one line of the cache.
#[derive(Clone)]
pub struct KeptId(Kept);

#[derive(Clone)]
enum Kept {
    /// Of a token that was issued: 12 characters.
    Short(u8, [u8; KEPT]),
    /// Of a token of the config file: `sha256:` and these in hex.
    Sha256([u8; 6]),
    Long(Box<TokenId>),
}

/// Bytes of an id that are kept where they are.
const KEPT: usize = 14;

/// What the id of a token of the config file begins with, and how long it is.
const SHA256: &str = "sha256:";
const DECLARED: u8 = 19;

impl KeptId {
    /// Keeps this id.
    pub fn new(id: &TokenId) -> Self {
        let text = id.as_str();
        let mut bytes = [0; 6];
        if let Some(hex) = text.strip_prefix(SHA256)
            && hex::decode_to_slice(hex, &mut bytes).is_ok()
            && !hex.bytes().any(|byte| byte.is_ascii_uppercase())
        {
            return Self(Kept::Sha256(bytes));
        }
        let mut bytes = [0; KEPT];
        match (u8::try_from(text.len()), bytes.get_mut(..text.len())) {
            (Ok(length), Some(room)) => {
                room.copy_from_slice(text.as_bytes());
                Self(Kept::Short(length, bytes))
            }
            _ => Self(Kept::Long(Box::new(id.clone()))),
        }
    }

    /// The id.
    pub fn get(&self) -> TokenId {
        let mut bytes = [0; SHORT];
        let length = match &self.0 {
            Kept::Long(id) => return TokenId::clone(id),
            Kept::Short(length, kept) => {
                bytes[..KEPT].copy_from_slice(kept);
                *length
            }
            Kept::Sha256(kept) => {
                let (name, hex) = bytes[..usize::from(DECLARED)].split_at_mut(SHA256.len());
                name.copy_from_slice(SHA256.as_bytes());
                hex::encode_to_slice(kept, hex).expect("there is room for two digits of each byte");
                DECLARED
            }
        };
        TokenId(Text::Short(length, bytes))
    }
}

impl PartialEq for TokenId {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for TokenId {}

impl std::hash::Hash for TokenId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialOrd for TokenId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TokenId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl fmt::Debug for KeptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.get(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_is_kept_as_it_is() {
        assert_eq!(size_of::<KeptId>(), 16);
        let longest = "x".repeat(64);
        for text in [
            "",
            "0aA9zZ1bB2cC",
            "fourteen-bytes",
            "fifteen---bytes",
            "sha256:0123456789ab",
            "sha256:0123456789AB",
            "sha256:0123456789a",
            "sha256:0123456789abc",
            "sha256:0123456789xy",
            "system:serviceaccount:billing:sender",
            &longest,
        ] {
            let id = TokenId::new(text);
            assert_eq!(KeptId::new(&id).get().as_str(), text);
        }
    }
}
