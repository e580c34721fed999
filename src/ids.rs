//! Newtypes that are safe to log: nothing here is a secret.

mod token;

pub use token::{KeptId, TokenId};

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
