//! Client certificates: which ones are taken, whose they are, and what becomes of them while a broker runs.

use super::wire::{Secure, ask, dial, secure};
use super::world::{Authority, Issued, World, client};
use crate::support::command::run;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, RevokedCertParams, SanType,
    SubjectPublicKeyInfo, string::Ia5String,
};
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

const CONFIG: &str = r#"
[listen]
proxy = "127.0.0.1:0"
tls = "127.0.0.1:0"
[tls]
cert = "server.pem"
key = "server.key"
client_ca = "callers.pem"
client_crl = "callers.crl"
[intercept]
ca_cert = "ca/ca.pem"
ca_key = "ca/ca.key"
[[certificate]]
san = "spiffe://corp/ns/billing/*"
team = "billing"
[[certificate]]
san = "sender.corp"
team = "billing"
"#;

const OURS: &str = "spiffe://corp/ns/billing/sa/sender";

/// A broker that takes the certificates of one authority.
struct Site {
    world: World,
    at: SocketAddr,
    servers: Authority,
    callers: Authority,
}

impl Site {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (servers, callers) = (Authority::new("servers"), Authority::new("callers"));
        servers.server("sidekey.test").write(folder.path(), "server");
        std::fs::write(folder.path().join("callers.pem"), callers.0.pem()).expect("a file");
        std::fs::write(folder.path().join("callers.crl"), revoking(&callers, None)).expect("a file");
        assert_eq!(run(folder.path(), &["ca", "init", "ca"]).code, Some(0));
        let mut world = World::start_in(folder, CONFIG);
        let at = world.tls();
        Self { world, at, servers, callers }
    }

    fn write(&mut self, name: &str, text: &str) {
        let path = self.world.folder.path().join(name);
        let next = path.with_extension("next");
        std::fs::write(&next, text).expect("a file");
        std::fs::rename(next, path).expect("a swap");
        self.world.broker.told("the files of [tls] were read again");
    }

    fn connect(&self, own: &Issued) -> Option<Secure> {
        let config = Arc::new(client(&[self.servers.root()], Some(own), &["http/1.1"]));
        secure(dial(self.at), &config, "sidekey.test").ok()
    }

    /// What `whoami` answers; `None` where the greeting failed.
    fn ask(&self, own: &Issued) -> Option<u16> {
        // In TLS 1.3 the refusal comes after the caller's part of the greeting.
        let mut stream = self.connect(own)?;
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| whoami(&mut stream))).ok()
    }
}

fn whoami(stream: &mut Secure) -> u16 {
    ask(stream, "GET /.sidekey/whoami", &[("Host", "sidekey.test")], "").status
}

#[test]
fn a_tunnel_that_a_token_opened_does_not_outlive_the_certificate_below_it() {
    let mut site = Site::start();
    let own = site.callers.issue(vec![uri(OURS)], |params| {
        for_callers(params);
        params.serial_number = Some(9.into());
    });
    let mut stream = site.connect(&own).expect("taken");
    let (host, proof) = (("Host", "api.twilio.com:443"), site.world.basic());
    let opened = ask(&mut stream, "CONNECT api.twilio.com:443", &[host, ("Proxy-Authorization", &proof)], "");
    assert_eq!(opened.status, 200, "{opened:?}");
    let mut inside = secure(stream, &site.world.trusting(), "api.twilio.com").expect("a leaf");
    let mut whoami = || ask(&mut inside, "GET /.sidekey/whoami", &[("Host", "api.twilio.com")], "");
    assert_eq!(whoami().json()["proof"], "token");
    let list = revoking(&site.callers, Some(9));
    site.write("callers.crl", &list);
    let refused = whoami();
    assert_eq!((refused.status, refused.header("sidekey-error")), (401, Some("invalid_proof")), "{refused:?}");
}

/// A list of what an authority has revoked.
fn revoking(by: &Authority, serial: Option<u64>) -> String {
    let revoked = |serial: u64| RevokedCertParams {
        serial_number: serial.into(),
        revocation_time: rcgen::date_time_ymd(2020, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2020, 1, 1),
        next_update: rcgen::date_time_ymd(4000, 1, 1),
        crl_number: 1.into(),
        issuing_distribution_point: None,
        revoked_certs: serial.map(revoked).into_iter().collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(&by.0).expect("signs").pem().expect("a PEM")
}

fn text(text: &str) -> Ia5String {
    text.try_into().expect("IA5")
}

fn uri(name: &str) -> SanType {
    SanType::URI(text(name))
}

fn for_callers(params: &mut CertificateParams) {
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
}

/// A certificate below another one, which is sent along if it `is_sent`.
fn below(root: &Authority, edit: impl FnOnce(&mut CertificateParams), is_sent: bool) -> Issued {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "between");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    edit(&mut params);
    let key = KeyPair::generate().expect("a key");
    let between = params.signed_by(&key, &root.0).expect("signs").der().clone();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![uri(OURS)];
    for_callers(&mut params);
    let own = KeyPair::generate().expect("a key");
    let issuer = Issuer::from_ca_cert_der(&between, key);
    let cert = issuer.map(|issuer| params.signed_by(&own, &issuer).expect("signs")).expect("an issuer");
    let above = if is_sent { vec![between] } else { Vec::new() };
    Issued { der: cert.der().clone(), pem: cert.pem(), key: own, above }
}

