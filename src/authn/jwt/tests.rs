//! The attack list, one by one, and what is taken.

use super::*;
use crate::authn::testing::{Signer, b64, set};
use jsonwebtoken::EncodingKey;
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;
use tempfile::TempDir;

const NOW: u64 = 1_800_000_000;

/// Providers whose set is a file in a folder.
struct Site {
    dir: TempDir,
    jwt: config::Jwt,
}

impl Site {
    fn new(keys: &[Value]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("jwks.json");
        std::fs::write(&path, set(keys)).expect("writable");
        let jwt = config::Jwt {
            issuer: "https://issuer.test".to_owned(),
            audience: "sidekey".to_owned(),
            jwks: config::Jwks::File(path),
            jwks_ca: None,
            jwks_token_file: None,
            algorithms: ["RS256", "PS256", "ES256", "ES384", "EdDSA"].map(str::to_owned).to_vec(),
            team_claim: Some("team".to_owned()),
            subjects: BTreeMap::new(),
            leeway: Duration::from_secs(30),
            max_age: Duration::from_hours(1),
        };
        Self { dir, jwt }
    }

    fn open(&self) -> Jwts {
        Jwts::open(std::slice::from_ref(&self.jwt), None).expect("opens")
    }

    fn verdict(&self, token: &str) -> Result<String, JwtRefusal> {
        self.open().verify(token, NOW).map(|found| found.team.to_string())
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://issuer.test", "aud": "sidekey", "sub": "sender", "team": "billing",
        "iat": NOW - 10, "nbf": NOW - 10, "exp": NOW + 600,
    })
}

/// The claims with members changed; null takes one away.
fn claims_with(edits: &Value) -> String {
    let mut all = claims();
    for (name, value) in edits.as_object().expect("an object") {
        all[name] = value.clone();
        if value.is_null() {
            all.as_object_mut().expect("an object").remove(name);
        }
    }
    all.to_string()
}

fn header(signer: &Signer) -> String {
    json!({"alg": format!("{:?}", signer.alg), "kid": signer.jwk["kid"], "typ": "JWT"}).to_string()
}

fn token(signer: &Signer) -> String {
    signer.sign(&header(signer), &claims().to_string())
}

#[test]
fn every_asymmetric_algorithm_is_taken() {
    let (p256, p384, ed) = (Signer::p256(), Signer::p384(), Signer::ed25519());
    let rsa = Signer::rsa();
    let pss = Signer { key: rsa.key.clone(), jwk: rsa.jwk.clone(), alg: Algorithm::PS256 };
    let site = Site::new(&[rsa.jwk.clone(), p256.jwk.clone(), p384.jwk.clone(), ed.jwk.clone()]);
    for signer in [rsa, &pss, &p256, &p384, &ed] {
        assert_eq!(site.verdict(&token(signer)).as_deref(), Ok("billing"), "{:?}", signer.alg);
    }
}

