//! PEM files: certificates, private keys, revocation lists. Reads whole files with a ceiling; every fault names the file
//! and its mend, and none quotes what the file holds.

use super::Error;
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use std::io::Read;
use std::path::Path;
use zeroize::Zeroizing;

/// Ceiling on a PEM file, in bytes: a bundle of every public root is about 250 kB, so a larger file is some other file.
const MAX_FILE: u64 = 4 << 20;

/// Every certificate of a PEM file, in order; at least one.
///
/// # Errors
/// A file that can't be read, or holds none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = read(path)?;
    let certs = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| Error::of(path, "a PEM section is damaged; write the certificates again"))?;
    if certs.is_empty() {
        return Err(Error::of(path, "holds no certificate; a PEM file with BEGIN CERTIFICATE is expected"));
    }
    Ok(certs)
}

/// The first private key of a PEM file (PKCS #8, SEC1 or PKCS #1, unencrypted).
///
/// # Errors
/// A file that can't be read, or holds none.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let text = read(path)?;
    if text.windows(9).any(|w| w == b"ENCRYPTED") {
        return Err(Error::of(path, "holds an encrypted key; write it unencrypted, readable by sidekey alone"));
    }
    PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| Error::of(path, "holds no private key; a PEM file with BEGIN PRIVATE KEY is expected"))
}

/// Every revocation list of a PEM file; at least one.
///
/// # Errors
/// A file that can't be read, or holds none.
pub fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    let text = read(path)?;
    let lists = CertificateRevocationListDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| Error::of(path, "a PEM section is damaged; write the revocation list again"))?;
    if lists.is_empty() {
        return Err(Error::of(path, "holds no revocation list; a PEM file with BEGIN X509 CRL is expected"));
    }
    Ok(lists)
}

/// Adds every certificate of a PEM file to `roots`.
///
/// # Errors
/// A file that can't be read or holds none, or one that can't be a root: that is a fault, not a gap.
pub fn add_roots(roots: &mut RootCertStore, path: &Path) -> Result<(), Error> {
    for (index, cert) in certificates(path)?.into_iter().enumerate() {
        roots
            .add(cert)
            .map_err(|fault| Error::of(path, format!("certificate {} can't be a root: {fault}", index + 1)))?;
    }
    Ok(())
}

/// The file's bytes, wiped when dropped: any PEM file may hold a key.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let fault = |e: std::io::Error| Error::of(path, format!("can't be read: {e}"));
    let file = std::fs::File::open(path).map_err(fault)?;
    // Room for the usual file at once, so that no half-grown copy of a key is left behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(64 << 10));
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(fault)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Error::of(path, "is larger than 4 MiB; this can't be the right file"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_name_the_file_and_the_mend() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("x.pem");
        assert!(certificates(&path).expect_err("absent").to_string().contains("x.pem: can't be read"));
        for (text, problem) in [
            ("", "holds no certificate"),
            ("not pem at all", "holds no certificate"),
            ("-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n", "damaged"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n", "damaged"),
        ] {
            std::fs::write(&path, text).expect("writable");
            let fault = certificates(&path).expect_err(text).to_string();
            assert!(fault.contains("x.pem") && fault.contains(problem), "{text:?}: {fault}");
        }
        std::fs::write(&path, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
            .expect("writable");
        assert!(private_key(&path).expect_err("encrypted").to_string().contains("encrypted"));
    }

    #[test]
    fn a_certificate_that_is_no_certificate_is_no_root() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("roots.pem");
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").expect("writable");
        let fault = add_roots(&mut RootCertStore::empty(), &path).expect_err("three NULs");
        assert!(fault.to_string().contains("certificate 1 can't be a root"), "{fault}");
    }
}
