//! The password of a Basic proof (RFC 7617), on the stack and wiped.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
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
        let decoded = STANDARD.decode_slice(base64, &mut room);
        let used = decoded.as_ref().copied().unwrap_or(SMALL);
        let result = decoded.ok().and_then(|length| Some(use_it(password(&room[..length])?)));
        room[..used].zeroize();
        return result;
    }
    if base64.len() > MAX {
        return None;
    }
    let bytes = Zeroizing::new(STANDARD.decode(base64).ok()?);
    Some(use_it(password(&bytes)?))
}

fn password(pair: &[u8]) -> Option<&[u8]> {
    memchr::memchr(b':', pair).map(|colon| &pair[colon + 1..])
}
