//! CONNECT: what opens, what doesn't, and what holds inside.

use super::wire::{Answer, Secure, ask, dial, read, secure};
use super::world::World;
use std::io::{Read, Write};
use std::net::TcpStream;

const MESSAGE: &str = "To=%2B15558675310&From=%2B15005550006&Body=Hello";

/// Asks for a tunnel with the team's proof.
fn connect(world: &World, target: &str) -> (Answer, TcpStream) {
    let mut stream = dial(world.proxy);
    let proof = world.basic();
    let answer =
        ask(&mut stream, &format!("CONNECT {target}"), &[("Host", target), ("Proxy-Authorization", &proof)], "");
    (answer, stream)
}

/// The inside of an open tunnel.
fn inside(world: &World, host: &str) -> Secure {
    let (answer, stream) = connect(world, &format!("{host}:443"));
    assert_eq!(answer.status, 200, "{answer:?}");
    secure(stream, &world.trusting(), host).expect("a leaf of the private CA")
}

#[test]
fn a_message_goes_through_and_what_was_in_authorization_is_replaced() {
    let world = World::start("");
    let mut tunnel = inside(&world, "api.twilio.com");
    let host = ("Host", "api.twilio.com");
    let path = world.upstream.path("/Messages.json");
    for authorization in ["Basic QUN4OnNpZGVrZXk=", "Bearer nobody", &world.basic()] {
        let headers = [host, ("Authorization", authorization)];
        let answer = ask(&mut tunnel, &format!("POST {path}"), &headers, MESSAGE);
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    assert_eq!(ask(&mut tunnel, &format!("GET {path}"), &[host], "").status, 200, "no Authorization at all");
    let keys = ask(&mut tunnel, &format!("GET {}", world.upstream.path("/Keys.json")), &[host], "");
    assert_eq!((keys.status, keys.header("sidekey-error")), (403, Some("management_resource")));
    let whoami = ask(&mut tunnel, "GET /.sidekey/whoami", &[host], "").json();
    assert_eq!((whoami["team"].as_str(), whoami["proof"].as_str()), (Some("billing"), Some("token")));
    let sids: Vec<_> = world.upstream.sandbox.requests().1.into_iter().map(|seen| seen.sid).collect();
    assert_eq!(sids, vec![Some(world.key.0.clone().into_boxed_str()); 4], "the team's key and nothing else");
}

#[test]
fn an_absolute_form_goes_by_the_proxys_proof_which_ends_at_the_broker() {
    let world = World::start("");
    let line = format!("GET http://api.twilio.com{}", world.upstream.path("/Messages.json"));
    let (host, proof) = (("Host", "api.twilio.com"), world.basic());
    let proof = ("Proxy-Authorization", proof.as_str());
    let junk = ("Authorization", "Basic QUN4OnNpZGVrZXk=");
    for headers in [vec![host, proof], vec![host, proof, junk], vec![host, ("Authorization", proof.1)]] {
        assert_eq!(ask(&mut dial(world.proxy), &line, &headers, "").status, 200, "{headers:?}");
    }
    let bad = vec![host, ("Proxy-Authorization", "Basic eDp5"), ("Authorization", proof.1)];
    assert_eq!(ask(&mut dial(world.proxy), &line, &bad, "").status, 401, "the proxy's proof decides");
    for target in ["http://evil.example/x", "http://127.0.0.1:1/x", "https://api.twilio.com.evil.example/2010-04-01/x"]
    {
        let host = target.split('/').nth(2).expect("a host");
        let answer = ask(&mut dial(world.proxy), &format!("GET {target}"), &[("Host", host), proof], "");
        assert_eq!((answer.status, answer.header("sidekey-error")), (403, Some("host_not_allowed")), "{target}");
    }
    // Also where the target is malformed: 401 is for no proof, and there is one.
    for target in ["http://api.twilio.com", "http://api.twilio.com?x=1", "ftp://api.twilio.com/x", "x"] {
        let answer = ask(&mut dial(world.proxy), &format!("GET {target}"), &[host, proof], "");
        assert_eq!((answer.status, answer.header("sidekey-error")), (400, Some("malformed_request")), "{target}");
        let answer = ask(&mut dial(world.proxy), &format!("GET {target}"), &[host], "");
        assert_eq!((answer.status, answer.header("sidekey-error")), (401, Some("unauthenticated")), "{target}");
    }
    for seen in world.upstream.sandbox.requests().1 {
        assert!(seen.headers.iter().all(|name| !name.as_str().starts_with("proxy-")), "{:?}", seen.headers);
        assert_eq!(seen.sid.as_deref(), Some(world.key.0.as_str()));
    }
}

#[test]
fn links_inside_a_tunnel_stay_twilios() {
    let world = World::start("");
    let mut tunnel = inside(&world, "messaging.twilio.com");
    let list = ask(&mut tunnel, "GET /v1/Services", &[("Host", "messaging.twilio.com")], "").json();
    let url = list["meta"]["url"].as_str().expect("a link");
    assert!(url.starts_with("https://messaging.twilio.com/v1/Services"), "{url}");
}

#[test]
fn links_for_a_caller_that_names_no_host_lead_back_too() {
    let world = World::start("");
    let mut stream = dial(world.proxy);
    let head = format!("GET /messaging.twilio.com/v1/Services HTTP/1.0\r\nAuthorization: {}\r\n\r\n", world.basic());
    stream.write_all(head.as_bytes()).expect("sent");
    let list = read(&mut stream).json();
    let url = list["meta"]["url"].as_str().expect("a link");
    assert!(url.starts_with("/messaging.twilio.com/v1/Services?"), "{url}");
}

#[test]
fn no_proof_is_407_and_the_retry_opens() {
    let world = World::start("");
    let mut stream = dial(world.proxy);
    let line = "CONNECT api.twilio.com:443";
    let host = ("Host", "api.twilio.com:443");
    let answer = ask(&mut stream, line, &[host], "");
    assert_eq!((answer.status, answer.header("sidekey-error")), (407, Some("unauthenticated")));
    assert_eq!(answer.header("proxy-authenticate"), Some("Basic realm=\"sidekey\""));
    assert_eq!(answer.json()["status"], 407);
    let answer = ask(&mut stream, line, &[host, ("Proxy-Authorization", &world.basic())], "");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.header("content-length").is_none() && answer.header("sidekey-request-id").is_some());
    assert!(secure(stream, &world.trusting(), "api.twilio.com").is_ok());
    assert_eq!(world.audited(&["CONNECT", "\"status\":407", "unauthenticated"]), 1);
    assert_eq!(world.audited(&["CONNECT", "\"status\":200", "\"team\":\"billing\"", "outcome"]), 1);
}

