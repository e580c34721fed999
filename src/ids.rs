//! Newtypes that are safe to log: nothing here is a secret.

use std::fmt;
use std::sync::Arc;

/// Defines a 34-character Twilio SID type with a fixed two-letter prefix.
macro_rules! sid {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 34]);

        impl $name {
            /// The two letters every SID of this kind begins with.
            pub const PREFIX: &'static str = $prefix;

            /// Reads the SID; `None` unless it is the prefix and 32 hex digits.
            pub fn parse(text: &str) -> Option<Self> {
                let bytes: [u8; 34] = text.as_bytes().try_into().ok()?;
                // Without a branch, so that the compiler looks at many at once.
                let hex = bytes[2..].iter().fold(true, |all, b| all & b.is_ascii_hexdigit());
                (bytes.starts_with($prefix.as_bytes()) && hex).then_some(Self(bytes))
            }

            /// The SID's ASCII bytes.
            pub const fn as_bytes(&self) -> &[u8] {
                &self.0
            }

            /// The SID as text.
            pub fn as_str(&self) -> &str {
                // Only ASCII gets past `parse`.
                std::str::from_utf8(&self.0).unwrap_or_default()
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                Self::parse(text).ok_or_else(|| format!("expected {} and 32 hex digits", $prefix))
            }
        }
    };
}

sid!(
    /// A Twilio account, `AC` and 32 hex digits.
    AccountSid,
    "AC"
);
sid!(
    /// A Twilio API key, `SK` and 32 hex digits. Not its secret.
    KeySid,
    "SK"
);

/// A team's name: its identity everywhere.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TeamId(Arc<str>);

impl TeamId {
    /// Longest name, in bytes: fits a DNS label, so that names can be reused there.
    pub const MAX: usize = 63;

    /// What a name may be, for whoever wrote one that is none.
    pub const RULE: &str = "use 1 to 63 letters, digits, `-`, `_` or `.`, beginning with a letter or digit";

    /// Reads a team name: 1 to 63 of `a-z A-Z 0-9 - _ .`, beginning with a letter or digit. What may be a token is none:
    /// a name stands in clear wherever it is.
    pub fn parse(text: &str) -> Option<Self> {
        let ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let first = text.bytes().next()?;
        let shaped = text.len() <= Self::MAX && first.is_ascii_alphanumeric() && text.bytes().all(ok);
        (shaped && !may_be_token(text)).then(|| Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same name, in memory of its own: what it was read with may then be given back whole.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self(self.as_str().into())
    }
}

/// Whether a text may be a token of ours, or the beginning of one with some of its secret.
pub fn may_be_token(text: &str) -> bool {
    const WITH_SECRET: usize = 24;
    text.starts_with("skt") && text.bytes().take_while(u8::is_ascii_alphanumeric).count() >= WITH_SECRET
}

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

/// Defines how a text id is shown: as its text.
macro_rules! shown {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )*};
}

shown!(AccountSid, KeySid, TeamId, TokenId);

impl fmt::Debug for KeptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.get(), f)
    }
}

/// Names one request in answers, logs and the audit: 32 hex digits. Kept as text, since text is all it is used as.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId([u8; 32]);

impl RequestId {
    /// Makes the id from its number.
    pub fn new(number: u128) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(number.to_be_bytes()) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        Self(text)
    }

    /// The 32 hex digits.
    pub const fn hex(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Only hex digits are ever written there.
        f.write_str(std::str::from_utf8(&self.0).unwrap_or_default())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
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
