//! A broker and an upstream by hand, for many cases.

use super::spelled::given_away;
use crate::reach::wire::{Secure, ask, dial, secure};
use crate::reach::world::{Authority, client};
use crate::support::command::{Running, run, run_with};
use crate::support::raw::Answered;
use crate::support::talk::{End, Log, Talk};
use crate::support::wire::{After, Exchange, Wire};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

/// The team's own account.
pub const OURS: &str = "AC00000000000000000000000000000001";
/// Another team's.
pub const THEIRS: &str = "AC00000000000000000000000000000002";
/// The standard team's key.
pub const KEY: (&str, &str) = ("SK00000000000000000000000000000001", "Zq7kT2vXw9LmB4nR8sYc1DfG6hJ3pA5e");
/// The master credential.
pub const MASTER: (&str, &str) = (OURS, "9f3c1e7a5b2d8064c7e1f09a3b5d6e82");
/// An operation that the standard team may use.
pub const MESSAGES: &str = "/2010-04-01/Accounts/AC00000000000000000000000000000001/Messages.json";
/// One that it may not.
pub const KEYS: &str = "/2010-04-01/Accounts/AC00000000000000000000000000000001/Keys.json";

/// Every operation that Twilio publishes: host, method, template, name.
pub const OPERATIONS: &str = include_str!("../../../src/twilio/operations.tsv");

/// `Basic` with these credentials.
pub fn basic(username: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
}

/// The doors of a broker that has all of them.
const SECURE: &str = r#"proxy = "127.0.0.1:0"
tls = "127.0.0.1:0"
[tls]
cert = "server.pem"
key = "server.key"
[intercept]
ca_cert = "ca/ca.pem"
ca_key = "ca/ca.key"
"#;

/// A running broker.
pub struct Fixture {
    folder: tempfile::TempDir,
    broker: Option<Running>,
    /// Where it is.
    pub at: SocketAddr,
    /// Where it listens for TLS, as `sidekey.test`, if it does.
    tls: Option<SocketAddr>,
    /// Whom callers trust: the issuer of `sidekey.test`, and the private CA.
    trusted: Vec<CertificateDer<'static>>,
    /// Behind it.
    pub wire: Wire,
    /// A standard team's token.
    pub token: String,
    /// A master team's token.
    pub master: String,
    /// What callers were sent.
    pub log: Log,
    /// Request ids that callers were given, and the status that came with each.
    answered: Mutex<BTreeMap<String, u16>>,
}

impl Fixture {
    /// Starts both, with generous limits.
    pub fn start(play: impl Fn(&mut Exchange) -> After + Send + Sync + 'static) -> Self {
        Self::start_with("response_timeout = \"30s\"", "", play)
    }

    /// Starts both, with these lines in `[upstream]` and in `[limits]`.
    pub fn start_with(
        upstream: &str,
        limits: &str,
        play: impl Fn(&mut Exchange) -> After + Send + Sync + 'static,
    ) -> Self {
        Self::open(upstream, limits, false, play)
    }

    /// Starts both; the broker listens for TLS too, and intercepts.
    pub fn start_secure(limits: &str, play: impl Fn(&mut Exchange) -> After + Send + Sync + 'static) -> Self {
        Self::open("response_timeout = \"30s\"", limits, true, play)
    }

    fn open(
        upstream: &str,
        limits: &str,
        secure: bool,
        play: impl Fn(&mut Exchange) -> After + Send + Sync + 'static,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let wire = Wire::start(play);
        let mut trusted = Vec::new();
        if secure {
            assert_eq!(run(folder.path(), &["ca", "init", "ca"]).code, Some(0));
            let ca = Authority::new("servers");
            ca.server("sidekey.test").write(folder.path(), "server");
            trusted.push(ca.root());
            trusted.push(CertificateDer::from_pem_file(folder.path().join("ca/ca.pem")).expect("a certificate"));
        }
        let made = run(folder.path(), &["token", "generate", "--count", "2", "--output", "json"]).json();
        let word = |n: usize, name: &str| made[n][name].as_str().expect("a text").to_owned();
        let mut config = config(&wire, upstream, limits, &[word(0, "sha256"), word(1, "sha256")]);
        if secure {
            config = config.replace("proxy = \"127.0.0.1:0\"\n", SECURE);
        }
        std::fs::write(folder.path().join("sidekey.toml"), config).expect("a file");
        let variables = [("BILLING", KEY.1), ("OWNER", MASTER.1), ("RUST_LOG", "debug")];
        let mut broker = Running::start(folder.path(), &["serve"], &variables);
        let at = broker.told("listening proxy=").parse().expect("an address");
        let tls = secure.then(|| broker.told("listening tls=").parse().expect("an address"));
        let (token, master) = (word(0, "token"), word(1, "token"));
        let (log, answered) = (Log::default(), Mutex::default());
        Self { folder, broker: Some(broker), at, tls, trusted, wire, token, master, log, answered }
    }

