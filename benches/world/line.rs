//! The whole line in memory: a head as it comes from the socket, judged, leased, rewritten and recorded; nothing is sent.

use super::{ACCOUNT, World};
use sidekey::admission::Rates;
use sidekey::audit::{Peer, Trail};
use sidekey::authn::Authn;
use sidekey::broker::{Broker, Connection, Prepared, RequestIds, Settled};
use sidekey::clock::Clock;
use sidekey::config::{self, Config, ProcessEnvironment};
use sidekey::http1::parse_request;
use sidekey::metrics::Metrics;
use sidekey::net::Buffers;
use sidekey::tls::callers::CallerTls;
use sidekey::upstream::{Connector, Pool};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

/// How many requests one turn of the runtime takes: the audit is written after each turn.
pub const TURN: usize = 32;

/// What the cores of one broker share.
pub struct Shared {
    config: Config,
    trail: Trail,
    metrics: Metrics,
    clock: Clock,
    // Holds the audit and the key's file.
    _folder: TempDir,
}

/// One core of a broker whose upstream nobody ever asks.
pub struct Line {
    /// Its runtime.
    pub runtime: LocalRuntime,
    broker: Broker,
    connection: Connection,
}

impl Shared {
    /// For so many cores.
    pub fn new(cores: usize) -> Self {
        let folder = tempfile::tempdir().expect("a writable folder for temporary files");
        let config = configuration(folder.path());
        let clock = Clock::system();
        let trail = Trail::open(&config.audit, cores, clock.clone()).expect("a writable trail");
        Self { config, trail, metrics: Metrics::default(), clock, _folder: folder }
    }
}

fn configuration(folder: &Path) -> Config {
    let secret = folder.join("secret");
    std::fs::write(&secret, "0".repeat(32)).expect("a writable folder");
    let text = format!(
        "[listen]\nproxy = \"127.0.0.1:0\"\n[upstream]\naccount_sid = \"{ACCOUNT}\"\nurl = \"http://127.0.0.1:1\"\n\
         [audit]\nfile = \"{}\"\nmax_size = \"64GiB\"\n[[team]]\nname = \"one\"\nkind = \"standard\"\naccounts = [\"{ACCOUNT}\"]\n\
         token_sha256 = [\"{}\"]\nkey = {{ sid = \"SK{}\", secret = \"file:{}\" }}\n",
        folder.join("audit.jsonl").display(),
        "0".repeat(64),
        "0".repeat(32),
        secret.display(),
    );
    config::parse(&text, &folder.join("sidekey.toml"), &ProcessEnvironment).expect("a good config")
}

impl Line {
    /// Core number `core`; to be made on the thread that uses it.
    pub fn new(world: &World, shared: &Shared, core: usize) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let runtime = runtime.expect("a runtime");
        let (config, clock) = (&shared.config, &shared.clock);
        let broker = runtime.block_on(async {
            let buffers = Rc::new(Buffers::default());
            let connector = Connector::new(&config.upstream).expect("plain HTTP needs no roots");
            Broker {
                authn: Authn::new(Arc::clone(&world.directory), None, Arc::default()),
                directory: Arc::clone(&world.directory),
                pool: Rc::new(Pool::new(connector, config, Rc::clone(&buffers))),
                recorder: shared.trail.recorder(core),
                metrics: shared.metrics.core(),
                buffers,
                bodies: Arc::default(),
                rates: Arc::new(Rates::new(Clock::system().instant())),
                tls: Arc::new(CallerTls::open(config, None, |_| false, clock).expect("no TLS is configured")),
                clock: clock.clone(),
                limits: config.limits.clone(),
                response_timeout: config.upstream.response_timeout,
                account: config.upstream.account_sid,
                master_account: config.upstream.account_sid,
                ids: RequestIds::at_random(),
                complained: std::cell::Cell::default(),
            }
        });
        let peer = Peer::Ip("127.0.0.1:40000".parse().expect("an address"));
        let connection = Connection::new(peer, None, false);
        Self { runtime, broker, connection }
    }

    /// Judges and records one request; whether it may go upstream. Within the runtime.
    pub fn prepare(&self, bytes: &[u8]) -> bool {
        let opened = self.broker.open(&self.connection);
        let prepared = parse_request(bytes, |head, _| self.broker.prepare(opened, head, &self.connection, None));
        matches!(prepared, Ok(Some(Ok(Prepared::Settled(Settled::Forward(_))))))
    }
}

/// What most requests ask for.
pub fn messages() -> String {
    format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json?PageSize=50")
}

/// What the SDKs send.
pub fn head(path: &str, proof: &[u8]) -> Vec<u8> {
    let proof = String::from_utf8_lossy(proof);
    format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: twilio-python/9.13.0 (Linux x86_64) Python/3.11\r\n\
         Accept-Encoding: gzip, deflate\r\nAccept: application/json\r\nConnection: keep-alive\r\n\
         X-Twilio-Client: python-9.13.0\r\nAuthorization: {proof}\r\n\r\n"
    )
    .into_bytes()
}