#[test]
fn a_token_as_kubernetes_makes_them_is_taken_as_it_is() {
    let signer = Signer::rsa();
    let mut site = Site::new(&[signer.jwk_with(&json!({"alg": "RS256", "use": "sig"}))]);
    site.jwt.issuer = "https://kubernetes.default.svc.cluster.local".to_owned();
    site.jwt.team_claim = None;
    let team = TeamId::parse("billing").expect("a name");
    site.jwt.subjects = BTreeMap::from([("system:serviceaccount:pay:sender".to_owned(), team)]);
    let claims = json!({
        "aud": ["sidekey"], "exp": NOW + 3607, "iat": NOW, "iss": "https://kubernetes.default.svc.cluster.local",
        "jti": "5cbf1b9e-7a1b-4b8e-9f5e-0d1a2b3c4d5e",
        "kubernetes.io": {
            "namespace": "pay", "node": {"name": "n1", "uid": "u"}, "pod": {"name": "sender-x", "uid": "u"},
            "serviceaccount": {"name": "sender", "uid": "u"}, "warnafter": NOW + 3600,
        },
        "nbf": NOW, "sub": "system:serviceaccount:pay:sender",
    });
    let token = signer.sign(r#"{"alg":"RS256","kid":"rsa"}"#, &claims.to_string());
    assert_eq!(site.verdict(&token).as_deref(), Ok("billing"));
    site.jwt.subjects.clear();
    assert_eq!(site.verdict(&token), Err(JwtRefusal::NoTeam));
    site.jwt.team_claim = Some("/kubernetes.io/namespace".to_owned());
    assert_eq!(site.verdict(&token).as_deref(), Ok("pay"));
}

#[test]
fn none_and_hmac_are_no_algorithms() {
    let signer = Signer::rsa();
    let site = Site::new(std::slice::from_ref(&signer.jwk));
    let claims = b64(claims().to_string());
    for alg in ["none", "None", "NONE", "nOnE", "HS256", "HS384", "HS512", "rs256", "RS256 ", "", "ES512", "ES256K"] {
        let head = b64(json!({"alg": alg, "kid": "rsa"}).to_string());
        for signature in ["", "AA", "c2ln"] {
            let refusal = site.verdict(&format!("{head}.{claims}.{signature}")).expect_err(alg);
            assert!(matches!(refusal, JwtRefusal::AlgorithmNotAllowed | JwtRefusal::Malformed), "{alg}: {refusal:?}");
        }
    }
    assert_eq!(site.verdict(&signer.sign(r#"{"kid":"rsa"}"#, "{}")), Err(JwtRefusal::AlgorithmNotAllowed));
    assert_eq!(site.verdict(&signer.sign(r#"{"alg":7,"kid":"rsa"}"#, "{}")), Err(JwtRefusal::AlgorithmNotAllowed));
}

#[test]
fn a_public_key_is_no_hmac_secret() {
    let signer = Signer::rsa();
    let site = Site::new(std::slice::from_ref(&signer.jwk));
    let jwk = signer.jwk.to_string();
    let modulus = URL_SAFE_NO_PAD.decode(signer.jwk["n"].as_str().expect("text")).expect("base64");
    for secret in [jwk.as_bytes(), &modulus, signer.jwk["n"].as_str().expect("text").as_bytes(), b""] {
        let forger = Signer { key: EncodingKey::from_secret(secret), jwk: signer.jwk.clone(), alg: Algorithm::HS256 };
        for alg in ["HS256", "RS256"] {
            let head = json!({"alg": alg, "kid": "rsa"}).to_string();
            assert!(site.verdict(&forger.sign(&head, &claims().to_string())).is_err());
        }
    }
}

#[test]
fn the_key_and_the_configuration_pin_the_algorithm() {
    let signer = Signer::rsa();
    let pss = Signer { key: signer.key.clone(), jwk: signer.jwk.clone(), alg: Algorithm::PS256 };
    let mut site = Site::new(&[signer.jwk_with(&json!({"alg": "RS256"}))]);
    assert_eq!(site.verdict(&token(&pss)), Err(JwtRefusal::UnknownKey), "the key says RS256");
    site = Site::new(std::slice::from_ref(&signer.jwk));
    site.jwt.algorithms = vec!["ES256".to_owned()];
    assert_eq!(site.verdict(&token(signer)), Err(JwtRefusal::AlgorithmNotAllowed));
    // A header that says one thing over a signature that is another.
    site.jwt.algorithms = vec!["RS256".to_owned(), "PS256".to_owned()];
    let head = r#"{"alg":"PS256","kid":"rsa"}"#;
    assert_eq!(site.verdict(&signer.sign(head, &claims().to_string())), Err(JwtRefusal::BadSignature));
}

#[test]
fn algorithms_that_are_none_fail_the_configuration() {
    let mut site = Site::new(&[Signer::p256().jwk]);
    for bad in [vec!["HS256"], vec!["none"], vec!["RS256", "HS512"], vec![], vec!["es256"]] {
        site.jwt.algorithms = bad.iter().map(|s| (*s).to_owned()).collect();
        assert!(Jwts::open(std::slice::from_ref(&site.jwt), None).is_err(), "{bad:?}");
    }
}

#[test]
fn headers_that_bring_a_key_or_change_the_rules_are_refused() {
    let signer = Signer::p256();
    let site = Site::new(std::slice::from_ref(&signer.jwk));
    for (name, value) in [
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example/chain")),
        ("jwk", signer.jwk.clone()),
        ("x5c", json!(["AAAA"])),
        ("crit", json!(["b64"])),
        ("crit", json!(["x"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("b64", json!(true)),
        ("cty", json!("JWT")),
        ("cty", json!("twilio-fpa;v=1")),
        ("zip", json!("DEF")),
        ("enc", json!("A256GCM")),
        ("typ", json!("secevent+jwt")),
        ("typ", json!(7)),
        ("typ", Value::Null),
    ] {
        let mut head = json!({"alg": "ES256", "kid": "p256"});
        head[name] = value;
        let verdict = site.verdict(&signer.sign(&head.to_string(), &claims().to_string()));
        assert_eq!(verdict, Err(JwtRefusal::HeaderNotAllowed), "{head}");
    }
    for typ in ["JWT", "jwt", "at+jwt"] {
        let head = json!({"alg": "ES256", "kid": "p256", "typ": typ}).to_string();
        assert!(site.verdict(&signer.sign(&head, &claims().to_string())).is_ok());
    }
}

#[test]
fn a_key_brought_along_is_not_used() {
    let (own, forged) = (Signer::p256(), Signer::p256());
    let site = Site::new(&[own.jwk]);
    let head = json!({"alg": "ES256", "kid": "p256"}).to_string();
    assert_eq!(site.verdict(&forged.sign(&head, &claims().to_string())), Err(JwtRefusal::BadSignature));
    let head = json!({"alg": "ES256", "jwk": forged.jwk}).to_string();
    assert_eq!(site.verdict(&forged.sign(&head, &claims().to_string())), Err(JwtRefusal::HeaderNotAllowed));
}

#[test]
fn key_ids_are_lookups_only() {
    let signer = Signer::p256();
    let site = Site::new(std::slice::from_ref(&signer.jwk));
    for kid in [
        json!("../../../dev/null"),
        json!("/etc/passwd"),
        json!("x' UNION SELECT 'k"),
        json!("$(id)"),
        json!(""),
        json!("p256\u{0}"),
        json!("p256 "),
        json!("x".repeat(65)),
        json!(7),
        json!(["p256"]),
        Value::Null,
    ] {
        let head = json!({"alg": "ES256", "kid": kid}).to_string();
        assert_eq!(site.verdict(&signer.sign(&head, &claims().to_string())), Err(JwtRefusal::BadKeyId), "{head}");
    }
    let head = json!({"alg": "ES256", "kid": "another"}).to_string();
    assert_eq!(site.verdict(&signer.sign(&head, &claims().to_string())), Err(JwtRefusal::UnknownKey));
    let head = json!({"alg": "ES256"}).to_string();
    assert!(site.verdict(&signer.sign(&head, &claims().to_string())).is_ok(), "one key, no id");
}

#[test]
fn claims_that_are_wrong_missing_or_of_another_type_are_refused() {
    use JwtRefusal::{BadClaim, Expired, NoTeam, NotYetValid, UnknownIssuer, WrongAudience};
    let signer = Signer::p256();
    let site = Site::new(std::slice::from_ref(&signer.jwk));
    for (edits, why) in [
        (json!({"iss": "https://issuer.test/"}), UnknownIssuer),
        (json!({"iss": "https://ISSUER.test"}), UnknownIssuer),
        (json!({"iss": null}), BadClaim),
        (json!({"iss": ["https://issuer.test"]}), BadClaim),
        (json!({"aud": "sidekey2"}), WrongAudience),
        (json!({"aud": "SIDEKEY"}), WrongAudience),
        (json!({"aud": []}), WrongAudience),
        (json!({"aud": ["a", "b"]}), WrongAudience),
        (json!({"aud": ["sidekey", 7]}), BadClaim),
        (json!({"aud": vec!["sidekey"; 17]}), BadClaim),
        (json!({"aud": null}), BadClaim),
        (json!({"aud": {"sidekey": true}}), BadClaim),
        (json!({"exp": NOW - 30}), Expired),
        (json!({"exp": 0}), Expired),
        (json!({"exp": null}), BadClaim),
        (json!({"exp": "9999999999"}), BadClaim),
        (json!({"exp": "x"}), BadClaim),
        (json!({"exp": -1}), BadClaim),
        (json!({"exp": 1e300}), BadClaim),
        (json!({"exp": true}), BadClaim),
        (json!({"exp": [NOW + 600]}), BadClaim),
        (json!({"nbf": NOW + 31}), NotYetValid),
        (json!({"nbf": "99999999999"}), BadClaim),
        (json!({"nbf": {}}), BadClaim),
        (json!({"iat": NOW + 31}), NotYetValid),
        (json!({"iat": "now"}), BadClaim),
        (json!({"sub": 7}), BadClaim),
        (json!({"team": null}), NoTeam),
        (json!({"team": 7}), NoTeam),
        (json!({"team": ["billing"]}), NoTeam),
        (json!({"team": "../billing"}), NoTeam),
        (json!({"team": "billing\n"}), NoTeam),
        (json!({"team": ""}), NoTeam),
    ] {
        let verdict = site.verdict(&signer.sign(&header(&signer), &claims_with(&edits)));
        assert_eq!(verdict, Err(why), "{edits}");
    }
    for edits in [
        json!({"aud": ["other", "sidekey"]}),
        json!({"exp": NOW - 29}),
        json!({"exp": NOW + 1}),
        json!({"nbf": NOW + 30}),
        json!({"iat": null, "nbf": null}),
        json!({"sub": null}),
    ] {
        let verdict = site.verdict(&signer.sign(&header(&signer), &claims_with(&edits)));
        assert_eq!(verdict.as_deref(), Ok("billing"), "{edits}");
    }
    let fraction = claims().to_string().replace(&(NOW + 600).to_string(), &format!("{NOW}.75"));
    assert!(site.verdict(&signer.sign(&header(&signer), &fraction)).is_ok());
}

#[test]
fn leeway_is_bounded_whatever_the_configuration_says() {
    let signer = Signer::p256();
    let mut site = Site::new(std::slice::from_ref(&signer.jwk));
    site.jwt.leeway = Duration::from_hours(24);
    let token = signer.sign(&header(&signer), &claims_with(&json!({"exp": NOW - MAX_LEEWAY})));
    assert_eq!(site.verdict(&token), Err(JwtRefusal::Expired));
}

#[test]
fn members_that_appear_twice_are_refused() {
    let signer = Signer::p256();
    let site = Site::new(std::slice::from_ref(&signer.jwk));
    let claims = claims().to_string();
    for head in [
        r#"{"alg":"ES256","kid":"p256","alg":"ES256"}"#,
        r#"{"alg":"none","alg":"ES256","kid":"p256"}"#,
        r#"{"alg":"ES256","kid":"p256","\u0061lg":"none"}"#,
    ] {
        assert_eq!(site.verdict(&signer.sign(head, &claims)), Err(JwtRefusal::DuplicateMember), "{head}");
    }
    for twice in [r#""team":"master","#, r#""exp":9999999999,"#, r#""x":{"a":1,"a":2},"#, r#""t\u0065am":"x","#] {
        let claims = claims.replacen('{', &format!("{{{twice}"), 1);
        assert_eq!(site.verdict(&signer.sign(&header(&signer), &claims)), Err(JwtRefusal::DuplicateMember), "{twice}");
    }
}

#[test]
fn odd_spellings_are_refused() {
    let signer = Signer::p256();
    let site = Site::new(std::slice::from_ref(&signer.jwk));
    let good = token(&signer);
    let parts: Vec<_> = good.split('.').collect();
    let (h, c, s) = (parts[0], parts[1], parts[2]);
    for bad in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        format!("{h}.{c}"),
        format!("{h}.{c}."),
        format!("{h}.{c}.{s}.x"),
        format!("{h}.{c}.{s}="),
        format!("{h}=.{c}.{s}"),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{h}.{c}.{s} "),
        good.replacen('.', "..", 1),
        format!("{h}.{c}.{}", "A".repeat(86)),
        format!("{h}.{c}.{}", b64([0; 64])),
        format!("{h}.{c}.{}", s.replace(['-', '_'], "+")) + "+",
        format!("{}.{c}.{s}", b64("[]")),
        format!("{h}.{}.{s}", b64("\"text\"")),
        json!({"payload": c, "protected": h, "signature": s}).to_string(),
    ] {
        assert!(site.verdict(&bad).is_err(), "{bad}");
    }
    let large = signer.sign(&header(&signer), &claims_with(&json!({"pad": "x".repeat(MAX_TOKEN)})));
    assert_eq!(site.verdict(&large), Err(JwtRefusal::TooLarge));
}

#[test]
fn several_providers_are_kept_apart() {
    let (one, two) = (Signer::p256(), Signer::p256());
    let (first, mut second) = (Site::new(std::slice::from_ref(&one.jwk)), Site::new(std::slice::from_ref(&two.jwk)));
    let jwts = |second: &Site| Jwts::open(&[first.jwt.clone(), second.jwt.clone()], None).expect("opens");
    second.jwt.issuer = "https://second.test".to_owned();
    let theirs = two.sign(&header(&two), &claims_with(&json!({"iss": "https://second.test"})));
    assert!(jwts(&second).verify(&theirs, NOW).is_ok());
    assert_eq!(jwts(&second).verify(&token(&two), NOW), Err(JwtRefusal::BadSignature), "another issuer's key");
    // One issuer twice, as while an issuer moves: either set will do, each with its own audience.
    second.jwt.issuer.clone_from(&first.jwt.issuer);
    assert!(jwts(&second).verify(&token(&two), NOW).is_ok());
    second.jwt.audience = "other".to_owned();
    assert_eq!(jwts(&second).verify(&token(&two), NOW), Err(JwtRefusal::BadSignature));
}

#[test]
fn a_verified_token_is_remembered_until_it_ends_or_its_keys_change() {
    let signer = Signer::p256();
    let site = Site::new(std::slice::from_ref(&signer.jwk));
    let jwts = site.open();
    let token = token(&signer);
    let first = jwts.verify(&token, NOW).expect("good");
    assert_eq!((jwts.remembered.len(), first.expires), (1, NOW + 630));
    assert!(first.id.as_str().starts_with("jwt:") && !token.contains(&first.id.as_str()[4..]));
    assert_eq!(jwts.verify(&token, NOW + 629), Ok(first));
    assert_eq!(jwts.verify(&token, NOW + 630), Err(JwtRefusal::Expired));
    assert_eq!(jwts.verify(&token, NOW - 1000), Err(JwtRefusal::NotYetValid), "a clock set back");
    // The key is withdrawn: what was remembered under it is worth nothing.
    std::fs::write(site.dir.path().join("jwks.json"), set(&[Signer::p256().jwk])).expect("writable");
    assert_eq!(jwts.providers[0].keys.poll(), tls::watch::Reload::Replaced);
    assert_eq!(jwts.verify(&token, NOW), Err(JwtRefusal::BadSignature));
}

#[test]
fn what_is_remembered_is_bounded() {
    let signer = Signer::p256();
    let jwts = Site::new(std::slice::from_ref(&signer.jwk)).open();
    let identity = jwts.verify(&token(&signer), NOW).expect("good");
    let set = jwts.providers[0].keys.current(NOW).expect("a set");
    for n in 0..40_000_u32 {
        jwts.remembered.keep(sha256(&n.to_be_bytes()), Verified::new(identity.clone(), 0, &set, NOW));
    }
    assert!(jwts.remembered.len() <= 16 * 1024);
}

#[test]
fn a_token_waits_for_nothing_when_no_refresh_is_coming() {
    let signer = Signer::p256();
    let jwts = Site::new(std::slice::from_ref(&signer.jwk)).open();
    let head = json!({"alg": "ES256", "kid": "new"}).to_string();
    let token = signer.sign(&head, &claims().to_string());
    assert!(jwts.coming(&token, JwtRefusal::UnknownKey, NOW).is_none(), "a file is read again by itself");
    assert!(jwts.coming("x", JwtRefusal::UnknownKey, NOW).is_none());
}

#[tokio::test]
async fn a_key_set_behind_a_url_refuses_until_it_is_there() {
    let signer = Signer::p256();
    let mut site = Site::new(std::slice::from_ref(&signer.jwk));
    site.jwt.jwks = config::Jwks::Url("https://keys.test".to_owned());
    let jwts = site.open();
    assert!(!jwts.loaded() && jwts.without_keys(NOW).len() == 1);
    assert_eq!(jwts.verify(&token(&signer), NOW), Err(JwtRefusal::NoKeySet));
    assert!(jwts.coming(&token(&signer), JwtRefusal::NoKeySet, NOW).is_some());
    assert!(jwts.coming(&token(&signer), JwtRefusal::Expired, NOW).is_none());
}

#[test]
fn a_reload_takes_key_sets_over_and_forgets_verdicts() {
    let signer = Signer::p256();
    let mut site = Site::new(std::slice::from_ref(&signer.jwk));
    let before = site.open();
    before.verify(&token(&signer), NOW).expect("good");
    site.jwt.team_claim = Some("sub".to_owned());
    let after = Jwts::open(std::slice::from_ref(&site.jwt), Some(&before)).expect("opens");
    assert!(Arc::ptr_eq(&before.providers[0].keys, &after.providers[0].keys));
    assert_eq!(after.verify(&token(&signer), NOW).expect("good").team.as_str(), "sender");
    site.jwt.max_age = Duration::from_mins(5);
    let after = Jwts::open(std::slice::from_ref(&site.jwt), Some(&before)).expect("opens");
    assert!(!Arc::ptr_eq(&before.providers[0].keys, &after.providers[0].keys));
}

proptest! {
    /// Whatever one byte of a good token becomes, it is refused, and nothing panics.
    #[test]
    fn one_changed_byte_is_refused(at in 0..400_usize, to in "[ -~]") {
        let signer = Signer::rsa();
        let site = Site::new(std::slice::from_ref(&signer.jwk));
        let good = token(signer);
        let at = at % good.len();
        let bad = format!("{}{to}{}", &good[..at], &good[at + 1..]);
        prop_assume!(bad != good);
        prop_assert!(site.verdict(&bad).is_err());
    }

    /// Header and claims of any shape, well signed: refused or taken, never a panic; taken only with all that is asked.
    #[test]
    fn any_claims_are_judged(exp in prop::num::f64::ANY, aud in "[a-z]{0,8}|sidekey", text in "\\PC{0,20}") {
        let signer = Signer::ed25519();
        let site = Site::new(std::slice::from_ref(&signer.jwk));
        let token = signer.sign(&header(&signer), &claims_with(&json!({"exp": exp, "aud": aud, "sub": text})));
        let taken = site.verdict(&token).is_ok();
        prop_assert_eq!(taken, aud == "sidekey" && exp > 1_799_999_970.99 && exp <= 253_402_300_799.0);
    }
}
