//! Leaves of the private CA, for Twilio's host names and no other.
//!
//! A leaf is made when a connection first needs it, lives a day, is renewed well before, and is kept in memory only. The
//! one check that matters stands at the top of [`Leaves::leaf`]: a name that is not a known host under `twilio.com` gets
//! no leaf, whoever asks. The CA's key stays in this module.

use super::settings::settings;
use super::watch::{Reload, Watched};
use super::{Error, files, provider};
use crate::clock::Clock;
use crate::config;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, SanType,
};
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use x509_parser::prelude::{FromDer, X509Certificate};

/// How long a leaf is good for, in seconds: a day, so that a stolen one is soon worthless.
const LIFETIME: u64 = 24 * 3600;

/// How long a leaf is handed out, in seconds: connections begun with it have 8 hours before it ends.
const RENEW_AFTER: u64 = 16 * 3600;

/// How far a leaf reaches back, in seconds, for callers whose clock is slow.
const BACKDATE: u64 = 3600;

/// Leaves kept. Twilio has about 40 hosts, each with a few regional names; past this all are made anew.
const MAX_LEAVES: usize = 512;

/// Sessions kept for resumption in tunnels to one host.
const SESSIONS: usize = 256;

/// The private CA and the leaves made from it. Shared by all listeners and tunnels.
pub struct Leaves {
    watched: Watched<Ca>,
    known: fn(&str) -> bool,
    clock: Clock,
}

impl Leaves {
    /// Reads the CA of `[intercept]`: its certificate must be one of a CA, still good, and the key its own. `known` says
    /// whether a lower-case name is a host of Twilio's that sidekey serves.
    ///
    /// # Errors
    /// A file that can't be read, or is not what it must be.
    pub fn open(intercept: &config::Intercept, known: fn(&str) -> bool, clock: Clock) -> Result<Self, Error> {
        let (files, now) = (intercept.clone(), clock.clone());
        let paths = vec![intercept.ca_cert.clone(), intercept.ca_key.clone()];
        let watched = Watched::open(paths, move || Ca::load(&files.ca_cert, &files.ca_key, now.unix_seconds()))?;
        Ok(Self { watched, known, clock })
    }

    /// Reads the CA again if its files changed; see [`Watched::poll`]. A new CA begins with no leaves.
    pub fn poll(&self) -> Reload {
        self.watched.poll()
    }

    /// The leaf for `host` (any case); `None` if it isn't a known host of Twilio's, or the CA can't sign.
    pub fn leaf(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        self.entry(host).map(|entry| entry.leaf)
    }

    /// Settings for the inside of a tunnel to `host`: its own leaf, HTTP/2 and HTTP/1.1, no client certificates. A caller
    /// that names another server inside the tunnel fails the handshake; one that names none gets the leaf.
    pub fn tunnel(&self, host: &str) -> Option<Arc<ServerConfig>> {
        self.entry(host).map(|entry| entry.tunnel)
    }

    fn entry(&self, host: &str) -> Option<Entry> {
        let host = host.to_ascii_lowercase();
        if !(under_twilio(&host) && (self.known)(&host)) {
            return None;
        }
        let (ca, now) = (self.watched.current(), self.clock.unix_seconds());
        if let Some(entry) = ca.lock().get(&host).filter(|entry| entry.made.abs_diff(now) < RENEW_AFTER) {
            return Some(entry.clone());
        }
        // Made outside the lock: two connections may both make one, and either will do.
        let entry = ca.make(&host, now).ok()?;
        let mut leaves = ca.lock();
        if leaves.len() >= MAX_LEAVES {
            leaves.clear();
        }
        leaves.insert(host, entry.clone());
        Some(entry)
    }
}

impl fmt::Debug for Leaves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Leaves(…)")
    }
}

/// Whether a lower-case name is `twilio.com`'s child, spelled in plain labels. Not left to `known` alone, so that no slip
/// there makes a certificate for somebody else's name.
fn under_twilio(host: &str) -> bool {
    let label = |label: &str| {
        let plain = label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        plain && !label.is_empty() && label.len() <= 63
    };
    host.len() <= 253 && host.strip_suffix(".twilio.com").is_some_and(|labels| labels.split('.').all(label))
}

/// One CA and what was made from it.
struct Ca {
    issuer: Issuer<'static, KeyPair>,
    /// What is sent below the leaf: the CA's certificate unless it is a root, and any more from its file.
    chain: Vec<CertificateDer<'static>>,
    /// When the CA ends, in seconds since the Unix epoch.
    not_after: u64,
    leaves: Mutex<HashMap<String, Entry>>,
}

