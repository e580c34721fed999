//! A log that is not taken: whoever collects it hangs or is gone, or the disk that it goes to hangs.

use crate::audit::disk::Disk;
use crate::support::command::{run, sidekey, until_ended};
use crate::support::raw::ask;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Pid, Signal};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, PipeReader, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

/// The key's secret, and a log that says all there is to say.
const VARIABLES: [(&str, &str); 2] = [("BILLING", "abcdefghijklmnopqrstuvwxyz012345"), ("RUST_LOG", "trace")];

const PATH: &str = "/2010-04-01/Accounts/AC00000000000000000000000000000001/Messages.json";

/// A folder with a config. Nobody is upstream.
struct Place {
    folder: tempfile::TempDir,
    proof: String,
}

impl Place {
    /// One with these listeners.
    fn new(listen: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let made = run(folder.path(), &["token", "generate", "--output", "json"]).json();
        let word = |name: &str| made[0][name].as_str().expect("a text").to_owned();
        let config = format!(
            "[listen]\n{listen}\n\
             [upstream]\naccount_sid = \"AC00000000000000000000000000000001\"\nurl = \"http://127.0.0.1:1\"\n\
             [[team]]\nname = \"billing\"\ntoken_sha256 = [\"{}\"]\n\
             key = {{ sid = \"SK00000000000000000000000000000001\", secret = \"env:BILLING\" }}\n",
            word("sha256")
        );
        std::fs::write(folder.path().join("sidekey.toml"), config).expect("a file");
        Self { folder, proof: format!("Basic {}", STANDARD.encode(format!("AC:{}", word("token")))) }
    }

    /// Starts a broker that logs there.
    fn serve(&self, log: impl Into<Stdio>) -> Broker {
        let mut command = sidekey(self.folder.path(), &["serve"], &VARIABLES);
        Broker(command.stderr(log).spawn().expect("the binary starts"))
    }

