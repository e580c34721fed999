//! Leaves: for whom, from which CA, and how long.

use super::*;
use crate::tls::server::ServerTls;
use crate::tls::testing::{Authority, handshake};
use rcgen::{BasicConstraints, IsCa};
use tempfile::TempDir;

fn known(host: &str) -> bool {
    matches!(host, "api.twilio.com" | "messaging.twilio.com" | "api.dublin.ie1.twilio.com" | "evil.example")
}

struct Site {
    dir: TempDir,
    ca: Authority,
    intercept: config::Intercept,
}

impl Site {
    fn new() -> Self {
        Self::of(Authority::new("private CA"))
    }

    fn of(ca: Authority) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (ca_cert, ca_key) = ca.write(dir.path());
        Self { dir, ca, intercept: config::Intercept { ca_cert, ca_key, proof_inside: false } }
    }

    fn open(&self, clock: &Clock) -> Result<Leaves, Error> {
        Leaves::open(&self.intercept, known, clock.clone())
    }

    fn fault(&self) -> String {
        self.open(&Clock::system()).expect_err("a fault").to_string()
    }
}

#[test]
fn a_leaf_is_made_for_known_hosts_and_for_nobody_else() {
    let leaves = Site::new().open(&Clock::system()).expect("opens");
    for host in ["api.twilio.com", "API.Twilio.Com", "api.dublin.ie1.twilio.com"] {
        assert!(leaves.leaf(host).is_some(), "{host}");
    }
    for host in [
        "unknown.twilio.com",
        "twilio.com",
        ".twilio.com",
        "api.twilio.com.",
        "api.twilio.com.evil.example",
        "apitwilio.com",
        "evil.example",
        "127.0.0.1",
        "localhost",
        "*.twilio.com",
        "api.twilio.com\0.evil.example",
        "api..twilio.com",
        "",
    ] {
        assert!(leaves.leaf(host).is_none(), "{host:?}");
        assert!(leaves.tunnel(host).is_none(), "{host:?}");
    }
}

#[test]
fn plain_labels_are_asked_for_whatever_the_list_says() {
    let site = Site::new();
    let leaves = Leaves::open(&site.intercept, |_| true, Clock::system()).expect("opens");
    for host in ["evil.example", "twilio.com", "*.twilio.com", "a_b.twilio.com", "a..twilio.com", "é.twilio.com"] {
        assert!(leaves.leaf(host).is_none(), "{host:?}");
    }
}

#[test]
fn a_caller_that_trusts_the_ca_takes_the_leaf_in_a_tunnel() {
    let site = Site::new();
    let leaves = site.open(&Clock::system()).expect("opens");
    let caller = Arc::new(site.ca.trusted_by(None));
    let tunnel = leaves.tunnel("api.twilio.com").expect("known");
    let (caller_end, server_end) = handshake(&caller, &tunnel, "api.twilio.com").expect("shakes hands");
    assert_eq!(caller_end.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(server_end.server_name(), Some("api.twilio.com"));
    assert_eq!(caller_end.peer_certificates().map(<[_]>::len), Some(1), "a root is not sent");
    let elsewhere = handshake(&caller, &tunnel, "messaging.twilio.com");
    assert!(elsewhere.is_err(), "another server name inside the tunnel");
}

#[test]
fn the_tls_listener_answers_twilio_names_with_leaves_and_others_with_its_own() {
    let site = Site::new();
    let leaves = Arc::new(site.open(&Clock::system()).expect("opens"));
    let (cert, key) = site.ca.server(&["sidekey.test"]).write(site.dir.path(), "server");
    let tls = config::Tls { cert, key, client_ca: None, client_crl: None, client_cert_required: false };
    let caller = Arc::new(site.ca.trusted_by(None));
    let both = ServerTls::open(Some(&tls), Some(Arc::clone(&leaves))).expect("opens").config();
    for name in ["messaging.twilio.com", "sidekey.test"] {
        assert!(handshake(&caller, &both, name).is_ok(), "{name}");
    }
    assert!(handshake(&caller, &both, "unknown.twilio.com").is_err(), "its own certificate, which is another name's");
    let leaves_only = ServerTls::open(None, Some(leaves)).expect("opens").config();
    assert!(handshake(&caller, &leaves_only, "messaging.twilio.com").is_ok());
    assert!(handshake(&caller, &leaves_only, "sidekey.test").is_err());
}

#[test]
fn a_leaf_is_kept_and_renewed_before_it_ends() {
    let clock = Clock::cranked();
    let leaves = Site::new().open(&clock).expect("opens");
    let first = leaves.leaf("api.twilio.com").expect("known");
    assert!(Arc::ptr_eq(&first, &leaves.leaf("API.twilio.com").expect("known")));
    clock.turn(15 * 3600);
    assert!(Arc::ptr_eq(&first, &leaves.leaf("api.twilio.com").expect("known")));
    clock.turn(3600);
    let second = leaves.leaf("api.twilio.com").expect("known");
    assert!(!Arc::ptr_eq(&first, &second));
    let (_, cert) = X509Certificate::from_der(&second.cert[0]).expect("a certificate");
    let life = cert.validity().not_after.timestamp() - cert.validity().not_before.timestamp();
    assert_eq!(u64::try_from(life), Ok(LIFETIME + BACKDATE));
}

#[test]
fn a_leaf_never_outlives_its_ca() {
    let soon = Clock::system().unix_seconds() + 2 * 3600;
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    good_for(&mut params, soon - 7200, soon);
    let leaves = Site::of(Authority::with(params)).open(&Clock::system()).expect("opens");
    let leaf = leaves.leaf("api.twilio.com").expect("known");
    let (_, cert) = X509Certificate::from_der(&leaf.cert[0]).expect("a certificate");
    assert_eq!(u64::try_from(cert.validity().not_after.timestamp()), Ok(soon));
}

#[test]
fn an_intermediate_is_sent_along() {
    let root = Authority::new("root");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "intermediate");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let key = KeyPair::generate().expect("a key");
    let middle = params.signed_by(&key, &root.0).expect("signs");
    let site = Site::of(Authority::new("unused"));
    std::fs::write(&site.intercept.ca_cert, middle.pem() + &root.0.pem()).expect("writable");
    std::fs::write(&site.intercept.ca_key, key.serialize_pem()).expect("writable");
    let tunnel = site.open(&Clock::system()).expect("opens").tunnel("api.twilio.com").expect("known");
    let (caller, _) = handshake(&Arc::new(root.trusted_by(None)), &tunnel, "api.twilio.com").expect("shakes hands");
    assert_eq!(caller.peer_certificates().map(<[_]>::len), Some(2));
}

