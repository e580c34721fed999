//! Fetching a key set: one GET over HTTP/1.1, with the roots and the bearer token that `[[jwt]]` names.
//!
//! Follows no redirect, for a key server that sends us elsewhere could send us anywhere; keeps no connection, since a
//! set is fetched every few minutes.

use crate::config::{self, Origin};
use crate::tls;
use crate::tls::upstream::{ALPN_HTTP1, client_config};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

/// A fetch under way: the body of a 200 answer, or what went wrong, in words without a secret.
pub(super) type FetchFuture<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send + 'a>>;

/// How a key set is fetched: one GET that follows no redirect. An answer other than 200 and a body above `ceiling` bytes
/// are errors. The waiting is bounded by who calls.
pub(super) trait Fetch: Send + Sync {
    /// Fetches `url`.
    fn get<'a>(&'a self, url: &'a str, ceiling: usize) -> FetchFuture<'a>;
}

/// Fetches the key set of one `[[jwt]]`.
pub(super) struct HttpFetch {
    tls: Arc<ClientConfig>,
    token_file: Option<PathBuf>,
}

impl HttpFetch {
    /// Reads the roots of `jwks_ca`. The token is read at each fetch.
    pub(super) fn new(jwt: &config::Jwt) -> Result<Self, tls::Error> {
        let tls = client_config(jwt.jwks_ca.as_deref(), ALPN_HTTP1)?;
        Ok(Self { tls, token_file: jwt.jwks_token_file.clone() })
    }

    async fn fetch(&self, url: &str, ceiling: usize) -> Result<Vec<u8>, String> {
        let (origin, target) = split(url).ok_or("jwks_url can't be read as a URL")?;
        let request = self.request(&origin, target)?;
        let tcp = TcpStream::connect((origin.host.as_str(), origin.port)).await;
        let tcp = tcp.map_err(|error| format!("no connection: {error}"))?;
        if !origin.tls {
            return exchange(tcp, request, ceiling).await;
        }
        let name = ServerName::try_from(origin.host.clone()).map_err(|_| "the host of jwks_url has no name for TLS")?;
        let tls = TlsConnector::from(Arc::clone(&self.tls)).connect(name, tcp).await;
        exchange(tls.map_err(|error| format!("no TLS: {error}"))?, request, ceiling).await
    }

