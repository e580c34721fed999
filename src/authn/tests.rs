use super::*;
use crate::config::Kind;
use crate::directory::{Accounts, TokenEntry};
use crate::ids::TeamId;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const NOW: u64 = 1_000;

fn team(name: &str, disabled: bool) -> TeamState {
    let id = TeamId::parse(name).expect("a name");
    TeamState {
        id,
        kind: Kind::Standard,
        accounts: Accounts::new(),
        disabled,
        policy: Arc::default(),
        grants: None,
        key: None,
    }
}

fn authn() -> Authn {
    let directory = Arc::new(Directory::default());
    let put = |name: &str, token: &str, disabled: bool, expires: Option<u64>| {
        let cell = directory.put_team(team(name, disabled));
        let mut key = [0; 32];
        key.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        directory.put_token(key, TokenEntry::new(&TokenId::new(token), cell, expires));
    };
    put("billing", "good", false, None);
    put("billing", "old", false, Some(NOW));
    put("idle", "off", true, None);
    Authn::new(directory, None, Arc::default())
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn outcome(headers: &[(&str, &str)], proxied: bool) -> Result<String, Reason> {
    let fields: Vec<Field<'_>> = headers.iter().map(|(name, value)| Field { name, value: value.as_bytes() }).collect();
    let presented = Presented { fields: &fields, proxied, connection: None };
    authn().authenticate(&presented, NOW).map(|c| c.team().id.to_string()).map_err(|r| r.reason)
}

#[test]
fn the_user_name_is_never_trusted() {
    for user in ["AC1", "", "billing", "x y"] {
        assert_eq!(outcome(&[("Authorization", &basic(user, "good"))], false), Ok("billing".to_owned()));
    }
    assert_eq!(outcome(&[("authorization", "bearer good")], false), Ok("billing".to_owned()));
}

#[test]
fn one_answer_for_every_bad_proof() {
    for value in [
        basic("AC1", "bad"),
        basic("AC1", "old"),
        basic("AC1", "off"),
        basic("AC1", ""),
        basic("AC1", "good "),
        format!("Basic {}", STANDARD.encode("good")),
        "Basic !!!".to_owned(),
        "Digest good".to_owned(),
        "good".to_owned(),
        "Bearer".to_owned(),
        format!("Bearer {}", "x".repeat(600)),
        basic(&"x".repeat(20_000), "good"),
    ] {
        assert_eq!(outcome(&[("Authorization", &value)], false), Err(Reason::InvalidProof), "{value}");
    }
    assert_eq!(outcome(&[], false), Err(Reason::Unauthenticated));
    assert_eq!(outcome(&[("Authorization", "")], false), Err(Reason::Unauthenticated));
}

#[test]
fn two_proofs_are_malformed_only_if_one_is_good() {
    let good = basic("a", "good");
    assert_eq!(outcome(&[("Authorization", &good), ("Authorization", &good)], false), Err(Reason::MalformedRequest));
    assert_eq!(
        outcome(&[("Authorization", "Basic eA=="), ("Authorization", "Bearer x")], false),
        Err(Reason::InvalidProof)
    );
}

#[test]
fn the_proxys_proof_decides_where_there_is_one() {
    let good = basic("a", "good");
    assert_eq!(
        outcome(&[("Proxy-Authorization", &good), ("Authorization", "Basic eDp5")], true),
        Ok("billing".to_owned())
    );
    assert_eq!(outcome(&[("Authorization", &good)], true), Ok("billing".to_owned()));
    assert_eq!(
        outcome(&[("Proxy-Authorization", "Basic eDp5"), ("Authorization", &good)], true),
        Err(Reason::InvalidProof)
    );
    // In origin form Proxy-Authorization is not a proof.
    assert_eq!(outcome(&[("Proxy-Authorization", &good)], false), Err(Reason::Unauthenticated));
}

/// Whose caller a connection is, with a header or without; `rules` are certificates and uids of teams.
fn by_connection(proof: &ConnectionProof, rules: &str, header: Option<&str>) -> Result<(String, ProofKind), Reason> {
    let text = format!(
        "[upstream]\naccount_sid='AC00000000000000000000000000000001'\n[store]\nurl='sqlite:x'\nroot_key='env:KEY'\n\
         [upstream.master]\nusername='AC00000000000000000000000000000001'\npassword='env:KEY'\n\
         [listen]\nunix='s'\n{rules}"
    );
    let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let mut config = crate::config::parse(&text, std::path::Path::new("/x/sidekey.toml"), &|_: &str| Some(key.into()))
        .expect("a good config");
    if rules.contains("spiffe") {
        let team = TeamId::parse("billing").expect("a name");
        config.certificates = vec![crate::config::Certificate { san: "spiffe://corp/billing".to_owned(), team }];
    }
    let mut authn = authn();
    authn.rules = Arc::new(ConnectionRules::new(&config).expect("good rules"));
    authn.directory.put_team(team("other", false));
    let fields: Vec<_> = header.iter().map(|value| Field { name: "Authorization", value: value.as_bytes() }).collect();
    let presented = Presented { fields: &fields, proxied: false, connection: Some(proof) };
    authn.authenticate(&presented, NOW).map(|c| (c.team().id.to_string(), c.proof())).map_err(|r| r.reason)
}

fn certificate(uri: &str) -> ConnectionProof {
    let ca = crate::tls::testing::Authority::new("callers");
    let peer = crate::tls::identity::PeerCertificate::new(&[ca.caller(uri).der], 1).expect("a certificate");
    ConnectionProof::Certificate(Arc::new(peer))
}

const PEER: &str = "[[peer]]\nuid=7\nteam='billing'\n[[peer]]\nuid=8\nteam='idle'\n[[peer]]\nuid=9\nteam='gone'\n";

#[test]
fn a_peer_is_known_by_its_uid() {
    let known = |uid, header| by_connection(&ConnectionProof::Peer(uid), PEER, header);
    assert_eq!(known(7, None), Ok(("billing".to_owned(), ProofKind::Peer)));
    assert_eq!(known(8, None), Err(Reason::InvalidProof), "a disabled team");
    assert_eq!(known(9, None), Err(Reason::InvalidProof), "no such team");
    assert_eq!(known(10, None), Err(Reason::Unauthenticated), "of an unlisted uid nothing is said");
    assert_eq!(known(10, Some("Bearer good")), Ok(("billing".to_owned(), ProofKind::Token)));
}

#[test]
fn a_certificate_is_known_by_its_name() {
    let (own, stranger) = ("spiffe://corp/billing", "spiffe://corp/stranger");
    assert_eq!(by_connection(&certificate(own), "# spiffe", None), Ok(("billing".to_owned(), ProofKind::Certificate)));
    assert_eq!(by_connection(&certificate(stranger), "# spiffe", None), Err(Reason::InvalidProof));
    assert_eq!(by_connection(&certificate(stranger), "# spiffe", Some("Bearer good")), Err(Reason::InvalidProof));
    // Without rules a certificate opens the connection and proves nothing.
    assert_eq!(by_connection(&certificate(own), "", None), Err(Reason::InvalidProof));
    assert_eq!(by_connection(&certificate(own), "", Some("Bearer good")), Ok(("billing".to_owned(), ProofKind::Token)));
}

#[test]
fn a_header_beside_a_connections_proof_must_not_contradict_it() {
    let both = |header: &str| by_connection(&ConnectionProof::Peer(7), PEER, Some(header));
    assert_eq!(both(&basic("AC1", "what-an-sdk-sends")), Ok(("billing".to_owned(), ProofKind::Peer)));
    assert_eq!(both("Bearer good"), Ok(("billing".to_owned(), ProofKind::Token)));
    assert_eq!(both("Bearer old"), Err(Reason::InvalidProof), "an expired token of ours");
    assert_eq!(both(&format!("Bearer {}", Token::generate().show())), Err(Reason::InvalidProof), "a revoked one");
    let other = "[[peer]]\nuid=7\nteam='other'\n";
    let both = by_connection(&ConnectionProof::Peer(7), other, Some("Bearer good"));
    assert_eq!(both, Err(Reason::MalformedRequest), "two teams");
}

#[test]
fn what_a_connection_proves_must_hold_below_a_tunnel_too() {
    let tunnel = |header: &str, below, rules: &str| {
        let value = Arc::new(crate::secret::Secret::from(header.to_owned()));
        by_connection(&ConnectionProof::Header(value, Some(Box::new(below))), rules, None)
    };
    let (own, stranger) = (|| certificate("spiffe://corp/billing"), certificate("spiffe://corp/stranger"));
    assert_eq!(tunnel("Bearer good", own(), "# spiffe"), Ok(("billing".to_owned(), ProofKind::Token)));
    assert_eq!(tunnel("Bearer good", stranger, "# spiffe"), Err(Reason::InvalidProof), "no rule names it any more");
    assert_eq!(tunnel("Bearer good", ConnectionProof::Peer(10), PEER), Ok(("billing".to_owned(), ProofKind::Token)));
    let other = "[[peer]]\nuid=7\nteam='other'\n";
    assert_eq!(tunnel("Bearer good", ConnectionProof::Peer(7), other), Err(Reason::MalformedRequest), "two teams");
    // What lies below is no proof in the place of one that is gone.
    assert_eq!(tunnel("Bearer gone", own(), "# spiffe"), Err(Reason::InvalidProof));
}

#[test]
fn the_proof_of_a_tunnel_is_judged_anew_at_each_request() {
    let directory = authn().directory;
    let authn = Authn::new(Arc::clone(&directory), None, Arc::default());
    let proof = ConnectionProof::Header(Arc::new(crate::secret::Secret::from(basic("a", "good"))), None);
    let inside = [Field { name: "Authorization", value: b"Basic eDp5" }];
    let ask = || {
        let presented = Presented { fields: &inside, proxied: false, connection: Some(&proof) };
        authn.authenticate(&presented, NOW).map(|c| c.proof()).map_err(|r| r.reason)
    };
    assert_eq!(ask(), Ok(ProofKind::Token));
    let mut key = [0; 32];
    key.copy_from_slice(digest(&SHA256, b"good").as_ref());
    directory.remove_token(&key);
    assert_eq!(ask(), Err(Reason::InvalidProof), "revoked while the tunnel was open");
}
