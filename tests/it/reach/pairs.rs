//! HTTP/1.1 and HTTP/2 on either side, in all four pairs: large bodies and trailers both ways, answers that come early,
//! callers that give up.

use super::pieces::Pieces;
use super::world::{Authority, Issued, client};
use crate::support::command::{Running, run};
use crate::support::upstream::As;
use aws_lc_rs::digest::{Context, SHA256};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::Signal;
use rustls::ServerConfig;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use serde_json::json;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const ACCOUNT: &str = "AC00000000000000000000000000000001";
pub const SECRET: &str = "abcdefghijklmnopqrstuvwxyz012345";

/// 6 MiB in pieces of 64 KiB: many windows of HTTP/2, and far more than any buffer holds.
const PIECE: usize = 64 << 10;
const PIECES: usize = 96;

/// Which HTTP each side speaks.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    pub near: &'static str,
    pub far: &'static str,
}

/// What is announced of trailers, by callers and the upstream alike: hyper sends no others over HTTP/1.1.
const ANNOUNCED: &str = "x-trailer, x-echo, x-forwarded-for, sidekey-error, authorization, set-cookie";

const PAIRS: [Pair; 4] = [
    Pair { near: "http/1.1", far: "http/1.1" },
    Pair { near: "http/1.1", far: "h2" },
    Pair { near: "h2", far: "http/1.1" },
    Pair { near: "h2", far: "h2" },
];

/// A broker with an upstream of the test's own.
pub struct Between {
    pair: Pair,
    folder: TempDir,
    broker: Running,
    at: SocketAddr,
    ca: Authority,
    proof: String,
    /// Hears of every endless answer that the upstream stopped sending, and of bodies that are cut.
    stopped: mpsc::Receiver<()>,
}

impl Between {
    async fn start(pair: Pair) -> Self {
        let (stop, stopped) = mpsc::channel();
        Self::before(pair, stopped, async |own| upstream(own, pair.far, stop).await).await
    }

    /// A broker before an upstream that is given its certificate.
    pub async fn before(
        pair: Pair,
        stopped: mpsc::Receiver<()>,
        upstream: impl AsyncFnOnce(&Issued) -> SocketAddr,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ca = Authority::new("servers");
        ca.server("sidekey.test").write(folder.path(), "server");
        std::fs::write(folder.path().join("roots.pem"), ca.0.pem()).expect("a file");
        let upstream = upstream(&ca.server("localhost")).await;
        let made = run(folder.path(), &["token", "generate", "--output", "json"]).json();
        let config = format!(
            r#"
[listen]
tls = "127.0.0.1:0"
[tls]
cert = "server.pem"
key = "server.key"
[upstream]
account_sid = "{ACCOUNT}"
url = "https://localhost:{}"
ca = "roots.pem"
[audit]
file = "audit.jsonl"
[limits]
cores = 1
[[team]]
name = "billing"
token_sha256 = [{}]
key = {{ sid = "SK00000000000000000000000000000001", secret = "env:KEY" }}
"#,
            upstream.port(),
            made[0]["sha256"]
        );
        std::fs::write(folder.path().join("sidekey.toml"), config).expect("a file");
        let mut broker = Running::start(folder.path(), &["serve"], &[("KEY", SECRET)]);
        let at = broker.told("listening tls=").parse().expect("an address");
        let proof = As("x".to_owned(), made[0]["token"].as_str().expect("a text").to_owned()).basic();
        Self { pair, folder, broker, at, ca, proof, stopped }
    }

    /// Ends the broker; gives what it left in its trail and its log.
    pub fn end(self) -> String {
        let (_, log) = self.broker.end(Signal::TERM);
        std::fs::read_to_string(self.folder.path().join("audit.jsonl")).expect("a trail") + &log
    }

    /// Waits until the upstream says something.
    async fn told(&self) {
        let heard = async {
            while self.stopped.try_recv().is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), heard).await.expect("the upstream is told");
    }

    pub async fn caller(&self) -> Caller {
        let config = Arc::new(client(&[self.ca.root()], None, &[self.pair.near]));
        let name = ServerName::try_from("sidekey.test").expect("a name");
        let tcp = TcpStream::connect(self.at).await.expect("a listener");
        let tls = TlsConnector::from(config).connect(name, tcp).await.expect("shakes hands");
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(self.pair.near.as_bytes()));
        if self.pair.near == "h2" {
            let (sender, connection) =
                http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await.expect("a connection");
            tokio::spawn(connection);
            Caller::H2(sender)
        } else {
            let (sender, connection) = http1::handshake(TokioIo::new(tls)).await.expect("a connection");
            tokio::spawn(connection);
            Caller::H1(sender)
        }
    }

    pub fn request(&self, method: &str, case: &str, body: Pieces) -> Request<Pieces> {
        let path = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json?Case={case}");
        let uri = if self.pair.near == "h2" { format!("https://sidekey.test{path}") } else { path };
        let request = Request::builder().method(method).uri(uri).header("authorization", &self.proof);
        let request = if self.pair.near == "h2" { request } else { request.header("host", "sidekey.test") };
        let request = if body.has_trailers() { request.header("trailer", ANNOUNCED) } else { request };
        request
            .header("te", "trailers")
            .header("content-type", "application/octet-stream")
            .body(body)
            .expect("a request")
    }
}

