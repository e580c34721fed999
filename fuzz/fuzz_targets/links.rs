//! Links in an answer: in pieces they are rewritten as in one, and where there is no link nothing changes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sidekey::twilio::links::LinkRewriter;
use sidekey_fuzz::{cuts, pieces};

fuzz_target!(|input: &[u8]| {
    let (cuts, body) = cuts(input);
    let whole = rewrite([body].into_iter());
    assert_eq!(whole, rewrite(pieces(body, cuts).into_iter()));
    // A host can be spelt with escapes, in any case.
    if !body.iter().any(|byte| matches!(byte, b'\\' | b'T' | b't')) {
        assert_eq!(whole, body);
    }
});

fn rewrite<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let (mut links, mut out) = (LinkRewriter::new("https://sidekey.internal"), Vec::new());
    for piece in pieces {
        links.push(piece, &mut out);
    }
    links.finish(&mut out);
    out
}
