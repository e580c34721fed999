//! Key sets (RFC 7517): read strictly, kept fresh, never trusted beyond what the configuration says.
//!
//! [`KeySet`] is the text made into keys; a key that isn't meant for checking signatures with a public key is left out.
//! [`Keys`] holds a set: from a file, re-read when it changes; or from a URL, refreshed in the background by
//! [`refresh`], on the one thread of [`Tending`]. While the server is down, slow or lying, the last good set serves until its maximum age; then nothing
//! is accepted. A request never fetches: at most it asks for a refresh, and the asking is throttled.

mod fetch;
mod refresh;
mod tending;

pub(super) use refresh::Keys;
pub use tending::Tending;

use super::json;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};

/// Ceiling on the text of a set, in bytes: a large provider's has about ten keys of under 2 kB.
pub(super) const MAX_SET: usize = 256 << 10;

/// Ceiling on the keys of a set.
const MAX_KEYS: usize = 100;

/// Ceiling on a key id, in bytes.
const MAX_KID: usize = 64;

/// The usable public keys of a set.
pub(super) struct KeySet {
    keys: Vec<Key>,
}

struct Key {
    kid: Option<String>,
    /// The only algorithm the set's owner wants it used with.
    alg: Option<Algorithm>,
    kind: Kind,
    public: DecodingKey,
}

/// What a key is, which decides the algorithms it may check.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// What a set holds for one token.
#[derive(Clone, Copy)]
pub(super) enum Lookup<'a> {
    /// Exactly one key.
    Found(&'a DecodingKey),
    /// None: perhaps one too new for this copy of the set.
    Unknown,
    /// More than one, and nothing says which.
    Ambiguous,
}

impl KeySet {
    /// Reads a set; it must hold at least one usable key. Keys that are private, symmetric, of another kind, or for
    /// another use are left out.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        if text.len() > MAX_SET {
            return Err(format!("the key set is larger than {} KiB", MAX_SET >> 10));
        }
        let set =
            json::object(text).map_err(|_| "the key set is not a JSON object, or has a member twice".to_owned())?;
        let Some(Value::Array(list)) = set.get("keys") else {
            return Err("the key set has no list `keys`".to_owned());
        };
        if list.len() > MAX_KEYS {
            return Err(format!("the key set has more than {MAX_KEYS} keys"));
        }
        let keys: Vec<Key> = list.iter().filter_map(Value::as_object).filter_map(read_key).collect();
        if keys.is_empty() {
            return Err(
                "the key set has no usable public key (RSA of 2048 bits or more, P-256, P-384, Ed25519)".to_owned()
            );
        }
        Ok(Self { keys })
    }

    /// The key for a token that names `kid`, or that names none. Only the set decides what a key may check: its kind,
    /// and its `alg` where it has one.
    pub(super) fn find(&self, kid: Option<&str>, alg: Algorithm) -> Lookup<'_> {
        let fits = |key: &&Key| {
            let named = kid.is_none() || key.kid.as_deref() == kid;
            named && key.kind.checks(alg) && key.alg.is_none_or(|only| only == alg)
        };
        let mut found = self.keys.iter().filter(fits);
        match (found.next(), found.next()) {
            (Some(one), None) => Lookup::Found(&one.public),
            (None, _) => Lookup::Unknown,
            (Some(_), Some(_)) => Lookup::Ambiguous,
        }
    }
}

impl Kind {
    fn checks(self, alg: Algorithm) -> bool {
        use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        match self {
            Self::Rsa => matches!(alg, RS256 | RS384 | RS512 | PS256 | PS384 | PS512),
            Self::P256 => alg == ES256,
            Self::P384 => alg == ES384,
            Self::Ed25519 => alg == EdDSA,
        }
    }
}

/// Whether a key id is one that a lookup takes: 1 to 64 visible ASCII characters, and none that a path, a query or a
/// shell would read (the id goes nowhere but into a comparison; the rule keeps it so).
pub(super) fn good_kid(kid: &str) -> bool {
    let ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'=' | b'+' | b'~' | b'@');
    (1..=MAX_KID).contains(&kid.len()) && kid.bytes().all(ok) && !kid.contains("..")
}

/// A key that checks signatures with public bytes, or nothing.
fn read_key(jwk: &Map<String, Value>) -> Option<Key> {
    // A key whose private half was published is anyone's.
    if ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().any(|member| jwk.contains_key(*member)) {
        return None;
    }
    let signs = jwk.get("use").is_none_or(|usage| usage == "sig");
    let verifies =
        jwk.get("key_ops").is_none_or(|ops| ops.as_array().is_some_and(|ops| ops.contains(&"verify".into())));
    if !(signs && verifies) {
        return None;
    }
    let kid = match jwk.get("kid") {
        None => None,
        Some(Value::String(kid)) if good_kid(kid) => Some(kid.clone()),
        Some(_) => return None,
    };
    let (kind, public) = public_key(jwk)?;
    let alg = match jwk.get("alg") {
        None => None,
        Some(Value::String(name)) => Some(name.parse().ok().filter(|alg| kind.checks(*alg))?),
        Some(_) => return None,
    };
    Some(Key { kid, alg, kind, public })
}

/// The key's own bytes, of the length its kind has.
fn public_key(jwk: &Map<String, Value>) -> Option<(Kind, DecodingKey)> {
    let text = |member: &str| jwk.get(member).and_then(Value::as_str);
    let bytes = |member: &str| URL_SAFE_NO_PAD.decode(text(member)?).ok();
    match (text("kty")?, text("crv")) {
        ("RSA", None) => {
            let (n, e) = (bytes("n")?, bytes("e")?);
            let modulus = &n[n.iter().position(|b| *b != 0)?..];
            let good = (256..=1024).contains(&modulus.len()) && (1..=4).contains(&e.len());
            good.then(|| (Kind::Rsa, DecodingKey::from_rsa_raw_components(modulus, &e)))
        }
        ("EC", Some(curve)) => {
            let (kind, length) = match curve {
                "P-256" => (Kind::P256, 32),
                "P-384" => (Kind::P384, 48),
                _ => return None,
            };
            let (x, y) = (bytes("x")?, bytes("y")?);
            let point = [&[4], x.as_slice(), y.as_slice()].concat();
            (x.len() == length && y.len() == length).then(|| (kind, DecodingKey::from_ec_der(&point)))
        }
        ("OKP", Some("Ed25519")) => {
            let x = bytes("x")?;
            (x.len() == 32).then(|| (Kind::Ed25519, DecodingKey::from_ed_der(&x)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
