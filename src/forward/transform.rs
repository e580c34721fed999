//! What happens to an answer's body: unpacked where it is packed, its links led back, scrubbed of the key's secret.
//!
//! A packed body is passed on unpacked: what is scrubbed has to be read, and every caller can read a plain body.

use super::encoding::Encoding;
use crate::secret::Spellings;
use crate::twilio::links::LinkRewriter;
use flate2::write::{MultiGzDecoder, ZlibDecoder};
use memchr::memmem;
use std::io::{self, Write};
use std::sync::LazyLock;

/// Packed bytes unpacked at once: at first, at least and at most. A body that unpacks a thousandfold then takes some 64 KiB at
/// a time, as one does that is not packed, however many callers are slow to take theirs.
const PIECES: (usize, usize, usize) = (128, 64, 1024);

/// Unpacked bytes of a piece from which on the next one is smaller; up to a quarter of them, it is larger.
const UNPACKED_PIECE: usize = 64 * 1024;

const UNPACKED_QUARTER: usize = UNPACKED_PIECE / 4;

/// Bytes of a body that is looked at as a whole before anything of it goes on, if it may hold links and says its length:
/// most have none, and then nothing in it needs to be followed.
pub const WHOLE: usize = 128 * 1024;

/// What every link to a host of Twilio's holds, however JSON escapes its slashes.
static HOSTS: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new("twilio.com"));

/// Turns the upstream's body bytes into the caller's.
pub struct Transform<'k> {
    unpack: Unpack,
    /// Packed bytes that are taken at once.
    piece: usize,
    /// Something has come to be unpacked.
    fed: bool,
    /// Where links lead back to, if they do.
    base: Option<&'k str>,
    /// Made when there is a link.
    links: Option<LinkRewriter>,
    spellings: &'k Spellings,
    /// Unpacked bytes on their way to the links.
    unpacked: Vec<u8>,
    /// Unpacked or held bytes that are worked on; its front is what [`Transform::feed`] shows.
    work: Vec<u8>,
    /// Bytes at the front of `work` that were shown by the last call.
    shown: usize,
    /// A piece has been taken.
    begun: bool,
    /// Pieces are gathered until the body is there, up to [`WHOLE`].
    gathers: bool,
}

/// How bytes are unpacked.
enum Unpack {
    Identity,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Deflate(Box<ZlibDecoder<Vec<u8>>>),
}