#[test]
fn a_bad_proof_opens_nothing() {
    let world = World::start("");
    for proof in ["Basic eDp5", "Bearer x", "Digest x", "x"] {
        let headers = [("Host", "api.twilio.com:443"), ("Proxy-Authorization", proof)];
        let answer = ask(&mut dial(world.proxy), "CONNECT api.twilio.com:443", &headers, "");
        assert_eq!((answer.status, answer.header("sidekey-error")), (401, Some("invalid_proof")), "{proof}");
    }
    // What a caller may not reach it does not learn without a proof either.
    let answer = ask(&mut dial(world.proxy), "CONNECT evil.example:443", &[("Host", "evil.example:443")], "");
    assert_eq!(answer.status, 407);
}

#[test]
fn this_is_no_open_proxy() {
    let world = World::start("");
    // Something that listens, and must never be reached.
    let bystander = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    bystander.set_nonblocking(true).expect("a listener");
    let near = bystander.local_addr().expect("bound").to_string();
    for target in [
        near.as_str(),
        "127.0.0.1:443",
        "[::1]:443",
        "localhost:443",
        "169.254.169.254:443",
        "0x7f000001:443",
        "example.com:443",
        "www.twilio.com:443",
        "evil.twilio.com:443",
        "api.twilio.com.evil.example:443",
        "apixtwilio.com:443",
        "api.twilio.com.:443",
        "api.twilio.com:80",
        "api.twilio.com:8443",
        "api.twilio.com:0443",
        "api.twilio.com:22",
    ] {
        let (answer, _) = connect(&world, target);
        assert_eq!((answer.status, answer.header("sidekey-error")), (403, Some("host_not_allowed")), "{target}");
    }
    for target in ["api.twilio.com", "api.twilio.com:", ":443", "x@api.twilio.com:443", "api.twilio.com:443:443", "/"] {
        let (answer, _) = connect(&world, target);
        assert_eq!((answer.status, answer.header("sidekey-error")), (400, Some("malformed_request")), "{target}");
    }
    assert!(bystander.accept().is_err(), "somebody was reached");
    assert_eq!(world.upstream.sandbox.requests().1.len(), 0);
}

