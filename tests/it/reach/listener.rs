//! `listen.tls` and `listen.unix`: names, certificates, reload, peers.

use super::wire::{Answer, ask, dial, secure};
use super::world::{Authority, Issued, World, client};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

const LISTEN: &str =
    "[listen]\nproxy = \"127.0.0.1:0\"\ntls = \"127.0.0.1:0\"\n[tls]\ncert = \"server.pem\"\nkey = \"server.key\"\n";

/// A broker whose own name is `sidekey.test`, and the CA that says so.
fn start(more: &str, callers: Option<&Authority>) -> (World, SocketAddr, Authority) {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(crate::support::command::run(folder.path(), &["ca", "init", "ca"]).code, Some(0));
    let ca = Authority::new("servers");
    ca.server("sidekey.test").write(folder.path(), "server");
    let mut text = LISTEN.to_owned();
    if let Some(callers) = callers {
        std::fs::write(folder.path().join("callers.pem"), callers.0.pem()).expect("a file");
        text.push_str("client_ca = \"callers.pem\"\n");
    }
    let mut world = World::start_in(
        folder,
        &format!("{text}{more}\n[intercept]\nca_cert = \"ca/ca.pem\"\nca_key = \"ca/ca.key\"\n"),
    );
    let tls = world.tls();
    (world, tls, ca)
}

/// One request to `host` of a connection whose greeting names `name`.
fn get(at: SocketAddr, config: &Arc<rustls::ClientConfig>, name: &str, host: &str, proof: &str) -> Answer {
    let mut stream = secure(dial(at), config, name).expect("shakes hands");
    ask(&mut stream, "GET /.sidekey/whoami", &[("Host", host), ("Authorization", proof)], "")
}

#[test]
fn host_must_agree_with_the_server_name() {
    let (world, at, ca) = start("", None);
    let proof = world.basic();
    let own = Arc::new(client(&[ca.root()], None, &["http/1.1"]));
    for (host, status) in [
        ("sidekey.test", 200),
        ("SIDEKEY.test:8443", 200),
        ("other.test", 400),
        ("api.twilio.com", 400),
        ("127.0.0.1", 400),
    ] {
        assert_eq!(get(at, &own, "sidekey.test", host, &proof).status, status, "{host}");
    }
    let twilio = world.trusting();
    for (host, status) in
        [("api.twilio.com", 200), ("api.twilio.com:443", 200), ("messaging.twilio.com", 400), ("sidekey.test", 400)]
    {
        assert_eq!(get(at, &twilio, "api.twilio.com", host, &proof).status, status, "{host}");
    }
    let mut stream = secure(dial(at), &twilio, "api.twilio.com").expect("a leaf");
    let line = format!("GET {}", world.upstream.path("/Messages.json"));
    let answer = ask(&mut stream, &line, &[("Host", "api.twilio.com"), ("Authorization", &proof)], "");
    assert_eq!(answer.status, 200, "Host mode");
}

#[test]
fn names_that_are_not_twilios_get_no_leaf() {
    let (world, at, _) = start("", None);
    let twilio = world.trusting();
    assert!(secure(dial(at), &twilio, "api.twilio.com").is_ok());
    for name in ["evil.twilio.com", "www.twilio.com", "twilio.com", "example.com", "sidekey.test"] {
        assert!(secure(dial(at), &twilio, name).is_err(), "{name}");
    }
}

#[test]
fn links_lead_back_by_tls() {
    let (world, at, ca) = start("", None);
    let own = Arc::new(client(&[ca.root()], None, &["http/1.1"]));
    let mut stream = secure(dial(at), &own, "sidekey.test").expect("shakes hands");
    let host = format!("sidekey.test:{}", at.port());
    let headers = [("Host", host.as_str()), ("Authorization", &world.basic())];
    let list = ask(&mut stream, "GET /messaging.twilio.com/v1/Services", &headers, "").json();
    let url = list["meta"]["url"].as_str().expect("a link");
    assert!(url.starts_with(&format!("https://{host}/messaging.twilio.com/v1/Services")), "{url}");
}

