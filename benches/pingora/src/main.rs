//! The loopback benchmark's job, done with Pingora: the smallest program that does it honestly.
//!
//! Basic auth is looked up in a table, Authorization replaced by the team's key; unknown pairs get 401, closed paths 403;
//! connections are kept on both sides; a line for each request goes to a file, buffered as the other peers' are.

use async_trait::async_trait;
use http::HeaderValue;
use http::header::{AUTHORIZATION, HOST};
use pingora_core::Result;
use pingora_core::listeners::tls::TlsSettings;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_http::RequestHeader;
use pingora_proxy::{ProxyHttp, Session};
use regex::{RegexSet, RegexSetBuilder};
use std::collections::HashMap;
use std::fs::{File, read_to_string};
use std::io::{BufWriter, Write};
use std::process::exit;
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

const USAGE: &str = "usage: pingora-peer LISTEN_PORT UPSTREAM_PORT UPSTREAM_NAME TABLE CLOSED LOG CERT KEY CA
TABLE: lines of a proof, a tab and a key; CLOSED: lines of patterns; CERT, KEY, CA: files, or - for no TLS on that side";

/// What each request is judged by.
struct Peer {
    keys: HashMap<Vec<u8>, HeaderValue>,
    closed: RegexSet,
    upstream: HttpPeer,
    name: HeaderValue,
    log: Mutex<BufWriter<File>>,
}

/// One request's own.
struct Request {
    began: Instant,
    key: Option<HeaderValue>,
}

#[async_trait]
impl ProxyHttp for Peer {
    type CTX = Request;

    fn new_ctx(&self) -> Request {
        Request { began: Instant::now(), key: None }
    }

    async fn request_filter(&self, session: &mut Session, request: &mut Request) -> Result<bool> {
        let head = session.req_header();
        let refusal = if self.closed.is_match(head.uri.path()) {
            403
        } else {
            request.key = head.headers.get(AUTHORIZATION).and_then(|proof| self.keys.get(proof.as_bytes())).cloned();
            401
        };
        if request.key.is_none() {
            session.respond_error(refusal).await?;
        }
        Ok(request.key.is_none())
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut Request) -> Result<Box<HttpPeer>> {
        Ok(Box::new(self.upstream.clone()))
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        head: &mut RequestHeader,
        request: &mut Request,
    ) -> Result<()> {
        if let Some(key) = request.key.take() {
            head.insert_header(AUTHORIZATION, key)?;
        }
        head.insert_header(HOST, self.name.clone())
    }

    async fn logging(&self, session: &mut Session, _: Option<&pingora_core::Error>, request: &mut Request) {
        let head = session.req_header();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let status = session.response_written().map_or(0, |answer| answer.status.as_u16());
        let Ok(mut log) = self.log.lock() else { return };
        let _ = writeln!(
            log,
            r#"{{"ts":{}.{:03},"method":"{}","path":"{}","status":{status},"bytes":{},"dur":{}}}"#,
            now.as_secs(),
            now.subsec_millis(),
            head.method,
            head.uri.path(),
            session.body_bytes_sent(),
            request.began.elapsed().as_micros(),
        );
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [listen, port, name, table, closed, log, cert, key, ca] = &words[..] else {
        eprintln!("{USAGE}");
        exit(64);
    };
    let given = |file: &str| (file != "-").then(|| file.to_owned());
    let read = |file: &str| read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let text = read(table);
    let pairs = text.lines().filter_map(|line| line.split_once('\t'));
    let tls_out = given(ca);
    let peer = Peer {
        keys: pairs
            .map(|(proof, key)| (proof.as_bytes().to_vec(), HeaderValue::from_str(key).expect("printable")))
            .collect(),
        closed: RegexSetBuilder::new(read(closed).lines()).case_insensitive(true).build().expect("good patterns"),
        upstream: HttpPeer::new(("127.0.0.1", port.parse().expect("a port")), tls_out.is_some(), name.clone()),
        name: HeaderValue::from_str(name).expect("printable"),
        log: Mutex::new(BufWriter::with_capacity(64 << 10, File::create(log).expect("a writable log"))),
    };
    let conf = ServerConf { threads: 1, upstream_keepalive_pool_size: 512, ca_file: tls_out, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = pingora_proxy::http_proxy_service(&Arc::clone(&server.configuration), peer);
    let address = format!("127.0.0.1:{listen}");
    if let (Some(cert), Some(key)) = (given(cert), given(key)) {
        let mut settings = TlsSettings::intermediate(&cert, &key).expect("a certificate and its key");
        settings.enable_h2();
        service.add_tls_with_settings(&address, None, settings);
    } else {
        service.add_tcp(&address);
    }
    server.add_service(service);
    server.run_forever();
}
