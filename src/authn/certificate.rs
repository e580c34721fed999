//! Client certificates as proofs: a subject alternative name that `[[certificate]]` gives to a team.
//!
//! A rule is a URI or a DNS name, compared exactly (DNS names without regard to case), or one with a trailing `*`. The
//! `*` stands for at least one character, and never for a dot segment, an empty segment, or a byte that a reader might
//! decode (`%`, `?`, `#`, `@`, `\`): `spiffe://corp/ns/billing/*` takes `spiffe://corp/ns/billing/sa/sender` and neither
//! `spiffe://corp/ns/billing/` nor `spiffe://corp/ns/billing/../master/x`. Names that belong to two teams prove neither.

use crate::config;
use crate::ids::{TeamId, TokenId};
use crate::tls::identity::PeerIdentity;

/// Whose caller a certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateIdentity {
    /// The team.
    pub team: TeamId,
    /// For the audit: `cert:` and the first 16 bytes of the certificate's SHA-256.
    pub id: TokenId,
}

/// Why a certificate proves nothing; for the audit, never for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateRefusal {
    /// It has ended since the connection began.
    Expired,
    /// It was revoked, or its root withdrawn, since the connection began.
    NotTaken,
    /// No rule names it.
    NoTeam,
    /// Rules give its names to more than one team.
    SeveralTeams,
}

impl CertificateRefusal {
    /// The word in the audit.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Expired => "certificate_expired",
            Self::NotTaken => "certificate_not_taken_any_more",
            Self::NoTeam => "certificate_without_team",
            Self::SeveralTeams => "certificate_of_several_teams",
        }
    }
}

/// The rules of `[[certificate]]`.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    /// Without the `*`.
    name: String,
    prefix: bool,
    uri: bool,
    team: TeamId,
}

impl Certificates {
    /// Makes the rules; the error says which one is wrong, and the mend.
    pub fn new(rules: &[config::Certificate]) -> Result<Self, String> {
        rules.iter().map(Rule::new).collect::<Result<_, _>>().map(|rules| Self { rules })
    }

    /// Whether there is no rule at all.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The team of a certificate that TLS has verified. `now` is in seconds since the Unix epoch.
    pub fn verify(&self, peer: &PeerIdentity, now: u64) -> Result<CertificateIdentity, CertificateRefusal> {
        if peer.not_after() <= now {
            return Err(CertificateRefusal::Expired);
        }
        let mut teams = self.rules.iter().filter(|rule| rule.names(peer)).map(|rule| &rule.team);
        let team = teams.next().ok_or(CertificateRefusal::NoTeam)?;
        if teams.any(|other| other != team) {
            return Err(CertificateRefusal::SeveralTeams);
        }
        let id = TokenId::new(&format!("cert:{}", hex::encode(&peer.fingerprint()[..16])));
        Ok(CertificateIdentity { team: team.clone(), id })
    }
}