    fn request(&self, origin: &Origin, target: &str) -> Result<Request<Empty<Bytes>>, String> {
        let default = if origin.tls { 443 } else { 80 };
        let host = if origin.host.contains(':') { format!("[{}]", origin.host) } else { origin.host.clone() };
        let host = if origin.port == default { host } else { format!("{host}:{}", origin.port) };
        let mut request = Request::get(target)
            .header(header::HOST, host)
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .header(header::CONNECTION, "close");
        if let Some(path) = &self.token_file {
            let text = std::fs::read(path).map(Zeroizing::new);
            let text = text.map_err(|error| format!("{}: can't be read: {error}", path.display()))?;
            let value = Zeroizing::new([b"Bearer ", text.trim_ascii()].concat());
            let value = HeaderValue::from_bytes(&value);
            let mut value = value.map_err(|_| format!("{}: can't stand in a header", path.display()))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        request.body(Empty::new()).map_err(|error| format!("jwks_url: {error}"))
    }
}

impl Fetch for HttpFetch {
    fn get<'a>(&'a self, url: &'a str, ceiling: usize) -> FetchFuture<'a> {
        Box::pin(self.fetch(url, ceiling))
    }
}

/// The URL's origin, and its path and query.
fn split(url: &str) -> Option<(Origin, &str)> {
    let host = url.find("://")? + 3;
    let end = url[host..].find(['/', '?']).map_or(url.len(), |at| host + at);
    let target = if url[end..].starts_with('/') { &url[end..] } else { "/" };
    Some((Origin::parse(&url[..end])?, target))
}

/// Sends the request and reads the answer, whose every fault is told without quoting it.
async fn exchange<S>(stream: S, request: Request<Empty<Bytes>>, ceiling: usize) -> Result<Vec<u8>, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let fault = |error: hyper::Error| format!("no answer: {error}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(fault)?;
    let connection = tokio::spawn(connection);
    let answer = async {
        let answer = sender.send_request(request).await.map_err(fault)?;
        if answer.status() != StatusCode::OK {
            return Err(format!("the answer was {}", answer.status().as_u16()));
        }
        let body = Limited::new(answer.into_body(), ceiling).collect().await;
        let body = body.map_err(|_| format!("the answer was cut, or larger than {} KiB", ceiling >> 10))?;
        Ok(body.to_bytes().to_vec())
    }
    .await;
    connection.abort();
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::Authority;
    use std::collections::BTreeMap;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn fetcher(edit: impl FnOnce(&mut config::Jwt)) -> HttpFetch {
        let mut jwt = config::Jwt {
            issuer: "i".to_owned(),
            audience: "a".to_owned(),
            jwks: config::Jwks::Url(String::new()),
            jwks_ca: None,
            jwks_token_file: None,
            algorithms: Vec::new(),
            team_claim: None,
            subjects: BTreeMap::new(),
            leeway: Duration::ZERO,
            max_age: Duration::from_hours(1),
        };
        edit(&mut jwt);
        HttpFetch::new(&jwt).expect("roots")
    }

    /// Reads one request from `stream` and answers it; gives the request.
    async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, text: &str) -> String {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.expect("a request"));
        }
        stream.write_all(text.as_bytes()).await.expect("heard");
        stream.shutdown().await.expect("heard");
        String::from_utf8(request).expect("text")
    }

    /// What a fetch of `/keys?x=y` brings from a server that answers so, and what that server heard.
    async fn plain(fetch: &HttpFetch, text: &str) -> (Result<Vec<u8>, String>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/keys?x=y", listener.local_addr().expect("bound"));
        let server = async { answer(listener.accept().await.expect("a caller").0, text).await };
        tokio::join!(fetch.get(&url, 100), server)
    }

    #[tokio::test]
    async fn a_body_of_a_200_comes_and_nothing_else() {
        let fetch = fetcher(|_| {});
        let (got, heard) = plain(&fetch, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
        assert_eq!(got, Ok(b"{}".to_vec()));
        assert!(heard.starts_with("GET /keys?x=y HTTP/1.1\r\nhost: 127.0.0.1:"), "{heard}");
        assert!(!heard.to_ascii_lowercase().contains("authorization"), "{heard}");
        for (text, problem) in [
            ("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_owned(), "302"),
            ("HTTP/1.1 500 X\r\ncontent-length: 2\r\n\r\n{}".to_owned(), "500"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{}".to_owned(), "cut"),
            (format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(101)), "larger"),
            ("nonsense\r\n\r\n".to_owned(), "no answer"),
            (String::new(), "no answer"),
        ] {
            let (got, _) = plain(&fetch, &text).await;
            let got = got.expect_err(problem);
            assert!(got.contains(problem), "{problem}: {got}");
        }
    }

    #[tokio::test]
    async fn the_token_is_read_anew_each_time() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("token");
        let fetch = fetcher(|jwt| jwt.jwks_token_file = Some(path.clone()));
        for token in ["first", "second\n"] {
            std::fs::write(&path, token).expect("writable");
            let (_, heard) = plain(&fetch, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
            assert!(heard.contains(&format!("authorization: Bearer {}\r\n", token.trim())), "{heard}");
        }
        std::fs::write(&path, "a\nb").expect("writable");
        let fault = fetch.get("http://127.0.0.1:1/", 100).await.expect_err("no header");
        assert!(fault.contains("can't stand in a header") && !fault.contains("a\nb"), "{fault}");
    }

    #[tokio::test]
    async fn tls_is_verified_by_the_roots_named() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let ca = Authority::new("keys");
        let (jwks_ca, _) = ca.write(dir.path());
        let (cert, key) = ca.server(&["localhost"]).write(dir.path(), "server");
        let tls = config::Tls { cert, key, client_ca: None, client_crl: None, client_cert_required: false };
        let server = tls::server::ServerTls::open(Some(&tls), None).expect("opens");
        let acceptor = tokio_rustls::TlsAcceptor::from(server.config());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("https://localhost:{}/keys", listener.local_addr().expect("bound").port());
        let serve = async {
            let stream = acceptor.accept(listener.accept().await.expect("a caller").0).await.ok()?;
            Some(answer(stream, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await)
        };
        let trusting = fetcher(|jwt| jwt.jwks_ca = Some(jwks_ca));
        let (got, heard) = tokio::join!(trusting.get(&url, 100), serve);
        assert_eq!(got, Ok(b"{}".to_vec()));
        assert!(heard.is_some_and(|heard| heard.contains("host: localhost:")));
        let serve = async { acceptor.accept(listener.accept().await.expect("a caller").0).await.is_ok() };
        let wary = fetcher(|_| {});
        let (got, _) = tokio::join!(wary.get(&url, 100), serve);
        assert!(got.expect_err("an unknown CA").contains("no TLS"));
    }

    #[test]
    fn urls_are_split() {
        let parts = |url| split(url).map(|(origin, target)| (origin.host, origin.port, target.to_owned()));
        let some = |host: &str, port, target: &str| Some((host.to_owned(), port, target.to_owned()));
        assert_eq!(parts("https://a.example/k?x=1"), some("a.example", 443, "/k?x=1"));
        assert_eq!(parts("http://127.0.0.1:8080"), some("127.0.0.1", 8080, "/"));
        assert_eq!(parts("https://a.example?x=1"), some("a.example", 443, "/"));
        assert_eq!(parts("a.example/k"), None);
    }
}
