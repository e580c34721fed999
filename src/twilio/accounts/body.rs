//! Selectors in a body, for the operations that take one. The whole body is read, or the request is refused.

use super::{Reach, is_allowed, pairs, selected};
use crate::ids::AccountSid;
use std::fmt;

/// Most form fields, multipart parts or JSON members that are read: far above what an operation takes.
const MAX_FIELDS: usize = 4096;

/// Everything that selectors in a body reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selectors(Vec<Reach>);

impl Selectors {
    /// The first that `allowed` does not hold for.
    pub fn leaves(&self, allowed: impl Fn(&AccountSid) -> bool) -> Option<Reach> {
        self.0.iter().copied().find(|reach| !is_allowed(*reach, &allowed))
    }

    /// Everything reached, in the order of the body.
    pub fn reaches(&self) -> &[Reach] {
        &self.0
    }
}

/// Why a body can't be read whole. The request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// A media type other than form, multipart and JSON, or none where the body is not plainly a form.
    Type,
    /// A content encoding other than gzip and deflate, or bytes that are not in it.
    Encoding,
    /// Not what its type says.
    Syntax,
    /// More fields, depth or inflated bytes than are read.
    TooMuch,
}

impl Unreadable {
    /// What is wrong, for `explain` and the audit.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Type => "the body's type can't be inspected",
            Self::Encoding => "the body's encoding can't be inspected",
            Self::Syntax => "the body is not what its type says",
            Self::TooMuch => "the body is too large or too deep to be inspected",
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for Unreadable {}

/// Reads a whole body for selectors. `content_type` and `content_encoding` are the headers' values, joined by commas if
/// there are several.
pub fn inspect_body(
    content_type: Option<&str>,
    content_encoding: Option<&str>,
    body: &[u8],
) -> Result<Selectors, Unreadable> {
    if body.is_empty() {
        return Ok(Selectors::default());
    }
    // Forms first; the other types follow.
    if content_encoding.is_some()
        || !content_type.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
    {
        return Err(Unreadable::Type);
    }
    form(body)
}

fn form(body: &[u8]) -> Result<Selectors, Unreadable> {
    let mut found = Vec::new();
    for (count, (name, value)) in pairs(body).enumerate() {
        if count == MAX_FIELDS {
            return Err(Unreadable::TooMuch);
        }
        found.extend(selected(name, value));
    }
    Ok(Selectors(found))
}
