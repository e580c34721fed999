//! Makes the private CA used for interception.
//!
//! Its certificate can vouch for names under `twilio.com` and for nothing else, so that a stolen CA key can't imitate
//! any other site to the callers who trust it.

use super::{Error, files};
use crate::clock::Clock;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, GeneralSubtree, IsCa, KeyPair,
    KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256,
};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// How long a new CA is good for: ten years, since every caller must be given its successor by hand.
const LIFETIME: Duration = Duration::from_hours(10 * 365 * 24);

/// How far a new CA reaches back, for callers whose clock is slow.
const BACKDATE: Duration = Duration::from_hours(1);

/// The files of a CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// PEM certificate: callers trust it.
    pub cert: PathBuf,
    /// PEM key, mode 0600: sidekey alone reads it.
    pub key: PathBuf,
}

/// Makes a CA and writes `ca.pem` and `ca.key` into `dir`, which is made if need be. Neither file may be there already.
///
/// # Errors
/// A file of one of these names, or a folder or file that can't be made.
pub fn init(dir: &Path, clock: &Clock) -> Result<Made, Error> {
    let made = Made { cert: dir.join("ca.pem"), key: dir.join("ca.key") };
    for path in [&made.cert, &made.key] {
        if path.symlink_metadata().is_ok() {
            return Err(Error::of(
                path,
                "is there already and is not overwritten; name another folder, or move it away",
            ));
        }
    }
    std::fs::create_dir_all(dir).map_err(|error| Error::of(dir, format!("can't be made: {error}")))?;
    let (cert, key) = sign(clock)?;
    write_new(&made.key, key.as_bytes(), 0o600)?;
    if let Err(error) = write_new(&made.cert, cert.as_bytes(), 0o644) {
        // Half a CA is of no use, and would stop the next attempt.
        let _ = std::fs::remove_file(&made.key);
        return Err(error);
    }
    Ok(made)
}

/// The certificates of a PEM file as PEM: nothing else that the file may hold, such as a key.
///
/// # Errors
/// A file that can't be read, or holds no certificate.
pub fn show(path: &Path) -> Result<String, Error> {
    let certificates = files::certificates(path)?;
    let pem = |der: &rustls_pki_types::CertificateDer<'_>| {
        let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
        let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    };
    Ok(certificates.iter().map(pem).collect())
}

/// A new key and its own certificate, as PEM.
fn sign(clock: &Clock) -> Result<(String, Zeroizing<String>), Error> {
    let fault = |error: rcgen::Error| Error::general(format!("the CA can't be made: {error}"));
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(fault)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "sidekey interception CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("twilio.com".to_owned())],
        // A permitted DNS name says nothing of addresses (RFC 5280 §4.2.1.10): they are excluded by themselves.
        excluded_subtrees: vec![
            GeneralSubtree::IpAddress(CidrSubnet::V4([0; 4], [0; 4])),
            GeneralSubtree::IpAddress(CidrSubnet::V6([0; 16], [0; 16])),
        ],
    });
    let now = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(clock.unix_seconds());
    (params.not_before, params.not_after) = (now - BACKDATE, now + LIFETIME);
    let cert = params.self_signed(&key).map_err(fault)?;
    Ok((cert.pem(), Zeroizing::new(key.serialize_pem())))
}

/// Writes a file that must not exist, with its mode from the first moment on.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let fault = |error: std::io::Error| Error::of(path, format!("can't be written: {error}"));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut file = rustix::fs::open(path, flags, Mode::from_raw_mode(mode))
        .map(File::from)
        .map_err(|error| fault(error.into()))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(fault)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Intercept;
    use crate::tls::leaf::Leaves;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls_pki_types::{ServerName, UnixTime};
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    #[test]
    fn a_new_ca_signs_leaves_that_its_root_alone_vouches_for() {
        let dir = tempfile::tempdir().expect("a folder");
        let made = init(&dir.path().join("deep/ca"), &Clock::system()).expect("a CA is made");
        let mode = |path: &Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode(&made.key), 0o600);
        let intercept = Intercept { ca_cert: made.cert.clone(), ca_key: made.key.clone(), proof_inside: false };
        let leaves = Leaves::open(&intercept, |_| true, Clock::system()).expect("the CA is good");
        let leaf = leaves.leaf("api.twilio.com").expect("a leaf");
        let mut roots = rustls::RootCertStore::empty();
        files::add_roots(&mut roots, &made.cert).expect("a root");
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), super::super::provider())
            .build()
            .expect("one");
        let name = ServerName::try_from("api.twilio.com").expect("a name");
        let (end, rest) = leaf.cert.split_first().expect("a leaf has a certificate");
        verifier.verify_server_cert(end, rest, &name, &[], UnixTime::now()).expect("the root vouches for it");
    }

    #[test]
    fn the_ca_can_vouch_for_nothing_outside_twilio() {
        let dir = tempfile::tempdir().expect("a folder");
        let made = init(dir.path(), &Clock::system()).expect("a CA is made");
        let ders = files::certificates(&made.cert).expect("a certificate");
        let key = KeyPair::try_from(&files::private_key(&made.key).expect("a key")).expect("a key pair");
        let issuer = rcgen::Issuer::from_ca_cert_der(&ders[0], key).expect("a CA");
        let mut roots = rustls::RootCertStore::empty();
        files::add_roots(&mut roots, &made.cert).expect("a root");
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), super::super::provider())
            .build()
            .expect("one");
        for (name, good) in
            [("a.twilio.com", true), ("a.example.com", false), ("twilio.com.a", false), ("10.0.0.1", false)]
        {
            let leaf_key = KeyPair::generate().expect("a key");
            let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
            let leaf = params.signed_by(&leaf_key, &issuer).expect("the CA signs anything");
            let server = ServerName::try_from(name).expect("a name");
            let verdict = verifier.verify_server_cert(leaf.der(), &[], &server, &[], UnixTime::now());
            assert_eq!(verdict.is_ok(), good, "{name}: {verdict:?}");
        }
    }

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().expect("a folder");
        let made = init(dir.path(), &Clock::system()).expect("a CA is made");
        let before = std::fs::read(&made.key).expect("a key");
        for gone in [None, Some(&made.cert)] {
            if let Some(path) = gone {
                std::fs::remove_file(path).expect("it was there");
            }
            let error = init(dir.path(), &Clock::system()).expect_err("the files are there").to_string();
            assert!(error.contains("is not overwritten"), "{error}");
        }
        assert_eq!(std::fs::read(&made.key).expect("a key"), before);
    }

    #[test]
    fn show_shows_certificates_only() {
        let dir = tempfile::tempdir().expect("a folder");
        let made = init(dir.path(), &Clock::system()).expect("a CA is made");
        let (cert, key) = (std::fs::read_to_string(&made.cert), std::fs::read_to_string(&made.key));
        let (cert, key) = (cert.expect("a file"), key.expect("a file"));
        let both = dir.path().join("both.pem");
        std::fs::write(&both, format!("{key}{cert}")).expect("a file");
        let shown = show(&both).expect("it holds a certificate");
        assert_eq!(shown.replace("\r\n", "\n"), cert.replace("\r\n", "\n"));
    }
}