/// A caller's connection.
pub enum Caller {
    H1(http1::SendRequest<Pieces>),
    H2(http2::SendRequest<Pieces>),
}

impl Caller {
    pub async fn send(&mut self, request: Request<Pieces>) -> Response<Incoming> {
        let sent = async {
            match self {
                Self::H1(sender) => sender.send_request(request).await,
                Self::H2(sender) => sender.send_request(request).await,
            }
        };
        tokio::time::timeout(Duration::from_mins(1), sent).await.expect("in time").expect("an answer")
    }
}

/// Shakes hands as a server that speaks `alpn` alone.
pub fn acceptor(own: &Issued, alpn: &str) -> TlsAcceptor {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.key.serialize_der()));
    let config = ServerConfig::builder_with_provider(sidekey::tls::provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![own.der.clone()], key);
    let mut config = config.expect("a pair");
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// An upstream that speaks `alpn` alone, and does what `Case` says.
async fn upstream(own: &Issued, alpn: &str, stopped: mpsc::Sender<()>) -> SocketAddr {
    let acceptor = acceptor(own, alpn);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, stopped) = (acceptor.clone(), stopped.clone());
            tokio::spawn(async move {
                let Ok(tls) = acceptor.accept(tcp).await else { return };
                let service = service_fn(move |request| answer(request, stopped.clone()));
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(tls), service).await;
            });
        }
    });
    address
}

async fn answer(request: Request<Incoming>, stopped: mpsc::Sender<()>) -> Result<Response<Pieces>, Infallible> {
    let case = request.uri().query().and_then(|query| query.strip_prefix("Case=")).unwrap_or_default().to_owned();
    let version = request.version();
    let announced = request.headers().get("trailer").cloned();
    let te = format!("{:?}", request.headers().get("te"));
    let respond = |status: u16, body| {
        let answer = Response::builder().status(status).header("content-type", "application/json");
        let http2 = if version == Version::HTTP_2 { "2" } else { "1.1" };
        let answer = answer.header("x-spoken", http2);
        let answer = if Pieces::has_trailers(&body) { answer.header("trailer", ANNOUNCED) } else { answer };
        Ok(answer.body(body).expect("an answer"))
    };
    match case.as_str() {
        // Answered before a byte of the body is read.
        "early" => respond(400, Pieces::text("{\"code\": 21211}")),
        "large" => {
            // The second trailer is what a careless upstream would echo; the others would mean something in a header.
            let trailers = trailers(&[
                ("x-trailer", "yes"),
                ("x-echo", SECRET),
                ("sidekey-error", "no_key"),
                ("set-cookie", "a=b"),
            ]);
            respond(200, Pieces::many(PIECES, PIECE).with_trailers(trailers))
        }
        "bloated" => respond(200, Pieces::many(8, PIECE).with_trailers(bloated())),
        "endless" => respond(200, Pieces::endless(stopped)),
        // Tells that it is here, and then that its body was cut.
        "cut" => {
            let _ = stopped.send(());
            if request.into_body().collect().await.is_err() {
                let _ = stopped.send(());
            }
            respond(200, Pieces::none())
        }
        _ => {
            let mut body = request.into_body();
            let announced = announced.map(|value| value.to_str().expect("text").to_owned()).unwrap_or_default();
            let (mut sum, mut length, mut trailers) = (Context::new(&SHA256), 0, String::new());
            while let Some(Ok(frame)) = body.frame().await {
                trailers.extend(frame.trailers_ref().map(shown));
                if let Ok(data) = frame.into_data() {
                    sum.update(&data);
                    length += data.len();
                }
            }
            let sum = hex::encode(sum.finish());
            let told = json!({"length": length, "te": te, "sum": sum, "trailers": trailers, "announced": announced});
            respond(201, Pieces::text(&told.to_string()))
        }
    }
}

fn trailers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    fields.iter().map(|(name, value)| ((*name).try_into().expect("a name"), HeaderValue::from_static(value))).collect()
}

/// More trailers than anybody needs.
fn bloated() -> HeaderMap {
    (0..40).fold(HeaderMap::new(), |mut map, _| {
        map.append("x-trailer", HeaderValue::from_static("yes"));
        map
    })
}

/// Trailers in their order.
fn shown(trailers: &HeaderMap) -> String {
    let line =
        |(name, value): (&http::HeaderName, &HeaderValue)| format!("{name}: {}; ", value.to_str().expect("text"));
    trailers.iter().map(line).collect()
}

/// What the many pieces come to.
fn expected_sum() -> String {
    let mut sum = Context::new(&SHA256);
    for number in 0..PIECES {
        sum.update(&Pieces::piece(number, PIECE));
    }
    hex::encode(sum.finish())
}

