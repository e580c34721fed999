//! HTTP/2 by hand: any frames out, in any order; answers in, as far as a test needs them.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};

/// Types of frames (RFC 9113 §6).
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// Flags.
pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// What became of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// An answer, whole.
    Answer { status: u16, body: String },
    /// Its end without one: the code of `RST_STREAM`.
    Reset(u32),
    /// The connection's end without one.
    Gone,
}

impl Heard {
    /// The answer's status.
    pub fn status(&self) -> Option<u16> {
        if let Self::Answer { status, .. } = self { Some(*status) } else { None }
    }
}

/// One connection.
pub struct Frames<S> {
    stream: S,
    next: u32,
    /// Answers under way: status, body.
    coming: BTreeMap<u32, (u16, Vec<u8>)>,
    done: BTreeMap<u32, Heard>,
    /// Code of the other side's `GOAWAY`, if it sent one.
    pub away: Option<u32>,
    gone: bool,
    /// Nothing came for a long time.
    late: bool,
}

impl<S: Read + Write> Frames<S> {
    /// Greets; the other side may keep no table of fields, so that every status can be read by itself.
    pub fn greet(stream: S) -> Self {
        let mut frames = Self::silent(stream);
        frames.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        frames.frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff]);
        frames.frame(WINDOW_UPDATE, 0, 0, &[0x3f, 0xff, 0xff, 0xff]);
        frames
    }

    /// Says nothing yet.
    pub fn silent(stream: S) -> Self {
        Self { stream, next: 1, coming: BTreeMap::new(), done: BTreeMap::new(), away: None, gone: false, late: false }
    }

    /// Writes bytes; says whether they went out.
    pub fn raw(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).and_then(|()| self.stream.flush()).is_ok()
    }

    /// Writes a frame; says whether it went out.
    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let bytes = frame(kind, flags, stream, payload);
        self.raw(&bytes)
    }

    /// The number of a new stream.
    pub fn number(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }

    /// Sends a request whose fields are these, pseudo-fields included, and its body.
    pub fn request(&mut self, fields: &[(&str, &str)], body: &[u8]) -> u32 {
        let number = self.number();
        let end = if body.is_empty() { END_STREAM } else { 0 };
        self.frame(HEADERS, END_HEADERS | end, number, &block(fields));
        if !body.is_empty() {
            self.frame(DATA, END_STREAM, number, body);
        }
        number
    }

    /// What becomes of a stream.
    pub fn heard(&mut self, number: u32) -> Heard {
        while !self.gone && !self.done.contains_key(&number) {
            self.gone = self.hear().is_none();
        }
        self.done.get(&number).cloned().unwrap_or(Heard::Gone)
    }

    /// Waits for the end of the connection; `false` if nothing came for a long time instead.
    pub fn end(&mut self) -> bool {
        while !self.gone {
            self.gone = self.hear().is_none();
        }
        !self.late
    }

    /// Whether the connection is of no more use.
    pub const fn over(&self) -> bool {
        self.gone || self.away.is_some()
    }

    /// Reads a frame.
    fn hear(&mut self) -> Option<()> {
        let mut head = [0; 9];
        if let Err(fault) = self.stream.read_exact(&mut head) {
            self.late = matches!(fault.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            return None;
        }
        let mut payload = vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
        self.stream.read_exact(&mut payload).ok()?;
        let (kind, flags) = (head[3], head[4]);
        let number = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        let code = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().expect("four bytes"));
        match kind {
            HEADERS => {
                self.coming.entry(number).or_insert_with(|| (status(&payload), Vec::new()));
            }
            DATA => self.coming.get_mut(&number)?.1.extend_from_slice(&payload),
            RST_STREAM => {
                self.done.entry(number).or_insert(Heard::Reset(code(0)));
            }
            GOAWAY => self.away = Some(code(4)),
            SETTINGS if flags & ACK == 0 => {
                self.frame(SETTINGS, ACK, 0, b"");
            }
            PING if flags & ACK == 0 => {
                self.frame(PING, ACK, 0, &payload);
            }
            _ => {}
        }
        if matches!(kind, HEADERS | DATA)
            && flags & END_STREAM != 0
            && let Some((status, body)) = self.coming.remove(&number)
        {
            let body = String::from_utf8_lossy(&body).into_owned();
            self.done.insert(number, Heard::Answer { status, body });
        }
        Some(())
    }
}

/// A frame's bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a payload of a test").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields as HPACK's plainest form: literal, never indexed, names and values as they are.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0x10);
        for text in [name, value] {
            length(&mut out, text.len());
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

/// An integer with a prefix of seven bits.
fn length(out: &mut Vec<u8>, mut length: usize) {
    if length < 127 {
        out.push(u8::try_from(length).expect("below 127"));
        return;
    }
    out.push(127);
    length -= 127;
    while length >= 128 {
        out.push(u8::try_from(length % 128).expect("below 128") | 128);
        length /= 128;
    }
    out.push(u8::try_from(length).expect("below 128"));
}

/// The status, which is the first field of every answer.
fn status(block: &[u8]) -> u16 {
    let mut rest = block;
    // New sizes of the table of fields.
    while let [first, more @ ..] = rest
        && first & 0xe0 == 0x20
    {
        rest = more;
    }
    match rest {
        [indexed @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
        // Literal, by the name of the eighth field, however it is to be kept.
        [0x48 | 0x08 | 0x18, length, value @ ..] => digits(*length, value),
        other => panic!("no status: {other:?}"),
    }
}

/// Three digits, perhaps in HPACK's Huffman code (RFC 7541, appendix B).
fn digits(length: u8, value: &[u8]) -> u16 {
    if length & 0x80 == 0 {
        return std::str::from_utf8(&value[..3]).expect("digits").parse().expect("digits");
    }
    let bits = value[..usize::from(length & 0x7f)].iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
    let (mut left, mut status) = (u32::from(length & 0x7f) * 8, 0);
    for _ in 0..3 {
        let five = bits >> (left - 5) & 0x1f;
        let digit = if five < 3 {
            left -= 5;
            five
        } else {
            left -= 6;
            (bits >> left & 0x3f) - 0x19 + 3
        };
        status = status * 10 + digit;
    }
    u16::try_from(status).expect("three digits")
}
