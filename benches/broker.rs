//! The whole line in memory: a head as it comes from the socket, judged, leased, rewritten and recorded; nothing is sent.

mod world;

use criterion::measurement::Measurement;
use criterion::{Criterion, criterion_group, criterion_main};
use sidekey::audit::{Peer, Trail};
use sidekey::authn::Authn;
use sidekey::broker::{Broker, Connection, Parts, Prepared};
use sidekey::clock::Clock;
use sidekey::config::{self, Config, ProcessEnvironment};
use sidekey::http1::parse_request;
use sidekey::metrics::Metrics;
use sidekey::net::Buffers;
use sidekey::tls::callers::CallerTls;
use sidekey::upstream::{Connector, Pool};
use std::hint::black_box;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use world::{ACCOUNT, CpuTime, World, in_turn, settings, world};

/// A middling company.
const TOKENS: usize = 10_000;

/// How many requests one turn of the runtime takes: the audit is written after each turn.
const TURN: u64 = 32;

/// A broker whose upstream nobody ever asks.
struct Line {
    runtime: LocalRuntime,
    broker: Broker,
    connection: Connection,
    // Holds the audit and the key's file.
    _folder: TempDir,
}

fn configuration(folder: &Path) -> Config {
    let secret = folder.join("secret");
    std::fs::write(&secret, "0".repeat(32)).expect("a writable folder");
    let text = format!(
        "[listen]\nproxy = \"127.0.0.1:0\"\n[upstream]\naccount_sid = \"{ACCOUNT}\"\nurl = \"http://127.0.0.1:1\"\n\
         [audit]\nfile = \"{}\"\n[[team]]\nname = \"one\"\nkind = \"standard\"\naccounts = [\"{ACCOUNT}\"]\n\
         token_sha256 = [\"{}\"]\nkey = {{ sid = \"SK{}\", secret = \"file:{}\" }}\n",
        folder.join("audit.jsonl").display(),
        "0".repeat(64),
        "0".repeat(32),
        secret.display(),
    );
    config::parse(&text, &folder.join("sidekey.toml"), &ProcessEnvironment).expect("a good config")
}

fn line(world: &World) -> Line {
    let folder = tempfile::tempdir().expect("a writable folder for temporary files");
    let config = configuration(folder.path());
    let clock = Clock::system();
    let trail = Trail::open(&config.audit, 1, clock.clone()).expect("a writable trail");
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).expect("a runtime");
    let broker = runtime.block_on(async {
        let buffers = Rc::new(Buffers::default());
        let connector = Connector::new(&config.upstream).expect("plain HTTP needs no roots");
        let parts = Parts {
            authn: Authn::new(Arc::clone(&world.directory), None, Arc::default()),
            directory: Arc::clone(&world.directory),
            pool: Rc::new(Pool::new(connector, &config, Rc::clone(&buffers))),
            recorder: trail.recorder(0),
            metrics: Metrics::default().core(),
            buffers,
            bodies: Arc::default(),
            tls: Arc::new(CallerTls::open(&config, None, |_| false, &clock).expect("no TLS is configured")),
            clock,
        };
        Broker::new(parts, &config)
    });
    let peer = Peer::Ip("127.0.0.1:40000".parse().expect("an address"));
    let connection = Connection::new(peer, None, false);
    Line { runtime, broker, connection, _folder: folder }
}

/// What the SDKs send.
fn head(path: &str, proof: &[u8]) -> Vec<u8> {
    let proof = String::from_utf8_lossy(proof);
    format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: twilio-python/9.13.0 (Linux x86_64) Python/3.11\r\n\
         Accept-Encoding: gzip, deflate\r\nAccept: application/json\r\nConnection: keep-alive\r\n\
         X-Twilio-Client: python-9.13.0\r\nAuthorization: {proof}\r\n\r\n"
    )
    .into_bytes()
}

impl Line {
    /// Judges and records one request; whether it may go upstream.
    fn prepare(&self, bytes: &[u8]) -> bool {
        let opened = self.broker.open(&self.connection);
        let prepared = parse_request(bytes, |head, _| self.broker.prepare(opened, head, &self.connection, None));
        matches!(prepared, Ok(Some(Prepared::Forward(_))))
    }

    fn bench(&self, c: &mut Criterion<CpuTime>, name: &str, heads: &[Vec<u8>], allowed: bool) {
        assert_eq!(self.runtime.block_on(async { self.prepare(&heads[0]) }), allowed, "{name}");
        let mut next = in_turn(heads);
        c.bench_function(name, |b| {
            b.iter_custom(|rounds| {
                self.runtime.block_on(async {
                    let began = CpuTime.start();
                    for round in 0..rounds {
                        black_box(self.prepare(black_box(next())));
                        if round % TURN == 0 {
                            tokio::task::yield_now().await;
                        }
                    }
                    CpuTime.end(began)
                })
            });
        });
    }
}

fn broker(c: &mut Criterion<CpuTime>) {
    sidekey::twilio::operations::prepare();
    let world = world(TOKENS);
    let line = line(&world);
    let all = |path: &str| world.proofs.iter().map(|proof| head(path, proof)).collect::<Vec<_>>();
    let messages = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json?PageSize=50");
    line.bench(c, "allowed", &all(&messages), true);
    line.bench(c, "refused: keys", &all(&format!("/2010-04-01/Accounts/{ACCOUNT}/Keys.json")), false);
    line.bench(c, "refused: host", &all("/example.com/v1/Services"), false);
    line.bench(c, "refused: no proof", &[head(&messages, b"")], false);
}

criterion_group! { name = line_in_memory; config = settings(); targets = broker }
criterion_main!(line_in_memory);
