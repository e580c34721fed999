//! A proof: nobody gets in with anything but a team's token.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sidekey::authn::{Authn, Token, token};
use std::sync::Arc;

fuzz_target!(|input: &[u8]| {
    thread_local!(static AUTHN: Authn = Authn::new(Arc::new(sidekey_fuzz::directory()), None, Arc::default()));
    AUTHN.with(|authn| {
        for scheme in ["", "Basic ", "Bearer "] {
            let value = [scheme.as_bytes(), input].concat();
            assert!(authn.by_header(&value, 0).is_err(), "the directory holds no token");
        }
    });
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = token::named(text);
        if let Some(token) = Token::parse(text) {
            assert_eq!(token.digest(), Token::parse(text).expect("parsed before").digest());
        }
    }
});
