//! Heads and chunks as HTTP/1.1 writes them.

use bytes::BytesMut;
use std::io::Write;

/// Writes an answer's first line.
#[inline]
pub fn status_line(out: &mut BytesMut, status: u16, phrase: &str) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    out.extend_from_slice(b" ");
    out.extend_from_slice(phrase.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Writes one field.
#[inline]
pub fn field(out: &mut BytesMut, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes a Content-Length.
#[inline]
pub fn content_length(out: &mut BytesMut, length: u64) {
    field(out, "Content-Length", itoa::Buffer::new().format(length).as_bytes());
}

/// The size line of a chunk.
#[derive(Debug)]
pub struct ChunkSize {
    text: [u8; 18],
    length: usize,
}

impl ChunkSize {
    /// Of a chunk with so many bytes.
    pub fn new(size: usize) -> Self {
        let mut text = [0; 18];
        let room = text.len();
        let mut rest = &mut text[..];
        // 16 hex digits and CRLF always fit.
        let _ = write!(rest, "{size:x}\r\n");
        let length = room - rest.len();
        Self { text, length }
    }

    /// The line, its end included.
    pub fn text(&self) -> &[u8] {
        &self.text[..self.length]
    }
}
