//! For tests: keys of every kind, their JWKs, and tokens of any shape.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use std::sync::OnceLock;

/// A private key and its public JWK.
pub(super) struct Signer {
    pub(super) key: EncodingKey,
    pub(super) jwk: Value,
    pub(super) alg: Algorithm,
}

pub(super) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Signer {
    /// One RSA key for all tests: making one takes a while.
    pub(super) fn rsa() -> &'static Self {
        static KEY: OnceLock<Signer> = OnceLock::new();
        KEY.get_or_init(|| Self::new_rsa(KeySize::Rsa2048))
    }

    pub(super) fn new_rsa(size: KeySize) -> Self {
        let pair = RsaKeyPair::generate(size).expect("a key");
        let der: Pkcs8V1Der<'_> = pair.as_der().expect("a key's DER");
        let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            base64::engine::general_purpose::STANDARD.encode(der.as_ref())
        );
        Self {
            key: EncodingKey::from_rsa_pem(pem.as_bytes()).expect("a key"),
            jwk: json!({"kty": "RSA", "kid": "rsa", "n": b64(public.n), "e": b64(public.e)}),
            alg: Algorithm::RS256,
        }
    }

    pub(super) fn p256() -> Self {
        let (curve, alg) = (&ECDSA_P256_SHA256_FIXED_SIGNING, Algorithm::ES256);
        let der = EcdsaKeyPair::generate_pkcs8(curve, &aws_lc_rs::rand::SystemRandom::new()).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(curve, der.as_ref()).expect("a key");
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let jwk = json!({"kty": "EC", "crv": "P-256", "kid": "p256", "x": b64(x), "y": b64(y)});
        Self { key: EncodingKey::from_ec_der(der.as_ref()), jwk, alg }
    }

    pub(super) fn p384() -> Self {
        let (curve, alg) = (&ECDSA_P384_SHA384_FIXED_SIGNING, Algorithm::ES384);
        let der = EcdsaKeyPair::generate_pkcs8(curve, &aws_lc_rs::rand::SystemRandom::new()).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(curve, der.as_ref()).expect("a key");
        let (x, y) = pair.public_key().as_ref()[1..].split_at(48);
        let jwk = json!({"kty": "EC", "crv": "P-384", "kid": "p384", "x": b64(x), "y": b64(y)});
        Self { key: EncodingKey::from_ec_der(der.as_ref()), jwk, alg }
    }

    pub(super) fn ed25519() -> Self {
        let der = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).expect("a key");
        let pair = Ed25519KeyPair::from_pkcs8(der.as_ref()).expect("a key");
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": b64(pair.public_key().as_ref())});
        Self { key: EncodingKey::from_ed_der(der.as_ref()), jwk, alg: Algorithm::EdDSA }
    }

    /// The JWK with members changed; null takes one away.
    pub(super) fn jwk_with(&self, edits: &Value) -> Value {
        let mut jwk = self.jwk.clone();
        for (name, value) in edits.as_object().expect("an object") {
            if value.is_null() {
                jwk.as_object_mut().expect("an object").remove(name);
            } else {
                jwk[name] = value.clone();
            }
        }
        jwk
    }

    /// Signs header and claims as they are spelled.
    pub(super) fn sign(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", b64(header), b64(claims));
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &self.key, self.alg).expect("signs");
        format!("{signed}.{signature}")
    }
}

/// The text of a set of these keys.
pub(super) fn set(keys: &[Value]) -> Vec<u8> {
    json!({ "keys": keys }).to_string().into_bytes()
}