#[test]
fn what_can_not_be_a_ca_is_refused() {
    let site = Site::new();
    let write = |pem: &str, key: &KeyPair| {
        std::fs::write(&site.intercept.ca_cert, pem).expect("writable");
        std::fs::write(&site.intercept.ca_key, key.serialize_pem()).expect("writable");
    };
    let leaf = site.ca.server(&["api.twilio.com"]);
    write(&leaf.pem, &leaf.key);
    assert!(site.fault().contains("no CA:TRUE"), "{}", site.fault());

    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let no_sign = Authority::with(params.clone());
    write(&no_sign.0.pem(), no_sign.0.key());
    assert!(site.fault().contains("keyCertSign"), "{}", site.fault());

    params.key_usages = Vec::new();
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let expired = Authority::with(params);
    write(&expired.0.pem(), expired.0.key());
    assert!(site.fault().contains("expired"), "{}", site.fault());

    write(&site.ca.0.pem(), Authority::new("another").0.key());
    assert!(site.fault().contains("ca.key: is not the key of"), "{}", site.fault());

    std::fs::write(&site.intercept.ca_key, "no key").expect("writable");
    assert!(site.fault().contains("ca.key: holds no private key"), "{}", site.fault());
}

#[test]
fn a_new_ca_begins_with_no_leaves_and_a_bad_one_keeps_the_old() {
    let site = Site::new();
    let leaves = site.open(&Clock::system()).expect("opens");
    let first = leaves.leaf("api.twilio.com").expect("known");
    std::fs::write(&site.intercept.ca_cert, "").expect("writable");
    assert!(matches!(leaves.poll(), Reload::Refused(_)));
    assert!(Arc::ptr_eq(&first, &leaves.leaf("api.twilio.com").expect("known")));
    let next = Authority::new("the next CA");
    next.write(site.dir.path());
    assert_eq!(leaves.poll(), Reload::Replaced);
    let tunnel = leaves.tunnel("api.twilio.com").expect("known");
    assert!(handshake(&Arc::new(next.trusted_by(None)), &tunnel, "api.twilio.com").is_ok());
    assert!(handshake(&Arc::new(site.ca.trusted_by(None)), &tunnel, "api.twilio.com").is_err());
}

#[test]
fn the_number_of_leaves_is_bounded() {
    let site = Site::new();
    let leaves = Leaves::open(&site.intercept, |_| true, Clock::system()).expect("opens");
    for n in 0..=MAX_LEAVES {
        assert!(leaves.leaf(&format!("api.edge{n}.ie1.twilio.com")).is_some());
    }
    assert_eq!(leaves.watched.current().lock().len(), 1);
}