#[test]
fn a_proxy_over_tls_opens_tunnels_too() {
    let (world, at, ca) = start("", None);
    let own = Arc::new(client(&[ca.root()], None, &["http/1.1"]));
    let mut outside = secure(dial(at), &own, "sidekey.test").expect("shakes hands");
    let headers = [("Host", "api.twilio.com:443"), ("Proxy-Authorization", &world.basic())];
    assert_eq!(ask(&mut outside, "CONNECT api.twilio.com:443", &headers, "").status, 200);
    let name = rustls_pki_types::ServerName::try_from("api.twilio.com").expect("a name");
    let session = rustls::ClientConnection::new(world.trusting(), name).expect("settings");
    let mut tunnel = rustls::StreamOwned::new(session, outside);
    let whoami = ask(&mut tunnel, "GET /.sidekey/whoami", &[("Host", "api.twilio.com")], "").json();
    assert_eq!(whoami["team"], "billing");
}

#[test]
fn certificates_are_read_again_when_they_change() {
    let (mut world, at, ca) = start("", None);
    let own = Arc::new(client(&[ca.root()], None, &["http/1.1"]));
    let seen = || {
        let stream = secure(dial(at), &own, "sidekey.test").expect("shakes hands");
        stream.conn.peer_certificates().expect("a chain")[0].clone()
    };
    let first = seen();
    std::fs::write(world.folder.path().join("server.pem"), "no certificate").expect("a file");
    world.broker.told("the files of [tls] can't be used");
    assert_eq!(seen(), first);
    let next = ca.server("sidekey.test");
    next.write(world.folder.path(), "server");
    world.broker.told("the files of [tls] were read again");
    assert_eq!(seen(), next.der);
}

const RULE: &str = "[[certificate]]\nsan = \"spiffe://corp/ns/billing/*\"\nteam = \"billing\"\n";

#[test]
fn a_certificate_proves_whose_caller_it_is() {
    let callers = Authority::new("callers");
    let (world, at, ca) = start(RULE, Some(&callers));
    let with = |uri| Arc::new(client(&[ca.root()], Some(&callers.caller(uri)), &["http/1.1"]));
    let ask = |config: &Arc<rustls::ClientConfig>, proof: &str| get(at, config, "sidekey.test", "sidekey.test", proof);
    let own = with("spiffe://corp/ns/billing/sa/sender");
    for proof in ["", "Basic QUN4OnNpZGVrZXk="] {
        let whoami = ask(&own, proof).json();
        assert_eq!((whoami["team"].as_str(), whoami["proof"].as_str()), (Some("billing"), Some("certificate")));
    }
    assert_eq!(ask(&own, &world.basic()).json()["proof"], "token", "both, of one team");
    let stranger = with("spiffe://corp/ns/other/sa/sender");
    for proof in ["", "Basic eDp5", &world.basic()] {
        let answer = ask(&stranger, proof);
        assert_eq!((answer.status, answer.header("sidekey-error")), (401, Some("invalid_proof")), "{proof}");
    }
    let none = Arc::new(client(&[ca.root()], None, &["http/1.1"]));
    assert_eq!(ask(&none, &world.basic()).status, 200, "certificates are optional");
    assert_eq!(ask(&none, "").header("sidekey-error"), Some("unauthenticated"));
    assert!(world.audited(&["\"token_id\":\"cert:", "\"team\":\"billing\"", "outcome"]) >= 2);
}

#[test]
fn a_certificate_outside_opens_the_tunnel_and_decides_inside() {
    let callers = Authority::new("callers");
    let (world, at, ca) = start(RULE, Some(&callers));
    let own = Arc::new(client(&[ca.root()], Some(&callers.caller("spiffe://corp/ns/billing/x")), &["http/1.1"]));
    let mut outside = secure(dial(at), &own, "sidekey.test").expect("shakes hands");
    assert_eq!(ask(&mut outside, "CONNECT api.twilio.com:443", &[("Host", "api.twilio.com:443")], "").status, 200);
    let name = rustls_pki_types::ServerName::try_from("api.twilio.com").expect("a name");
    let session = rustls::ClientConnection::new(world.trusting(), name).expect("settings");
    let mut tunnel = rustls::StreamOwned::new(session, outside);
    let whoami = ask(&mut tunnel, "GET /.sidekey/whoami", &[("Host", "api.twilio.com")], "").json();
    assert_eq!((whoami["team"].as_str(), whoami["proof"].as_str()), (Some("billing"), Some("certificate")));
}

