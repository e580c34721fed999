//! JWTs as proofs, with keys from a key server that the test plays.

use super::wire::{ask, dial, secure};
use super::world::World;
use crate::support::upstream::As;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A key and what its set says of it.
struct Signer {
    key: EncodingKey,
    jwk: Value,
}

impl Signer {
    fn new(kid: &str) -> Self {
        let curve = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let der = EcdsaKeyPair::generate_pkcs8(curve, &aws_lc_rs::rand::SystemRandom::new()).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(curve, der.as_ref()).expect("a key");
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let jwk = json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": x, "y": y});
        Self { key: EncodingKey::from_ec_der(der.as_ref()), jwk }
    }

    fn token(&self, team: &str) -> String {
        let now = sidekey::clock::Clock::system().unix_seconds();
        let claims =
            json!({"iss": "https://issuer.test", "aud": "sidekey", "sub": "s", "team": team, "exp": now + 600});
        let header = json!({"alg": "ES256", "kid": self.jwk["kid"]});
        let signed = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &self.key, Algorithm::ES256).expect("signs");
        format!("{signed}.{signature}")
    }
}

/// A key server: what it answers can change, and it counts who asks.
struct KeyServer {
    url: String,
    answer: Arc<Mutex<Option<String>>>,
    asked: Arc<AtomicUsize>,
}

impl KeyServer {
    fn start(keys: &[&Signer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/jwks", listener.local_addr().expect("bound"));
        let (answer, asked) = (Arc::new(Mutex::new(None)), Arc::new(AtomicUsize::new(0)));
        let (current, count) = (Arc::clone(&answer), Arc::clone(&asked));
        std::thread::spawn(move || {
            for caller in listener.incoming() {
                let mut caller = caller.expect("a caller");
                count.fetch_add(1, Ordering::SeqCst);
                let _ = caller.read(&mut [0; 2048]);
                let body: Option<String> = current.lock().expect("unpoisoned").clone();
                if let Some(body) = body {
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                    let _ = caller.write_all(format!("{head}{body}").as_bytes());
                }
            }
        });
        let server = Self { url, answer, asked };
        server.publish(keys);
        server
    }

    fn publish(&self, keys: &[&Signer]) {
        let keys: Vec<_> = keys.iter().map(|signer| &signer.jwk).collect();
        self.say(Some(json!({ "keys": keys }).to_string()));
    }

    /// `None`: it hangs up on everybody.
    fn say(&self, body: Option<String>) {
        *self.answer.lock().expect("unpoisoned") = body;
    }

    fn config(&self) -> String {
        format!(
            "[[jwt]]\nissuer = \"https://issuer.test\"\naudience = \"sidekey\"\njwks_url = \"{}\"\n\
             algorithms = [\"ES256\"]\nteam_claim = \"team\"\n",
            self.url
        )
    }
}

/// Who a proof is, at the plain listener: status and body.
fn whoami(world: &World, proof: &str) -> (u16, Value) {
    let answer = ask(&mut dial(world.proxy), "GET /.sidekey/whoami", &[("Host", "x"), ("Authorization", proof)], "");
    (answer.status, answer.json())
}

#[test]
fn a_jwt_goes_where_a_token_goes() {
    let signer = Signer::new("one");
    let world = World::start(&KeyServer::start(&[&signer]).config());
    let jwt = signer.token("billing");
    let basic = As("AC1".to_owned(), jwt.clone()).basic();
    for proof in [&format!("Bearer {jwt}"), &basic] {
        let (status, who) = whoami(&world, proof);
        assert_eq!((status, &who["team"], &who["proof"]), (200, &json!("billing"), &json!("jwt")));
    }
    let headers = [("Host", "api.twilio.com:443"), ("Proxy-Authorization", basic.as_str())];
    let mut stream = dial(world.proxy);
    assert_eq!(ask(&mut stream, "CONNECT api.twilio.com:443", &headers, "").status, 200);
    let mut tunnel = secure(stream, &world.trusting(), "api.twilio.com").expect("a leaf");
    let line = format!("GET {}", world.upstream.path("/Messages.json"));
    assert_eq!(ask(&mut tunnel, &line, &[("Host", "api.twilio.com")], "").status, 200);
    let audit = std::fs::read_to_string(world.folder.path().join("audit.jsonl")).expect("an audit");
    assert!(audit.contains("\"token_id\":\"jwt:"));
    let signature = jwt.rsplit('.').next().expect("three parts");
    assert!(!audit.contains(signature) && !audit.contains(&basic), "a proof in the audit");
}

#[test]
fn the_caller_learns_nothing_of_why_and_the_audit_does() {
    let (signer, stranger) = (Signer::new("one"), Signer::new("one"));
    let world = World::start(&KeyServer::start(&[&signer]).config());
    assert_eq!(whoami(&world, &format!("Bearer {}", signer.token("billing"))).0, 200);
    for (token, why) in [
        (stranger.token("billing"), "jwt_bad_signature"),
        (signer.token("nobody"), "unknown team"),
        (signer.token("../x"), "jwt_without_team"),
        ("a.b.c".to_owned(), "jwt_malformed"),
        (format!("{}x", signer.token("billing")), "jwt_"),
    ] {
        let (status, body) = whoami(&world, &format!("Bearer {token}"));
        assert_eq!((status, &body["code"], &body["message"]), (401, &json!(20003), &json!("Authenticate")), "{why}");
        assert!(world.audited(&["invalid_proof", why]) >= 1, "{why}");
    }
}

#[test]
fn a_token_of_a_new_key_waits_for_the_one_refresh_that_it_asks_for() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let keys = KeyServer::start(&[&old]);
    let world = World::start(&keys.config());
    assert_eq!(whoami(&world, &format!("Bearer {}", old.token("billing"))).0, 200, "the first fetch is waited for too");
    keys.publish(&[&old, &new]);
    assert_eq!(whoami(&world, &format!("Bearer {}", new.token("billing"))).0, 200);
    let asked = keys.asked.load(Ordering::SeqCst);
    for n in 0..20 {
        let made_up = Signer::new(&format!("made-up-{n}"));
        assert_eq!(whoami(&world, &format!("Bearer {}", made_up.token("billing"))).0, 401);
    }
    let more = keys.asked.load(Ordering::SeqCst) - asked;
    assert!(more <= 4, "made-up key ids cost the key server {more} requests");
}

