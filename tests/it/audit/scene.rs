//! A sandbox, and a folder with the config of a broker before it.

use crate::support::command::{Running, run, run_with};
use crate::support::raw::{Answered, ask};
use base64::Engine as _;
use serde_json::Value;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::Path;
use std::time::Duration;

/// Whose messages are asked for.
pub const ACCOUNT: &str = "AC00000000000000000000000000000001";
/// The sandbox knows it, and no caller does.
pub const AUTH_TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// The environment of commands and brokers.
pub const VARIABLES: [(&str, &str); 2] = [("AUTH_TOKEN", AUTH_TOKEN), ("SECRET", "abcdefghijklmnopqrstuvwxyz012345")];

/// A sandbox, and a folder with the config of a broker before it.
pub struct Scene {
    _sandbox: Running,
    /// Where the sandbox listens.
    pub sandbox: SocketAddr,
    folder: tempfile::TempDir,
    /// The team's.
    pub token: String,
}

impl Scene {
    /// `more` is added to the config.
    pub fn new(more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let arguments = ["sandbox", "--listen", "127.0.0.1:0", "--account-sid", ACCOUNT, "--auth-token", AUTH_TOKEN];
        let mut sandbox = Running::start(folder.path(), &arguments, &[]);
        let address = sandbox.told("http://");
        let address: SocketAddr = address.trim().parse().unwrap_or_else(|_| panic!("an address: {address:?}"));
        let made = run(folder.path(), &["token", "generate", "--output", "json"]).json();
        let word = |name: &str| made[0][name].as_str().expect("a text").to_owned();
        let config = format!(
            "[listen]\nproxy = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
             [upstream]\naccount_sid = \"{ACCOUNT}\"\nurl = \"http://{address}\"\n\
             [upstream.master]\nusername = \"{ACCOUNT}\"\npassword = \"env:AUTH_TOKEN\"\n\
             [[team]]\nname = \"platform\"\nkind = \"master\"\ntoken_sha256 = [\"{}\"]\n{more}",
            word("sha256")
        );
        std::fs::write(folder.path().join("sidekey.toml"), config).expect("a file");
        Self { _sandbox: sandbox, sandbox: address, folder, token: word("token") }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a broker.
    pub fn serve(&self) -> Broker {
        let mut process = Running::start(self.path(), &["serve"], &VARIABLES);
        let at = process.told("listening proxy=").parse().expect("an address");
        let admin = process.told("listening admin=").parse().expect("an address");
        Broker { process, ends: Ends { at, admin, proof: self.proof() } }
    }

    /// Starts a broker; only its process, and where it listens for callers.
    pub fn broker(&self) -> (Running, SocketAddr) {
        let Broker { process, ends } = self.serve();
        (process, ends.at)
    }

    /// The team's proof.
    pub fn proof(&self) -> String {
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("x:{}", self.token)))
    }

    /// Every record of the trail, but for torn lines.
    pub fn records(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path().join("audit.jsonl")).expect("a trail");
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// What `verify` says of the trail, which must be whole.
    pub fn verify(&self) -> Value {
        self.verify_file("audit.jsonl")
    }

    /// The same of another file.
    #[track_caller]
    pub fn verify_file(&self, file: &str) -> Value {
        let verified = run_with(self.path(), &["audit", "verify", file, "--output", "json"], &VARIABLES);
        assert_eq!(verified.code, Some(0), "{verified:?}");
        verified.json()
    }

    /// The paths that the sandbox has heard.
    pub fn heard(&self) -> HashSet<String> {
        let seen = ask(self.sandbox, "GET", "/_sandbox/requests", &[], b"").expect("an answer").json();
        let seen = seen.as_array().or_else(|| seen["requests"].as_array()).expect("a list").clone();
        seen.iter().filter_map(|request| request["path"].as_str().map(str::to_owned)).collect()
    }
}

/// A broker of a scene.
pub struct Broker {
    /// The process.
    pub process: Running,
    /// Both of its sides.
    pub ends: Ends,
}

impl Deref for Broker {
    type Target = Ends;

    fn deref(&self) -> &Ends {
        &self.ends
    }
}

/// Where a broker is asked.
pub struct Ends {
    /// Where it listens for callers.
    pub at: SocketAddr,
    admin: SocketAddr,
    proof: String,
}

impl Ends {
    /// Asks for message `number`; `None` if there is no answer within ten seconds.
    pub fn try_ask(&self, number: usize) -> Option<Answered> {
        ask(self.at, "GET", &path(number), &[("authorization", &self.proof)], b"")
    }

    /// Asks for message `number`: the status, and why there is no upstream answer.
    #[track_caller]
    pub fn ask(&self, number: usize) -> (u16, Option<String>) {
        let answered = self.try_ask(number).expect("an answer");
        (answered.status, answered.header("sidekey-error").map(str::to_owned))
    }

    /// Asks the operators' side.
    #[track_caller]
    pub fn look(&self, path: &str) -> Answered {
        ask(self.admin, "GET", path, &[], b"").expect("an answer")
    }

    /// The value of a metric.
    #[track_caller]
    pub fn metric(&self, name: &str) -> u64 {
        let text = self.look("/metrics").text().to_owned();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    /// Waits until `/readyz` says this of the audit; `null` is no trouble.
    #[track_caller]
    pub fn until_trouble(&self, trouble: &Value) {
        let mut last = Value::Null;
        for _ in 0..600 {
            let answer = self.look("/readyz");
            last = answer.json();
            if last["audit"]["trouble"] == *trouble {
                assert_eq!(answer.status, if trouble.is_null() { 200 } else { 503 }, "{last}");
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("never {trouble}, last {last}");
    }

    /// Asks for messages from `number` on until one passes; the answer is its number.
    #[track_caller]
    pub fn until_passes(&self, number: usize) -> usize {
        for number in number..number + 600 {
            // The sandbox has no such message.
            if self.ask(number).0 == 404 {
                return number;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("nothing passes again");
    }
}

/// The path of a message that is not there: the sandbox hears it, and so which request it was.
pub fn path(number: usize) -> String {
    format!("/2010-04-01/Accounts/{ACCOUNT}/Messages/SM{number:032x}.json")
}

/// Asks for a message; the request's id if there is an answer.
pub fn request(broker: SocketAddr, proof: &str, number: usize) -> Option<String> {
    let ask = || ask(broker, "GET", &path(number), &[("authorization", proof)], b"");
    let answered = std::panic::catch_unwind(ask).ok()??;
    answered.header("sidekey-request-id").map(str::to_owned)
}

/// The paths of the records of this phase.
pub fn paths(records: &[Value], phase: &str) -> HashSet<String> {
    let of_phase = records.iter().filter(|record| record["phase"] == phase);
    of_phase.filter_map(|record| record["path"].as_str().map(str::to_owned)).collect()
}
