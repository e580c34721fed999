//! The password of a Basic proof (RFC 7617), on the stack and wiped.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Bytes of user name and password together. A JWT fits where a token fits, and those reach some kilobytes.
const MAX: usize = 12 * 1024;

/// Bytes that need no heap: every token of ours with a SID before it.
const SMALL: usize = 256;

/// What stands behind the first colon.
pub struct Password {
    decoded: Decoded,
    from: usize,
}

#[allow(clippy::large_enum_variant, reason = "it lives on the stack, and the large variant is the common one")]
enum Decoded {
    Small(Zeroizing<[u8; SMALL]>, usize),
    Large(Zeroizing<Vec<u8>>),
}

impl Password {
    /// Reads the base64 of `user:password`; `None` if it is none.
    pub fn read(base64: &[u8]) -> Option<Self> {
        let decoded = if base64.len() <= SMALL {
            let mut room = Zeroizing::new([0; SMALL]);
            let length = STANDARD.decode_slice(base64, room.as_mut_slice()).ok()?;
            Decoded::Small(room, length)
        } else if base64.len() <= MAX {
            Decoded::Large(Zeroizing::new(STANDARD.decode(base64).ok()?))
        } else {
            return None;
        };
        let mut password = Self { decoded, from: 0 };
        password.from = password.as_bytes().iter().position(|&b| b == b':')? + 1;
        Some(password)
    }

    /// The password's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.decoded {
            Decoded::Small(room, length) => &room[self.from..*length],
            Decoded::Large(bytes) => &bytes[self.from..],
        }
    }
}
