//! What every listener and every tunnel agree on.

use super::{Error, provider};
use rustls::ServerConfig;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ResolvesServerCert, ServerSessionMemoryCache};
use std::sync::Arc;

/// ALPN towards callers.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Settings for a listener or a tunnel: `resolver` picks the certificate, `verifier` judges the caller's.
pub(super) fn settings(
    resolver: Arc<dyn ResolvesServerCert>,
    client_certs: Option<ClientCerts>,
    sessions: usize,
) -> Result<ServerConfig, Error> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|fault| Error::general(format!("TLS can't be set up: {fault}")))?;
    let mut config = match client_certs {
        None => builder.with_no_client_auth().with_cert_resolver(resolver),
        Some(ClientCerts(verifier)) => builder.with_client_cert_verifier(verifier).with_cert_resolver(resolver),
    };
    config.alpn_protocols = ALPN.iter().map(|name| name.to_vec()).collect();
    config.session_storage = ServerSessionMemoryCache::new(sessions);
    config.max_early_data_size = 0;
    Ok(config)
}

/// Which client certificates are taken.
#[derive(Clone)]
pub(super) struct ClientCerts(pub(super) Arc<dyn ClientCertVerifier>);