impl Rule {
    fn new(rule: &config::Certificate) -> Result<Self, String> {
        let fault = |why: &str| Err(format!("[[certificate]] san = {:?}: {why}", rule.san));
        let (name, prefix) = match rule.san.strip_suffix('*') {
            Some(name) => (name, true),
            None => (rule.san.as_str(), false),
        };
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic() && b != b'*') {
            return fault("write a URI or a DNS name in ASCII, with one * at its end at most");
        }
        let uri = name.contains(':');
        let loose = match name.split_once("://") {
            Some((_, rest)) => !rest.contains('/'),
            None => !uri,
        };
        if prefix && loose {
            return fault("a * inside or behind a host name would take other domains in; put it after a URI's slash");
        }
        let name = if uri { name.to_owned() } else { name.to_ascii_lowercase() };
        Ok(Self { name, prefix, uri, team: rule.team.clone() })
    }

    fn names(&self, peer: &PeerIdentity) -> bool {
        let names = if self.uri { peer.uris() } else { peer.dns() };
        names.iter().any(|name| self.takes(name))
    }

    fn takes(&self, name: &str) -> bool {
        if !self.prefix {
            return name == self.name;
        }
        name.strip_prefix(self.name.as_str()).is_some_and(|rest| {
            let segment = |s: &str| !matches!(s, "" | "." | "..");
            // Whole segments, the one that the rule cuts through included.
            let cut = self.name.rfind('/').map_or(0, |at| at + 1);
            !rest.is_empty()
                && !rest.contains(['%', '?', '#', '@', '\\'])
                && (!self.uri || name[cut..].split('/').all(segment))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    fn rules(rules: &[(&str, &str)]) -> Certificates {
        let rule = |(san, team): &(&str, &str)| config::Certificate {
            san: (*san).to_owned(),
            team: TeamId::parse(team).expect("a name"),
        };
        Certificates::new(&rules.iter().map(rule).collect::<Vec<_>>()).expect("good rules")
    }

    fn peer(names: &[&str]) -> PeerIdentity {
        let mut params = CertificateParams::default();
        let san = |name: &&str| {
            let text = (*name).try_into().expect("IA5");
            if name.contains(':') { SanType::URI(text) } else { SanType::DnsName(text) }
        };
        params.subject_alt_names = names.iter().map(san).collect();
        let key = KeyPair::generate().expect("a key");
        PeerIdentity::of(params.self_signed(&key).expect("signs").der())
    }

    fn team(certificates: &Certificates, names: &[&str]) -> Result<String, CertificateRefusal> {
        certificates.verify(&peer(names), 1_800_000_000).map(|found| found.team.to_string())
    }

    #[test]
    fn names_match_exactly_or_by_a_trailing_star() {
        let rules = rules(&[
            ("spiffe://corp/ns/billing/*", "billing"),
            ("spiffe://corp/ns/ops/sa/root", "ops"),
            ("Sender.Corp.example", "sender"),
            ("urn:corp:web:*", "web"),
        ]);
        for (name, owner) in [
            ("spiffe://corp/ns/billing/sa/x", "billing"),
            ("spiffe://corp/ns/billing/sa/x,y", "billing"),
            ("spiffe://corp/ns/ops/sa/root", "ops"),
            ("sender.corp.EXAMPLE", "sender"),
            ("urn:corp:web:1", "web"),
        ] {
            assert_eq!(team(&rules, &[name]).as_deref(), Ok(owner), "{name}");
        }
        for name in [
            "spiffe://corp/ns/billing/",
            "spiffe://corp/ns/billing",
            "spiffe://corp/ns/billing/../ops/sa/root",
            "spiffe://corp/ns/billing/./x",
            "spiffe://corp/ns/billing//x",
            "spiffe://corp/ns/billing/x/",
            "spiffe://corp/ns/billing/%2e%2e/x",
            "spiffe://corp/ns/billing/x?y",
            "spiffe://corp/ns/billing/x#y",
            "spiffe://corp/ns/billing/x@y",
            "spiffe://corp/ns/Billing/sa/x",
            "SPIFFE://corp/ns/ops/sa/root",
            "spiffe://corp/ns/ops/sa/root/",
            "spiffe://corp/ns/ops/sa/roo",
            "spiffe://corp/ns/ops/sa/root\0",
            "spiffe://corp/ns/ops/sa/root\n",
            "spiffe://evil/spiffe://corp/ns/ops/sa/root",
            "sender.corp.example.",
            "a.sender.corp.example",
            "sender.corp.example\0.evil.example",
            "evil@sender.corp.example",
            "urn:corp:web:",
            "urn:corp:web",
        ] {
            assert_eq!(team(&rules, &[name]), Err(CertificateRefusal::NoTeam), "{name:?}");
        }
    }

    #[test]
    fn a_uri_rule_takes_no_dns_name_and_the_other_way_round() {
        let found = rules(&[("a:b", "one"), ("b", "two")]);
        assert_eq!(team(&found, &["a:b"]).as_deref(), Ok("one"));
        assert_eq!(team(&found, &["b"]).as_deref(), Ok("two"));
        assert_eq!(team(&found, &["b:"]), Err(CertificateRefusal::NoTeam));
    }

    #[test]
    fn two_teams_prove_neither_and_one_twice_is_one() {
        let rules = rules(&[("a.corp", "one"), ("b.corp", "two"), ("c.corp", "one")]);
        assert_eq!(team(&rules, &["a.corp", "b.corp"]), Err(CertificateRefusal::SeveralTeams));
        assert_eq!(team(&rules, &["a.corp", "c.corp", "stranger"]).as_deref(), Ok("one"));
    }

    #[test]
    fn a_certificate_that_ended_since_proves_nothing() {
        let (rules, peer) = (rules(&[("a.corp", "one")]), peer(&["a.corp"]));
        assert!(rules.verify(&peer, peer.not_after() - 1).is_ok());
        assert_eq!(rules.verify(&peer, peer.not_after()), Err(CertificateRefusal::Expired));
    }

    #[test]
    fn the_id_names_the_certificate() {
        let (rules, peer) = (rules(&[("a.corp", "one")]), peer(&["a.corp"]));
        let id = rules.verify(&peer, 0).expect("a team").id;
        assert_eq!(id.as_str(), format!("cert:{}", hex::encode(&peer.fingerprint()[..16])));
    }

    #[test]
    fn rules_that_take_too_much_are_faults() {
        for san in ["", "*", "a*b", "a**", "spiffe://corp*", "a*", "spiffe://corp.*", "a b", "é.corp", "a\0"] {
            let rule = config::Certificate { san: san.to_owned(), team: TeamId::parse("t").expect("a name") };
            let fault = Certificates::new(&[rule]).expect_err(san);
            assert!(fault.contains("[[certificate]]"), "{fault}");
        }
    }
}
