//! Everything the demo needs: a folder, a sandbox, two teams, a broker. Gone when dropped.

use super::command;
use super::http::Caller;
use crate::cli::{Failure, random_hex};
use crate::clock::Clock;
use crate::config;
use crate::sandbox::{Options, Sandbox};
use crate::secret::Secret;
use crate::server::{Plan, Server};
use crate::twilio::Product;
use std::fs::DirBuilder;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The running demo.
#[derive(Debug)]
pub(super) struct Stage {
    /// A caller of the standard team.
    pub billing: Caller,
    /// A caller of the master team.
    pub platform: Caller,
    /// SID of the standard team's first key.
    pub key_sid: String,
    broker: SocketAddr,
    // Dropped in this order: the broker before what it talks to, the folder last.
    _server: Server,
    sandbox: Sandbox,
    folder: Folder,
}

impl Stage {
    /// Starts everything.
    pub(super) async fn set() -> Result<Self, Failure> {
        let folder = Folder::new()?;
        let auth_token = random_hex();
        let options = Options { auth_token: Some(Secret::from(auth_token.clone())), ..Options::default() };
        let sandbox = Sandbox::start(options)?;
        let account = sandbox.account_sid().to_string();
        folder.write("master.secret", &auth_token)?;
        folder.write("sidekey.toml", &config_text(&sandbox, &account))?;
        let config = folder.config();
        command::run(&["team", "create", "billing"], &config).await?;
        command::run(&["team", "create", "platform", "--master"], &config).await?;
        let key_sid = command::word(&command::run(&["key", "create", "billing"], &config).await?, "sid")?;
        let billing = Caller { username: account.clone(), token: issue("billing", &config).await? };
        let platform = Caller { username: account.clone(), token: issue("platform", &config).await? };
        let server = Server::start(Plan::of(&config::load(&config)?), &Clock::system())
            .map_err(|error| Failure::failed(error.to_string()))?;
        let broker = server.addresses().proxy.ok_or_else(|| Failure::failed("the broker has no address"))?;
        Ok(Self { billing, platform, key_sid, broker, _server: server, sandbox, folder })
    }

    /// Where the broker listens.
    pub(super) fn broker(&self) -> SocketAddr {
        self.broker
    }

    /// The same as a URL.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.broker)
    }

    /// Where the sandbox listens.
    pub(super) fn sandbox_url(&self) -> String {
        self.sandbox.url()
    }

    /// The sandbox itself.
    pub(super) fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// The config file, for other commands.
    pub(super) fn config(&self) -> PathBuf {
        self.folder.config()
    }

    /// The audit trail.
    pub(super) fn audit(&self) -> PathBuf {
        self.folder.0.join("audit.jsonl")
    }

    /// Where all files are.
    pub(super) fn folder(&self) -> &Path {
        &self.folder.0
    }
}

/// A new token of a team.
async fn issue(team: &str, config: &Path) -> Result<String, Failure> {
    command::word(&command::run(&["token", "issue", team, "--name", "demo"], config).await?, "token")
}

fn config_text(sandbox: &Sandbox, account: &str) -> String {
    let url = sandbox.url();
    let products = Product::all().filter(|product| *product != Product::API);
    let hosts: String =
        products.flat_map(|product| ["\"", product.host(), "\" = \"", &url, "\"\n"].map(str::to_owned)).collect();
    format!(
        r#"# Written by `sidekey demo`.
[listen]
proxy = "127.0.0.1:0"

[upstream]
account_sid = "{account}"
url = "{url}"

[upstream.hosts]
{hosts}
[upstream.master]
username = "{account}"
password = "file:master.secret"

[store]
url = "sqlite:sidekey.db"
root_key = "file:sidekey.key"

[audit]
file = "audit.jsonl"
"#
    )
}

/// A folder of the demo's own, readable by its user alone, removed when dropped.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("sidekey-demo-{}", &random_hex()[..12]));
        DirBuilder::new().mode(0o700).create(&path).map_err(|error| {
            let mend = "set TMPDIR to a folder that can be written";
            Failure::failed(format!("the demo's folder {} can't be made: {error}; {mend}", path.display()))
        })?;
        Ok(Self(path))
    }

    fn config(&self) -> PathBuf {
        self.0.join("sidekey.toml")
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.0.join(name);
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(file.write_all(text.as_bytes())?)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A leftover in the temporary folder is not worth a word at the end of a demo.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
