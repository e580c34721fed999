//! For tests: a certificate authority in memory, and handshakes without a socket.

use super::provider;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::client::Resumption;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A CA made for one test.
pub(crate) struct Authority(pub CertifiedIssuer<'static, KeyPair>);

/// What an [`Authority`] issued.
pub(crate) struct Issued {
    pub der: CertificateDer<'static>,
    pub pem: String,
    pub key: KeyPair,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self::with(params)
    }

    pub(crate) fn with(params: CertificateParams) -> Self {
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("signs"))
    }

    /// Writes `ca.pem` and `ca.key` into a folder.
    pub(crate) fn write(&self, dir: &Path) -> (PathBuf, PathBuf) {
        let (cert, key) = (dir.join("ca.pem"), dir.join("ca.key"));
        std::fs::write(&cert, self.0.pem()).expect("writable");
        std::fs::write(&key, self.0.key().serialize_pem()).expect("writable");
        (cert, key)
    }

    /// A server certificate for DNS names.
    pub(crate) fn server(&self, names: &[&str]) -> Issued {
        let sans = names.iter().map(|n| SanType::DnsName((*n).try_into().expect("IA5"))).collect();
        self.issue(sans, |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth])
    }

    /// A certificate for a caller with one URI name.
    pub(crate) fn caller(&self, uri: &str) -> Issued {
        let sans = vec![SanType::URI(uri.try_into().expect("IA5"))];
        self.issue(sans, |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth])
    }

    pub(crate) fn issue(&self, sans: Vec<SanType>, edit: impl FnOnce(&mut CertificateParams)) -> Issued {
        let mut params = CertificateParams::default();
        params.subject_alt_names = sans;
        edit(&mut params);
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.0).expect("signs");
        Issued { der: cert.der().clone(), pem: cert.pem(), key }
    }

    /// Settings of a caller that trusts this CA alone and may have a certificate of its own.
    pub(crate) fn trusted_by(&self, own: Option<&Issued>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("a root");
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.key.serialize_der()));
                builder.with_client_auth_cert(vec![own.der.clone()], key).expect("a pair")
            }
        };
        config.resumption = Resumption::in_memory_sessions(8);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }
}

impl Issued {
    /// Writes certificate and key under a name.
    pub(crate) fn write(&self, dir: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (cert, key) = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
        std::fs::write(&cert, &self.pem).expect("writable");
        std::fs::write(&key, self.key.serialize_pem()).expect("writable");
        (cert, key)
    }
}

/// Both ends after a handshake and whatever tickets followed it.
pub(crate) fn handshake(
    caller: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
    name: &str,
) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut caller = ClientConnection::new(Arc::clone(caller), name)?;
    let mut server = ServerConnection::new(Arc::clone(server))?;
    while caller.wants_write() || server.wants_write() {
        let mut wire = Vec::new();
        while caller.wants_write() {
            caller.write_tls(&mut wire).expect("a Vec takes all");
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).expect("a slice gives all");
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("a Vec takes all");
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            caller.read_tls(&mut rest).expect("a slice gives all");
            caller.process_new_packets()?;
        }
    }
    Ok((caller, server))
}