/// The same for a key of another kind.
fn of_kind(root: &Authority, kind: &'static rcgen::SignatureAlgorithm) -> Issued {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![uri(OURS)];
    for_callers(&mut params);
    let key = KeyPair::generate_for(kind).expect("a key");
    let cert = params.signed_by(&key, &root.0).expect("signs");
    Issued { der: cert.der().clone(), pem: cert.pem(), key, above: Vec::new() }
}

#[test]
fn a_certificate_is_taken_for_a_name_that_it_states_and_no_other() {
    let site = Site::start();
    let issue = |names: Vec<SanType>| site.callers.issue(names, for_callers);
    let email = || SanType::Rfc822Name(text("sender.corp"));
    for (names, status) in [
        (vec![uri(OURS)], 200),
        (vec![SanType::DnsName(text("Sender.Corp"))], 200),
        (vec![SanType::DnsName(text("stranger.corp")), email(), uri(OURS)], 200),
        (vec![uri("spiffe://corp/ns/other/x"), SanType::DnsName(text("sender.corp"))], 200),
        (vec![], 401),
        (vec![email()], 401),
        (vec![uri("spiffe://corp/ns/billing/")], 401),
        (vec![uri("spiffe://corp/ns/billing/../ops/x")], 401),
        (vec![uri("spiffe://corp/ns/billing/%2e%2e/x")], 401),
        (vec![uri("spiffe://corp/ns/billing\0/x")], 401),
        (vec![uri("spiffe://corp/ns/billing/x\0")], 401),
        (vec![uri("spiffe://corp/ns/billing/*")], 401),
        (vec![uri("spiffe://corp/ns/billing/x#y")], 401),
        (vec![uri("SPIFFE://corp/ns/billing/x")], 401),
        (vec![uri("https://corp/spiffe://corp/ns/billing/x")], 401),
        (vec![SanType::DnsName(text("*.corp"))], 401),
        (vec![SanType::DnsName(text("sender.corp\0.evil"))], 401),
        (vec![SanType::DnsName(text("sender.corp."))], 401),
        (vec![SanType::DnsName(text("a.sender.corp"))], 401),
        (vec![uri("sender.corp")], 401),
    ] {
        assert_eq!(site.ask(&issue(names.clone())), Some(status), "{names:?}");
    }
    let named = site.callers.issue(Vec::new(), |params| {
        for_callers(params);
        params.distinguished_name.push(DnType::CommonName, "sender.corp");
    });
    assert_eq!(site.ask(&named), Some(401), "a common name is no name");
}

#[test]
fn a_certificate_that_its_root_does_not_vouch_for_ends_the_greeting() {
    let site = Site::start();
    let (callers, others) = (&site.callers, Authority::new("callers"));
    let year = |year| rcgen::date_time_ymd(year, 1, 1);
    let plain = |edit: &dyn Fn(&mut CertificateParams)| callers.issue(vec![uri(OURS)], edit);
    assert_eq!(site.ask(&plain(&|_| {})), Some(200), "no purpose stated at all");
    assert_eq!(site.ask(&of_kind(callers, &PKCS_ECDSA_P384_SHA384)), Some(200), "P-384");
    assert_eq!(site.ask(&of_kind(callers, &PKCS_ED25519)), Some(200), "Ed25519");
    for (name, bad) in [
        ("another CA of the same name", others.caller(OURS)),
        ("another CA, sent along", Issued { above: vec![others.root()], ..others.caller(OURS) }),
        ("expired", plain(&|params| params.not_after = year(2020))),
        ("not yet valid", plain(&|params| params.not_before = year(3000))),
        ("for servers", plain(&|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth])),
        ("for code", plain(&|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning])),
        ("a CA itself", plain(&|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))),
        ("the one between is missing", below(callers, |_| {}, false)),
        ("the one between is no CA", below(callers, |params| params.is_ca = IsCa::ExplicitNoCa, true)),
        ("the one between has ended", below(callers, |params| params.not_after = year(2020), true)),
        (
            "the one between may not sign",
            below(callers, |params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature], true),
        ),
    ] {
        assert_eq!(site.ask(&bad), None, "{name}");
    }
    let stranger = Authority::new("stranger");
    let own_key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![uri(OURS)];
    let cert = params.self_signed(&own_key).expect("signs");
    let own = Issued { der: cert.der().clone(), pem: cert.pem(), key: own_key, above: vec![stranger.root()] };
    assert_eq!(site.ask(&own), None, "self-signed");
    assert!(site.world.audited_in_time(&["invalid_proof", "tls: "], 12) >= 12, "each is recorded");
}

