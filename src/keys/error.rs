//! Why a key was not changed, for whoever asked for it.

use super::upstream_keys::KeysError;
use crate::store::StoreError;
use std::fmt;

/// Why a key was not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LifeError {
    /// The store's word.
    Store(StoreError),
    /// The upstream's word.
    Upstream(KeysError),
    /// Another sidekey was changing keys all the while.
    Busy,
    /// Something else stood against it; the text says what, and how things stand now.
    Failed(String),
}

impl fmt::Display for LifeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Upstream(error) => error.fmt(f),
            Self::Busy => f.write_str("another sidekey is changing keys; try again"),
            Self::Failed(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for LifeError {}

impl From<StoreError> for LifeError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<KeysError> for LifeError {
    fn from(error: KeysError) -> Self {
        Self::Upstream(error)
    }
}