#[tokio::test]
async fn large_bodies_go_up_whole_with_those_trailers_that_may() {
    for pair in PAIRS {
        let between = Between::start(pair).await;
        let mut caller = between.caller().await;
        for _ in 0..2 {
            // Trailers that would be a second proof, if anybody took them for headers.
            let trailers =
                trailers(&[("authorization", "Basic eDp5"), ("x-forwarded-for", "1.2.3.4"), ("x-trailer", "yes")]);
            let body = Pieces::many(PIECES, PIECE).with_trailers(trailers);
            let answer = caller.send(between.request("POST", "upload", body)).await;
            assert_eq!(answer.status(), 201, "{pair:?}");
            let spoken = if pair.far == "h2" { "2" } else { "1.1" };
            assert_eq!(answer.headers()["x-spoken"], spoken, "{pair:?}");
            let body = answer.into_body().collect().await.expect("a body").to_bytes();
            let told: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!(told["length"], PIECES * PIECE, "{pair:?}");
            assert_eq!(told["sum"], expected_sum(), "{pair:?}");
            assert_eq!(told["trailers"], "x-trailer: yes; ", "{pair:?}");
            assert_eq!(told["te"], "Some(\"trailers\")", "{pair:?}");
            assert_eq!(told["announced"], "x-trailer, x-echo", "{pair:?}");
        }
    }
}

#[tokio::test]
async fn large_bodies_come_down_whole_with_those_trailers_that_may_and_no_secret() {
    for pair in PAIRS {
        let between = Between::start(pair).await;
        let mut caller = between.caller().await;
        let answer = caller.send(between.request("GET", "large", Pieces::none())).await;
        assert_eq!(answer.status(), 200, "{pair:?}");
        assert_eq!(answer.headers()["trailer"], "x-trailer, x-echo", "{pair:?}");
        let whole = answer.into_body().collect().await.expect("a body");
        let masked = format!("x-trailer: yes; x-echo: {}; ", "*".repeat(SECRET.len()));
        assert_eq!(whole.trailers().map(shown).unwrap_or_default(), masked, "{pair:?}");
        let mut sum = Context::new(&SHA256);
        sum.update(&whole.to_bytes());
        assert_eq!(hex::encode(sum.finish()), expected_sum(), "{pair:?}");
    }
}

#[tokio::test]
async fn too_many_trailers_are_refused_one_way_and_cut_the_other() {
    for pair in PAIRS {
        let between = Between::start(pair).await;
        let body = Pieces::many(2, 1024).with_trailers(bloated());
        let answer = between.caller().await.send(between.request("POST", "upload", body)).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{pair:?}");
        assert_eq!(answer.headers()["sidekey-error"], "malformed_request", "{pair:?}");
        let answer = between.caller().await.send(between.request("GET", "bloated", Pieces::none())).await;
        assert_eq!(answer.status(), 200, "{pair:?}");
        assert!(answer.into_body().collect().await.is_err(), "{pair:?}: whole");
        let next = between.caller().await.send(between.request("POST", "next", Pieces::text("a=b"))).await;
        assert_eq!(next.status(), 201, "{pair:?}");
    }
}

#[tokio::test]
async fn an_answer_that_comes_early_arrives_though_the_body_never_ends() {
    for pair in PAIRS {
        let between = Between::start(pair).await;
        let mut caller = between.caller().await;
        let (gone, _) = mpsc::channel();
        let answer = caller.send(between.request("POST", "early", Pieces::endless(gone))).await;
        assert_eq!(answer.status(), 400, "{pair:?}");
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        assert_eq!(body, "{\"code\": 21211}", "{pair:?}");
        // Another caller's request is none the worse for it.
        let next = between.caller().await.send(between.request("POST", "next", Pieces::text("a=b"))).await;
        assert_eq!(next.status(), 201, "{pair:?}");
    }
}

#[tokio::test]
async fn a_caller_that_gives_up_ends_the_upstreams_answer_too() {
    for pair in PAIRS {
        let between = Between::start(pair).await;
        let mut caller = between.caller().await;
        let answer = caller.send(between.request("GET", "endless", Pieces::none())).await;
        let mut body = answer.into_body();
        assert!(body.frame().await.expect("a piece").is_ok(), "{pair:?}");
        drop(body);
        between.told().await;
        if pair.near == "h2" {
            let next = caller.send(between.request("POST", "next", Pieces::text("a=b"))).await;
            assert_eq!(next.status(), 201, "the connection's other streams go on");
        }
    }
}

#[tokio::test]
async fn a_caller_that_breaks_off_its_body_never_ends_it_upstream() {
    for pair in PAIRS {
        let between = Between::start(pair).await;
        let mut caller = between.caller().await;
        let (gone, _) = mpsc::channel();
        let sending = caller.send(between.request("POST", "cut", Pieces::endless(gone)));
        tokio::select! {
            answer = sending => panic!("{pair:?}: answered before the end: {answer:?}"),
            () = between.told() => {}
        }
        drop(caller);
        // A body that had an end would be one that was taken for whole.
        between.told().await;
    }
}
