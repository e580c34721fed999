//! A folder with a config and a store, in front of a sandbox of its own: where the commands and a broker meet.

use super::command::{Ended, Running, run_with};
use super::raw::{Answered, ask};
use super::upstream::Upstream;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bearer token of the admin API.
pub const ADMIN_TOKEN: &str = "admin-token-of-the-tests-0123456789";

/// A sandbox, and a folder with a config for it.
pub struct World {
    /// The sandbox.
    pub upstream: Upstream,
    folder: tempfile::TempDir,
    brokers: AtomicUsize,
}

impl World {
    /// A world with an embedded store.
    pub fn new() -> Self {
        Self::with("sqlite:store.db", "")
    }

    /// A world with this store; `more` is added to the config.
    pub fn with(store: &str, more: &str) -> Self {
        let upstream = Upstream::start();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (url, account) = (upstream.sandbox.url(), upstream.sandbox.account_sid());
        let text = format!(
            r#"
[listen]
proxy = "127.0.0.1:0"
admin = "127.0.0.1:0"
[upstream]
account_sid = "{account}"
url = "{url}"
[upstream.hosts]
"iam.twilio.com" = "{url}"
[upstream.master]
username = "{account}"
password = "env:MASTER"
[store]
url = "{store}"
root_key = "file:root.key"
[admin]
token = "env:ADMIN"
[limits]
cores = 1
{more}
"#
        );
        std::fs::write(folder.path().join("sidekey.toml"), text).expect("a config");
        Self { upstream, folder, brokers: AtomicUsize::new(0) }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The environment of commands: the master's auth token, and the admin token.
    pub fn variables(&self) -> [(&'static str, String); 2] {
        [("MASTER", self.upstream.owner().1), ("ADMIN", ADMIN_TOKEN.to_owned())]
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        let variables = self.variables();
        let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        run_with(self.folder(), arguments, &variables)
    }

    /// Runs a command that must go well; the answer is its JSON.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let ended = self.run(&[arguments, &["--output", "json"]].concat());
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
        ended.json()
    }

    /// Runs a command that must fail with exit 1; the answer is what it says.
    #[track_caller]
    pub fn refused(&self, arguments: &[&str]) -> String {
        let ended = self.run(&[arguments, &["--output", "json"]].concat());
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{arguments:?}: {ended:?}");
        ended.stderr
    }

    /// Issues a token.
    #[track_caller]
    pub fn token(&self, team: &str) -> String {
        text(&self.json(&["token", "issue", team]), "token")
    }

    /// Starts a broker.
    pub fn serve(&self) -> Broker {
        let variables = self.variables();
        let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        // One audit file has one writer.
        let number = self.brokers.fetch_add(1, Ordering::Relaxed);
        let config = std::fs::read_to_string(self.folder().join("sidekey.toml")).expect("a config");
        let name = format!("broker-{number}.toml");
        let config = format!("{config}\n[audit]\nfile = \"audit-{number}.jsonl\"\n");
        std::fs::write(self.folder().join(&name), config).expect("a config");
        let mut process = Running::start(self.folder(), &["serve", "--config", &name], &variables);
        let address = process.told("listening proxy=").parse().expect("an address");
        let admin = process.told("listening admin=").parse().expect("an address");
        Broker { process, address, admin }
    }

    /// The SIDs of the account's keys, as the upstream lists them.
    #[track_caller]
    pub fn upstream_keys(&self) -> Vec<String> {
        let answer = self.upstream.get(&self.upstream.owner(), &self.upstream.path("/Keys.json?PageSize=1000"));
        let list = answer.json();
        let mut sids: Vec<String> =
            list["keys"].as_array().expect("a list").iter().map(|key| text(key, "sid")).collect();
        sids.sort();
        sids
    }

    /// Lists messages through the broker at this address, with this token.
    #[track_caller]
    pub fn messages(&self, broker: SocketAddr, token: &str) -> Answered {
        let basic = format!("Basic {}", STANDARD.encode(format!("AC:{token}")));
        ask(broker, "GET", &self.upstream.path("/Messages.json"), &[("authorization", &basic)], b"").expect("an answer")
    }

    /// Makes the next `count` requests whose path begins with `path` (below the account) fail with this status and code.
    pub fn fail(&self, path: &str, count: u32, status: u16, code: u32) {
        let form = format!("mode=status&status={status}&code={code}&count={count}&path={}", self.upstream.path(path));
        let answer = self.upstream.send(None, "POST", "/_sandbox/fail", &form);
        assert!(answer.status < 300, "{answer:?}");
    }
}

/// A broker in front of the world's sandbox.
pub struct Broker {
    /// The process.
    pub process: Running,
    /// Where it listens for callers.
    pub address: SocketAddr,
    /// Where it listens for operators.
    pub admin: SocketAddr,
}

impl Broker {
    /// Asks the admin API, with its token. An empty `body` is none.
    #[track_caller]
    pub fn ask_admin(&self, method: &str, path: &str, body: &str) -> Answered {
        let token = format!("Bearer {ADMIN_TOKEN}");
        ask(self.admin, method, path, &[("authorization", &token)], body.as_bytes()).expect("an answer")
    }

    /// See [`World::messages`].
    #[track_caller]
    pub fn messages(&self, world: &World, token: &str) -> Answered {
        world.messages(self.address, token)
    }

    /// Waits until the token gets this status, and says what else it got last if it never does.
    #[track_caller]
    pub fn until(&self, world: &World, token: &str, status: u16) {
        let mut last = None;
        for _ in 0..600 {
            let answer = self.messages(world, token);
            if answer.status == status {
                return;
            }
            last = Some(answer);
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("never {status}, last {last:?}");
    }
}

/// A member that is text.
#[track_caller]
pub fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no {name}: {value}")).to_owned()
}
