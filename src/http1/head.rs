//! Request and answer heads.

use http::HeaderMap;
use std::mem::MaybeUninit;

/// Most header fields in one head; more is an attack or a mistake (hyper's own ceiling, too).
pub const MAX_FIELDS: usize = 100;

/// One header field, as it stands on the wire.
pub type Field<'a> = httparse::Header<'a>;

/// The fields of a head that was none of HTTP/1.1's.
pub fn fields_of(map: &HeaderMap) -> Vec<Field<'_>> {
    map.iter().map(|(name, value)| Field { name: name.as_str(), value: value.as_bytes() }).collect()
}

/// Why a head can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadError {
    /// The bytes are no HTTP/1.1 head.
    Malformed(&'static str),
    /// More fields than [`MAX_FIELDS`].
    TooManyFields,
}

/// A request's head; borrows the bytes it was read from.
#[derive(Debug)]
pub struct RequestHead<'h, 'b> {
    /// As sent; any token.
    pub method: &'b str,
    /// As sent: origin, absolute, authority or asterisk form.
    pub target: &'b str,
    /// HTTP/1.`minor`: 0 or 1.
    pub minor: u8,
    /// In the order sent.
    pub fields: &'h [Field<'b>],
    /// All of it, as it stood on the wire; empty if it was no HTTP/1.1 there.
    pub raw: &'b [u8],
}

/// An answer's head; borrows the bytes it was read from.
#[derive(Debug)]
pub struct AnswerHead<'h, 'b> {
    /// 100 to 999.
    pub status: u16,
    /// As sent; may be empty.
    pub phrase: &'b str,
    /// HTTP/1.`minor`: 0 or 1.
    pub minor: u8,
    /// In the order sent.
    pub fields: &'h [Field<'b>],
}

/// Reads a request head and hands it to `read` with its length in bytes; `None` while the head is not complete.
///
/// # Errors
/// [`HeadError`] as soon as no more bytes could mend it.
pub fn parse_request<T>(
    bytes: &[u8],
    read: impl FnOnce(&RequestHead<'_, '_>, usize) -> T,
) -> Result<Option<T>, HeadError> {
    parse_within::<MAX_FIELDS, T>(bytes, read)
}

/// The same of a head that was written here: what is put into a head in place of the caller's own may be some fields more.
///
/// # Errors
/// As [`parse_request`].
pub fn parse_own<T>(bytes: &[u8], read: impl FnOnce(&RequestHead<'_, '_>) -> T) -> Result<Option<T>, HeadError> {
    const INJECTED: usize = 8;
    parse_within::<{ MAX_FIELDS + INJECTED }, T>(bytes, |head, _| read(head))
}

#[inline]
fn parse_within<const FIELDS: usize, T>(
    bytes: &[u8],
    read: impl FnOnce(&RequestHead<'_, '_>, usize) -> T,
) -> Result<Option<T>, HeadError> {
    let mut slots = [const { MaybeUninit::uninit() }; FIELDS];
    let mut request = httparse::Request::new(&mut []);
    match httparse::ParserConfig::default().parse_request_with_uninit_headers(&mut request, bytes, &mut slots) {
        Ok(httparse::Status::Partial) => Ok(None),
        Ok(httparse::Status::Complete(length)) => {
            strict_line_ends(&bytes[..length])?;
            strict_fields(&bytes[..length])?;
            let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
                return Err(HeadError::Malformed("request line"));
            };
            Ok(Some(read(
                &RequestHead { method, target, minor, fields: request.headers, raw: &bytes[..length] },
                length,
            )))
        }
        Err(httparse::Error::TooManyHeaders) => Err(HeadError::TooManyFields),
        Err(error) => Err(HeadError::Malformed(part(error))),
    }
}

