//! The one reading of a request path: what is judged is byte for byte what is sent.
//!
//! Nothing is ever rewritten. A path that could be read in two ways (decoded twice, cleaned of dot segments, cut at a
//! `;`, `#` or NUL) is refused, so that no upstream can see another resource than the one that was judged. Called by
//! the broker for every request, and by `explain`; allocates only for a path with percent escapes.

use percent_encoding::{percent_decode, percent_decode_str};
use std::borrow::Cow;
use std::fmt;

/// Most segments a path may have. The deepest known one has 10 (OpenAPI 2.6.7), and a host prefix adds one.
pub const MAX_SEGMENTS: usize = 16;

/// Longest path in bytes. Twilio's own ceiling on a whole URL is not documented; names in paths end at 512 characters.
pub const MAX_PATH: usize = 8192;

/// Why a path or query is refused. Each is `malformed_request`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathFault {
    /// Does not begin with `/` (`*`, an authority, nothing at all).
    NotAbsolute,
    /// `//`, or a trailing `/`.
    EmptySegment,
    /// `.`, `..` or more dots, raw or encoded, also before a `;`.
    DotSegment,
    /// A raw byte that RFC 3986 does not allow in a segment, a raw `;`, or non-ASCII.
    RawByte,
    /// `%` without two hex digits behind it.
    BadEscape,
    /// An encoded `/` or `\`.
    EncodedSlash,
    /// An encoded NUL or other control character.
    EncodedControl,
    /// Decodes into something that decodes again.
    DoubleEncoding,
    /// Encoded bytes that are not UTF-8.
    NotUtf8,
    /// Encoded non-ASCII where no parameter of a known operation stands.
    NonAscii,
    /// More than [`MAX_SEGMENTS`] segments or [`MAX_PATH`] bytes.
    TooLong,
    /// A query with a byte outside visible ASCII, a `#`, or a bad escape.
    Query,
    /// A query that asks for another method (`_method=DELETE`), as some frameworks read it.
    MethodOverride,
}

impl PathFault {
    /// What is wrong, for the caller and for `explain`.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NotAbsolute => "the path does not begin with /",
            Self::EmptySegment => "the path has an empty segment or a trailing slash",
            Self::DotSegment => "the path has a dot segment",
            Self::RawByte => "the path has a byte that must be percent-encoded",
            Self::BadEscape => "the path has a % without two hex digits",
            Self::EncodedSlash => "the path has an encoded slash or backslash",
            Self::EncodedControl => "the path has an encoded control character",
            Self::DoubleEncoding => "the path is encoded twice",
            Self::NotUtf8 => "the path's encoded bytes are not UTF-8",
            Self::NonAscii => "the path has non-ASCII text where no name is expected",
            Self::TooLong => "the path is too long",
            Self::Query => "the query has a # or a byte that must be percent-encoded",
            Self::MethodOverride => "the query asks for another method",
        }
    }
}

impl fmt::Display for PathFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for PathFault {}

/// A path that can be read in one way only, and its query. Borrows the bytes that go upstream.
#[derive(Clone, Copy, Debug)]
pub struct CanonicalPath<'a> {
    raw: &'a str,
    query: Option<&'a str>,
    /// Where each segment ends in `raw`.
    ends: [u16; MAX_SEGMENTS],
    len: u8,
    /// Bit i: segment i has percent escapes.
    escaped: u16,
    /// Bit i: segment i decodes into non-ASCII.
    non_ascii: u16,
}

/// One segment of a [`CanonicalPath`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    raw: &'a str,
    escaped: bool,
}

impl<'a> CanonicalPath<'a> {
    /// Reads a path (what stands before `?`) and its query (what stands behind, without the `?`).
    pub fn parse(path: &'a [u8], query: Option<&'a [u8]>) -> Result<Self, PathFault> {
        let query = query.map(check_query).transpose()?;
        if path.first() != Some(&b'/') {
            return Err(PathFault::NotAbsolute);
        }
        if path.len() > MAX_PATH {
            return Err(PathFault::TooLong);
        }
        let raw = std::str::from_utf8(path).map_err(|_| PathFault::RawByte)?;
        let mut read = Self { raw, query, ends: [0; MAX_SEGMENTS], len: 0, escaped: 0, non_ascii: 0 };
        if path.len() == 1 {
            return Ok(read);
        }
        let mut start = 1;
        for end in memchr::memchr_iter(b'/', &path[1..]).map(|at| at + 1).chain([path.len()]) {
            read.push(start, end)?;
            start = end + 1;
        }
        Ok(read)
    }

