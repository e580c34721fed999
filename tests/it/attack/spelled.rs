//! A secret in any spelling, found by a reader of its own.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// Spellings of `secret` that give it away: raw, hexadecimal, Base64 at each offset, percent and JSON escapes, UTF-16.
pub fn spellings(secret: &str) -> Vec<Vec<u8>> {
    let mut all = vec![secret.as_bytes().to_vec(), hex::encode(secret).into_bytes()];
    all.push(hex::encode_upper(secret).into_bytes());
    for prefix in ["%", "\\u00"] {
        all.push(secret.bytes().flat_map(|byte| format!("{prefix}{byte:02x}").into_bytes()).collect());
        all.push(secret.bytes().flat_map(|byte| format!("{prefix}{byte:02X}").into_bytes()).collect());
    }
    all.push(secret.bytes().flat_map(|byte| format!("&#{byte};").into_bytes()).collect());
    all.push(secret.bytes().flat_map(|byte| [0, byte]).collect());
    for offset in 0..3 {
        let padded = format!("{}{secret}", "x".repeat(offset));
        for engine in [&STANDARD, &URL_SAFE] {
            // The first and the last group also hold bits of what stands around.
            let text = engine.encode(&padded);
            all.push(text.as_bytes()[4..text.len() / 4 * 4 - 4].to_vec());
        }
    }
    all
}

/// Where `text` gives `secret` away, as text around the place.
pub fn given_away(text: &[u8], secret: &str) -> Option<String> {
    let at = spellings(secret).iter().find_map(|spelling| memchr::memmem::find(text, spelling))?;
    Some(String::from_utf8_lossy(&text[at.saturating_sub(120)..(at + 120).min(text.len())]).into_owned())
}