fn openssl(arguments: &str, input: &str) -> Output {
    let mut command = Command::new("openssl");
    command.args(arguments.split(' ')).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("openssl is installed: tests/run installs it, or apt-get install openssl");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("taken");
    child.wait_with_output().expect("an end")
}

/// rustls signs with no RSA key below 2048 bits either, so that the caller is OpenSSL, on its lowest level of security.
fn ask_with_rsa(site: &Site, bits: u32, version: &str) -> Option<u16> {
    let file = |name: &str| site.world.folder.path().join(name).display().to_string();
    let (key, own, root) = (file("rsa.key"), file("rsa.pem"), file("servers.pem"));
    assert!(openssl(&format!("genrsa -out {key} {bits}"), "").status.success());
    let public = openssl(&format!("pkey -in {key} -pubout"), "").stdout;
    let public = SubjectPublicKeyInfo::from_pem(&String::from_utf8_lossy(&public)).expect("a public key");
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![uri(OURS)];
    for_callers(&mut params);
    std::fs::write(&own, params.signed_by(&public, &site.callers.0).expect("signs").pem()).expect("a file");
    std::fs::write(&root, site.servers.0.pem()).expect("a file");
    let arguments = format!(
        "s_client -connect {} -servername sidekey.test -{version} -cipher DEFAULT@SECLEVEL=0 -quiet -verify_quiet \
         -verify_return_error -CAfile {root} -cert {own} -key {key}",
        site.at
    );
    let request = "GET /.sidekey/whoami HTTP/1.1\r\nHost: sidekey.test\r\nConnection: close\r\n\r\n";
    let Output { stdout, stderr, .. } = openssl(&arguments, request);
    let (answer, told) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    // It was the broker that ended the greeting.
    assert!(status.is_some() || told.contains(" alert "), "{bits}, {version}: {told}");
    status
}

#[test]
fn a_certificate_of_a_weak_rsa_key_ends_the_greeting() {
    let site = Site::start();
    for version in ["tls1_2", "tls1_3"] {
        for (bits, status) in [(2048, Some(200)), (2040, None), (1024, None)] {
            assert_eq!(ask_with_rsa(&site, bits, version), status, "{bits}, {version}");
        }
    }
    assert!(site.world.audited_in_time(&["invalid_proof", "tls: "], 4) >= 4, "each is recorded");
}

#[test]
fn what_is_revoked_counts_at_once_on_connections_that_are_open() {
    let mut site = Site::start();
    let numbered = |n: u64| {
        site.callers.issue(vec![uri(OURS)], |params| {
            for_callers(params);
            params.serial_number = Some(n.into());
        })
    };
    let (good, bad) = (numbered(7), numbered(8));
    let (mut kept, mut cut) = (site.connect(&good).expect("taken"), site.connect(&bad).expect("taken"));
    assert_eq!((whoami(&mut kept), whoami(&mut cut)), (200, 200));
    let list = revoking(&site.callers, Some(8));
    site.write("callers.crl", &list);
    assert_eq!((whoami(&mut kept), whoami(&mut cut)), (200, 401), "revoked");
    assert_eq!((site.ask(&good), site.ask(&bad)), (Some(200), None));
    // A list that is taken back gives the certificate back.
    let list = revoking(&site.callers, None);
    site.write("callers.crl", &list);
    assert_eq!((whoami(&mut kept), whoami(&mut cut)), (200, 200));
    // Another root: nobody of the old one is left.
    let next = Authority::new("next");
    site.write("callers.crl", &[revoking(&site.callers, None), revoking(&next, None)].concat());
    site.write("callers.pem", &next.0.pem());
    assert_eq!((whoami(&mut kept), site.ask(&good)), (401, None), "its root is withdrawn");
    assert_eq!(site.ask(&next.issue(vec![uri(OURS)], for_callers)), Some(200));
    assert!(site.world.audited(&["certificate_not_taken_any_more"]) >= 2);
}
