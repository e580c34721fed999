//! What of a set is taken, and what a token finds in it.

use super::*;
use crate::authn::testing::{Signer, b64, set};
use serde_json::json;

fn found(set: &KeySet, kid: Option<&str>, alg: Algorithm) -> &'static str {
    match set.find(kid, alg) {
        Lookup::Found(_) => "found",
        Lookup::Unknown => "unknown",
        Lookup::Ambiguous => "ambiguous",
    }
}

#[test]
fn a_key_checks_the_algorithms_of_its_kind_and_no_other() {
    let (p256, p384, ed) = (Signer::p256(), Signer::p384(), Signer::ed25519());
    let keys = [&Signer::rsa().jwk, &p256.jwk, &p384.jwk, &ed.jwk].map(Clone::clone);
    let keys = KeySet::parse(&set(&keys)).expect("good");
    use Algorithm::{ES256, ES384, EdDSA, HS256, HS512, PS256, PS512, RS256, RS384};
    for (kid, algs) in
        [("rsa", vec![RS256, RS384, PS256, PS512]), ("p256", vec![ES256]), ("p384", vec![ES384]), ("ed", vec![EdDSA])]
    {
        for alg in [RS256, RS384, PS256, PS512, ES256, ES384, EdDSA, HS256, HS512] {
            let expected = if algs.contains(&alg) { "found" } else { "unknown" };
            assert_eq!(found(&keys, Some(kid), alg), expected, "{kid} {alg:?}");
        }
    }
    assert_eq!(found(&keys, Some("RSA"), RS256), "unknown", "ids are compared exactly");
    assert_eq!(found(&keys, None, RS256), "found", "the one RSA key");
}

#[test]
fn two_keys_that_fit_are_ambiguous() {
    let (one, two) = (Signer::p256(), Signer::p256());
    let same = KeySet::parse(&set(&[one.jwk.clone(), two.jwk.clone(), Signer::p384().jwk])).expect("good");
    assert_eq!(found(&same, Some("p256"), Algorithm::ES256), "ambiguous");
    assert_eq!(found(&same, None, Algorithm::ES256), "ambiguous");
    assert_eq!(found(&same, None, Algorithm::ES384), "found");
}

#[test]
fn alg_of_the_set_binds_its_key() {
    let bound = Signer::rsa().jwk_with(&json!({"alg": "PS256"}));
    let bound = KeySet::parse(&set(&[bound])).expect("good");
    assert_eq!(found(&bound, Some("rsa"), Algorithm::PS256), "found");
    assert_eq!(found(&bound, Some("rsa"), Algorithm::RS256), "unknown");
}

#[test]
fn keys_that_are_not_for_this_are_left_out() {
    let p256 = Signer::p256();
    for edits in [
        json!({"use": "enc"}),
        json!({"use": 7}),
        json!({"key_ops": ["sign"]}),
        json!({"key_ops": "verify"}),
        json!({"alg": "ES384"}),
        json!({"alg": "HS256"}),
        json!({"alg": "none"}),
        json!({"alg": "ES521"}),
        json!({"alg": 7}),
        json!({"kid": "../../etc/passwd"}),
        json!({"kid": ""}),
        json!({"kid": 7}),
        json!({"kid": "x".repeat(65)}),
        json!({"kty": "oct", "k": b64("secret")}),
        json!({"kty": "RSA"}),
        json!({"kty": null}),
        json!({"crv": "P-384"}),
        json!({"crv": "secp256k1"}),
        json!({"x": b64([1; 31])}),
        json!({"x": format!("{}=", b64([1; 32]))}),
        json!({"y": null}),
        json!({"d": b64([1; 32])}),
    ] {
        let odd = p256.jwk_with(&edits);
        assert!(KeySet::parse(&set(std::slice::from_ref(&odd))).is_err(), "{edits}");
        let beside = KeySet::parse(&set(&[odd, Signer::rsa().jwk.clone()])).expect("one good key is enough");
        assert_eq!(beside.keys.len(), 1, "{edits}");
    }
    for edits in [json!({"use": "sig"}), json!({"key_ops": ["verify"]}), json!({"alg": "ES256"}), json!({"kid": null})]
    {
        assert!(KeySet::parse(&set(&[p256.jwk_with(&edits)])).is_ok(), "{edits}");
    }
}

#[test]
fn weak_rsa_keys_are_left_out() {
    for n in [b64([0xff; 128]), b64([vec![0; 200], vec![0xff; 128]].concat()), b64([0; 256]), b64([0xff; 1025])] {
        assert!(KeySet::parse(&set(&[Signer::rsa().jwk_with(&json!({ "n": n }))])).is_err(), "{n}");
    }
    assert!(KeySet::parse(&set(&[Signer::rsa().jwk_with(&json!({"e": b64([1; 5])}))])).is_err());
}

#[test]
fn what_is_no_set_is_refused() {
    let key = Signer::p256().jwk.to_string();
    for text in [
        String::new(),
        "<html>".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        r#"{"keys":{}}"#.to_owned(),
        r#"{"keys":[]}"#.to_owned(),
        r#"{"keys":[7,null]}"#.to_owned(),
        format!(r#"{{"keys":[{key}],"keys":[]}}"#),
        format!(r#"{{"keys":[{}]}}"#, key.replacen('{', r#"{"kty":"oct","#, 1)),
        format!(r#"{{"keys":[{}]}}"#, vec![key.as_str(); 101].join(",")),
        format!(r#"{{"keys":[{key}],"x":"{}"}}"#, "x".repeat(MAX_SET)),
    ] {
        assert!(KeySet::parse(text.as_bytes()).is_err(), "{text:.80}");
    }
}
