//! How long a body is: read from the head, by the one reading that RFC 9112 §6 allows.

use super::head::{AnswerHead, Field, RequestHead};
use crate::headers;
use crate::net::BUFFER_SIZE;

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After so many bytes; 0 is no body.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// When the upstream closes; never a request's.
    UntilClose,
}

impl Framing {
    /// Bytes that are read of the body at once, where its head says that it is larger than a lent buffer: all, if they are
    /// no more than [`PIECE`].
    pub fn piece(self) -> Option<usize> {
        match self {
            Self::Length(length @ LARGE..) => Some(usize::try_from(length).map_or(PIECE, |length| length.min(PIECE))),
            _ => None,
        }
    }
}

/// Bytes from which on a body does not fit into a lent buffer.
const LARGE: u64 = BUFFER_SIZE as u64;

/// Most bytes that are read at once.
const PIECE: usize = 256 * 1024;

/// Two readings are possible, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramingError(pub &'static str);

/// The framing of a request body.
///
/// # Errors
/// Content-Length with Transfer-Encoding, either one twice, a Transfer-Encoding that is not exactly `chunked`, one in
/// HTTP/1.0, a Content-Length that is not 1 to 19 digits.
pub fn request_framing(head: &RequestHead<'_, '_>) -> Result<Framing, FramingError> {
    let stated = stated_framing(head.fields, head.minor)?;
    Ok(stated.unwrap_or(Framing::Length(0)))
}

/// The framing of an answer's body to a request of `method`.
///
/// # Errors
/// As for a request: a hostile or broken upstream must not desynchronise the pooled connection.
pub fn answer_framing(head: &AnswerHead<'_, '_>, head_request: bool) -> Result<Framing, FramingError> {
    let stated = stated_framing(head.fields, head.minor)?;
    if head_request || matches!(head.status, 100..=199 | 204 | 304) {
        return Ok(Framing::Length(0));
    }
    Ok(stated.unwrap_or(Framing::UntilClose))
}

/// What Content-Length and Transfer-Encoding say together.
fn stated_framing(fields: &[Field<'_>], minor: u8) -> Result<Option<Framing>, FramingError> {
    let mut framing = None;
    for field in fields {
        let next = if headers::is(field.name, b"content-length") {
            content_length(field.value)?
        } else if headers::is(field.name, b"transfer-encoding") {
            if minor == 0 {
                return Err(FramingError("Transfer-Encoding in HTTP/1.0"));
            }
            if !field.value.eq_ignore_ascii_case(b"chunked") {
                return Err(FramingError("Transfer-Encoding other than chunked"));
            }
            Framing::Chunked
        } else {
            continue;
        };
        if framing.replace(next).is_some() {
            return Err(FramingError("more than one Content-Length or Transfer-Encoding"));
        }
    }
    Ok(framing)
}

/// What a Content-Length says: 1 to 19 digits and nothing else, no sign, no list, no space inside.
///
/// # Errors
/// It says anything else.
pub fn content_length(value: &[u8]) -> Result<Framing, FramingError> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return Err(FramingError("Content-Length"));
    }
    let length = value.iter().fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    Ok(Framing::Length(length))
}
