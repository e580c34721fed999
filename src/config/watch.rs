//! Reloads the config when its files change or SIGHUP comes.
//!
//! Polling, not inotify: Kubernetes swaps a symlink two folders up, editors replace files, and network file systems
//! notify nobody; a `stat` of a few files a second sees all of it. The work is done on a thread of its own, so that a
//! slow disk delays nobody's request.

use super::stamp::Stamp;
use super::{Config, Faults};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Time between two looks at the files; a change is live within about this time.
const INTERVAL: Duration = Duration::from_secs(1);

/// How a config is read.
type Load = fn(&Path) -> Result<Config, Faults>;

/// A running watch; dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Watches `path`, which `load` reads, and the `sources` of the config in use. `changed` hears every new config, and the
    /// faults of a file that can't be used (once for as long as they stay the same, and at each SIGHUP): then the old config
    /// is to be kept.
    ///
    /// From here on SIGHUP asks for a reload and no longer ends the process.
    ///
    /// # Errors
    /// The thread can't be started, or SIGHUP can't be heard.
    pub fn start(
        path: &Path,
        sources: Vec<PathBuf>,
        load: Load,
        changed: impl FnMut(Result<Config, Faults>) + Send + 'static,
    ) -> io::Result<Self> {
        Self::every(INTERVAL, path, sources, load, changed)
    }

    fn every(
        interval: Duration,
        path: &Path,
        sources: Vec<PathBuf>,
        load: Load,
        changed: impl FnMut(Result<Config, Faults>) + Send + 'static,
    ) -> io::Result<Self> {
        let mut watched = Watched::new(path, sources, load, changed);
        let (stop, stopped) = oneshot::channel();
        let (ready, started) = mpsc::channel();
        let thread = std::thread::Builder::new().name("config".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(run(&mut watched, interval, stopped, &ready)),
                Err(error) => drop(ready.send(Err(error))),
            }
        })?;
        started.recv().unwrap_or_else(|_| Err(io::Error::other("the config thread ended early")))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported by the panic hook already.
            let _ = thread.join();
        }
    }
}

async fn run<F: FnMut(Result<Config, Faults>)>(
    watched: &mut Watched<F>,
    interval: Duration,
    mut stopped: oneshot::Receiver<()>,
    ready: &mpsc::Sender<io::Result<()>>,
) {
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => return drop(ready.send(Err(error))),
    };
    if ready.send(Ok(())).is_err() {
        return;
    }
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = &mut stopped => return,
            _ = hangup.recv() => watched.asked(),
            _ = ticks.tick() => watched.look(),
        }
    }
}

struct Watched<F> {
    path: PathBuf,
    sources: Vec<PathBuf>,
    /// Of all of them: see [`identity`].
    identity: u64,
    load: Load,
    /// What the last reload found wrong. While there is something, every look tries again: the mend may be in a file
    /// that the broken config could not name.
    faults: Option<Faults>,
    changed: F,
}

impl<F: FnMut(Result<Config, Faults>)> Watched<F> {
    fn new(path: &Path, sources: Vec<PathBuf>, load: Load, changed: F) -> Self {
        let identity = identity(&sources);
        Self { path: path.to_owned(), sources, identity, load, faults: None, changed }
    }

    fn look(&mut self) {
        if self.faults.is_some() || identity(&self.sources) != self.identity {
            self.reload();
        }
    }

    /// Reloads because somebody asked: they are told what is wrong even if it has been said before.
    fn asked(&mut self) {
        self.faults = None;
        self.reload();
    }

    fn reload(&mut self) {
        // Taken before the files are read: a change during the reading shows as a change at the next look.
        let identity_before = identity(&self.sources);
        match (self.load)(&self.path) {
            Ok(config) => {
                self.faults = None;
                let same = config.sources == self.sources;
                self.identity = if same { identity_before } else { identity(&config.sources) };
                self.sources.clone_from(&config.sources);
                (self.changed)(Ok(config));
            }
            Err(faults) => {
                self.identity = identity_before;
                if self.faults.as_ref() != Some(&faults) {
                    (self.changed)(Err(faults.clone()));
                    self.faults = Some(faults);
                }
            }
        }
    }
}