#[test]
fn no_tunnel_opens_to_a_host_where_all_is_closed() {
    let world = World::start("");
    for host in ["accounts", "iam", "IAM", "preview-iam", "oauth", "scim", "iam.dublin.ie1"] {
        let (answer, _) = connect(&world, &format!("{host}.twilio.com:443"));
        assert_eq!((answer.status, answer.header("sidekey-error")), (403, Some("management_resource")), "{host}");
    }
    assert_eq!(world.audited(&["\"method\":\"CONNECT\"", "\"reason\":\"management_resource\""]), 7);
}

#[test]
fn a_connect_that_says_two_things_is_malformed() {
    let world = World::start("");
    let proof = world.basic();
    let proof = ("Proxy-Authorization", proof.as_str());
    for headers in [
        vec![("Host", "messaging.twilio.com:443"), proof],
        vec![("Host", "api.twilio.com:443"), ("Host", "api.twilio.com:443"), proof],
        vec![("Host", "api.twilio.com:443"), proof, proof],
        vec![("Host", "api.twilio.com:443"), proof, ("Content-Length", "5")],
        vec![("Host", "api.twilio.com:443"), proof, ("Transfer-Encoding", "chunked")],
    ] {
        let answer = ask(&mut dial(world.proxy), "CONNECT api.twilio.com:443", &headers, "");
        assert_eq!(answer.status, 400, "{headers:?}");
    }
}

#[test]
fn inside_a_tunnel_there_is_its_own_host_only() {
    let world = World::start("");
    let path = world.upstream.path("/Messages.json");
    for (line, host) in [
        (format!("GET {path}"), "messaging.twilio.com"),
        (format!("GET {path}"), "evil.example"),
        (format!("GET https://messaging.twilio.com{path}"), "messaging.twilio.com"),
        ("CONNECT api.twilio.com:443".to_owned(), "api.twilio.com:443"),
        ("CONNECT messaging.twilio.com:443".to_owned(), "messaging.twilio.com:443"),
    ] {
        let answer = ask(&mut inside(&world, "api.twilio.com"), &line, &[("Host", host)], "");
        assert!(matches!(answer.status, 400 | 403), "{line} {host}: {answer:?}");
    }
    for line in [format!("GET {path}"), format!("GET https://api.twilio.com{path}")] {
        for host in ["api.twilio.com", "API.twilio.com:443"] {
            if line.contains("https") && host.contains(':') {
                continue;
            }
            let answer = ask(&mut inside(&world, "api.twilio.com"), &line, &[("Host", host)], "");
            assert_eq!(answer.status, 200, "{line} {host}: {answer:?}");
        }
    }
    let (_, stream) = connect(&world, "api.twilio.com:443");
    assert!(secure(stream, &world.trusting(), "messaging.twilio.com").is_err(), "another name in the greeting");
}