    /// The path as it was sent, and as it goes upstream.
    pub const fn raw(&self) -> &'a str {
        self.raw
    }

    /// The query as it was sent, without the `?`.
    pub const fn query(&self) -> Option<&'a str> {
        self.query
    }

    /// How many segments.
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether the path is `/`.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The segment at `index`.
    pub fn segment(&self, index: usize) -> Option<Segment<'a>> {
        (index < self.len()).then(|| {
            let raw = &self.raw[self.start(index)..usize::from(self.ends[index])];
            Segment { raw, escaped: self.escaped >> index & 1 == 1 }
        })
    }

    /// The segments in order.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'a>> + '_ {
        (0..self.len()).filter_map(|index| self.segment(index))
    }

    /// The rest of the path from segment `index` on, with its leading `/`.
    pub fn from_segment(&self, index: usize) -> &'a str {
        &self.raw[self.start(index.min(self.len())).saturating_sub(1)..]
    }

    /// Bit i is set if segment i decodes into non-ASCII.
    pub const fn non_ascii(&self) -> u16 {
        self.non_ascii
    }

    fn start(&self, index: usize) -> usize {
        if index == 0 { 1 } else { usize::from(self.ends[index - 1]) + 1 }
    }

    fn push(&mut self, start: usize, end: usize) -> Result<(), PathFault> {
        let index = self.len();
        if index == MAX_SEGMENTS {
            return Err(PathFault::TooLong);
        }
        let text = &self.raw[start..end];
        let classes = classes(text.as_bytes());
        if text.is_empty() {
            return Err(PathFault::EmptySegment);
        }
        if classes & REFUSED != 0 {
            return Err(PathFault::RawByte);
        }
        if classes & ESCAPE != 0 {
            self.escaped |= 1 << index;
            if !check_escapes(text)?.is_ascii() {
                self.non_ascii |= 1 << index;
            }
        } else if text.bytes().all(|byte| byte == b'.') {
            return Err(PathFault::DotSegment);
        }
        // At most MAX_PATH, which fits.
        self.ends[index] = u16::try_from(end).map_err(|_| PathFault::TooLong)?;
        self.len += 1;
        Ok(())
    }
}

impl<'a> Segment<'a> {
    /// The segment as it was sent.
    pub const fn raw(&self) -> &'a str {
        self.raw
    }

    /// The segment decoded; borrowed when it has no escapes.
    pub fn decoded(&self) -> Cow<'a, str> {
        if self.escaped {
            // `parse` let only UTF-8 through, so nothing is ever replaced here.
            percent_decode_str(self.raw).decode_utf8_lossy()
        } else {
            Cow::Borrowed(self.raw)
        }
    }
}

/// A `%`.
const ESCAPE: u8 = 1;
/// A byte that no segment may have raw.
const REFUSED: u8 = 2;
/// A byte that no query may have raw.
const REFUSED_IN_QUERY: u8 = 4;

/// What each raw byte means. In a segment, `pchar` of RFC 3986 without `;`, which path-parameter readers cut at.
static CLASSES: [u8; 256] = {
    let mut classes = [REFUSED | REFUSED_IN_QUERY; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        let plain = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'-' | b'.'
                    | b'_'
                    | b'~'
                    | b'!'
                    | b'$'
                    | b'&'
                    | b'\''
                    | b'('
                    | b')'
                    | b'*'
                    | b'+'
                    | b','
                    | b'='
                    | b':'
                    | b'@'
            );
        classes[byte as usize] = if plain { 0 } else { REFUSED };
        byte += 1;
    }
    classes[b'%' as usize] = ESCAPE;
    classes[b'#' as usize] = REFUSED | REFUSED_IN_QUERY;
    classes
};

/// Everything that stands in `bytes`, as one set.
fn classes(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |all, byte| all | CLASSES[usize::from(*byte)])
}

/// Decodes a segment that has escapes and refuses what could be read in two ways.
fn check_escapes(raw: &str) -> Result<Cow<'_, str>, PathFault> {
    if !escapes_are_whole(raw.as_bytes()) {
        return Err(PathFault::BadEscape);
    }
    let decoded = percent_decode_str(raw).decode_utf8().map_err(|_| PathFault::NotUtf8)?;
    if decoded.contains(['/', '\\']) {
        return Err(PathFault::EncodedSlash);
    }
    if decoded.chars().any(char::is_control) {
        return Err(PathFault::EncodedControl);
    }
    let hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = decoded.as_bytes();
    let again = |at: usize| bytes[at] == b'%' && hex(bytes.get(at + 1)) && hex(bytes.get(at + 2));
    if (0..bytes.len()).any(again) {
        return Err(PathFault::DoubleEncoding);
    }
    // A reader that cuts at these would be left with a dot segment.
    let cut = decoded.split([';', '?', '#']).next().unwrap_or_default().trim();
    if cut.chars().all(|c| c == '.') {
        return Err(PathFault::DotSegment);
    }
    Ok(decoded)
}

/// Whether every `%` is followed by two hex digits.
fn escapes_are_whole(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'%', bytes)
        .all(|at| bytes.get(at + 1..at + 3).is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit)))
}

/// Visible ASCII, no `#`, whole escapes.
fn check_query(query: &[u8]) -> Result<&str, PathFault> {
    let classes = classes(query);
    if classes & REFUSED_IN_QUERY != 0 || classes & ESCAPE != 0 && !escapes_are_whole(query) {
        return Err(PathFault::Query);
    }
    if query.split(|byte| matches!(byte, b'&' | b';')).any(overrides_method) {
        return Err(PathFault::MethodOverride);
    }
    std::str::from_utf8(query).map_err(|_| PathFault::Query)
}

/// Whether a pair of a query is named as method overrides are, in any case and encoding.
fn overrides_method(pair: &[u8]) -> bool {
    if !matches!(pair.first(), Some(b'_' | b'x' | b'X' | b'%')) {
        return false;
    }
    let name: Vec<u8> = percent_decode(&pair[..memchr::memchr(b'=', pair).unwrap_or(pair.len())]).collect();
    is_method_override(&name)
}

/// Whether a decoded name is one by which frameworks let a POST be taken for another method. Whether Twilio does is not
/// documented, so it is taken to.
pub(super) fn is_method_override(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 4] = [b"_method", b"x-http-method", b"x-http-method-override", b"x-method-override"];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests;