    /// The status on a socket in the folder, which may not be there yet.
    #[track_caller]
    fn status(&self, socket: &str, path: &str) -> u16 {
        for _ in 0..600 {
            if let Ok(mut stream) = UnixStream::connect(self.folder.path().join(socket)) {
                stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
                let head = format!("GET {path} HTTP/1.1\r\nhost: here\r\nauthorization: {}\r\n", self.proof);
                write!(stream, "{head}connection: close\r\n\r\n").expect("a request");
                let mut answer = String::new();
                stream.read_to_string(&mut answer).expect("an answer");
                return answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("it never listens");
    }
}

/// A broker's process.
struct Broker(Child);

impl Broker {
    /// Asks it to end, and waits until it has.
    #[track_caller]
    fn end(&self) {
        rustix::process::kill_process(Pid::from_child(&self.0), Signal::TERM).expect("it runs");
        until_ended(&self.0);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Fails if it has ended already, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A broker and the pipe that it logs to, read so far that all its addresses are known.
struct Piped {
    place: Place,
    broker: Broker,
    log: BufReader<PipeReader>,
    at: SocketAddr,
    admin: SocketAddr,
}

impl Piped {
    fn start() -> Self {
        let place = Place::new("proxy = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"");
        let (log, end) = std::io::pipe().expect("a pipe");
        let broker = place.serve(end);
        let mut log = BufReader::new(log);
        let mut listens = |listener: &str| {
            let mut lines = log.by_ref().lines().map_while(Result::ok);
            let address = lines.find_map(|line| line.strip_prefix(&format!("listening {listener}="))?.parse().ok());
            address.expect("it says where it listens")
        };
        let (at, admin) = (listens("proxy"), listens("admin"));
        Self { place, broker, log, at, admin }
    }

    /// What becomes of a message.
    #[track_caller]
    fn message(&self) -> u16 {
        ask(self.at, "GET", PATH, &[("authorization", &self.place.proof)], b"").expect("an answer").status
    }

    /// Holds that operators see all, and gives how many lines of the log were lost.
    #[track_caller]
    fn lost(&self) -> u64 {
        let look = |path: &str| ask(self.admin, "GET", path, &[], b"").expect("an answer");
        assert_eq!((look("/healthz").status, look("/readyz").status), (200, 200));
        let metrics = look("/metrics");
        let lost = metrics.text().lines().find_map(|line| line.strip_prefix("sidekey_log_lost_total "));
        lost.and_then(|lost| lost.parse().ok()).unwrap_or_else(|| panic!("no lost lines: {}", metrics.text()))
    }

    /// Asks, four at a time, until something of the log is lost. Each request is answered.
    #[track_caller]
    fn lose(&self) {
        for _ in 0..500 {
            thread::scope(|threads| {
                for _ in 0..4 {
                    threads.spawn(|| {
                        for _ in 0..10 {
                            let unknown = ask(self.at, "GET", PATH, &[], b"").expect("an answer").status;
                            assert_eq!((self.message(), unknown), (502, 401));
                        }
                    });
                }
            });
            if self.lost() > 0 {
                return;
            }
        }
        panic!("nothing is ever lost");
    }
}

/// Writes into a pipe until it takes no more.
fn fill(pipe: &PipeReader) {
    // Opened anew, so that the broker's end still waits.
    let end = format!("/proc/self/fd/{}", pipe.as_raw_fd());
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).expect("a small flag");
    let mut end = OpenOptions::new().write(true).custom_flags(flags).open(end).expect("its other end");
    let line = [&[b'#'; 63][..], b"\n"].concat();
    loop {
        match end.write(&line) {
            Ok(_) => {}
            Err(full) if full.kind() == ErrorKind::WouldBlock => return,
            Err(fault) => panic!("{fault}"),
        }
    }
}

#[test]
fn a_log_that_nobody_reads_holds_up_nobody() {
    let mut piped = Piped::start();
    assert_eq!(piped.lost(), 0);
    fill(piped.log.get_ref());
    piped.lose();
    assert_eq!(piped.message(), 502);
    piped.broker.end();
    assert_eq!(piped.broker.0.wait().expect("it has ended").code(), Some(0));
}

#[test]
fn what_was_lost_is_said_when_the_log_flows_again() {
    let mut piped = Piped::start();
    fill(piped.log.get_ref());
    piped.lose();
    let mut line = String::new();
    while !line.contains("lines of the log were lost") {
        line.clear();
        piped.log.read_line(&mut line).expect("a line");
        assert!(line.starts_with("20") || line.starts_with('#'), "not a whole line: {line:?}");
    }
    let said: u64 = line.trim().rsplit_once("lost=").and_then(|(_, lost)| lost.parse().ok()).expect("how many");
    let mut rest = piped.log.buffer().to_vec();
    let mut log = piped.log.get_ref().try_clone().expect("a pipe");
    let drained = thread::spawn(move || log.read_to_end(&mut rest).map(|_| String::from_utf8(rest).expect("text")));
    assert_eq!((piped.lost(), piped.message()), (said, 502));
    piped.broker.end();
    let rest = drained.join().expect("a reader").expect("a pipe");
    assert!(rest.ends_with('\n') && rest.contains("stopping: requests under way may finish"), "{rest}");
}

#[test]
fn a_log_whose_reader_is_gone_is_done_without() {
    let mut piped = Piped::start();
    piped.log = BufReader::new(std::io::pipe().expect("a pipe").0);
    piped.lose();
    assert_eq!(piped.message(), 502);
    piped.broker.end();
    assert_eq!(piped.broker.0.wait().expect("it has ended").code(), Some(0));
}

#[test]
fn a_broker_starts_though_nobody_reads_its_log() {
    let place = Place::new("unix = \"proxy\"\nadmin_unix = \"admin\"");
    let (log, end) = std::io::pipe().expect("a pipe");
    fill(&log);
    let broker = place.serve(end);
    assert_eq!((place.status("admin", "/healthz"), place.status("proxy", PATH)), (200, 502));
    broker.end();
}

#[test]
fn a_log_on_a_disk_that_hangs_holds_up_nobody() {
    let place = Place::new("unix = \"proxy\"\nadmin_unix = \"admin\"");
    let Some(disk) = Disk::in_folder(place.folder.path()) else { return };
    let broker = place.serve(File::create(place.folder.path().join("disk/log")).expect("a file"));
    assert_eq!(place.status("proxy", PATH), 502);
    let frozen = disk.freeze();
    for _ in 0..20 {
        assert_eq!((place.status("admin", "/healthz"), place.status("proxy", PATH)), (200, 502));
    }
    broker.end();
    drop(frozen);
}

#[test]
fn the_last_lines_come_in_order() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let admin = taken.local_addr().expect("an address");
    let place = Place::new(&format!("proxy = \"127.0.0.1:0\"\nadmin = \"{admin}\""));
    let (mut log, end) = std::io::pipe().expect("a pipe");
    let mut broker = place.serve(end);
    let mut said = String::new();
    log.read_to_string(&mut said).expect("a log");
    assert_eq!(broker.0.wait().expect("it ends").code(), Some(1));
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with(&format!("sidekey: listen.admin {admin}: ")), "{said}");
}
