//! Everything the demo needs: a folder, a sandbox, two teams, a broker. Gone when dropped.

use super::command;
use super::http::{self, Caller};
use crate::cli::{Failure, random_hex};
use crate::clock::Clock;
use crate::config;
use crate::sandbox::{Options, Sandbox};
use crate::secret::Secret;
use crate::server::Server;
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
    /// SID of the standard team's key.
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
        let key = create_key(&sandbox, &account, &auth_token).await?;
        folder.write("master.secret", &auth_token)?;
        folder.write("billing.secret", &key.secret)?;
        let tokens = command::run(&["token", "generate", "--count", "2"], &folder.config()).await?;
        let word = |index: usize, name: &str| tokens[index][name].as_str().unwrap_or_default().to_owned();
        let digests = [word(0, "sha256"), word(1, "sha256")];
        folder.write("sidekey.toml", &config_text(&sandbox, &account, &key.sid, &digests))?;
        let server = Server::start(config::load(&folder.config())?, &Clock::system())
            .map_err(|error| Failure::failed(error.to_string()))?;
        let broker = server.addresses().proxy.ok_or_else(|| Failure::failed("the broker has no address"))?;
        let caller = |index| Caller { username: account.clone(), token: word(index, "token") };
        let (billing, platform) = (caller(0), caller(1));
        Ok(Self { billing, platform, key_sid: key.sid, broker, _server: server, sandbox, folder })
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

/// A key of the sandbox.
struct Key {
    sid: String,
    secret: String,
}

/// Makes the standard team's key, as an operator would: at the upstream's own Keys API.
async fn create_key(sandbox: &Sandbox, account: &str, auth_token: &str) -> Result<Key, Failure> {
    let owner = Caller { username: account.to_owned(), token: auth_token.to_owned() };
    let path = format!("/2010-04-01/Accounts/{account}/Keys.json");
    let form = Some("FriendlyName=billing");
    let answer = http::send(sandbox.address(), Some(&owner), ::http::Method::POST, &path, form).await?;
    if answer.status != 201 {
        return Err(Failure::failed(format!("the sandbox made no key: {}", answer.status)));
    }
    Ok(Key { sid: answer.text("sid"), secret: answer.text("secret") })
}

fn config_text(sandbox: &Sandbox, account: &str, key_sid: &str, digests: &[String; 2]) -> String {
    let url = sandbox.url();
    let products = Product::all().filter(|product| *product != Product::API);
    let hosts: String =
        products.flat_map(|product| ["\"", product.host(), "\" = \"", &url, "\"\n"].map(str::to_owned)).collect();
    let [billing, platform] = digests;
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

[audit]
file = "audit.jsonl"

[[team]]
name = "billing"
kind = "standard"
accounts = ["{account}"]
token_sha256 = ["{billing}"]
key = {{ sid = "{key_sid}", secret = "file:billing.secret" }}

[[team]]
name = "platform"
kind = "master"
token_sha256 = ["{platform}"]
"#
    )
}

/// A folder of the demo's own, readable by its user alone, removed when dropped.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("sidekey-demo-{}", &random_hex()[..12]));
        DirBuilder::new().mode(0o700).create(&path)?;
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