    /// A plain connection to the TLS listener.
    pub fn knock(&self) -> TcpStream {
        dial(self.tls.expect("a broker that listens for TLS"))
    }

    /// Shakes hands at the TLS listener as a caller that offers `alpn`.
    pub fn secure(&self, alpn: &str) -> Secure {
        let config = Arc::new(client(&self.trusted, None, &[alpn]));
        secure(self.knock(), &config, "sidekey.test").expect("shakes hands")
    }

    /// Shakes hands at the TLS listener as a caller that takes it for `host`.
    pub fn named(&self, host: &str, alpn: &str) -> Secure {
        secure(self.knock(), &Arc::new(client(&self.trusted, None, &[alpn])), host).expect("a leaf")
    }

    /// The inside of a tunnel to `host`, for a caller that offers `alpn`.
    pub fn tunnel(&self, host: &str, alpn: &str) -> Secure {
        let mut stream = dial(self.at);
        let proof = basic("team", &self.token);
        let headers = [("Host", host), ("Proxy-Authorization", &proof)];
        let answer = ask(&mut stream, &format!("CONNECT {host}:443"), &headers, "");
        assert_eq!(answer.status, 200, "{answer:?}");
        secure(stream, &Arc::new(client(&self.trusted, None, &[alpn])), host).expect("a leaf")
    }

    /// Does `what` while the broker stands still.
    pub fn paused(&self, what: impl FnOnce()) {
        let broker = self.broker.as_ref().expect("it runs");
        broker.pause();
        what();
        broker.signal(Signal::CONT);
    }

    /// A connection to the broker.
    pub fn talk(&self) -> Talk {
        Talk::open(self.at, &self.log)
    }

    /// The standard team's `Authorization` line.
    pub fn proof(&self) -> String {
        format!("Authorization: {}\r\n", basic(OURS, &self.token))
    }

    /// `Host` and the standard team's proof.
    pub fn usual(&self) -> String {
        format!("Host: broker:8080\r\n{}", self.proof())
    }

    /// One request with the usual lines and more, and its answer.
    pub fn ask(&self, method: &str, target: &str, lines: &str, body: &[u8]) -> Option<Answered> {
        let mut talk = self.talk();
        talk.send(self.request(method, target, lines, body));
        talk.hang_up();
        let answered = talk.answer_to(method)?;
        self.note(&answered);
        Some(answered)
    }

    /// A request's bytes; the body is framed by its length unless `lines` say otherwise.
    pub fn request(&self, method: &str, target: &str, lines: &str, body: &[u8]) -> Vec<u8> {
        let mut head = format!("{method} {target} HTTP/1.1\r\n{}{lines}", self.usual());
        let framed = lines.to_ascii_lowercase();
        let stated = framed.contains("content-length:") || framed.contains("transfer-encoding:");
        if !stated && !body.is_empty() {
            write!(head, "Content-Length: {}\r\n", body.len()).expect("a String takes all");
        }
        [head.as_bytes(), b"\r\n", body].concat()
    }

    /// Remembers an answer, for the audit.
    pub fn note(&self, answered: &Answered) {
        let Some(id) = answered.header("sidekey-request-id") else { panic!("an answer without id: {answered:?}") };
        let before = self.answered.lock().expect("no panic").insert(id.to_owned(), answered.status);
        assert_eq!(before, None, "an id twice: {answered:?}");
    }

    /// Remembers answers.
    pub fn note_all(&self, answers: &[Answered]) {
        for answer in answers {
            self.note(answer);
        }
    }

    /// Sends bytes and holds that they are refused: one answer, for this reason, the connection closed, nothing upstream.
    #[track_caller]
    pub fn refused(&self, name: &str, bytes: &[u8], reason: &str) {
        let before = self.wire.count();
        let mut talk = self.talk();
        talk.send(bytes);
        let answers = talk.answers();
        self.note_all(&answers);
        let told: Vec<_> = answers.iter().map(|answer| (answer.status, answer.header("sidekey-error"))).collect();
        let status = match reason {
            "unauthenticated" | "invalid_proof" => 401,
            "malformed_request" => 400,
            "body_too_large" => 413,
            _ => 403,
        };
        assert_eq!(told, [(status, Some(reason))], "{name}: {answers:?}");
        assert_eq!(talk.end(), Some(End::Closed), "{name}: left open");
        assert_eq!(answers[0].header("connection"), Some("close"), "{name}: {answers:?}");
        assert_eq!(self.wire.count(), before, "{name}: reached the upstream: {:?}", self.wire.last());
    }

