//! The password of a Basic proof (RFC 7617), on the stack and wiped.

use base64_simd::{AsOut, STANDARD};
use zeroize::{Zeroize, Zeroizing};

/// Bytes of user name and password together. A JWT fits where a token fits, and those reach some kilobytes.
const MAX: usize = 12 * 1024;

/// Characters of base64 that need no heap: every token of ours with a SID before it.
const SMALL: usize = 256;

/// Decodes the base64 of `user:password` and hands on what stands behind the first colon; `None` if it is no such thing.
/// Nothing decoded is left in memory.
pub fn with_password<T>(base64: &[u8], use_it: impl FnOnce(&[u8]) -> T) -> Option<T> {
    if base64.len() <= SMALL {
        let mut room = [0; SMALL];
        let decoded = STANDARD.decode(base64, room.as_mut_slice().as_out()).ok();
        let used = decoded.as_ref().map_or(SMALL, |pair| pair.len());
        let result = decoded.and_then(|pair| Some(use_it(password(pair)?)));
        room[..used].zeroize();
        return result;
    }
    if base64.len() > MAX {
        return None;
    }
    let bytes = Zeroizing::new(STANDARD.decode_to_vec(base64).ok()?);
    Some(use_it(password(&bytes)?))
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
}
