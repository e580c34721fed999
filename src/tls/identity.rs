//! What a verified client certificate states about its holder.
//!
//! Only subject alternative names count; the common name never does. A name is kept exactly as the certificate spells
//! it, and one with a byte outside visible ASCII (NUL, space, controls, UTF-8) or with a `*` is left out altogether: it
//! can then match nothing, where a cleaned-up form might match what was not meant.

use rustls_pki_types::CertificateDer;
use std::sync::atomic::{AtomicU64, Ordering};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Names, age and fingerprint of a certificate that rustls has already verified against `client_ca`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity {
    uris: Vec<String>,
    dns: Vec<String>,
    not_after: u64,
    fingerprint: [u8; 32],
}

impl PeerIdentity {
    /// Reads the end-entity certificate. One that can't be read has no names, so it proves nothing.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let mut fingerprint = [0; 32];
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
        fingerprint.copy_from_slice(digest.as_ref());
        let mut identity = Self { uris: Vec::new(), dns: Vec::new(), not_after: 0, fingerprint };
        let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return identity };
        identity.not_after = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
        // A certificate with two such extensions is malformed, and gets no names.
        let Ok(Some(names)) = parsed.subject_alternative_name() else { return identity };
        for name in &names.value.general_names {
            match name {
                GeneralName::URI(uri) if plain(uri) => identity.uris.push((*uri).to_owned()),
                GeneralName::DNSName(dns) if plain(dns) => identity.dns.push(dns.to_ascii_lowercase()),
                _ => {}
            }
        }
        identity
    }

    /// URI names, exactly as spelled.
    pub fn uris(&self) -> &[String] {
        &self.uris
    }

    /// DNS names, lower-case.
    pub fn dns(&self) -> &[String] {
        &self.dns
    }

    /// When the certificate ends, in seconds since the Unix epoch. A connection or a resumed session may outlive it; a
    /// proof may not.
    pub fn not_after(&self) -> u64 {
        self.not_after
    }

    /// SHA-256 of the certificate: its id in the audit.
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }
}

/// A client certificate as a connection presented it, and the settings that judged it last.
#[derive(Debug)]
pub struct PeerCertificate {
    identity: PeerIdentity,
    /// The end-entity certificate, then what came with it.
    chain: Vec<CertificateDer<'static>>,
    /// Number of the settings, and in the lowest bit whether they take it.
    judged: AtomicU64,
}

impl PeerCertificate {
    /// The chain of a connection whose handshake the settings of this number took.
    pub fn new(chain: &[CertificateDer<'_>], settings: u64) -> Option<Self> {
        let identity = PeerIdentity::of(chain.first()?);
        let chain = chain.iter().cloned().map(CertificateDer::into_owned).collect();
        Some(Self { identity, chain, judged: AtomicU64::new(settings << 1 | 1) })
    }

    /// What it states.
    pub const fn identity(&self) -> &PeerIdentity {
        &self.identity
    }

    /// Whether the settings of this number take it; `judge` is asked once for each number, with the certificate and what
    /// came with it.
    pub fn taken_by(
        &self,
        settings: u64,
        judge: impl FnOnce(&CertificateDer<'static>, &[CertificateDer<'static>]) -> bool,
    ) -> bool {
        let judged = self.judged.load(Ordering::Relaxed);
        if judged >> 1 == settings {
            return judged & 1 == 1;
        }
        let taken = self.chain.split_first().is_some_and(|(end, rest)| judge(end, rest));
        self.judged.store(settings << 1 | u64::from(taken), Ordering::Relaxed);
        taken
    }
}

/// Whether a name is visible ASCII without `*`.
fn plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    fn identity(names: Vec<SanType>) -> PeerIdentity {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(rcgen::DnType::CommonName, "billing.corp");
        params.subject_alt_names = names;
        let key = KeyPair::generate().expect("a key");
        PeerIdentity::of(params.self_signed(&key).expect("signs").der())
    }

    #[test]
    fn names_are_kept_as_spelled_and_odd_ones_left_out() {
        let text = |s: &str| s.try_into().expect("IA5");
        let found = identity(vec![
            SanType::URI(text("spiffe://corp/ns/Billing/sa/x,y")),
            SanType::URI(text("spiffe://corp/ns/billing\0/evil")),
            SanType::DnsName(text("Billing.Corp")),
            SanType::DnsName(text("billing.corp\0.evil.example")),
            SanType::DnsName(text("*.corp")),
            SanType::Rfc822Name(text("billing@corp")),
        ]);
        assert_eq!(found.uris(), ["spiffe://corp/ns/Billing/sa/x,y"]);
        assert_eq!(found.dns(), ["billing.corp"]);
        assert!(found.not_after() > 4_000_000_000);
    }

    #[test]
    fn the_common_name_is_no_name() {
        assert_eq!(identity(Vec::new()).dns(), [] as [&str; 0]);
    }

    #[test]
    fn what_is_no_certificate_has_no_names_and_has_ended() {
        let found = PeerIdentity::of(&CertificateDer::from(vec![1, 2, 3]));
        assert_eq!((found.uris().len(), found.dns().len(), found.not_after()), (0, 0, 0));
    }
}
