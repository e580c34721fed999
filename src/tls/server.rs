//! TLS towards callers: `listen.tls`.
//!
//! HTTP/2 and HTTP/1.1 by ALPN, TLS 1.2 and 1.3, client certificates by `client_ca`. Every fault of a file fails closed:
//! sidekey does not start, or keeps what it had. No early data: a replayed request would be sent twice. Sessions are
//! kept in the memory of one set of settings, never in tickets that another could open, so that no identity from a
//! resumed session crosses from one listener to another or survives a change of the roots.

use super::identity::PeerCertificate;
use super::leaf::Leaves;
use super::settings::{ClientCerts, settings};
use super::watch::{Reload, Watched};
use super::{Error, files, provider};
use crate::config;
use rustls::server::{ClientHello, ResolvesServerCert, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::UnixTime;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Sessions kept for resumption. One with a client certificate takes about 3 kB, so 12 MB at most.
const SESSIONS: usize = 4096;

/// The settings of `listen.tls`, re-read when their files change.
pub struct ServerTls {
    watched: Watched<Settings>,
}

/// What the files came to at one time.
pub struct Settings {
    /// For connections.
    pub config: Arc<ServerConfig>,
    /// Tells these settings from all others of this process.
    pub number: u64,
    client_certs: Option<ClientCerts>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Settings({})", self.number)
    }
}

impl ServerTls {
    /// Reads the files of `[tls]`. With `leaves`, the names they answer for are answered with a leaf, and `[tls]` may be
    /// absent; every other name, and a caller that names none, gets the certificate of `[tls]`.
    ///
    /// # Errors
    /// A file that can't be used, or neither `tls` nor `leaves`.
    pub fn open(tls: Option<&config::Tls>, leaves: Option<Arc<Leaves>>) -> Result<Self, Error> {
        if tls.is_none() && leaves.is_none() {
            return Err(Error::general("listen.tls needs a certificate: add [tls] with cert and key, or [intercept]"));
        }
        let tls = tls.cloned();
        let paths = tls.iter().flat_map(|t| [Some(&t.cert), Some(&t.key), t.client_ca.as_ref(), t.client_crl.as_ref()]);
        let paths = paths.flatten().cloned().collect();
        let watched = Watched::open(paths, move || load(tls.as_ref(), leaves.clone()))?;
        Ok(Self { watched })
    }

    /// The next connection's, without their number.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current().config)
    }

    /// The settings for the next connection.
    pub fn current(&self) -> Arc<Settings> {
        self.watched.current()
    }

    /// Whether the settings of now take a certificate that earlier ones took: the roots, and what is revoked, may have
    /// changed since its connection began. `now` is in seconds since the Unix epoch.
    pub fn takes(&self, peer: &PeerCertificate, now: u64) -> bool {
        let settings = self.current();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        peer.taken_by(settings.number, |end, rest| {
            let judge = |ClientCerts(verifier): &ClientCerts| verifier.verify_client_cert(end, rest, now).is_ok();
            settings.client_certs.as_ref().is_some_and(judge)
        })
    }

    /// Reads the files again if they changed; see [`Watched::poll`].
    pub fn poll(&self) -> Reload {
        self.watched.poll()
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls(…)")
    }
}

fn load(tls: Option<&config::Tls>, leaves: Option<Arc<Leaves>>) -> Result<Settings, Error> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let own = tls.map(own_certificate).transpose()?;
    let client_certs = tls.map(client_certs).transpose()?.flatten();
    let config = settings(Arc::new(Names { own, leaves }), client_certs.clone(), SESSIONS).map(Arc::new)?;
    Ok(Settings { config, number: NEXT.fetch_add(1, Ordering::Relaxed), client_certs })
}

/// The chain and key of `[tls]`, which must belong together.
fn own_certificate(tls: &config::Tls) -> Result<Arc<CertifiedKey>, Error> {
    let chain = files::certificates(&tls.cert)?;
    let key = files::private_key(&tls.key)?;
    CertifiedKey::from_der(chain, key, &provider()).map(Arc::new).map_err(|fault| match fault {
        rustls::Error::InconsistentKeys(_) => {
            Error::of(&tls.key, format!("is not the key of the first certificate in {}", tls.cert.display()))
        }
        fault => Error::of(&tls.key, format!("can't be used with {}: {fault}", tls.cert.display())),
    })
}

/// Who may present a certificate: `None` where no `client_ca` is named.
fn client_certs(tls: &config::Tls) -> Result<Option<ClientCerts>, Error> {
    let Some(path) = &tls.client_ca else {
        if tls.client_cert_required {
            return Err(Error::general("[tls] client_cert = \"required\" needs client_ca: the roots to check them by"));
        }
        return Ok(None);
    };
    let mut roots = RootCertStore::empty();
    files::add_roots(&mut roots, path)?;
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    if let Some(path) = &tls.client_crl {
        // A list past its next update says nothing of what was revoked since: it counts as none.
        builder = builder.with_crls(files::revocation_lists(path)?).enforce_revocation_expiration();
    }
    if !tls.client_cert_required {
        builder = builder.allow_unauthenticated();
    }
    let verifier = builder.build().map_err(|fault| match (fault, &tls.client_crl) {
        (VerifierBuilderError::InvalidCrl(fault), Some(crl)) => {
            Error::of(crl, format!("is no revocation list ({fault:?})"))
        }
        (fault, _) => Error::of(path, format!("can't be used as roots: {fault}")),
    })?;
    Ok(Some(ClientCerts(verifier)))
}

/// Picks the certificate by the name that the caller asked for.
#[derive(Debug)]
struct Names {
    own: Option<Arc<CertifiedKey>>,
    leaves: Option<Arc<Leaves>>,
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let leaf = hello.server_name().zip(self.leaves.as_ref()).and_then(|(name, leaves)| leaves.leaf(name));
        leaf.or_else(|| self.own.clone())
    }
}

#[cfg(test)]
mod tests;
