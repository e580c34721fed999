//! PostgreSQL for tests: the server of `SIDEKEY_TEST_POSTGRES`, else one of our own that ends with the process; a new
//! database for each test.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;
use tokio_postgres::NoTls;

/// The URL of a new, empty database.
pub async fn database() -> String {
    let server = server();
    let name = format!("t{}", hex::encode(random()));
    let admin = connect(&server).await;
    admin.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("a new database");
    let (base, _) = server.rsplit_once('/').expect("a URL with a database");
    format!("{base}/{name}")
}

/// A connection to the database behind `url`.
pub async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a connection to PostgreSQL");
    tokio::spawn(connection);
    client
}

/// A server of one test's own, to be stopped and started; its folder goes with it.
pub struct Server {
    folder: tempfile::TempDir,
    port: u16,
    process: Option<Child>,
}

impl Server {
    /// Makes a cluster and starts it.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(folder.path()));
        }
        let initdb = as_postgres(&bin().join("initdb"), &["-U", "postgres", "-A", "trust", "--no-sync", "-D"]);
        run(Command::new("sh").args(["-c", &format!("{initdb} {}/data", folder.path().display())]));
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port();
        let mut server = Self { folder, port, process: None };
        server.up().await;
        server
    }

    /// Makes it speak TLS from its next start on; the answer is the file of the root to trust, good for `localhost`.
    pub fn with_tls(&self) -> PathBuf {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate");
        let data = self.folder.path().join("data");
        let files = [("server.crt", certificate.pem()), ("server.key", key.serialize_pem())];
        for (name, text) in files {
            std::fs::write(data.join(name), text).expect("writable");
            run(Command::new("chmod").arg("600").arg(data.join(name)));
            if is_root() {
                run(Command::new("chown").arg("postgres").arg(data.join(name)));
            }
        }
        std::fs::write(data.join("postgresql.auto.conf"), "ssl = on\n").expect("writable");
        let root = self.folder.path().join("root.pem");
        std::fs::write(&root, certificate.pem()).expect("writable");
        root
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts it and waits until it answers.
    pub async fn up(&mut self) {
        let folder = self.folder.path().display();
        let options = format!(
            "-D {folder}/data -p {} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=200",
            self.port
        );
        let server = as_postgres(&bin().join("postgres"), &[&options]);
        // It ends when our end of the pipe does, however we end; nobody else is left then to remove the folder.
        let script = format!(
            "{server} >{folder}/log 2>&1 & read -r word; kill -INT $(head -n 1 {folder}/data/postmaster.pid); wait; \
             [ -n \"$word\" ] || rm -rf {folder}"
        );
        let process = Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).spawn();
        self.process = Some(process.expect("a shell"));
        let ready = async {
            while tokio_postgres::connect(&self.url(), NoTls).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), ready).await.expect("PostgreSQL starts");
    }

    /// From its next start on it follows another server that never says anything, and takes no writes, until it is promoted.
    pub fn stand_by(&self) {
        std::fs::write(self.folder.path().join("data/standby.signal"), "").expect("writable");
    }

    /// Waits until its log holds this so many times.
    pub fn logged(&self, mark: &str, times: usize) {
        let count = || std::fs::read_to_string(self.folder.path().join("log")).expect("a log").matches(mark).count();
        for _ in 0..600 {
            if count() >= times {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{mark:?} only {} times", count());
    }

    /// Stops it; open connections are cut.
    pub fn down(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Fails if the shell has ended, which is what is wanted.
            let _ = process.stdin.take().map(|mut pipe| pipe.write_all(b"stop\n"));
            process.wait().expect("the shell ends");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.down();
    }
}

fn server() -> String {
    static OWN: OnceLock<Server> = OnceLock::new();
    if let Ok(url) = std::env::var("SIDEKEY_TEST_POSTGRES") {
        return url;
    }
    let start = || {
        // Its own thread and runtime: the caller is inside one already.
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
        let start = move || runtime().expect("a runtime").block_on(Server::start());
        std::thread::spawn(start).join().expect("PostgreSQL starts")
    };
    OWN.get_or_init(start).url()
}

fn bin() -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("postgres").exists())
        .collect();
    found.sort();
    found.pop().expect("PostgreSQL's server is installed: tests/run installs it, or apt-get install postgresql")
}

/// The command as the shell runs it; PostgreSQL refuses to run as root.
fn as_postgres(program: &Path, arguments: &[&str]) -> String {
    let prefix = if is_root() { "exec runuser -u postgres -- " } else { "exec " };
    format!("{prefix}{} {}", program.display(), arguments.join(" "))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn run(command: &mut Command) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a program that is installed");
    let mut said = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut said).expect("text");
    assert!(child.wait().expect("an end").success(), "{command:?}: {said}");
}

/// Names a database: tests of one run share a server.
fn random() -> [u8; 8] {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).expect("random bytes");
    bytes
}
