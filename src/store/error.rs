//! What can go wrong with the store, each said so that an operator knows what to mend.

use std::fmt;

/// A failure of the store. Nothing in here is a secret.
///
/// The database's own can end any call: [`Self::ReadOnly`], [`Self::Full`], [`Self::Corrupt`], [`Self::Unreachable`],
/// [`Self::Busy`] and [`Self::Database`]. A method names what it adds to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The root key is wrong, missing or unreadable: nothing was opened.
    RootKey(String),
    /// The store was written by a newer sidekey.
    Newer {
        /// Version found.
        found: i64,
        /// Newest version that this program knows.
        known: i64,
    },
    /// The disk or the database takes no writes.
    ReadOnly(String),
    /// No room left.
    Full(String),
    /// The file is not a store, or is damaged.
    Corrupt(String),
    /// The store can't be reached: a lost connection, a missing folder, a refused login.
    Unreachable(String),
    /// Another process held the store for too long.
    Busy(String),
    /// No such thing.
    Unknown {
        /// Kind of thing: `team`, `token`, `key`.
        what: &'static str,
        /// The name that was asked for.
        name: String,
    },
    /// A thing of that name exists.
    Duplicate {
        /// Kind of thing.
        what: &'static str,
        /// The name that is taken.
        name: String,
    },
    /// The change breaks a rule; the text says which and what to do.
    Refused(String),
    /// A sealed secret doesn't open in the row where it lies: it was moved or edited.
    Sealed(String),
    /// Anything else the database said.
    Database(String),
}

impl StoreError {
    /// Whether nothing can be done with the store for now, whatever is asked.
    pub const fn is_lost(&self) -> bool {
        matches!(self, Self::ReadOnly(_) | Self::Full(_) | Self::Unreachable(_) | Self::Busy(_))
    }

    /// A [`StoreError::Unknown`].
    pub fn unknown(what: &'static str, name: impl fmt::Display) -> Self {
        Self::Unknown { what, name: name.to_string() }
    }

    /// A [`StoreError::Duplicate`].
    pub fn duplicate(what: &'static str, name: impl fmt::Display) -> Self {
        Self::Duplicate { what, name: name.to_string() }
    }

    /// A [`StoreError::Corrupt`]: what a row holds is not what sidekey writes there.
    pub(super) fn unreadable(what: impl fmt::Display) -> Self {
        Self::Corrupt(format!("{what} can't be read"))
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RootKey(text) => write!(f, "root key: {text}"),
            Self::Newer { found, known } => write!(
                f,
                "the store has schema {found}, and this sidekey knows schemas up to {known}: use the newer sidekey that wrote it"
            ),
            Self::ReadOnly(text) => write!(f, "the store takes no writes: {text}"),
            Self::Full(text) => write!(f, "the store has no room left: {text}"),
            Self::Corrupt(text) => write!(f, "the store is damaged or is not a sidekey store: {text}"),
            Self::Unreachable(text) => write!(f, "the store can't be reached: {text}"),
            Self::Busy(text) => write!(f, "the store is busy: {text}"),
            Self::Unknown { what, name } => write!(f, "no {what} {name:?}"),
            Self::Duplicate { what, name } => write!(f, "{what} {name:?} exists already"),
            Self::Refused(text) => f.write_str(text),
            Self::Sealed(text) => write!(f, "a sealed secret does not open: {text}"),
            Self::Database(text) => write!(f, "the store failed: {text}"),
        }
    }
}

impl std::error::Error for StoreError {}

/// The store's own result.
pub type Result<T> = std::result::Result<T, StoreError>;
