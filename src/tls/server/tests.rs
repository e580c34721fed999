//! Handshakes against the settings of `listen.tls`.

use super::*;
use crate::tls::identity::PeerIdentity;
use crate::tls::testing::{Authority, Issued, handshake};
use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, SanType};
use rustls::HandshakeKind;
use std::path::Path;
use tempfile::TempDir;

/// A folder with a server certificate for `sidekey.test`, and the CA that callers trust.
struct Site {
    dir: TempDir,
    ca: Authority,
    tls: config::Tls,
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let ca = Authority::new("servers");
        let (cert, key) = ca.server(&["sidekey.test"]).write(dir.path(), "server");
        Self { dir, ca, tls: config::Tls { cert, key, client_ca: None, client_crl: None, client_cert_required: false } }
    }

    /// The same, taking client certificates of `callers`.
    fn with_callers(callers: &Authority, required: bool) -> Self {
        let mut site = Self::new();
        let path = site.dir.path().join("clients.pem");
        std::fs::write(&path, callers.0.pem()).expect("writable");
        site.tls.client_ca = Some(path);
        site.tls.client_cert_required = required;
        site
    }

    fn open(&self) -> Result<ServerTls, Error> {
        ServerTls::open(Some(&self.tls), None)
    }

    fn fault(&self) -> String {
        self.open().expect_err("a fault").to_string()
    }

    /// Shakes hands as a caller with this certificate; gives the URIs that the server learns.
    fn shake_hands(&self, own: Option<&Issued>) -> Result<Option<Vec<String>>, rustls::Error> {
        let server = self.open().expect("opens").config();
        let (_, server) = handshake(&Arc::new(self.ca.trusted_by(own)), &server, "sidekey.test")?;
        let chain = server.peer_certificates();
        Ok(chain.map(|chain| PeerIdentity::of(&chain[0]).uris().to_vec()))
    }
}

#[test]
fn alpn_offers_both_and_early_data_is_off() {
    let site = Site::new();
    let server = site.open().expect("opens").config();
    assert_eq!(server.max_early_data_size, 0);
    let mut config = site.ca.trusted_by(None);
    for (offer, taken) in [(vec!["h2", "http/1.1"], "h2"), (vec!["http/1.1"], "http/1.1")] {
        config.alpn_protocols = offer.into_iter().map(|name| name.as_bytes().to_vec()).collect();
        let (caller, _) = handshake(&Arc::new(config.clone()), &server, "sidekey.test").expect("shakes hands");
        assert_eq!(caller.alpn_protocol(), Some(taken.as_bytes()));
    }
    config.alpn_protocols = vec![b"spdy/1".to_vec()];
    assert!(handshake(&Arc::new(config), &server, "sidekey.test").is_err(), "no protocol in common");
}

#[test]
fn certificates_are_read_again_and_a_bad_one_keeps_the_old() {
    let site = Site::new();
    let tls = site.open().expect("opens");
    let caller = Arc::new(site.ca.trusted_by(None));
    let seen = |tls: &ServerTls| {
        let (caller, _) = handshake(&caller, &tls.config(), "sidekey.test").expect("shakes hands");
        caller.peer_certificates().expect("a chain")[0].clone()
    };
    let first = seen(&tls);
    let next = site.ca.server(&["sidekey.test"]);
    // Only the certificate so far: the pair doesn't match.
    std::fs::write(&site.tls.cert, &next.pem).expect("writable");
    let Reload::Refused(fault) = tls.poll() else { panic!("a certificate without its key was taken") };
    assert!(fault.to_string().contains("is not the key of the first certificate"), "{fault}");
    assert_eq!(seen(&tls), first);
    std::fs::write(&site.tls.key, next.key.serialize_pem()).expect("writable");
    assert_eq!(tls.poll(), Reload::Replaced);
    assert_eq!(seen(&tls), next.der);
}

#[test]
fn a_client_ca_that_gives_no_root_is_refused_at_start_and_at_reload() {
    let callers = Authority::new("callers");
    let site = Site::with_callers(&callers, true);
    let path = site.tls.client_ca.clone().expect("set");
    let good = std::fs::read(&path).expect("there");
    let tls = site.open().expect("opens");
    for bad in [b"".to_vec(), b"garbage".to_vec(), good[..good.len() / 2].to_vec()] {
        std::fs::write(&path, bad).expect("writable");
        assert!(site.fault().contains("clients.pem"));
        assert!(matches!(tls.poll(), Reload::Refused(_) | Reload::Unchanged));
    }
    std::fs::remove_file(&path).expect("there");
    assert!(site.fault().contains("can't be read"));
    let _ = tls.poll();
    // Still the old settings, which ask for a certificate.
    let anonymous = Arc::new(site.ca.trusted_by(None));
    assert!(handshake(&anonymous, &tls.config(), "sidekey.test").is_err());
}

#[test]
fn required_without_roots_is_a_fault() {
    let mut site = Site::new();
    site.tls.client_cert_required = true;
    assert!(site.fault().contains("needs client_ca"));
}