#[test]
fn where_certificates_are_required_nobody_gets_in_without_a_good_one() {
    let callers = Authority::new("callers");
    let (world, at, ca) = start(&format!("client_cert = \"required\"\n{RULE}"), Some(&callers));
    let try_it = |own: Option<&Issued>| {
        let config = Arc::new(client(&[ca.root()], own, &["http/1.1"]));
        // In TLS 1.3 the refusal comes after the caller's part of the greeting.
        secure(dial(at), &config, "sidekey.test").is_ok_and(answered)
    };
    assert!(try_it(Some(&callers.caller("spiffe://corp/ns/billing/x"))));
    assert!(!try_it(None));
    assert!(!try_it(Some(&Authority::new("callers").caller("spiffe://corp/ns/billing/x"))), "another CA of that name");
    assert!(world.audited_in_time(&["invalid_proof", "tls: "], 1) >= 1, "failed proofs are recorded");
}

#[test]
fn a_greeting_without_a_name_or_in_pieces_meets_the_same_demands() {
    let callers = Authority::new("callers");
    let (world, at, ca) = start(&format!("client_cert = \"required\"\n{RULE}"), Some(&callers));
    let own = callers.caller("spiffe://corp/ns/billing/x");
    for (own, gets_in) in [(Some(&own), true), (None, false)] {
        let mut config = client(&[ca.root()], own, &["http/1.1"]);
        config.enable_sni = false;
        let answer = secure(dial(at), &Arc::new(config), "sidekey.test").is_ok_and(answered);
        assert_eq!(answer, gets_in, "no name");
        let config = Arc::new(client(&[ca.root()], own, &["http/1.1"]));
        let name = rustls_pki_types::ServerName::try_from("sidekey.test").expect("a name");
        let mut session = rustls::ClientConnection::new(config, name).expect("settings");
        let stream = dial(at);
        stream.set_nodelay(true).expect("a socket");
        session.write_tls(&mut ByteByByte(&stream)).expect("sent");
        assert_eq!(answered(rustls::StreamOwned::new(session, stream)), gets_in, "in pieces");
    }
    assert_eq!(world.audited_in_time(&["invalid_proof", "tls: "], 2), 2);
}

/// Sends every byte by itself.
struct ByteByByte<'a>(&'a std::net::TcpStream);

impl Write for ByteByByte<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        for byte in bytes {
            self.0.write_all(&[*byte])?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Whether a request gets any answer.
fn answered(mut stream: super::wire::Secure) -> bool {
    let sent = stream.write_all(b"GET /.sidekey/whoami HTTP/1.1\r\nHost: sidekey.test\r\n\r\n");
    sent.is_ok() && stream.read(&mut [0; 16]).is_ok_and(|read| read > 0)
}

#[test]
fn a_peer_of_the_unix_socket_is_known_by_its_uid() {
    let uid = rustix::process::getuid().as_raw();
    let config =
        format!("[listen]\nproxy = \"127.0.0.1:0\"\nunix = \"{{}}/s\"\n[[peer]]\nuid = {uid}\nteam = \"billing\"\n");
    let world = World::start_in(tempfile::tempdir().expect("a folder"), &config);
    let mut stream = UnixStream::connect(world.folder.path().join("s")).expect("a listener");
    let whoami = ask(&mut stream, "GET /.sidekey/whoami", &[("Host", "x")], "").json();
    assert_eq!((whoami["team"].as_str(), whoami["proof"].as_str()), (Some("billing"), Some("peer")));
    let list = format!("GET {}", world.upstream.path("/Messages.json"));
    assert_eq!(ask(&mut stream, &list, &[("Host", "x"), ("Authorization", "Basic QUN4Onk=")], "").status, 200);
    assert_eq!(ask(&mut dial(world.proxy), "GET /.sidekey/whoami", &[("Host", "x")], "").status, 401);
}
