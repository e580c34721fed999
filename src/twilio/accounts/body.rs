//! Selectors in a body, for the operations that take one. The whole body is read, or the request is refused.
//!
//! A method override (`_method=DELETE`) is refused too. Bodies of other operations stream through unread, so one there
//! is not seen. Whether Twilio heeds it is not documented; if it did, a caller could gain another method of an operation's
//! own path, and no management resource: those are closed whatever the method.
//!
//! The unsafe mistake is to read a body in another way than Twilio does, so whatever is unusual is unreadable: an
//! unknown type or charset, a part with odd headers, bytes behind the end.

use super::{Reach, is_allowed, pairs, selected};
use crate::ids::AccountSid;
use crate::twilio::path::is_method_override;
use percent_encoding::percent_decode;
use std::borrow::Cow;
use std::fmt;

mod inflate;
mod json;
mod multipart;

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
    /// It asks for another method (`_method=DELETE`), as some frameworks read it.
    MethodOverride,
    /// More fields, depth or inflated bytes than are read.
    TooMuch,
}

impl Unreadable {
    /// What is wrong, for `explain` and the audit.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Type => "body: a type that can't be inspected",
            Self::Encoding => "body: an encoding that can't be inspected",
            Self::Syntax => "body: not what its type says",
            Self::MethodOverride => "body: asks for another method",
            Self::TooMuch => "body: too large or too deep to be inspected",
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for Unreadable {}

/// Reads a whole body for selectors. `content_type` and `content_encoding` are the headers' values; if a header comes
/// more than once, its values joined by commas.
pub fn inspect_body(
    content_type: Option<&str>,
    content_encoding: Option<&str>,
    body: &[u8],
) -> Result<Selectors, Unreadable> {
    if body.is_empty() {
        return Ok(Selectors::default());
    }
    let body = match content_encoding {
        Some(encodings) => inflate::decode(encodings, body)?,
        None => Cow::Borrowed(body),
    };
    match MediaType::read(content_type, &body)? {
        MediaType::Form => form(&body),
        MediaType::Json => json::selectors(&body),
        MediaType::Multipart(boundary) => multipart::selectors(&boundary, &body),
    }
}

/// The types that Twilio's operations with selectors take.
#[derive(Debug, PartialEq, Eq)]
enum MediaType {
    Form,
    Json,
    Multipart(String),
}

impl MediaType {
    fn read(header: Option<&str>, body: &[u8]) -> Result<Self, Unreadable> {
        let Some(header) = header else {
            return if is_plainly_a_form(body) { Ok(Self::Form) } else { Err(Unreadable::Type) };
        };
        let mut parts = header.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        let mut boundary = None;
        for param in parts.filter(|param| !param.is_empty()) {
            let (name, value) = param.split_once('=').ok_or(Unreadable::Type)?;
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
            match &*name.to_ascii_lowercase() {
                "charset" if is_ascii_superset(value) => {}
                "boundary" if boundary.is_none() => boundary = Some(value.to_owned()),
                _ => return Err(Unreadable::Type),
            }
        }
        match (&*essence, boundary) {
            ("application/x-www-form-urlencoded", None) => Ok(Self::Form),
            ("application/json" | "text/json", None) => Ok(Self::Json),
            ("multipart/form-data", Some(boundary)) if multipart::is_boundary(&boundary) => {
                Ok(Self::Multipart(boundary))
            }
            (other, None) if other.starts_with("application/") && other.ends_with("+json") => Ok(Self::Json),
            _ => Err(Unreadable::Type),
        }
    }
}

/// Charsets in which ASCII names are ASCII bytes.
fn is_ascii_superset(charset: &str) -> bool {
    ["utf-8", "utf8", "us-ascii", "iso-8859-1"].iter().any(|known| charset.eq_ignore_ascii_case(known))
}

/// A form can be told without a type: visible ASCII, a `=`, and not the beginning of JSON or of a part.
fn is_plainly_a_form(body: &[u8]) -> bool {
    body.iter().all(u8::is_ascii_graphic)
        && body.contains(&b'=')
        && !body.starts_with(b"--")
        && !matches!(body.first(), Some(b'{' | b'[' | b'"' | b'<'))
}

fn form(body: &[u8]) -> Result<Selectors, Unreadable> {
    let mut found = Vec::new();
    for (count, (name, value)) in pairs(body).enumerate() {
        if count == MAX_FIELDS {
            return Err(Unreadable::TooMuch);
        }
        found.extend(selected(name, value));
        if is_method_override(&Cow::from(percent_decode(name))) {
            return Err(Unreadable::MethodOverride);
        }
    }
    Ok(Selectors(found))
}

#[cfg(test)]
mod tests;
