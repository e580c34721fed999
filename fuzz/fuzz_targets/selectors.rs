//! A body and a query that name accounts: read, or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sidekey::ids::AccountSid;
use sidekey::twilio::accounts::{inspect_body, query_leaves};
use sidekey_fuzz::ACCOUNT;

const TYPES: [Option<&str>; 6] = [
    None,
    Some("application/x-www-form-urlencoded"),
    Some("application/json; charset=utf-8"),
    Some("multipart/form-data; boundary=b"),
    Some("text/plain"),
    Some("multipart/form-data; boundary=\"b b\""),
];
const ENCODINGS: [Option<&str>; 4] = [None, Some("gzip"), Some("deflate"), Some("gzip, deflate")];

fuzz_target!(|input: &[u8]| {
    let Some((&kind, body)) = input.split_first() else { return };
    let (kind, own) = (usize::from(kind), AccountSid::parse(ACCOUNT).expect("an account SID"));
    let allowed = |account: &AccountSid| *account == own;
    if let Ok(selectors) = inspect_body(TYPES[kind % 6], ENCODINGS[kind / 6 % 4], body) {
        assert!(selectors.leaves(|_| true).is_none() || !selectors.reaches().is_empty());
        if kind % 6 == 1 && kind / 6 % 4 == 0 && names_another(body) {
            assert!(selectors.leaves(allowed).is_some(), "another account passes");
        }
    }
    if let Ok(query) = std::str::from_utf8(body) {
        let _ = query_leaves(query, allowed);
    }
});

/// Whether a form says, in plain letters, that it is for another account.
fn names_another(form: &[u8]) -> bool {
    let other = b"AccountSid=ACbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    form.split(|&byte| byte == b'&').any(|pair| pair == other)
}
