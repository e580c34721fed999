//! Content encodings that Twilio's callers may use.

use super::Unreadable;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use std::borrow::Cow;
use std::io::Read;

/// Most bytes that a body may inflate to: what a plain body may have by default (`max_body`).
const MAX_INFLATED: u64 = 16 * 1024 * 1024;

/// The same for a body that is small as it is sent, and by how much a larger one may grow: whoever sends little must not
/// have much read.
const MAX_INFLATED_SMALL: u64 = 1024 * 1024;
const MAX_RATIO: u64 = 20;

/// Most encodings on top of each other.
const MAX_LAYERS: usize = 2;

/// Undoes a `Content-Encoding`: the last one listed was applied last.
pub(super) fn decode<'a>(encodings: &str, body: &'a [u8]) -> Result<Cow<'a, [u8]>, Unreadable> {
    let layers: Vec<String> = encodings
        .split(',')
        .map(|layer| layer.trim().to_ascii_lowercase())
        .filter(|layer| !layer.is_empty() && layer != "identity")
        .collect();
    if layers.len() > MAX_LAYERS {
        return Err(Unreadable::Encoding);
    }
    let sent = body.len() as u64;
    let ceiling = (sent * MAX_RATIO).clamp(MAX_INFLATED_SMALL, MAX_INFLATED);
    let mut body = Cow::Borrowed(body);
    for layer in layers.iter().rev() {
        body = Cow::Owned(match layer.as_str() {
            // Every member counts, and bytes behind the last one are an error of the decoder's own.
            "gzip" | "x-gzip" => inflate(MultiGzDecoder::new(&*body), ceiling, |_| &[])?,
            // HTTP's deflate is zlib's format; some senders leave zlib's frame out.
            "deflate" if is_zlib(&body) => inflate(ZlibDecoder::new(&*body), ceiling, ZlibDecoder::into_inner)?,
            "deflate" => inflate(DeflateDecoder::new(&*body), ceiling, DeflateDecoder::into_inner)?,
            _ => return Err(Unreadable::Encoding),
        });
    }
    Ok(body)
}

/// Whether a body begins as zlib's do (RFC 1950, 2.2). One that does is read as nothing else, as by whoever takes it so far.
fn is_zlib(body: &[u8]) -> bool {
    matches!(body, [method, check, ..] if method & 15 == 8 && u16::from_be_bytes([*method, *check]) % 31 == 0)
}

/// Reads a decoder to its end; bytes that it leaves could be read by somebody else.
fn inflate<'a, D: Read>(mut decoder: D, ceiling: u64, rest: impl FnOnce(D) -> &'a [u8]) -> Result<Vec<u8>, Unreadable> {
    let mut out = Vec::new();
    decoder.by_ref().take(ceiling + 1).read_to_end(&mut out).map_err(|_| Unreadable::Encoding)?;
    if out.len() as u64 > ceiling {
        return Err(Unreadable::TooMuch);
    }
    if rest(decoder).is_empty() { Ok(out) } else { Err(Unreadable::Encoding) }
}
