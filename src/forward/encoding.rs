//! How bodies are packed.

use flate2::read;
use std::borrow::Cow;
use std::io::Read;

/// How an answer's body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Identity,
    /// gzip.
    Gzip,
    /// zlib, which HTTP calls deflate.
    Deflate,
    /// Something nobody asked for, that can't be looked into.
    Unknown,
}

impl Encoding {
    /// The packing that a `Content-Encoding` names; a list names them as several fields do.
    pub(super) fn named(value: &[u8]) -> Self {
        value.split(|byte| *byte == b',').fold(Self::Identity, |all, one| all.and(Self::one(one.trim_ascii())))
    }

    fn one(value: &[u8]) -> Self {
        if value.eq_ignore_ascii_case(b"gzip") || value.eq_ignore_ascii_case(b"x-gzip") {
            Self::Gzip
        } else if value.eq_ignore_ascii_case(b"deflate") {
            Self::Deflate
        } else if value.eq_ignore_ascii_case(b"identity") || value.is_empty() {
            Self::Identity
        } else {
            Self::Unknown
        }
    }

    /// Two fields name two packings on top of each other: more than is ever unpacked.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (one, Self::Identity) | (Self::Identity, one) => one,
            _ => Self::Unknown,
        }
    }
}

/// The whole of a small body unpacked, or as much of it as Twilio's own answers have; `None` if it can't be.
pub fn unpacked(encoding: Encoding, body: &[u8]) -> Option<Cow<'_, [u8]>> {
    const CEILING: u64 = 64 * 1024;
    let mut plain = Vec::new();
    match encoding {
        Encoding::Identity => return Some(Cow::Borrowed(body)),
        Encoding::Gzip => read::MultiGzDecoder::new(body).take(CEILING).read_to_end(&mut plain).ok()?,
        Encoding::Deflate => read::ZlibDecoder::new(body).take(CEILING).read_to_end(&mut plain).ok()?,
        Encoding::Unknown => return None,
    };
    Some(Cow::Owned(plain))
}
