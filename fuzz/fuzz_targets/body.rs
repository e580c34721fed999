//! A body on the wire: in pieces it reads as in one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sidekey::http1::{Body, Framing, Progress};
use sidekey_fuzz::{cuts, pieces};

fuzz_target!(|input: &[u8]| {
    let Some((&kind, input)) = input.split_first() else { return };
    let framing = match kind % 4 {
        0 | 1 => Framing::Chunked,
        2 => Framing::Length(u64::from(kind)),
        _ => Framing::UntilClose,
    };
    let (cuts, bytes) = cuts(input);
    let whole = read(framing, [bytes].into_iter());
    let cut = read(framing, pieces(bytes, cuts).into_iter());
    assert_eq!(whole, cut);
    let ahead = Body::new(framing).look_ahead(bytes);
    assert_eq!(ahead.is_err(), whole.is_err(), "a look ahead sees what a look sees");
});

/// The body, its trailers, how many bytes stand behind it, and whether it has ended; or that it is wrong.
fn read<'a>(framing: Framing, pieces: impl Iterator<Item = &'a [u8]>) -> Result<(Vec<u8>, Vec<u8>, usize, bool), ()> {
    let (mut decoder, mut buffer, mut body) = (Body::new(framing), Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.look(&buffer).map_err(drop)? {
                Progress::Data { skip, data } => {
                    body.extend_from_slice(&buffer[skip..skip + data]);
                    buffer.drain(..skip + data);
                    if skip + data == 0 {
                        break;
                    }
                }
                Progress::NeedMore { skip } | Progress::End { skip } => {
                    buffer.drain(..skip);
                    break;
                }
            }
        }
    }
    let ended = decoder.ended();
    // What waits for more is not decided yet, and where it waits follows the pieces.
    let behind = if ended { buffer.len() } else { 0 };
    Ok((body, if ended { decoder.trailers().to_vec() } else { Vec::new() }, behind, ended))
}