/// A leaf and the settings of tunnels to its host.
#[derive(Clone)]
struct Entry {
    leaf: Arc<CertifiedKey>,
    tunnel: Arc<ServerConfig>,
    /// Seconds since the Unix epoch.
    made: u64,
}

impl Ca {
    fn load(cert: &Path, key: &Path, now: u64) -> Result<Self, Error> {
        let certs = files::certificates(cert)?;
        let first = certs.first().ok_or_else(|| Error::of(cert, "holds no certificate"))?;
        let key_pair = KeyPair::try_from(&files::private_key(key)?)
            .map_err(|_| Error::of(key, "is of a kind that can't sign leaves; use ECDSA P-256 or RSA"))?;
        let not_after = check(first, &key_pair, now).map_err(|problem| match problem {
            Problem::Cert(text) => Error::of(cert, text),
            Problem::Key => Error::of(key, format!("is not the key of the certificate in {}", cert.display())),
        })?;
        let issuer = Issuer::from_ca_cert_der(first, key_pair)
            .map_err(|fault| Error::of(cert, format!("can't be used as a CA: {fault}")))?;
        // Callers hold the root themselves; sending it would only cost bytes.
        let chain = certs.iter().filter(|der| !self_issued(der)).cloned().collect();
        Ok(Self { issuer, chain, not_after, leaves: Mutex::default() })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Entry>> {
        self.leaves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the leaf of `host`, which the caller has checked.
    fn make(&self, host: &str, now: u64) -> Result<Entry, Error> {
        let fault = |e: rcgen::Error| Error::general(format!("a leaf can't be made: {e}"));
        let key = KeyPair::generate().map_err(fault)?;
        let mut params = CertificateParams::default();
        good_for(&mut params, now.saturating_sub(BACKDATE), now.saturating_add(LIFETIME).min(self.not_after));
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "sidekey");
        params.subject_alt_names = vec![SanType::DnsName(host.try_into().map_err(fault)?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // Strict verifiers (Python 3.13) want it.
        params.use_authority_key_identifier_extension = true;
        let cert = params.signed_by(&key, &self.issuer).map_err(fault)?;
        let chain = std::iter::once(cert.der().clone()).chain(self.chain.iter().cloned()).collect();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let leaf = CertifiedKey::from_der(chain, key, &provider())
            .map_err(|e| Error::general(format!("a leaf can't be used: {e}")))?;
        let leaf = Arc::new(leaf);
        let inside = Inside { host: host.to_owned(), leaf: Arc::clone(&leaf) };
        let tunnel = Arc::new(settings(Arc::new(inside), None, SESSIONS)?);
        Ok(Entry { leaf, tunnel, made: now })
    }
}

/// What is wrong with a CA.
enum Problem {
    Cert(String),
    Key,
}

/// Holds that the certificate may sign leaves, is still good, and belongs to the key; gives the end of its life.
fn check(der: &CertificateDer<'_>, key: &KeyPair, now: u64) -> Result<u64, Problem> {
    let bad = |text: &str| Problem::Cert(format!("{text}; make one with `sidekey ca init`, or name your own CA's"));
    let (_, cert) = X509Certificate::from_der(der).map_err(|_| bad("is no X.509 certificate"))?;
    if !cert.is_ca() {
        return Err(bad("is not the certificate of a CA (no CA:TRUE)"));
    }
    let usage = cert.key_usage().map_err(|_| bad("has a damaged key usage"))?;
    if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
        return Err(bad("may not sign certificates (its key usage lacks keyCertSign)"));
    }
    let not_after = u64::try_from(cert.validity().not_after.timestamp()).unwrap_or(0);
    if not_after <= now {
        return Err(bad("has expired"));
    }
    if cert.public_key().raw != key.subject_public_key_info() {
        return Err(Problem::Key);
    }
    Ok(not_after)
}

fn self_issued(der: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(_, cert)| cert.subject().as_raw() == cert.issuer().as_raw())
}

/// Sets the life of a certificate, in seconds since the Unix epoch. A date past year 9999 can't be written in one.
fn good_for(params: &mut CertificateParams, from: u64, to: u64) {
    const YEAR_9999: u64 = 253_402_300_799;
    let at = |seconds: u64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds.min(YEAR_9999));
    params.not_before = at(from);
    params.not_after = at(to);
}

/// Answers inside a tunnel: the tunnel's own host, or no name at all.
#[derive(Debug)]
struct Inside {
    host: String,
    leaf: Arc<CertifiedKey>,
}

impl ResolvesServerCert for Inside {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let own = hello.server_name().is_none_or(|name| name.eq_ignore_ascii_case(&self.host));
        own.then(|| Arc::clone(&self.leaf))
    }
}

#[cfg(test)]
mod tests;
