//! Body bytes out of the wire's bytes: one decoder for both framings, fed from a buffer, doing no I/O.

use super::framing::Framing;
use crate::headers::trailer::{MAX_BYTES, MAX_FIELDS};

/// Longest chunk-size line, extensions included. Extensions mean nothing to us and are dropped.
const MAX_SIZE_LINE: usize = 256;

/// Decodes one body.
#[derive(Debug)]
pub struct Body {
    state: State,
    /// Trailer fields so far, as lines.
    trailers: Vec<u8>,
}

/// What the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Data { left: u64 },
    UntilClose,
    ChunkSize,
    ChunkData { left: u64 },
    ChunkEnd,
    Trailers { seen: usize, fields: usize },
    Done,
}

/// What a look at the buffer found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The first `skip` bytes are framing; the `data` bytes after them are body. Consume both, then look again.
    Data {
        /// Framing bytes before the data.
        skip: usize,
        /// Body bytes.
        data: usize,
    },
    /// Not enough bytes; the first `skip` are framing that may be consumed.
    NeedMore {
        /// Framing bytes to consume.
        skip: usize,
    },
    /// The body has ended; the first `skip` bytes belong to it.
    End {
        /// Framing bytes to consume.
        skip: usize,
    },
}

/// A body that is not framed as its head said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyError(pub &'static str);

impl Body {
    /// A decoder for a body framed so.
    pub const fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(left) => State::Data { left },
            Framing::Chunked => State::ChunkSize,
            Framing::UntilClose => State::UntilClose,
        };
        Self { state, trailers: Vec::new() }
    }

    /// Trailer fields, each `name: value` and CRLF as it stood on the wire; whole once the body has ended. Nobody has
    /// judged yet which of them may go on.
    pub fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// Whether the body has ended.
    pub const fn ended(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Whether so many bytes follow, and nothing stands between them.
    pub const fn counted(&self) -> bool {
        matches!(self.state, State::Data { .. })
    }

    /// Whether the peer's close is an end (and not a cut).
    pub const fn ends_at_close(&self) -> bool {
        matches!(self.state, State::UntilClose | State::Done)
    }

    /// Looks ahead over bytes that stand behind those that were shown, and takes nothing: a body that is already seen to
    /// be badly framed is then refused before a byte of its request is sent.
    ///
    /// # Errors
    /// As for [`Body::look`].
    pub fn look_ahead(&self, mut bytes: &[u8]) -> Result<(), BodyError> {
        let mut ahead = Self { state: self.state, trailers: Vec::new() };
        while let Progress::Data { skip, data } = ahead.look(bytes)? {
            bytes = &bytes[skip + data..];
        }
        Ok(())
    }

    /// Looks at the bytes at hand. The caller consumes what [`Progress`] names before it looks again.
    ///
    /// # Errors
    /// A chunk that is not framed as RFC 9112 §7.1 says: nothing after it can be trusted.
    pub fn look(&mut self, bytes: &[u8]) -> Result<Progress, BodyError> {
        let mut skip = 0;
        loop {
            let rest = &bytes[skip..];
            match self.state {
                State::Done => return Ok(Progress::End { skip }),
                State::UntilClose => return Ok(data(skip, rest.len())),
                State::Data { left } => {
                    let take = at_hand(left, rest);
                    let left = left - take as u64;
                    self.state = if left == 0 { State::Done } else { State::Data { left } };
                    return Ok(data(skip, take));
                }
                State::ChunkData { left } => {
                    let take = at_hand(left, rest);
                    let left = left - take as u64;
                    self.state = if left == 0 { State::ChunkEnd } else { State::ChunkData { left } };
                    return Ok(data(skip, take));
                }
                State::ChunkEnd => match rest {
                    [b'\r', b'\n', ..] => {
                        skip += 2;
                        self.state = State::ChunkSize;
                    }
                    [] | [b'\r'] => return Ok(Progress::NeedMore { skip }),
                    _ => return Err(BodyError("no CRLF after a chunk")),
                },
                State::ChunkSize => {
                    let Some((line, used)) = line(rest, MAX_SIZE_LINE)? else { return Ok(Progress::NeedMore { skip }) };
                    skip += used;
                    self.state = match chunk_size(line)? {
                        0 => State::Trailers { seen: 0, fields: 0 },
                        left => State::ChunkData { left },
                    };
                }
                State::Trailers { seen, fields } => {
                    let Some((line, used)) = line(rest, MAX_BYTES)? else { return Ok(Progress::NeedMore { skip }) };
                    self.state = trailer(line, seen + used, fields + 1)?;
                    if !line.is_empty() {
                        self.trailers.extend_from_slice(&rest[..used]);
                    }
                    skip += used;
                }
            }
        }
    }
}

/// `left` or what is at hand, whichever is less.
fn at_hand(left: u64, rest: &[u8]) -> usize {
    usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()))
}

/// Data, or the wish for more.
const fn data(skip: usize, data: usize) -> Progress {
    if data == 0 { Progress::NeedMore { skip } } else { Progress::Data { skip, data } }
}

/// The line at the front without its CRLF, and the bytes it takes; `None` while its end is not at hand.
fn line(bytes: &[u8], ceiling: usize) -> Result<Option<(&[u8], usize)>, BodyError> {
    let window = &bytes[..bytes.len().min(ceiling)];
    let Some(end) = memchr::memchr(b'\n', window) else {
        return if bytes.len() >= ceiling { Err(BodyError("a line of framing is too long")) } else { Ok(None) };
    };
    let Some(line) = window[..end].strip_suffix(b"\r") else { return Err(BodyError("a bare LF in the framing")) };
    if line.iter().any(|&b| b != b'\t' && (b < b' ' || b == 0x7f)) {
        return Err(BodyError("a control byte in the framing"));
    }
    Ok(Some((line, end + 1)))
}

/// 1 to 15 hex digits, then the end or an extension.
fn chunk_size(line: &[u8]) -> Result<u64, BodyError> {
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let rest = &line[digits..];
    if digits == 0 || digits > 15 || !(rest.is_empty() || extension(rest)) {
        return Err(BodyError("chunk size"));
    }
    Ok(line[..digits].iter().fold(0, |sum, &digit| sum * 16 + u64::from((digit as char).to_digit(16).unwrap_or(0))))
}

/// `;` and visible ASCII: dropped, but only if no hop could read it as something else.
fn extension(rest: &[u8]) -> bool {
    rest[0] == b';' && rest[1..].iter().all(|&b| matches!(b, b'!'..=b'~')) && rest.len() > 1
}

/// A trailer line is checked for its form; the empty line ends the body.
fn trailer(line: &[u8], seen: usize, fields: usize) -> Result<State, BodyError> {
    if line.is_empty() {
        return Ok(State::Done);
    }
    let name = line.split(|&b| b == b':').next().unwrap_or_default();
    let token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    if seen > MAX_BYTES || fields > MAX_FIELDS || name.is_empty() || name.len() == line.len() || !name.iter().all(token)
    {
        return Err(BodyError("trailer"));
    }
    Ok(State::Trailers { seen, fields })
}
