//! Upstreams that end a stream of HTTP/2 by a reset: what was whole by then is whole, all else is a cut.

use super::pairs::{Between, Pair};
use super::pieces::Pieces;
use super::world::Issued;
use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use http::Response;
use http_body_util::BodyExt as _;
use rustls::ServerConfig;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Bytes before the reset; less than a window, so that all of them leave at once.
const SENT: usize = 50_000;

/// By name: the length that is told, the reset's code, and whether the caller gets an answer that is whole.
const CASES: &[(&str, Option<usize>, Reason, bool)] = &[
    ("cancelled, no length", None, Reason::CANCEL, false),
    ("cancelled before its length", Some(SENT + 1), Reason::CANCEL, false),
    ("ended without an error, no length", None, Reason::NO_ERROR, false),
    ("ended without an error before its length", Some(SENT + 1), Reason::NO_ERROR, false),
    ("ended without an error at its length", Some(SENT), Reason::NO_ERROR, true),
];

/// Answers as the case says whose number is the request's `Case`.
async fn upstream(own: &Issued) -> SocketAddr {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.key.serialize_der()));
    let config = ServerConfig::builder_with_provider(sidekey::tls::provider())
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(vec![own.der.clone()], key));
    let mut config = config.expect("a server");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(tls) = acceptor.accept(tcp).await else { return };
                let Ok(mut connection) = h2::server::handshake(tls).await else { return };
                while let Some(Ok((request, reply))) = connection.accept().await {
                    let case = request.uri().query().and_then(|query| query.strip_prefix("Case="));
                    let case: usize = case.and_then(|case| case.parse().ok()).expect("a number");
                    tokio::spawn(answer(case, reply));
                }
            });
        }
    });
    address
}

/// Answers that have no body, and what an upstream sends behind them all the same: the next answer on the caller's connection,
/// as it would like it to be.
const BODILESS: [u16; 2] = [204, 304];
const FORGED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL";

/// The case that answers more than callers and the broker hold, and whole.
const LARGE: usize = 100;

async fn answer(case: usize, mut reply: SendResponse<Bytes>) {
    if case == LARGE {
        let mut body = reply.send_response(Response::new(()), false).expect("sent");
        let _ = body.send_data(Bytes::from(vec![b'x'; 32 << 20]), true);
        // The stream is reset with its last handle.
        return std::future::pending().await;
    }
    let Some((_, length, reason, _)) = CASES.get(case).copied() else {
        let status = BODILESS[case - CASES.len()];
        let head = Response::builder().status(status).header("content-encoding", "gzip");
        let mut body = reply.send_response(head.body(()).expect("a head"), false).expect("sent");
        // The stream may be gone by then.
        let _ = body.send_data(Bytes::from_static(FORGED), true);
        return;
    };
    let mut head = Response::builder().status(200).header("content-type", "application/octet-stream");
    if let Some(length) = length {
        head = head.header("content-length", length);
    }
    let mut body = reply.send_response(head.body(()).expect("a head"), false).expect("sent");
    body.send_data(Bytes::from(vec![b'x'; SENT]), false).expect("sent");
    // A reset throws away what has not left.
    tokio::time::sleep(Duration::from_millis(500)).await;
    body.send_reset(reason);
}

#[tokio::test]
async fn a_reset_ends_what_was_whole_and_cuts_all_else() {
    for near in ["http/1.1", "h2"] {
        let (_, stopped) = mpsc::channel();
        let between = Between::before(Pair { near, far: "h2" }, stopped, upstream).await;
        for (number, (name, _, _, whole)) in CASES.iter().enumerate() {
            let answer = between.caller().await.send(between.request("GET", &number.to_string(), Pieces::none())).await;
            assert!(answer.status() == 200 || !whole, "{near}, {name}: {}", answer.status());
            let cut = answer.status() == 502;
            let body = answer.into_body().collect().await;
            assert_eq!(body.is_ok() && !cut, *whole, "{near}, {name}");
            assert!(!whole || body.is_ok_and(|body| body.to_bytes().len() == SENT), "{near}, {name}");
        }
    }
}

#[tokio::test]
async fn nothing_follows_an_answer_that_has_no_body() {
    for near in ["http/1.1", "h2"] {
        let (_, stopped) = mpsc::channel();
        let between = Between::before(Pair { near, far: "h2" }, stopped, upstream).await;
        let mut caller = between.caller().await;
        for (number, status) in (CASES.len()..).zip(BODILESS) {
            let answer = caller.send(between.request("GET", &number.to_string(), Pieces::none())).await;
            assert_eq!(answer.status(), status, "{near}");
            assert_eq!(answer.into_body().collect().await.expect("an end").to_bytes().len(), 0, "{near}, {status}");
        }
        // On the same connection the next answer is its own.
        let whole = CASES.iter().position(|(.., whole)| *whole).expect("one is").to_string();
        let answer = caller.send(between.request("GET", &whole, Pieces::none())).await;
        assert_eq!(answer.status(), 200, "{near}");
        assert_eq!(answer.into_body().collect().await.expect("whole").to_bytes().len(), SENT, "{near}");
    }
}

#[tokio::test]
async fn answers_that_nobody_takes_hold_up_no_other() {
    let (_, stopped) = mpsc::channel();
    let between = Between::before(Pair { near: "http/1.1", far: "h2" }, stopped, upstream).await;
    let mut held = Vec::new();
    for _ in 0..16 {
        let mut caller = between.caller().await;
        let answer = caller.send(between.request("GET", &LARGE.to_string(), Pieces::none())).await;
        assert_eq!(answer.status(), 200);
        held.push((caller, answer));
    }
    // Until as much of them as there is room for is on its way.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let whole = CASES.iter().position(|(.., whole)| *whole).expect("one is").to_string();
    let answer = between.caller().await.send(between.request("GET", &whole, Pieces::none())).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.into_body().collect().await.expect("whole").to_bytes().len(), SENT);
}