#[test]
fn a_new_key_is_found_though_a_stray_token_just_asked_for_another() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let keys = KeyServer::start(&[&old]);
    let world = World::start(&keys.config());
    assert_eq!(whoami(&world, &format!("Bearer {}", old.token("billing"))).0, 200);
    assert_eq!(whoami(&world, &format!("Bearer {}", Signer::new("stray").token("billing"))).0, 401);
    keys.publish(&[&old, &new]);
    assert_eq!(whoami(&world, &format!("Bearer {}", new.token("billing"))).0, 200);
}

#[test]
fn a_broker_is_not_ready_before_its_first_key_sets() {
    let signer = Signer::new("one");
    let keys = KeyServer::start(&[&signer]);
    keys.say(None);
    let listen = "[listen]\nproxy = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n";
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = World::start_in(folder, &format!("{listen}{}", keys.config()));
    let admin = world.broker.told("listening admin=").parse().expect("an address");
    let look = || {
        let answer = ask(&mut dial(admin), "GET /readyz", &[("Host", "x")], "");
        (answer.status, answer.json()["key_sets"].clone())
    };
    assert_eq!(look(), (503, json!({"usable": false, "without": ["https://issuer.test"]})));
    keys.publish(&[&signer]);
    let ready = (0..600).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        look() == (200, json!({"usable": true, "without": []}))
    });
    assert!(ready, "never: {:?}", look());
    keys.say(None);
    assert_eq!(look().0, 200, "what is known serves on");
}

#[test]
fn a_key_server_that_is_down_or_lies_takes_nothing_away() {
    let signer = Signer::new("one");
    let keys = KeyServer::start(&[&signer]);
    let world = World::start(&keys.config());
    let proof = format!("Bearer {}", signer.token("billing"));
    assert_eq!(whoami(&world, &proof).0, 200);
    for lie in [None, Some("<html>".to_owned()), Some("{\"keys\":[]}".to_owned())] {
        keys.say(lie);
        // Asks for a refresh, or is throttled: either way what is known stays known.
        assert_eq!(whoami(&world, &format!("Bearer {}", Signer::new("other").token("billing"))).0, 401);
        assert_eq!(whoami(&world, &proof).0, 200);
        assert_eq!(whoami(&world, &format!("Bearer {}", signer.token("billing"))).0, 200, "one not seen before");
    }
}
