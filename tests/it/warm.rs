//! Connections to the upstream that are opened before a request needs them, and what becomes of requests on them.

use crate::support::command::{Running, run};
use crate::support::raw::ask;
use crate::support::upstream::As;
use crate::support::wire::{After, Exchange, Wire};
use bytes::Bytes;
use http::Response;
use http_body_util::Empty;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const ACCOUNT: &str = "AC00000000000000000000000000000001";

/// A broker with one core and nothing of its own but its upstream.
struct Broker {
    folder: TempDir,
    running: Running,
    at: SocketAddr,
    proof: String,
}

impl Broker {
    fn start(upstream: &str) -> Self {
        Self::start_in(tempfile::tempdir().expect("a folder"), upstream)
    }

    fn start_in(folder: TempDir, upstream: &str) -> Self {
        let made = run(folder.path(), &["token", "generate", "--output", "json"]).json();
        let config = format!(
            "[listen]\nproxy = \"127.0.0.1:0\"\n[limits]\ncores = 1\n[upstream]\naccount_sid = \"{ACCOUNT}\"\n{upstream}\n\
             [[team]]\nname = \"billing\"\ntoken_sha256 = [{}]\n\
             key = {{ sid = \"SK00000000000000000000000000000001\", secret = \"env:KEY\" }}\n",
            made[0]["sha256"]
        );
        std::fs::write(folder.path().join("sidekey.toml"), config).expect("a file");
        let secret = [("KEY", "abcdefghijklmnopqrstuvwxyz012345")];
        let mut running = Running::start(folder.path(), &["serve"], &secret);
        let at = running.told("listening proxy=").parse().expect("an address");
        let proof = As("x".to_owned(), made[0]["token"].as_str().expect("a text").to_owned()).basic();
        Self { folder, running, at, proof }
    }

    fn before(wire: &Wire) -> Self {
        Self::start(&format!("url = \"http://{}\"", wire.address))
    }

    fn send(&self, method: &str) -> u16 {
        let path = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json");
        ask(self.at, method, &path, &[("authorization", &self.proof)], b"").expect("an answer").status
    }
}

/// Waits until this is so.
#[track_caller]
fn until(what: &str, so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_mins(1);
    while !so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn agree(exchange: &mut Exchange) -> After {
    exchange.body();
    exchange.answer("200 OK", "", b"{}")
}

#[test]
fn the_first_request_finds_an_open_connection() {
    let wire = Wire::start(agree);
    let broker = Broker::before(&wire);
    until("a connection that nobody asked for", || wire.connections() == 1);
    assert_eq!((wire.count(), broker.send("GET"), wire.last().connection), (0, 200, 0));
}

#[test]
fn a_connection_that_the_upstream_closed_is_replaced() {
    let wire = Wire::start(|exchange| {
        agree(exchange);
        After::Close
    });
    let broker = Broker::before(&wire);
    for turn in 0..3 {
        until("a connection in its place", || wire.connections() > turn);
        assert_eq!(broker.send("POST"), 200, "{turn}");
    }
}

/// It reads the first request of the first connection and hangs up without a word.
fn silent_at_first(exchange: &mut Exchange) -> After {
    if exchange.heard.connection == 0 {
        exchange.body();
        return After::Close;
    }
    agree(exchange)
}

#[test]
fn only_what_does_no_harm_is_sent_again() {
    for (method, status, times) in [("GET", 200, 2), ("POST", 502, 1), ("DELETE", 502, 1)] {
        let wire = Wire::start(silent_at_first);
        let broker = Broker::before(&wire);
        until("a connection that nobody asked for", || wire.connections() == 1);
        assert_eq!((broker.send(method), wire.count()), (status, times), "{method}");
    }
}

#[test]
fn a_pool_that_is_replaced_closes_its_connections() {
    let (wire, next) = (Wire::start(agree), Wire::start(agree));
    let mut broker = Broker::before(&wire);
    assert_eq!(broker.send("GET"), 200);
    let file = broker.folder.path().join("sidekey.toml");
    let text = std::fs::read_to_string(&file).expect("a config");
    let text = text.replace(&wire.address.to_string(), &next.address.to_string());
    std::fs::write(broker.folder.path().join("next"), text).expect("a file");
    std::fs::rename(broker.folder.path().join("next"), &file).expect("a swap");
    broker.running.told("the config was reloaded");
    until("the old connections are closed", || wire.open() == 0);
    until("a connection to the new upstream", || next.connections() == 1);
}

/// TLS of an upstream on localhost, whose certificate is in the folder as `roots.pem`.
fn tls(folder: &TempDir) -> rustls::ServerConfig {
    let key = KeyPair::generate().expect("a key");
    let cert = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name").self_signed(&key).expect("signs");
    std::fs::write(folder.path().join("roots.pem"), cert.pem()).expect("a file");
    let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(sidekey::tls::provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], secret);
    config.expect("a certificate and its key")
}