/// What tells one version of these files from another, whether each is there among it. A hash of it all: there may be a
/// secret's file for each of thousands of teams.
fn identity(sources: &[PathBuf]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for path in sources {
        Stamp::of(path).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;
    use crate::config::tests::SMALLEST;
    use std::os::unix::fs::symlink;

    /// Long enough for any machine; a test that passes never waits for it.
    const PATIENCE: Duration = Duration::from_secs(30);

    fn started(path: &Path) -> (Watch, mpsc::Receiver<Result<Config, Faults>>) {
        let (heard, hearing) = mpsc::channel();
        let current = load(path).expect("the first file is good");
        let changed = move |outcome| drop(heard.send(outcome));
        let watch =
            Watch::every(Duration::from_millis(5), path, current.sources, load, changed).expect("a thread starts");
        (watch, hearing)
    }

    fn with_timeout(text: &str) -> String {
        format!("{SMALLEST}\n[limits]\nhead_timeout = \"{text}\"\n")
    }

    #[test]
    fn a_swapped_symlink_is_a_change() {
        let dir = tempfile::tempdir().expect("a folder");
        for (folder, text) in [("one", "1s"), ("two", "2s")] {
            std::fs::create_dir(dir.path().join(folder)).expect("a folder");
            std::fs::write(dir.path().join(folder).join("sidekey.toml"), with_timeout(text)).expect("a file");
        }
        symlink("one", dir.path().join("..data")).expect("a link");
        symlink("..data/sidekey.toml", dir.path().join("sidekey.toml")).expect("a link");
        let (_watch, hearing) = started(&dir.path().join("sidekey.toml"));
        symlink("two", dir.path().join("..new")).expect("a link");
        std::fs::rename(dir.path().join("..new"), dir.path().join("..data")).expect("a swap");
        let config = hearing.recv_timeout(PATIENCE).expect("a change is heard").expect("the new file is good");
        assert_eq!(config.limits.head_timeout, Duration::from_secs(2));
    }

    #[test]
    fn a_bad_file_is_reported_once_and_its_mend_is_heard() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("sidekey.toml");
        std::fs::write(&path, with_timeout("1s")).expect("a file");
        let (_watch, hearing) = started(&path);
        std::fs::write(&path, with_timeout("soon")).expect("a file");
        let faults = loop {
            // A look between truncation and writing sees an empty file, which is a fault of its own.
            let faults = hearing.recv_timeout(PATIENCE).expect("a change is heard").expect_err("the file is bad");
            if faults.iter().any(|fault| fault.at == "limits.head_timeout") {
                break faults;
            }
        };
        assert_eq!(faults.iter().count(), 1);
        assert!(hearing.recv_timeout(Duration::from_millis(100)).is_err(), "the same faults are not repeated");
        std::fs::write(&path, with_timeout("3s")).expect("a file");
        let config = std::iter::from_fn(|| hearing.recv_timeout(PATIENCE).ok()).find_map(Result::ok);
        assert_eq!(config.expect("the mend is heard").limits.head_timeout, Duration::from_secs(3));
    }

    #[test]
    fn a_secret_file_is_watched_too() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("sidekey.toml");
        let text = format!(
            "{SMALLEST}\n[admin]\ntoken = \"file:admin.token\"\n[listen]\nunix = \"s\"\nadmin = \"127.0.0.1:0\"\n"
        );
        std::fs::write(&path, text).expect("a file");
        std::fs::write(dir.path().join("admin.token"), "first-token-of-this-test\n").expect("a file");
        let (_watch, hearing) = started(&path);
        std::fs::remove_file(dir.path().join("admin.token")).expect("it was there");
        hearing.recv_timeout(PATIENCE).expect("a change is heard").expect_err("the secret is gone");
        std::fs::write(dir.path().join("admin.new"), "second-token-of-this-test\n").expect("a file");
        std::fs::rename(dir.path().join("admin.new"), dir.path().join("admin.token")).expect("a swap");
        let config = hearing.recv_timeout(PATIENCE).expect("a change is heard").expect("the secret is back");
        let token = config.admin.expect("an admin token").token;
        assert_eq!(token.expose_str(), Some("second-token-of-this-test"));
    }
}
