//! Runs the real binary in a folder of its own.

use rustix::process::{Pid, Signal};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Data.
    pub stdout: String,
    /// Diagnostics.
    pub stderr: String,
}

impl Ended {
    /// Its data as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|fault| panic!("{fault}: {self:?}"))
    }
}

/// The binary, in `folder`, in an environment that holds only `variables`.
pub fn sidekey(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidekey"));
    command.args(arguments).current_dir(folder).env_clear().envs(variables.iter().copied()).stdin(Stdio::null());
    command
}

/// Runs the binary to its end.
pub fn run_with(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    let ended = sidekey(folder, arguments, variables).output().expect("the binary starts");
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    Ended { code: ended.status.code(), stdout: text(ended.stdout), stderr: text(ended.stderr) }
}

/// Runs the binary to its end, without variables.
pub fn run(folder: &Path, arguments: &[&str]) -> Ended {
    run_with(folder, arguments, &[])
}

/// Long enough for any machine; a test that passes never waits for it.
const PATIENCE: Duration = Duration::from_mins(1);

/// A command that runs until it is told to end; killed with this value.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    told: String,
}

impl Running {
    /// Starts the binary and listens to both of its outputs.
    pub fn start(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::spawn(sidekey(folder, arguments, variables))
    }

    /// The same with a command that ends in the binary.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let (sender, lines) = channel();
        listen(child.stdout.take().expect("a pipe"), sender.clone());
        listen(child.stderr.take().expect("a pipe"), sender);
        Self { child, lines, told: String::new() }
    }

    /// The rest of the next line, of either output, that holds `mark`: what stands behind it.
    #[track_caller]
    pub fn told(&mut self, mark: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let Ok(line) = line else { panic!("no line with {mark:?}: {}", self.told) };
            self.told.push_str(&line);
            self.told.push('\n');
            if let Some((_, rest)) = line.split_once(mark) {
                return rest.to_owned();
            }
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// See [`until_ended`].
    #[track_caller]
    pub fn until_ended(&self) {
        until_ended(&self.child);
    }

    /// Holds it where it is until a `SIGCONT`.
    #[track_caller]
    pub fn pause(&self) {
        self.signal(Signal::STOP);
        until(&self.child, " T");
    }

    /// Asks it to end, and gives its exit code and everything that it said on either output.
    pub fn end(mut self, signal: Signal) -> (Option<i32>, String) {
        self.signal(signal);
        let code = self.child.wait().expect("it ends").code();
        self.told.extend(self.lines.iter().flat_map(|line| [line, "\n".to_owned()]));
        (code, std::mem::take(&mut self.told))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails if it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until it has ended. A process of which a thread is held by the kernel is not gone by then, but does nothing any
/// more: it is a zombie whose last thread ends when the kernel lets go.
#[track_caller]
pub fn until_ended(child: &Child) {
    until(child, " Z");
}

/// Waits until the kernel says that it is in this state.
#[track_caller]
fn until(child: &Child, state: &str) {
    let stat = format!("/proc/{}/stat", child.id());
    for _ in 0..600 {
        let stat = std::fs::read_to_string(&stat).expect("nobody has waited for it");
        if stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(state)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("it does not come to{state}");
}

fn listen(pipe: impl Read + Send + 'static, lines: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
}