/// An upstream that speaks HTTP/2: it hears the first request, and its connection is gone.
async fn silent_at_first_in_http2(
    listener: TcpListener,
    config: Arc<rustls::ServerConfig>,
    [shaken, heard]: [Arc<AtomicUsize>; 2],
) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    let acceptor = tokio_rustls::TlsAcceptor::from(config);
    let mut first = true;
    while let Ok((tcp, _)) = listener.accept().await {
        let Ok(tls) = acceptor.accept(tcp).await else { continue };
        shaken.fetch_add(1, Ordering::SeqCst);
        let (hang_up, mut hung_up) = tokio::sync::mpsc::channel::<()>(1);
        let (heard, silent) = (Arc::clone(&heard), std::mem::take(&mut first));
        let service = service_fn(move |_| {
            heard.fetch_add(1, Ordering::SeqCst);
            let hang_up = hang_up.clone();
            async move {
                if silent {
                    let _ = hang_up.send(()).await;
                    std::future::pending::<()>().await;
                }
                Ok::<_, std::convert::Infallible>(Response::new(Empty::<Bytes>::new()))
            }
        });
        tokio::spawn(async move {
            tokio::select! {
                _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(tls), service) => {}
                Some(()) = hung_up.recv() => {}
            }
        });
    }
}

#[test]
fn only_what_does_no_harm_is_sent_again_over_http2() {
    for (method, status, times) in [("GET", 200, 2), ("POST", 502, 1), ("DELETE", 502, 1)] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = tls(&folder);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("an option");
        let port = listener.local_addr().expect("bound").port();
        let [shaken, heard] = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
        let counts = [Arc::clone(&shaken), Arc::clone(&heard)];
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(silent_at_first_in_http2(listener, Arc::new(config), counts));
        });
        let broker = Broker::start_in(folder, &format!("url = \"https://localhost:{port}\"\nca = \"roots.pem\""));
        until("a connection that nobody asked for", || shaken.load(Ordering::SeqCst) == 1);
        assert_eq!((broker.send(method), heard.load(Ordering::SeqCst)), (status, times), "{method}");
    }
}

#[test]
fn tickets_of_tls_do_not_spoil_a_connection() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Arc::new(tls(&folder));
    assert!(config.send_tls13_tickets > 0, "or this test says nothing");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let shaken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&shaken);
    std::thread::spawn(move || {
        for tcp in listener.incoming().map_while(Result::ok) {
            let (config, count) = (Arc::clone(&config), Arc::clone(&count));
            std::thread::spawn(move || {
                let mut session = rustls::ServerConnection::new(config).expect("a session");
                let mut tcp = tcp;
                while session.is_handshaking() {
                    session.complete_io(&mut tcp)?;
                }
                count.fetch_add(1, Ordering::SeqCst);
                let mut stream = rustls::StreamOwned::new(session, tcp);
                let mut head = Vec::new();
                let mut piece = [0; 4096];
                while !head.ends_with(b"\r\n\r\n") {
                    let read = stream.read(&mut piece)?;
                    head.extend_from_slice(&piece[..read]);
                }
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
                // Until the other side is done with it.
                stream.read(&mut piece)
            });
        }
    });
    let broker = Broker::start_in(folder, &format!("url = \"https://localhost:{port}\"\nca = \"roots.pem\""));
    until("a connection that nobody asked for", || shaken.load(Ordering::SeqCst) == 1);
    assert_eq!(broker.send("GET"), 204);
    assert_eq!(shaken.load(Ordering::SeqCst), 1, "the first connection was used");
}