#[test]
fn old_callers_and_hasty_ones_get_in() {
    let world = World::start("");
    // HTTP/1.0 without Host, as Python's http.client did until 3.12.
    let mut stream = dial(world.proxy);
    let head = format!("CONNECT api.twilio.com:443 HTTP/1.0\r\nProxy-Authorization: {}\r\n\r\n", world.basic());
    stream.write_all(head.as_bytes()).expect("sent");
    assert_eq!(read(&mut stream).status, 200);
    assert!(secure(stream, &world.trusting(), "api.twilio.com").is_ok());
    // The TLS greeting in one packet with the CONNECT.
    let name = rustls_pki_types::ServerName::try_from("api.twilio.com").expect("a name");
    let mut session = rustls::ClientConnection::new(world.trusting(), name).expect("settings");
    let mut both = head.replace("HTTP/1.0", "HTTP/1.1").replace("\r\nProxy", "\r\nHost: api.twilio.com:443\r\nProxy");
    let mut bytes = std::mem::take(&mut both).into_bytes();
    session.write_tls(&mut bytes).expect("a greeting");
    let mut stream = dial(world.proxy);
    stream.write_all(&bytes).expect("sent");
    assert_eq!(read(&mut stream).status, 200);
    let mut tunnel = rustls::StreamOwned::new(session, stream);
    let answer = ask(&mut tunnel, "GET /.sidekey/whoami", &[("Host", "api.twilio.com")], "");
    assert_eq!(answer.status, 200);
}

#[test]
fn what_is_no_tls_inside_ends_there() {
    let world = World::start("");
    let (_, mut stream) = connect(&world, "api.twilio.com:443");
    stream.write_all(b"GET /2010-04-01/Accounts HTTP/1.1\r\nHost: api.twilio.com\r\n\r\n").expect("sent");
    let mut rest = Vec::new();
    // Perhaps a TLS alert, then the end; never HTTP.
    let _ = stream.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP"), "{rest:?}");
    assert_eq!(world.upstream.sandbox.requests().1.len(), 0);
}

#[test]
fn without_a_ca_nothing_opens() {
    let world = World::start_in(tempfile::tempdir().expect("a folder"), "");
    let (answer, _) = connect(&world, "api.twilio.com:443");
    assert_eq!((answer.status, answer.header("sidekey-error")), (403, Some("host_not_allowed")));
}

#[test]
fn where_the_config_says_so_the_proof_may_come_inside() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(crate::support::command::run(folder.path(), &["ca", "init", "ca"]).code, Some(0));
    let config = "[intercept]\nca_cert = \"ca/ca.pem\"\nca_key = \"ca/ca.key\"\nproof = \"inside\"\n";
    let world = World::start_in(folder, config);
    let mut stream = dial(world.proxy);
    let answer = ask(&mut stream, "CONNECT api.twilio.com:443", &[("Host", "api.twilio.com:443")], "");
    assert_eq!(answer.status, 200);
    let mut tunnel = secure(stream, &world.trusting(), "api.twilio.com").expect("a leaf");
    let line = format!("GET {}", world.upstream.path("/Messages.json"));
    let host = ("Host", "api.twilio.com");
    assert_eq!(ask(&mut tunnel, &line, &[host], "").status, 401);
    assert_eq!(ask(&mut tunnel, &line, &[host, ("Authorization", "Basic eDp5")], "").status, 401);
    assert_eq!(ask(&mut tunnel, &line, &[host, ("Authorization", &world.basic())], "").status, 200);
    // A bad proof outside still opens nothing, and nobody else's host is to be had.
    let bad = [("Host", "api.twilio.com:443"), ("Proxy-Authorization", "Basic eDp5")];
    assert_eq!(ask(&mut dial(world.proxy), "CONNECT api.twilio.com:443", &bad, "").status, 401);
    let other = ask(&mut dial(world.proxy), "CONNECT evil.example:443", &[("Host", "evil.example:443")], "");
    assert_eq!(other.status, 403);
}
