//! The password of a Basic proof (RFC 7617), on the stack and wiped.

use base64_simd::{AsOut, STANDARD};
use zeroize::{Zeroize, Zeroizing};

/// Bytes of user name and password together. A JWT fits where a token fits, and those reach some kilobytes.
const MAX: usize = 12 * 1024;

/// Characters of base64 that need no heap: every token of ours with a SID before it.
const SMALL: usize = 256;

/// Decodes the base64 of `user:password` and hands on what stands behind the first colon; `None` if it is no such thing.
/// Nothing decoded is left in memory, not by a panic in `use_it` either.
pub fn with_password<T>(base64: &[u8], use_it: impl FnOnce(&[u8]) -> T) -> Option<T> {
    if base64.len() <= SMALL {
        return within(&mut [0; SMALL], base64, use_it);
    }
    if base64.len() > MAX {
        return None;
    }
    let bytes = Zeroizing::new(STANDARD.decode_to_vec(base64).ok()?);
    Some(use_it(password(&bytes)?))
}

/// The same in this room, of which only what was used is wiped: all of it would cost more than the rest of the work.
fn within<T>(room: &mut [u8; SMALL], base64: &[u8], use_it: impl FnOnce(&[u8]) -> T) -> Option<T> {
    let mut room = Wiped { room, used: SMALL };
    room.used = STANDARD.decode(base64, room.room.as_mut_slice().as_out()).ok()?.len();
    Some(use_it(password(&room.room[..room.used])?))
}

/// Room that is wiped when this is dropped, as far as it was used.
struct Wiped<'r> {
    room: &'r mut [u8; SMALL],
    used: usize,
}

impl Drop for Wiped<'_> {
    fn drop(&mut self) {
        self.room[..self.used].zeroize();
    }
}

fn password(pair: &[u8]) -> Option<&[u8]> {
    memchr::memchr(b':', pair).map(|colon| &pair[colon + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD as OTHER;
    use proptest::prelude::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    proptest! {
        #[test]
        fn what_is_decoded_is_what_another_reader_decodes(
            pair in proptest::collection::vec(any::<u8>(), 0..300),
            place in any::<prop::sample::Index>(),
            put in prop_oneof![Just(None), "[A-Za-z0-9+/=_. \u{e9}-]{0,3}".prop_map(Some)],
        ) {
            let mut text = OTHER.encode(pair);
            if let Some(put) = put {
                let at = place.index(text.len() + 1);
                text.replace_range(at..text.len().min(at + 1), &put);
            }
            let model = OTHER.decode(&text).ok();
            let model = model.as_deref().and_then(|pair| pair.splitn(2, |byte| *byte == b':').nth(1).map(<[u8]>::to_vec));
            prop_assert_eq!(with_password(text.as_bytes(), <[u8]>::to_vec), model);
        }
    }

    #[test]
    fn nothing_decoded_is_left_behind() {
        let good = OTHER.encode("user:secret");
        let mut room = [0; SMALL];
        assert_eq!(within(&mut room, good.as_bytes(), <[u8]>::to_vec), Some(b"secret".to_vec()));
        assert_eq!(room, [0; SMALL], "used");
        let panicked = catch_unwind(AssertUnwindSafe(|| within(&mut room, good.as_bytes(), |_| panic!("within"))));
        assert!(panicked.is_err());
        assert_eq!(room, [0; SMALL], "after a panic");
        // Its last character is none of base64's, so that all before it has been decoded.
        assert_eq!(within(&mut room, format!("{}!", &good[..15]).as_bytes(), <[u8]>::len), None);
        assert_eq!(room, [0; SMALL], "not base64");
    }
}
