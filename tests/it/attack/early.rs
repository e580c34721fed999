//! Upstreams that answer before they have the whole of a request: the caller gets that answer, whatever becomes of the
//! connection.

use super::fixture::{Fixture, MESSAGES};
use crate::reach::world::{Authority, Issued};
use crate::support::talk::End;
use crate::support::wire::{After, Exchange};
use rustix::net::sockopt::set_socket_linger;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// Answers before the body has come, and keeps the connection open.
fn early(exchange: &mut Exchange) -> After {
    match exchange.heard.value("x-case") {
        "early" => {
            exchange.answer("413 Payload Too Large", "Content-Type: text/plain\r\n", b"too much");
            // The next head, if any, would stand in the middle of the body.
            while exchange.more() {}
            After::Close
        }
        "unasked" => {
            exchange.say(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n");
            let length = exchange.body().len().to_string();
            exchange.answer("200 OK", "", length.as_bytes())
        }
        _ => {
            let length = exchange.body().len().to_string();
            exchange.answer("200 OK", "", length.as_bytes())
        }
    }
}

#[test]
fn an_early_answer_comes_through_and_its_connection_is_not_used_again() {
    let fixture = Fixture::start_with("response_timeout = \"30s\"", "cores = 1", early);
    for framing in ["Content-Length: 5000000\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut talk = fixture.talk();
        talk.send(fixture.request("POST", MESSAGES, &format!("X-Case: early\r\n{framing}"), b""));
        let answer = talk.answer().expect("an answer");
        fixture.note(&answer);
        assert_eq!((answer.status, answer.header("connection")), (413, Some("close")), "{answer:?}");
        assert_eq!(answer.text(), "too much");
        assert!(talk.answer().is_none() && talk.end() == Some(End::Closed));
        let next = fixture.ask("GET", MESSAGES, "", b"").expect("an answer");
        assert_eq!((next.status, next.text()), (200, "0"));
    }
    // In the midst of a body that does not stop.
    let mut talk = fixture.talk();
    talk.send(fixture.request("POST", MESSAGES, "X-Case: early\r\nContent-Length: 10000000\r\n", b""));
    while talk.send([b'x'; 16384]) && talk.quiet() {}
    let answer = talk.answer().expect("an answer");
    fixture.note(&answer);
    assert_eq!(answer.status, 413);
    let next = fixture.ask("GET", MESSAGES, "", b"").expect("an answer");
    assert_eq!((next.status, next.text()), (200, "0"));
    // A body that was read whole before it was sent (it may name an account) is cut short in the same way.
    let body = vec![b'x'; 9_000_000];
    let form = "Content-Type: application/x-www-form-urlencoded\r\nX-Case: early\r\n";
    let path = MESSAGES.replace("Messages.json", "IncomingPhoneNumbers/PN00000000000000000000000000000001.json");
    let answer = fixture.ask("POST", &path, form, &body).expect("an answer");
    assert_eq!(answer.status, 413, "{answer:?}");
    let next = fixture.ask("GET", MESSAGES, "", b"").expect("an answer");
    assert_eq!((next.status, next.text()), (200, "0"));
    // Interim answers that nobody asked for do not end the upload.
    let mut talk = fixture.talk();
    talk.send(fixture.request("POST", MESSAGES, "X-Case: unasked\r\nContent-Length: 100000\r\n", b"first"));
    std::thread::sleep(Duration::from_millis(100));
    talk.send(vec![b'y'; 99_995]);
    let answer = talk.answer().expect("an answer");
    fixture.note(&answer);
    assert_eq!((answer.status, answer.text()), (200, "100000"));
    fixture.end();
}

#[test]
fn an_early_answer_is_not_lost_when_its_connection_is_reset() {
    let (go, told) = mpsc::channel();
    let told = Mutex::new(told);
    let fixture = Fixture::start(move |exchange| {
        told.lock().expect("no panic").recv().expect("a word");
        exchange.answer("413 Payload Too Large", "", b"too much");
        set_socket_linger(exchange.stream(), Some(Duration::ZERO)).expect("an option");
        After::Close
    });
    for (turn, framing) in [(1, "Content-Length: 5000\r\n"), (2, "Transfer-Encoding: chunked\r\n")] {
        let mut talk = fixture.talk();
        talk.send(fixture.request("POST", MESSAGES, framing, b""));
        while fixture.wire.count() < turn {
            std::thread::sleep(Duration::from_millis(5));
        }
        // The broker finds all at once when it looks again: more of the body, an answer, and that nobody takes more.
        fixture.paused(|| {
            let open = fixture.wire.open();
            go.send(()).expect("it listens");
            while fixture.wire.open() == open {
                std::thread::sleep(Duration::from_millis(5));
            }
            talk.send(b"5\r\nhello\r\n");
        });
        let answer = talk.answer().expect("an answer");
        fixture.note(&answer);
        assert_eq!((answer.status, answer.text()), (413, "too much"), "{framing}: {answer:?}");
    }
    fixture.end();
}

/// An upstream with TLS that reads a head, answers when it is told to, and then neither reads nor closes.
fn deaf(own: &Issued, told: mpsc::Receiver<()>) -> u16 {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.key.serialize_der()));
    let config = ServerConfig::builder_with_provider(sidekey::tls::provider())
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(vec![own.der.clone()], key))
        .expect("a server");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let shared = Arc::new((Arc::new(config), Mutex::new(told)));
    std::thread::spawn(move || {
        // A connection that was opened beforehand may stay unused.
        for tcp in listener.incoming().map_while(Result::ok) {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                let session = ServerConnection::new(Arc::clone(&shared.0)).expect("settings");
                let mut tls = StreamOwned::new(session, tcp);
                if tls.read(&mut [0; 512]).is_ok_and(|read| read > 0) {
                    let told = shared.1.lock().expect("no panic");
                    told.recv().expect("a word");
                    tls.write_all(b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 8\r\n\r\ntoo much")
                        .expect("sent");
                    // Until the test has ended.
                    let _ = told.recv();
                }
            });
        }
    });
    port
}

#[test]
fn an_early_answer_over_tls_arrives_though_nobody_reads_the_body() {
    const LENGTH: usize = 16_000_000;
    let folder = tempfile::tempdir().expect("a folder");
    let ca = Authority::new("servers");
    let root = folder.path().join("roots.pem");
    std::fs::write(&root, ca.0.pem()).expect("a file");
    let (full, told) = mpsc::channel();
    let port = deaf(&ca.server("localhost"), told);
    let upstream = format!("url = \"https://localhost:{port}\"\nca = {root:?}");
    let fixture = Fixture::start_with(&upstream, "body_timeout = \"20s\"", |_| After::Close);
    let mut talk = fixture.talk();
    talk.send(fixture.request("POST", MESSAGES, &format!("Content-Length: {LENGTH}\r\n"), b""));
    // As much as all buffers on the way take; only then the answer.
    assert!(talk.fill(LENGTH) < LENGTH, "somebody reads");
    full.send(()).expect("it listens");
    let answer = talk.answer().expect("an answer");
    fixture.note(&answer);
    assert_eq!((answer.status, answer.text()), (413, "too much"), "{answer:?}");
    drop(full);
    fixture.end();
}
