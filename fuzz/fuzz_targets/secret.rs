//! A key's secret in an answer: no spelling of it is left, and nothing else is touched.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sidekey::secret::{Secret, Spellings};
use sidekey_fuzz::SECRET;
use std::sync::LazyLock;

static SPELLINGS: LazyLock<Spellings> = LazyLock::new(|| Spellings::of("SK", &Secret::from(SECRET.to_owned())));

fuzz_target!(|input: &[u8]| {
    // The engine can't guess a secret: `$` stands for it.
    let text: Vec<u8> =
        input.iter().flat_map(|&byte| if byte == b'$' { SECRET.as_bytes().to_vec() } else { vec![byte] }).collect();
    let mut masked = text.clone();
    let found = SPELLINGS.mask(&mut masked);
    assert_eq!(found, SPELLINGS.found_in(&text));
    assert_eq!(found, masked != text);
    assert_eq!(masked.len(), text.len());
    assert!(!SPELLINGS.found_in(&masked), "a spelling is left");
    assert!(!masked.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()), "the secret is left");
    assert!(masked.iter().zip(&text).all(|(masked, byte)| masked == byte || *masked == b'*'));
    // Each cut is looked at in all of its length.
    if text.len() > 256 {
        return;
    }
    // Cut anywhere, what may begin a spelling is held back.
    for cut in 0..text.len() {
        let (first, second) = text.split_at(cut);
        let held = SPELLINGS.tail(first);
        if !SPELLINGS.found_in(first) && !SPELLINGS.found_in(second) && found {
            assert!(held > 0, "a spelling across a cut at {cut}");
        }
    }
});