impl<'k> Transform<'k> {
    /// For a body packed so, in which `spellings` must not appear. `short`: it says that it has at most [`WHOLE`] bytes.
    ///
    /// # Errors
    /// A packing that can't be undone: what can't be read can't be scrubbed.
    pub fn new(
        encoding: Encoding,
        spellings: &'k Spellings,
        base: Option<&'k str>,
        short: bool,
    ) -> Result<Self, &'static str> {
        let unpack = match encoding {
            Encoding::Identity => Unpack::Identity,
            Encoding::Gzip => Unpack::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            Encoding::Deflate => Unpack::Deflate(Box::new(ZlibDecoder::new(Vec::new()))),
            Encoding::Unknown => return Err("a Content-Encoding that nobody asked for"),
        };
        Ok(Self {
            unpack,
            piece: PIECES.0,
            fed: false,
            base,
            links: None,
            spellings,
            unpacked: Vec::new(),
            work: Vec::new(),
            shown: 0,
            begun: false,
            gathers: short && base.is_some(),
        })
    }

    /// Most bytes that the next piece may have.
    pub const fn takes(&self) -> usize {
        if matches!(self.unpack, Unpack::Identity) { usize::MAX } else { self.piece }
    }

    /// Takes the next piece (at most [`Transform::takes`] bytes); `last` with the last one. What comes back may be less than
    /// went in, and more the next time.
    ///
    /// # Errors
    /// The packing is broken.
    pub fn feed<'a>(&'a mut self, data: &'a [u8], last: bool) -> Result<&'a [u8], &'static str> {
        self.work.drain(..self.shown);
        self.shown = 0;
        if self.passes(data, last) {
            return Ok(data);
        }
        self.begun = true;
        self.unpack(data, last).map_err(|_| "the body is not packed as its Content-Encoding says")?;
        if self.gathers {
            if !last && self.unpacked.len() <= WHOLE {
                return Ok(&[]);
            }
            self.gathers = false;
            if last && HOSTS.find(&self.unpacked).is_none() {
                self.base = None;
            }
        }
        match self.base {
            None if self.work.is_empty() => std::mem::swap(&mut self.work, &mut self.unpacked),
            None => self.work.append(&mut self.unpacked),
            Some(base) => {
                let links = self.links.get_or_insert_with(|| LinkRewriter::new(base));
                links.push(&self.unpacked, &mut self.work);
                self.unpacked.clear();
                if last {
                    links.finish(&mut self.work);
                }
            }
        }
        self.spellings.mask(&mut self.work);
        let held = if last { 0 } else { self.spellings.tail(&self.work) };
        self.shown = self.work.len() - held;
        Ok(&self.work[..self.shown])
    }

    /// Whether nothing would be made of a body's pieces before all of it is there.
    pub const fn gathers(&self) -> bool {
        self.gathers && matches!(self.unpack, Unpack::Identity)
    }

    /// Whether a piece can go on as it is: nothing is held, and nothing in it or across its end is sought.
    fn passes(&self, data: &[u8], last: bool) -> bool {
        let plain = matches!(self.unpack, Unpack::Identity) && self.work.is_empty();
        // A link can only be told from a text when the whole body is seen: from its first byte to its last.
        let linkless = || self.base.is_none() || (last && !self.begun && HOSTS.find(data).is_none());
        plain && linkless() && !self.spellings.found_in(data) && (last || self.spellings.tail(data) == 0)
    }

    fn unpack(&mut self, data: &[u8], last: bool) -> io::Result<()> {
        self.fed |= !data.is_empty();
        // No bytes are an empty body, however it is said to be packed.
        if !self.fed {
            return Ok(());
        }
        let before = self.unpacked.len();
        self.unpack_piece(data, last)?;
        self.piece = match self.unpacked.len() - before {
            0..=UNPACKED_QUARTER => (self.piece * 2).min(PIECES.2),
            UNPACKED_PIECE.. => (self.piece / 4).max(PIECES.1),
            _ => self.piece,
        };
        Ok(())
    }

    fn unpack_piece(&mut self, data: &[u8], last: bool) -> io::Result<()> {
        match &mut self.unpack {
            Unpack::Identity => self.unpacked.extend_from_slice(data),
            Unpack::Gzip(decoder) => {
                decoder.write_all(data)?;
                if last {
                    decoder.try_finish()?;
                } else {
                    decoder.flush()?;
                }
                self.unpacked.append(decoder.get_mut());
            }
            Unpack::Deflate(decoder) => {
                decoder.write_all(data)?;
                if last {
                    decoder.try_finish()?;
                } else {
                    decoder.flush()?;
                }
                self.unpacked.append(decoder.get_mut());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    const SECRET: &str = "0123456789abcdefGHIJKLMNOPQRSTUV";

    fn run(encoding: Encoding, wire: &[u8], piece: usize) -> Result<Vec<u8>, &'static str> {
        run_with(encoding, wire, piece, None, false).map_err(|_| "refused")
    }

    fn run_with(
        encoding: Encoding,
        wire: &[u8],
        piece: usize,
        base: Option<&str>,
        short: bool,
    ) -> Result<Vec<u8>, TestCaseError> {
        let spellings = Spellings::of("SK", &Secret::from(SECRET.to_owned()));
        let fail = |fault: &'static str| TestCaseError::fail(fault);
        let mut transform = Transform::new(encoding, &spellings, base, short).map_err(fail)?;
        let mut out = Vec::new();
        for mut data in wire.chunks(piece) {
            while !data.is_empty() {
                let (taken, rest) = data.split_at(data.len().min(transform.takes()));
                out.extend_from_slice(transform.feed(taken, false).map_err(fail)?);
                data = rest;
            }
        }
        out.extend_from_slice(transform.feed(b"", true).map_err(fail)?);
        Ok(out)
    }

    proptest! {
        #[test]
        fn a_secret_never_crosses_however_it_is_cut(
            before in "[ -~]{0,60}", after in "[ -~]{0,60}", piece in 1_usize..50
        ) {
            let body = format!("{before}{SECRET}{after}");
            let masked = format!("{before}{}{after}", "*".repeat(SECRET.len())).into_bytes();
            let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
            gzip.write_all(body.as_bytes()).expect("memory");
            let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
            zlib.write_all(body.as_bytes()).expect("memory");
            prop_assert_eq!(run(Encoding::Identity, body.as_bytes(), piece), Ok(masked.clone()));
            prop_assert_eq!(run(Encoding::Gzip, &gzip.finish().expect("memory"), piece), Ok(masked.clone()));
            prop_assert_eq!(run(Encoding::Deflate, &zlib.finish().expect("memory"), piece), Ok(masked));
        }

        #[test]
        fn a_gathered_body_is_the_same_as_a_streamed_one(
            links in proptest::collection::vec("https://(api\\.twilio\\.com/2010-04-01|x\\.example)/[a-z]{0,9}", 0..4),
            filler in 0_usize..3, packed: bool, piece in 1_usize..1024
        ) {
            let text = "a text ".repeat(filler * WHOLE / 8);
            let members: Vec<String> = links.iter().map(|url| format!(r#"{{"url":"{url}","text":"{text}{SECRET}"}}"#)).collect();
            let body = format!("[{}]", members.join(","));
            let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
            gzip.write_all(body.as_bytes()).expect("memory");
            let (encoding, wire) = if packed {
                (Encoding::Gzip, gzip.finish().expect("memory"))
            } else {
                (Encoding::Identity, body.into_bytes())
            };
            let streamed = run_with(encoding, &wire, piece, Some("http://broker"), false)?;
            prop_assert!(!String::from_utf8_lossy(&streamed).contains(SECRET));
            prop_assert!(!String::from_utf8_lossy(&streamed).contains("twilio.com"));
            prop_assert_eq!(run_with(encoding, &wire, piece, Some("http://broker"), true)?, streamed);
        }

        #[test]
        fn other_bodies_are_untouched(body: Vec<u8>, piece in 1_usize..50) {
            prop_assert_eq!(run(Encoding::Identity, &body, piece), Ok(body));
        }
    }

    #[test]
    fn little_is_unpacked_at_once_whatever_it_becomes() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&vec![0; 64 << 20]).expect("memory");
        let wire = gzip.finish().expect("memory");
        let spellings = Spellings::of("SK", &Secret::from(SECRET.to_owned()));
        let mut transform = Transform::new(Encoding::Gzip, &spellings, None, false).expect("gzip");
        let (mut rest, mut most, mut all) = (&wire[..], 0, 0);
        while !rest.is_empty() {
            let taken = rest.len().min(transform.takes());
            let out = transform.feed(&rest[..taken], taken == rest.len()).expect("whole").len();
            (most, all) = (most.max(out), all + out);
            rest = &rest[taken..];
        }
        assert_eq!(all, 64 << 20);
        assert!(most < 256 * 1024, "{most}");
    }

    #[test]
    fn no_bytes_are_an_empty_body() {
        for encoding in [Encoding::Identity, Encoding::Gzip, Encoding::Deflate] {
            assert_eq!(run(encoding, b"", 1), Ok(Vec::new()), "{encoding:?}");
        }
        assert!(run(Encoding::Gzip, b"\x1f\x8b\x08", 1).is_err(), "a cut one is none");
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        assert!(run(Encoding::Unknown, b"", 1).is_err());
        assert!(run(Encoding::Gzip, b"no gzip at all, not a bit of it", 7).is_err());
    }
}
