//! HTTP/2 by prior knowledge and by ALPN, TLS, and connections that are used again.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use sidekey::sandbox::{Options, Sandbox};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

fn request(target: &str) -> Request<Empty<Bytes>> {
    Request::get(target).header("host", "api.twilio.com").body(Empty::new()).expect("a request")
}

/// What comes back to a request without a credential.
async fn assert_challenged(response: Response<Incoming>) {
    assert_eq!(response.status(), 401);
    assert!(response.headers().contains_key("www-authenticate"));
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    assert!(body.starts_with(b"{\"code\": 20003"), "{body:?}");
}

async fn over_http2<S>(stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    tokio::spawn(connection);
    for _ in 0..2 {
        let target = "http://api.twilio.com/2010-04-01/Accounts.json";
        assert_challenged(sender.send_request(request(target)).await.expect("an answer")).await;
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn http2_by_prior_knowledge() {
    runtime().block_on(async {
        let sandbox = Sandbox::start(Options::default()).expect("a free port");
        over_http2(TcpStream::connect(sandbox.address()).await.expect("a listener")).await;
        let (count, seen) = sandbox.requests();
        assert_eq!((count, &*seen[0].host), (2, "api.twilio.com"));
    });
}

#[test]
fn one_connection_carries_many_requests() {
    runtime().block_on(async {
        let sandbox = Sandbox::start(Options::default()).expect("a free port");
        let stream = TcpStream::connect(sandbox.address()).await.expect("a listener");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
        tokio::spawn(connection);
        for _ in 0..3 {
            let answer = sender.send_request(request("/2010-04-01/Accounts.json")).await.expect("an answer");
            assert_challenged(answer).await;
            sender.ready().await.expect("the connection stays");
        }
    });
}

#[test]
fn tls_with_either_protocol() {
    let made = rcgen::generate_simple_self_signed(vec!["api.twilio.com".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let mut server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a pair");
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a root");
    let mut plain = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let mut second = plain.clone();
    second.alpn_protocols = vec![b"h2".to_vec()];
    plain.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from("api.twilio.com").expect("a name");
    runtime().block_on(async {
        let options = Options { tls: Some(Arc::new(server)), ..Options::default() };
        let sandbox = Sandbox::start(options).expect("a free port");
        assert!(sandbox.url().starts_with("https://"));
        let connect = async |config: ClientConfig| {
            let stream = TcpStream::connect(sandbox.address()).await.expect("a listener");
            TlsConnector::from(Arc::new(config)).connect(name.clone(), stream).await.expect("a handshake")
        };
        let stream = connect(second).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        over_http2(stream).await;
        let stream = connect(plain).await;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
        tokio::spawn(connection);
        assert_challenged(sender.send_request(request("/2010-04-01/Accounts.json")).await.expect("an answer")).await;
    });
}
