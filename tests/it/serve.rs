//! `sidekey serve` as a process: its start, its reload and its end.

use crate::support::command::{Running, run};
use crate::support::raw::ask;
use crate::support::world::{Broker, World};
use base64::Engine as _;
use rustix::process::Signal;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A token and its digest.
fn made(folder: &Path) -> (String, String) {
    let made = run(folder, &["token", "generate", "--output", "json"]).json();
    let word = |name: &str| made[0][name].as_str().expect("a text").to_owned();
    (word("token"), word("sha256"))
}

fn config(digest: &str) -> String {
    format!(
        r#"
[listen]
proxy = "127.0.0.1:0"
[upstream]
account_sid = "AC00000000000000000000000000000001"
url = "http://127.0.0.1:1"
[[team]]
name = "billing"
token_sha256 = ["{digest}"]
key = {{ sid = "SK00000000000000000000000000000001", secret = "env:BILLING" }}
"#
    )
}

/// The key's secret, and a log that says all there is to say.
const SECRET: [(&str, &str); 2] = [("BILLING", "abcdefghijklmnopqrstuvwxyz012345"), ("RUST_LOG", "trace")];

/// The status of a message sent with this token: 401 without a valid proof, 502 with one, as nobody is upstream.
fn status(broker: SocketAddr, token: &str) -> u16 {
    let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("AC:{token}")));
    let path = "/2010-04-01/Accounts/AC00000000000000000000000000000001/Messages.json";
    ask(broker, "GET", path, &[("authorization", &basic)], b"").expect("an answer").status
}

#[test]
fn a_changed_file_is_adopted_and_a_bad_one_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("sidekey.toml");
    let ((first, first_digest), (second, second_digest)) = (made(folder.path()), made(folder.path()));
    std::fs::write(&file, config(&first_digest)).expect("a file");
    let mut broker = Running::start(folder.path(), &["serve"], &SECRET);
    let at: SocketAddr = broker.told("listening proxy=").parse().expect("an address");
    assert_eq!((status(at, &first), status(at, &second)), (502, 401));

    let swap = |text: &str| {
        std::fs::write(folder.path().join("next"), text).expect("a file");
        std::fs::rename(folder.path().join("next"), &file).expect("a swap");
    };
    swap(&config(&second_digest));
    broker.told("the config was reloaded");
    assert_eq!((status(at, &first), status(at, &second)), (401, 502));

    swap(&config("short"));
    broker.told("sidekey.toml:9: team.token_sha256: is not 64 hex digits");
    broker.told("the running one stays");
    assert_eq!((status(at, &first), status(at, &second)), (401, 502));

    // Whoever asks is told again.
    broker.signal(Signal::HUP);
    broker.told("sidekey.toml:9: team.token_sha256: is not 64 hex digits");
    broker.told("the running one stays");

    swap(&config(&first_digest));
    broker.told("the config was reloaded");
    broker.signal(Signal::HUP);
    broker.told("the config was reloaded");
    assert_eq!((status(at, &first), status(at, &second)), (502, 401));

    let (code, said) = broker.end(Signal::TERM);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains(&first) && !said.contains(SECRET[0].1), "{said}");
}

#[test]
fn a_start_that_fails_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let text = config(&made(folder.path()).1).replace("127.0.0.1:0", &address);
    std::fs::write(folder.path().join("sidekey.toml"), text).expect("a file");
    let ended = crate::support::command::run_with(folder.path(), &["serve"], &SECRET);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains(&format!("sidekey: listen.proxy {address}: ")), "{ended:?}");
}

#[test]
fn silent_connections_leave_descriptors_for_everything_else() {
    let world = World::new();
    for made in [["team", "create", "billing"], ["key", "create", "billing"]] {
        world.json(&made);
    }
    let token = world.token("billing");
    // A soft limit that is too low for anything is raised to the hard one, which is the system's to set.
    let mut command = Command::new("sh");
    let limited = "ulimit -S -n 40 && ulimit -H -n 512 && exec \"$0\" serve";
    command.args(["-c", limited, env!("CARGO_BIN_EXE_sidekey")]).current_dir(world.folder()).env_clear();
    let mut process = Running::spawn({
        command.envs(world.variables()).stdin(Stdio::null());
        command
    });
    let address = process.told("listening proxy=").parse().expect("an address");
    let admin = process.told("listening admin=").parse().expect("an address");
    let broker = Broker { process, address, admin };
    broker.until(&world, &token, 200);
    let silent: Vec<TcpStream> = (0..700).map_while(|_| TcpStream::connect(address).ok()).collect();
    assert_eq!(silent.len(), 700);
    // Who comes too late is told so once there is time for it, and the rest of the broker goes on.
    let refused = (0..600).find_map(|_| {
        std::thread::sleep(Duration::from_millis(50));
        ask(address, "GET", "/", &[], b"")
    });
    let refused = refused.expect("an answer");
    assert_eq!((refused.status, refused.header("sidekey-error")), (503, Some("overloaded")), "{refused:?}");
    for path in ["/healthz", "/readyz"] {
        assert_eq!(ask(admin, "GET", path, &[], b"").map(|answer| answer.status), Some(200), "{path}");
    }
    drop(silent);
    broker.until(&world, &token, 200);
    let (code, said) = broker.process.end(Signal::TERM);
    assert!(code == Some(0) && said.contains("LimitNOFILE"), "{said}");
    assert!(!said.contains("Too many open files"), "{said}");
}
