//! TLS towards upstreams: the system's roots, the operator's own, and nothing that turns verification off.

use super::{Error, files, provider};
use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;

/// ALPN of a connection that may speak HTTP/2.
pub const ALPN_ANY: &[&[u8]] = &[b"h2", b"http/1.1"];

/// ALPN of a connection that speaks HTTP/1.1 only.
pub const ALPN_HTTP1: &[&[u8]] = &[b"http/1.1"];

/// Sessions kept for resumption: one per upstream host, and Twilio has about 40 of them.
const SESSIONS: usize = 64;

/// Settings for connections to upstreams: TLS 1.2 and 1.3, resumption on, no early data (a replayed POST would be sent
/// twice), no client certificate.
///
/// Roots are the system's (`SSL_CERT_FILE` and `SSL_CERT_DIR` are heard); Mozilla's list where the system has none, as in
/// an empty container; and `extra_ca`.
///
/// # Errors
/// A file named as `extra_ca` that gives no usable root.
pub fn client_config(extra_ca: Option<&Path>, alpn: &[&[u8]]) -> Result<Arc<ClientConfig>, Error> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|fault| Error::general(format!("TLS can't be set up: {fault}")))?
        .with_root_certificates(roots(extra_ca)?)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(Arc::new(config))
}

/// The system's roots, else Mozilla's; then the operator's.
fn roots(extra_ca: Option<&Path>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    // A root that this machine holds and rustls can't read is skipped: it could only have verified more.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    if let Some(path) = extra_ca {
        files::add_roots(&mut roots, path)?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alpn_is_what_was_asked_for_and_early_data_is_off() {
        let config = client_config(None, ALPN_HTTP1).expect("roots");
        assert_eq!(config.alpn_protocols, [b"http/1.1".to_vec()]);
        assert!(!config.enable_early_data);
    }

    #[test]
    fn an_extra_ca_that_gives_no_root_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("roots.pem");
        std::fs::write(&path, "").expect("writable");
        assert!(client_config(Some(&path), ALPN_ANY).expect_err("empty").to_string().contains("no certificate"));
    }
}
