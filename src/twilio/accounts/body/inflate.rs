//! Content encodings that Twilio's callers may use.

use super::Unreadable;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use std::borrow::Cow;
use std::io::Read;

/// Most bytes that a body may inflate to: what a plain body may have by default (`max_body`).
const MAX_INFLATED: u64 = 16 * 1024 * 1024;

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
    let mut body = Cow::Borrowed(body);
    for layer in layers.iter().rev() {
        body = Cow::Owned(match layer.as_str() {
            "gzip" | "x-gzip" => gunzip(&body)?,
            // HTTP's deflate is zlib's format; some senders leave zlib's frame out.
            "deflate" => match inflate(ZlibDecoder::new(&*body), ZlibDecoder::into_inner) {
                Err(Unreadable::Encoding) => inflate(DeflateDecoder::new(&*body), DeflateDecoder::into_inner)?,
                other => other?,
            },
            _ => return Err(Unreadable::Encoding),
        });
    }
    Ok(body)
}

fn gunzip(body: &[u8]) -> Result<Vec<u8>, Unreadable> {
    // Every member counts, and bytes behind the last one are an error of the decoder's own.
    inflate(MultiGzDecoder::new(body), |_| &[])
}

/// Reads a decoder to its end; bytes that it leaves could be read by somebody else.
fn inflate<'a, D: Read>(mut decoder: D, rest: impl FnOnce(D) -> &'a [u8]) -> Result<Vec<u8>, Unreadable> {
    let mut out = Vec::new();
    decoder.by_ref().take(MAX_INFLATED + 1).read_to_end(&mut out).map_err(|_| Unreadable::Encoding)?;
    if out.len() as u64 > MAX_INFLATED {
        return Err(Unreadable::TooMuch);
    }
    if rest(decoder).is_empty() { Ok(out) } else { Err(Unreadable::Encoding) }
}