#[test]
fn a_client_certificate_is_optional_unless_required() {
    let callers = Authority::new("callers");
    let own = callers.caller("spiffe://corp/ns/billing/sa/x");
    let site = Site::with_callers(&callers, false);
    assert_eq!(site.shake_hands(None), Ok(None));
    assert_eq!(site.shake_hands(Some(&own)), Ok(Some(vec!["spiffe://corp/ns/billing/sa/x".to_owned()])));
    let site = Site::with_callers(&callers, true);
    assert!(site.shake_hands(None).is_err());
    assert!(site.shake_hands(Some(&own)).is_ok());
    let site = Site::new();
    assert_eq!(site.shake_hands(Some(&own)), Ok(None), "nobody asked for one");
}

#[test]
fn bad_client_certificates_end_the_handshake_though_they_are_optional() {
    let callers = Authority::new("callers");
    let site = Site::with_callers(&callers, false);
    let uri = || vec![SanType::URI("spiffe://corp/ns/billing/sa/x".try_into().expect("IA5"))];
    let client_auth = || vec![ExtendedKeyUsagePurpose::ClientAuth];
    let good = callers.issue(uri(), |p| p.extended_key_usages = client_auth());
    let stranger = Authority::new("callers").issue(uri(), |p| p.extended_key_usages = client_auth());
    let server_only = callers.issue(uri(), |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    let expired = callers.issue(uri(), |p| p.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let early = callers.issue(uri(), |p| p.not_before = rcgen::date_time_ymd(3000, 1, 1));
    let is_ca = callers.issue(uri(), |p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    let own = Authority::new("callers");
    let self_signed = Issued { der: own.0.der().clone(), pem: own.0.pem(), key: KeyPairOf::of(&own) };
    assert!(site.shake_hands(Some(&good)).is_ok());
    for (bad, why) in [
        (stranger, "another CA of the same name"),
        (server_only, "serverAuth only"),
        (expired, "expired"),
        (early, "not yet valid"),
        (is_ca, "CA:TRUE"),
        (self_signed, "self-signed"),
    ] {
        assert!(site.shake_hands(Some(&bad)).is_err(), "{why}");
    }
}

#[test]
fn a_revoked_certificate_and_one_that_no_current_list_covers_are_refused() {
    let callers = Authority::new("callers");
    let uri = || vec![SanType::URI("spiffe://corp/x".try_into().expect("IA5"))];
    let numbered = |n: u64| callers.issue(uri(), |p| p.serial_number = Some(n.into()));
    let (good, revoked) = (numbered(7), numbered(8));
    let list = |ca: &Authority, until: i32| {
        let params = rcgen::CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2020, 1, 1),
            next_update: rcgen::date_time_ymd(until, 1, 1),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: vec![rcgen::RevokedCertParams {
                serial_number: 8.into(),
                revocation_time: rcgen::date_time_ymd(2020, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        params.signed_by(&ca.0).expect("signs").pem().expect("a PEM")
    };
    let mut site = Site::with_callers(&callers, false);
    let path = site.dir.path().join("clients.crl");
    site.tls.client_crl = Some(path.clone());
    std::fs::write(&path, list(&callers, 4000)).expect("writable");
    assert!(site.shake_hands(Some(&good)).is_ok());
    assert!(site.shake_hands(Some(&revoked)).is_err());
    assert!(site.shake_hands(None).is_ok());
    std::fs::write(&path, list(&callers, 2021)).expect("writable");
    assert!(site.shake_hands(Some(&good)).is_err(), "the list is out of date");
    std::fs::write(&path, list(&Authority::new("others"), 4000)).expect("writable");
    assert!(site.shake_hands(Some(&good)).is_err(), "the list of another CA");
    for bad in ["", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"] {
        std::fs::write(&path, bad).expect("writable");
        assert!(site.fault().contains("clients.crl"), "{}", site.fault());
    }
}

/// A copy of an authority's own key.
struct KeyPairOf;

impl KeyPairOf {
    fn of(ca: &Authority) -> rcgen::KeyPair {
        rcgen::KeyPair::from_pem(&ca.0.key().serialize_pem()).expect("a key")
    }
}

#[test]
fn a_session_resumes_on_its_own_settings_and_on_no_other() {
    let callers = Authority::new("callers");
    let own = callers.caller("spiffe://corp/ns/billing/sa/x");
    let site = Site::with_callers(&callers, false);
    let (here, there) = (site.open().expect("opens"), site.open().expect("opens"));
    let caller = Arc::new(site.ca.trusted_by(Some(&own)));
    let kind = |tls: &ServerTls| {
        let (_, server) = handshake(&caller, &tls.config(), "sidekey.test").expect("shakes hands");
        assert!(server.peer_certificates().is_some());
        server.handshake_kind()
    };
    assert_eq!(kind(&here), Some(HandshakeKind::Full));
    assert_eq!(kind(&here), Some(HandshakeKind::Resumed));
    assert_eq!(kind(&there), Some(HandshakeKind::Full), "a session crossed to another listener");
    kind(&here);
    assert_eq!(kind(&here), Some(HandshakeKind::Resumed));
    touch(&site.tls.cert);
    assert_eq!(here.poll(), Reload::Replaced);
    assert_eq!(kind(&here), Some(HandshakeKind::Full), "a session outlived the settings it was made under");
}

/// Rewrites a file in place with what it holds, with another modification time.
fn touch(path: &Path) {
    let text = std::fs::read_to_string(path).expect("there");
    std::fs::write(path, text + "\n").expect("writable");
}

#[test]
fn no_certificate_at_all_is_a_fault() {
    assert!(ServerTls::open(None, None).expect_err("a fault").to_string().contains("[tls]"));
}
