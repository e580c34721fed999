//! Records of processes that are not the broker: the commands that change teams, tokens and keys.
//!
//! The trail's file is one process's. A command leaves its record in a folder beside the file, which survives the command;
//! the broker that runs, or the next one that starts, writes it into the trail, with the time at which it was left.

use super::line::rfc3339;
use super::rotate::beside;
use crate::clock::Clock;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The folder of a trail, as a command sees it.
#[derive(Debug)]
pub(super) struct Inbox {
    file: PathBuf,
    folder: PathBuf,
    clock: Clock,
    left: AtomicU64,
}

/// What is left: an admin action or a step in a key's life.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Left {
    pub(super) told_at: String,
    pub(super) actor: String,
    pub(super) action: String,
    pub(super) subject: String,
    pub(super) result: String,
}

/// Records taken at once: a folder that something fills does not keep the warden from its other work.
const AT_ONCE: usize = 100;
/// Longest record read, in bytes.
const LONGEST: u64 = 16 << 10;

impl Inbox {
    pub(super) fn new(file: &Path, clock: Clock) -> Self {
        Self { file: file.to_owned(), folder: folder(file), clock, left: AtomicU64::new(0) }
    }

    /// Leaves a record. It is kept once this returns.
    pub(super) fn leave(&self, action: &str, subject: &str, result: &str) -> io::Result<()> {
        if make(&self.folder)? {
            self.hand_over(&self.folder)?;
        }
        let now = self.clock.unix_micros();
        let left = Left {
            told_at: rfc3339(now),
            actor: format!("command of uid {}", rustix::process::getuid().as_raw()),
            action: action.to_owned(),
            subject: subject.to_owned(),
            result: result.to_owned(),
        };
        // Names sort by time; the process and a number tell those of one microsecond apart.
        let number = self.left.fetch_add(1, Ordering::Relaxed);
        let name = format!("{now:020}-{}-{number:04}", std::process::id());
        let partial = self.folder.join(format!("{name}.part"));
        let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
        out.write_all(&serde_json::to_vec(&left)?)?;
        out.sync_all()?;
        self.hand_over(&partial)?;
        fs::rename(partial, self.folder.join(name))
    }

    /// Gives what root has made to whom the trail belongs: the broker may be another user.
    fn hand_over(&self, made: &Path) -> io::Result<()> {
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let owner = fs::metadata(&self.file).or_else(|_| fs::metadata(super::rotate::folder(&self.file)))?;
        chown(made, Some(owner.uid()), Some(owner.gid()))
    }
}

/// Takes what was left, oldest first: a record goes when `keep` has it, and stays when it has not.
pub(super) fn collect(file: &Path, mut keep: impl FnMut(&Left) -> bool) -> io::Result<()> {
    let entries = match fs::read_dir(folder(file)) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    // Whatever else is there, a pipe that nobody writes for one, must not hold up the warden.
    let files = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|found| found.is_file()));
    let paths = files.map(|entry| entry.path()).filter(|path| path.extension().is_none());
    let mut paths: Vec<_> = paths.collect();
    paths.sort();
    for path in paths.iter().take(AT_ONCE) {
        let left = read(path)?;
        if left.is_none() {
            tracing::warn!(file = %path.display(), "what was left for the audit trail is no record");
        }
        if !left.as_ref().is_none_or(&mut keep) {
            break;
        }
        fs::remove_file(path)?;
    }
    Ok(())
}

fn read(path: &Path) -> io::Result<Option<Left>> {
    if fs::symlink_metadata(path)?.len() > LONGEST {
        return Ok(None);
    }
    Ok(serde_json::from_slice(&fs::read(path)?).ok())
}

/// Makes the folder, for its owner alone; whether it was not there before.
fn make(folder: &Path) -> io::Result<bool> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        made => made.map(|()| true),
    }
}

/// Where records are left for a trail.
pub(super) fn folder(file: &Path) -> PathBuf {
    beside(file, ".inbox")
}
