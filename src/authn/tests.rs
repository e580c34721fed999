use super::*;
use crate::config::Kind;
use crate::directory::TokenEntry;
use crate::ids::TeamId;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const NOW: u64 = 1_000;

fn team(name: &str, disabled: bool) -> TeamState {
    let id = TeamId::parse(name).expect("a name");
    TeamState { id, kind: Kind::Standard, accounts: Arc::new([]), disabled, policy: Arc::default(), key: None }
}

fn authn() -> Authn {
    let directory = Arc::new(Directory::default());
    let put = |name: &str, token: &str, disabled: bool, expires: Option<u64>| {
        let cell = directory.put_team(team(name, disabled));
        let mut key = [0; 32];
        key.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        directory.put_token(key, TokenEntry::new(TokenId::new(token), cell, expires));
    };
    put("billing", "good", false, None);
    put("billing", "old", false, Some(NOW));
    put("idle", "off", true, None);
    Authn::new(directory, None)
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
