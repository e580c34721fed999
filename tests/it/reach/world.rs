//! A sandbox, a broker in front of it, and certificate authorities of every party.

use crate::support::command::{Running, run};
use crate::support::upstream::{As, Upstream};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sidekey::sandbox::KeyKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// Everything between a caller and the sandbox.
pub struct World {
    pub folder: TempDir,
    pub upstream: Upstream,
    pub broker: Running,
    /// The plain listener.
    pub proxy: SocketAddr,
    /// The token of the team `billing`.
    pub token: String,
    /// The team's key.
    pub key: As,
}

impl World {
    /// A broker with `[intercept]` and what else `config` says; `{}` in it is the folder.
    pub fn start(config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        assert_eq!(run(path, &["ca", "init", "ca"]).code, Some(0));
        Self::start_in(folder, &format!("[intercept]\nca_cert = \"ca/ca.pem\"\nca_key = \"ca/ca.key\"\n{config}"))
    }

    /// A broker that knows `config`, a team and its upstream.
    pub fn start_in(folder: TempDir, config: &str) -> Self {
        let upstream = Upstream::start();
        let key = upstream.key(KeyKind::Standard);
        let made = run(folder.path(), &["token", "generate", "--output", "json"]).json();
        let word = |name: &str| made[0][name].as_str().expect("a text").to_owned();
        let (account, url) = (upstream.sandbox.account_sid(), upstream.sandbox.url());
        let listen = if config.contains("[listen]") { "" } else { "[listen]\nproxy = \"127.0.0.1:0\"\n" };
        let text = format!(
            r#"
{listen}
{config}
[upstream]
account_sid = "{account}"
url = "{url}"
[upstream.hosts]
"messaging.twilio.com" = "{url}"
[audit]
file = "audit.jsonl"
[[team]]
name = "billing"
token_sha256 = ["{}"]
key = {{ sid = "{}", secret = "env:KEY" }}
"#,
            word("sha256"),
            key.0,
        );
        std::fs::write(folder.path().join("sidekey.toml"), text.replace("{}", &folder.path().display().to_string()))
            .expect("a file");
        let mut broker = Running::start(folder.path(), &["serve"], &[("KEY", &key.1)]);
        let proxy = broker.told("listening proxy=").parse().expect("an address");
        Self { folder, upstream, broker, proxy, token: word("token"), key }
    }

    /// The address of the TLS listener.
    pub fn tls(&mut self) -> SocketAddr {
        self.broker.told("listening tls=").parse().expect("an address")
    }

    /// The team's token as Basic.
    pub fn basic(&self) -> String {
        As("anybody".to_owned(), self.token.clone()).basic()
    }

    /// A caller that trusts the private CA.
    pub fn trusting(&self) -> Arc<ClientConfig> {
        let ca = CertificateDer::from_pem_file(self.folder.path().join("ca/ca.pem")).expect("a certificate");
        Arc::new(client(&[ca], None, &["http/1.1"]))
    }

    /// The audit's lines that hold every one of `marks`.
    pub fn audited(&self, marks: &[&str]) -> usize {
        let text = std::fs::read_to_string(self.folder.path().join("audit.jsonl")).expect("an audit");
        text.lines().filter(|line| marks.iter().all(|mark| line.contains(mark))).count()
    }

    /// The same once there are as many as are waited for: a caller sees the end of a greeting before its record is kept.
    pub fn audited_in_time(&self, marks: &[&str], wanted: usize) -> usize {
        for _ in 0..500 {
            if self.audited(marks) >= wanted {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        self.audited(marks)
    }
}

/// Settings of a TLS client.
pub fn client(roots: &[CertificateDer<'static>], own: Option<&Issued>, alpn: &[&str]) -> ClientConfig {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone()).expect("a root");
    }
    let builder = ClientConfig::builder_with_provider(sidekey::tls::provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(store);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.key.serialize_der()));
            let chain = [vec![own.der.clone()], own.above.clone()].concat();
            builder.with_client_auth_cert(chain, key).expect("a pair")
        }
    };
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

/// A CA of a test's own.
pub struct Authority(pub CertifiedIssuer<'static, KeyPair>);

/// What it issued.
pub struct Issued {
    pub der: CertificateDer<'static>,
    pub pem: String,
    pub key: KeyPair,
    /// What is sent along: the certificates between this one and its root.
    pub above: Vec<CertificateDer<'static>>,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signs"))
    }

    /// The root itself.
    pub fn root(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// A certificate for a server of that name.
    pub fn server(&self, name: &str) -> Issued {
        let name = SanType::DnsName(name.try_into().expect("IA5"));
        self.issue(vec![name], |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth])
    }

    /// A certificate for a caller of that URI.
    pub fn caller(&self, uri: &str) -> Issued {
        let name = SanType::URI(uri.try_into().expect("IA5"));
        self.issue(vec![name], |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth])
    }

    /// A certificate for these names and whatever `edit` makes of it.
    pub fn issue(&self, names: Vec<SanType>, edit: impl FnOnce(&mut CertificateParams)) -> Issued {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        edit(&mut params);
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.0).expect("signs");
        Issued { der: cert.der().clone(), pem: cert.pem(), key, above: Vec::new() }
    }
}

impl Issued {
    /// Writes `NAME.pem` and `NAME.key`, each in one step.
    pub fn write(&self, folder: &Path, name: &str) {
        for (suffix, text) in [("key", self.key.serialize_pem()), ("pem", self.pem.clone())] {
            let path = folder.join(format!("{name}.{suffix}"));
            let next = folder.join(format!("{name}.{suffix}.next"));
            std::fs::write(&next, text).expect("a file");
            std::fs::rename(next, path).expect("a swap");
        }
    }
}