    /// Ends the broker and holds what must be true of every run; the audit's records and what was said on stderr.
    #[track_caller]
    pub fn end(mut self) -> (Vec<Value>, String) {
        let broker = self.broker.take().expect("it runs");
        let (code, said) = broker.end(Signal::TERM);
        assert_eq!(code, Some(0), "{said}");
        assert!(!said.contains("panicked"), "{said}");
        let text = std::fs::read(self.folder.path().join("audit.jsonl")).expect("an audit file");
        let lines = std::str::from_utf8(&text).expect("ASCII").lines();
        let records: Vec<Value> = lines.map(|line| serde_json::from_str(line).expect("one record a line")).collect();
        self.check_audit(&records);
        let log = self.log.lock().expect("no panic");
        for (place, text) in [("log", said.as_bytes()), ("audit", &text), ("callers", &log)] {
            for secret in [KEY.1, MASTER.1] {
                assert_eq!(given_away(text, secret), None, "{place}: a key's secret");
            }
        }
        for (place, text) in [("log", said.as_bytes()), ("audit", &text), ("upstream", &self.wire.bytes())] {
            for token in [&self.token, &self.master] {
                assert_eq!(given_away(text, token), None, "{place}: a token");
            }
        }
        for heard in self.wire.heard() {
            assert_eq!(heard.faults(), Vec::<String>::new(), "{heard:?}");
            let keys = [KEY, MASTER].map(|(username, secret)| basic(username, secret));
            assert!(keys.iter().any(|key| key == heard.value("authorization")), "{heard:?}");
        }
        (records, said)
    }

    /// Each answer has exactly one outcome, each intent too, and no outcome has two.
    fn check_audit(&self, records: &[Value]) {
        let ids = |phase: &str| {
            let of_phase = records.iter().filter(move |record| record["phase"] == phase);
            of_phase.map(|record| record["id"].as_str().expect("an id").to_owned()).collect::<Vec<_>>()
        };
        let outcomes = ids("outcome");
        let known: BTreeSet<_> = outcomes.iter().cloned().collect();
        assert_eq!(known.len(), outcomes.len(), "two outcomes for one request");
        for id in ids("intent") {
            assert!(known.contains(&id), "an intent without outcome: {id}");
        }
        for (id, status) in self.answered.lock().expect("no panic").iter() {
            let outcome = records.iter().find(|record| record["phase"] == "outcome" && record["id"] == **id);
            assert_eq!(outcome.map(|outcome| &outcome["status"]), Some(&Value::from(*status)), "{id}");
        }
        let verified = run_with(self.folder.path(), &["audit", "verify", "audit.jsonl"], &[]);
        let built = !verified.stderr.contains("this build can't");
        assert!(!built || verified.code == Some(0), "{verified:?}");
    }
}

fn config(wire: &Wire, upstream: &str, limits: &str, digests: &[String; 2]) -> String {
    let mut text = format!(
        r#"
[listen]
proxy = "127.0.0.1:0"
[upstream]
account_sid = "{OURS}"
{url}
{upstream}
[upstream.master]
username = "{OURS}"
password = "env:OWNER"
[limits]
{limits}
[[team]]
name = "billing"
token_sha256 = ["{}"]
key = {{ sid = "{}", secret = "env:BILLING" }}
[[team]]
name = "platform"
kind = "master"
token_sha256 = ["{}"]
[upstream.hosts]
"#,
        digests[0],
        KEY.0,
        digests[1],
        url = if upstream.contains("url = ") { String::new() } else { format!("url = \"http://{}\"", wire.address) },
    );
    let hosts: BTreeSet<&str> = OPERATIONS.lines().filter_map(|line| line.split('\t').next()).collect();
    for host in hosts.into_iter().filter(|host| *host != "api.twilio.com") {
        writeln!(text, "\"{host}\" = \"http://{}\"", wire.address).expect("a String takes all");
    }
    text
}

/// An upstream that agrees with everything.
pub fn agree(exchange: &mut Exchange) -> After {
    exchange.body();
    exchange.answer("200 OK", "Content-Type: application/json\r\n", b"{}")
}