/// Reads an answer head and hands it to `read` with its length in bytes; `None` while the head is not complete.
///
/// # Errors
/// [`HeadError`] as soon as no more bytes could mend it.
pub fn parse_answer<T>(
    bytes: &[u8],
    read: impl FnOnce(&AnswerHead<'_, '_>, usize) -> T,
) -> Result<Option<T>, HeadError> {
    let mut slots = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut answer = httparse::Response::new(&mut []);
    match httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut answer, bytes, &mut slots) {
        Ok(httparse::Status::Partial) => Ok(None),
        Ok(httparse::Status::Complete(length)) => {
            strict_line_ends(&bytes[..length])?;
            // Three digits are no status yet: RFC 9110 §15 begins at 100.
            let (Some(status @ 100..), Some(minor)) = (answer.code, answer.version) else {
                return Err(HeadError::Malformed("status line"));
            };
            let phrase = answer.reason.unwrap_or("");
            Ok(Some(read(&AnswerHead { status, phrase, minor, fields: answer.headers }, length)))
        }
        Err(httparse::Error::TooManyHeaders) => Err(HeadError::TooManyFields),
        Err(error) => Err(HeadError::Malformed(part(error))),
    }
}

/// Every line ends with CRLF: a bare LF is a line end to some parsers only (RFC 9112 §2.2). httparse has already refused
/// a CR that no LF follows. An empty line before the request line is refused for the same reason.
fn strict_line_ends(head: &[u8]) -> Result<(), HeadError> {
    if head.first().is_some_and(|b| matches!(b, b'\r' | b'\n')) {
        return Err(HeadError::Malformed("empty line before the head"));
    }
    // Without a branch, so that the compiler looks at many bytes at once.
    let bare = |before: u8, byte: u8| u8::from(byte == b'\n' && before != b'\r');
    if head.iter().zip(&head[1..]).fold(0, |found, (&before, &byte)| found | bare(before, byte)) > 0 {
        Err(HeadError::Malformed("line end"))
    } else {
        Ok(())
    }
}

/// Checks fields that no HTTP/1.1 parser has seen (HTTP/2's): at most [`MAX_FIELDS`], of visible ASCII, spaces and tabs, none
/// of those at either end of a value. RFC 9110 §5.5 calls anything else obsolete, and hops differ on it.
///
/// # Errors
/// What is wrong.
pub fn check_fields(fields: &[Field<'_>]) -> Result<(), &'static str> {
    if fields.len() > MAX_FIELDS {
        return Err("more fields than a head may have");
    }
    let whole = |value: &[u8]| value.trim_ascii().len() == value.len() && visible(value);
    if fields.iter().all(|field| whole(field.value)) { Ok(()) } else { Err("header value") }
}

/// The same for a head whose values httparse has trimmed, and whose request line it has read.
fn strict_fields(head: &[u8]) -> Result<(), HeadError> {
    let fields = &head[memchr::memchr(b'\n', head).unwrap_or_default()..];
    // Line ends stand where they should: that is looked at by itself.
    let strange = |b: u8| u8::from(b != b'\r' && b != b'\n' && unseen(b));
    if fields.iter().fold(0, |found, &b| found | strange(b)) > 0 {
        Err(HeadError::Malformed("header value"))
    } else {
        Ok(())
    }
}

/// Whether every byte is visible ASCII, a space or a tab. Without a branch, so that the compiler looks at many at once.
fn visible(value: &[u8]) -> bool {
    value.iter().fold(0, |found, &b| found | u8::from(unseen(b))) == 0
}

/// Neither visible ASCII nor a space or a tab.
const fn unseen(byte: u8) -> bool {
    byte != b'\t' && !matches!(byte, b' '..=b'~')
}

/// Which part of the head httparse stumbled over.
fn part(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::HeaderName => "header name",
        httparse::Error::HeaderValue => "header value",
        httparse::Error::NewLine => "line end",
        httparse::Error::Status => "status",
        httparse::Error::Token => "request line",
        httparse::Error::Version => "HTTP version",
        httparse::Error::TooManyHeaders => "number of headers",
    }
}
