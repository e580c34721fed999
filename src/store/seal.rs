//! Sealing: AES-256-GCM under a data key, which itself lies in the store wrapped by the root key.
//!
//! What is sealed is bound to its place (store, team, SID, version), so that a row moved to another team doesn't open.
//! The root key wraps only the data key: a new root key is one row to write, and brokers that run feel nothing.

use super::error::{Result, StoreError};
use crate::ids::{KeySid, TeamId};
use crate::secret::Secret;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest;
use std::fmt;
use zeroize::Zeroizing;

/// Bytes of a root or data key.
pub(super) const KEY_LEN: usize = 32;

/// First byte of everything sealed: the scheme, so that another can follow.
const SCHEME: u8 = 1;

/// The root key: opens the data key and nothing else.
pub(super) struct RootKey(Zeroizing<[u8; KEY_LEN]>);

impl RootKey {
    /// Takes the bytes.
    pub(super) fn new(bytes: Zeroizing<[u8; KEY_LEN]>) -> Self {
        Self(bytes)
    }

    /// Names the key without telling it: 8 bytes of a hash of 32 random bytes.
    pub(super) fn id(&self) -> [u8; 8] {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(b"sidekey root key id\0");
        hash.update(&*self.0);
        let mut id = [0; 8];
        id.copy_from_slice(&hash.finish().as_ref()[..8]);
        id
    }

    /// Wraps a data key for this store.
    pub(super) fn wrap(&self, store: &[u8; 16], data_key: &[u8; KEY_LEN]) -> Result<Vec<u8>> {
        seal(&cipher(&self.0)?, &wrap_place(store), data_key)
    }

    /// Unwraps a data key; `None` if this is not the root key that wrapped it.
    pub(super) fn unwrap(&self, store: &[u8; 16], wrapped: &[u8]) -> Option<Zeroizing<[u8; KEY_LEN]>> {
        let opened = open(&cipher(&self.0).ok()?, &wrap_place(store), wrapped)?;
        Some(Zeroizing::new(opened.as_slice().try_into().ok()?))
    }
}

fn wrap_place(store: &[u8; 16]) -> Vec<u8> {
    [b"sidekey data key\0".as_slice(), store].concat()
}

/// Where a key's secret lies: bound into what is sealed.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// Whose key.
    pub(super) team: &'a TeamId,
    /// Which key.
    pub(super) sid: &'a KeySid,
    /// Its version: the number of the journal entry that made it.
    pub(super) version: i64,
}

/// Seals and opens key secrets with the data key.
pub(super) struct Sealer {
    cipher: RandomizedNonceKey,
    store: [u8; 16],
}

impl Sealer {
    /// A sealer for one store.
    pub(super) fn new(data_key: &[u8; KEY_LEN], store: [u8; 16]) -> Result<Self> {
        Ok(Self { cipher: cipher(data_key)?, store })
    }

    /// Seals a secret into its place.
    pub(super) fn seal(&self, place: Place<'_>, secret: &Secret) -> Result<Vec<u8>> {
        seal(&self.cipher, &self.bind(place), secret.expose())
    }

    /// Opens a secret; fails if it was sealed for another place or was edited.
    pub(super) fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Secret> {
        let opened = open(&self.cipher, &self.bind(place), sealed).ok_or_else(|| {
            StoreError::Sealed(format!(
                "key {} of team {} was moved or edited in the database; revoke and create it anew",
                place.sid, place.team
            ))
        })?;
        Ok(Secret::new(opened.as_slice()))
    }

    fn bind(&self, place: Place<'_>) -> Vec<u8> {
        // Lengths are fixed but for the team's, which goes last.
        let mut bound = b"sidekey key secret\0".to_vec();
        bound.extend_from_slice(&self.store);
        bound.extend_from_slice(&place.version.to_be_bytes());
        bound.extend_from_slice(place.sid.as_str().as_bytes());
        bound.extend_from_slice(place.team.as_str().as_bytes());
        bound
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(…)")
    }
}

fn cipher(key: &[u8; KEY_LEN]) -> Result<RandomizedNonceKey> {
    RandomizedNonceKey::new(&AES_256_GCM, key).map_err(|_| StoreError::Sealed("no cipher".to_owned()))
}

/// Scheme, nonce, ciphertext, tag.
fn seal(cipher: &RandomizedNonceKey, bound: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::with_capacity(plain.len() + AES_256_GCM.tag_len());
    body.extend_from_slice(plain);
    let nonce = cipher
        .seal_in_place_append_tag(Aad::from(bound), &mut body)
        .map_err(|_| StoreError::Sealed("sealing failed".to_owned()))?;
    Ok([&[SCHEME], nonce.as_ref().as_slice(), &body].concat())
}

fn open(cipher: &RandomizedNonceKey, bound: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (scheme, rest) = sealed.split_first()?;
    if *scheme != SCHEME || rest.len() < NONCE_LEN {
        return None;
    }
    let (nonce, body) = rest.split_at(NONCE_LEN);
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut body = Zeroizing::new(body.to_vec());
    let plain = cipher.open_in_place(nonce, Aad::from(bound), &mut body).ok()?.len();
    body.truncate(plain);
    Some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place<'a>(team: &'a TeamId, sid: &'a KeySid) -> Place<'a> {
        Place { team, sid, version: 7 }
    }

    #[test]
    fn a_secret_opens_only_where_it_was_sealed() {
        let sealer = Sealer::new(&[1; KEY_LEN], [2; 16]).expect("a sealer");
        let billing = TeamId::parse("billing").expect("a name");
        let other = TeamId::parse("other").expect("a name");
        let sid = KeySid::parse(&format!("SK{}", "a".repeat(32))).expect("a sid");
        let sid2 = KeySid::parse(&format!("SK{}", "b".repeat(32))).expect("a sid");
        let secret = Secret::from("planted-secret".to_owned());
        let sealed = sealer.seal(place(&billing, &sid), &secret).expect("sealed");
        assert_eq!(sealer.open(place(&billing, &sid), &sealed), Ok(secret));
        assert!(sealer.open(place(&other, &sid), &sealed).is_err());
        assert!(sealer.open(place(&billing, &sid2), &sealed).is_err());
        assert!(sealer.open(Place { version: 8, ..place(&billing, &sid) }, &sealed).is_err());
        let elsewhere = Sealer::new(&[1; KEY_LEN], [3; 16]).expect("a sealer");
        assert!(elsewhere.open(place(&billing, &sid), &sealed).is_err());
        for at in 0..sealed.len() {
            let mut edited = sealed.clone();
            edited[at] ^= 1;
            assert!(sealer.open(place(&billing, &sid), &edited).is_err(), "byte {at}");
        }
        for cut in 0..sealed.len() {
            assert!(sealer.open(place(&billing, &sid), &sealed[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn only_the_right_root_key_unwraps() {
        let right = RootKey::new(Zeroizing::new([5; KEY_LEN]));
        let wrong = RootKey::new(Zeroizing::new([6; KEY_LEN]));
        let wrapped = right.wrap(&[9; 16], &[4; KEY_LEN]).expect("wrapped");
        assert_eq!(right.unwrap(&[9; 16], &wrapped).map(|key| *key), Some([4; KEY_LEN]));
        assert!(right.unwrap(&[8; 16], &wrapped).is_none());
        assert!(wrong.unwrap(&[9; 16], &wrapped).is_none());
        assert_ne!(right.id(), wrong.id());
    }
}
