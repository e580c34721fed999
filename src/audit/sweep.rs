//! The compression of rotated files, and the end of those that are past their retention.

use super::rotate::{is_called_packed, is_older, rotated, with_suffix};
use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::fs::{FlockOperation, flock};
use rustix::time::{ClockId, clock_gettime};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Lines of a trail repeat so much that more effort hardly finds more: 9.1 to 1 at 270 MB/s, where level 1 has 6.2 at 430 and
/// level 3 has 9.4 at 210.
const LEVEL: Compression = Compression::new(2);

/// The niceness of a sweep: on a CPU that is busy, a share of about 1.5 %.
const LOWEST: i32 = 19;

/// Each file that waits adds one part in so many of a CPU to what compression may take.
const PARTS: u32 = 32;

/// Bytes that are compressed between two rests: about a millisecond's work.
const PIECE: usize = 256 << 10;

/// Compresses rotated files that are not, and removes those older than `retention` that are not needed any more.
///
/// For a thread of its own: it takes the lowest priority, and rests. Idle time is not free. In a container it comes out
/// of the quota that requests need a moment later, and on a shared machine somebody pays for it. So one file that waits is
/// given a thirty-second of a CPU, which is enough for 6,000 requests a second, and each further one as much again.
pub(super) fn sweep(
    path: &Path,
    retention: Option<Duration>,
    unix_micros: u64,
    is_needed: &dyn Fn(&Path) -> bool,
) -> io::Result<()> {
    // What requests leave, and where they leave nothing it waits: at 10 it took a tenth of a busy CPU, and requests waited
    // for it by the millisecond. Of the calling thread, on Linux.
    let _ = rustix::process::setpriority_process(None, LOWEST);
    let oldest = retention.map(|kept| {
        let kept = u64::try_from(kept.as_micros()).unwrap_or(u64::MAX);
        unix_micros.saturating_sub(kept)
    });
    for file in rotated(path)? {
        // By its name alone: the folder of a relative path is spelled in more ways than one.
        if oldest.is_some_and(|oldest| is_older(&file, oldest)) && !is_needed(&file) {
            fs::remove_file(&file)?;
            tracing::info!(file = %file.display(), "removed an audit file past its retention");
        }
    }
    // Looked for each time: further ones are rotated while this rests.
    let mut tried = None;
    while let Some(file) = waiting(path)?.into_iter().find(|file| tried.as_ref().is_none_or(|tried| tried < file)) {
        compress(&file, &|| waiting(path).map_or(1, |files| files.len()))?;
        tried = Some(file);
    }
    Ok(())
}

/// The rotated files that are not compressed, oldest first.
fn waiting(path: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(rotated(path)?.into_iter().filter(|file| !is_called_packed(file)).collect())
}

/// Makes `file.gz` of `file`. The original goes only when the copy is on disk.
///
/// Under a lock: a run that ends and the one that follows it may both be at it, and the one that comes too late would
/// empty the copy of the other. A file that somebody else holds, or has done with, is left alone.
fn compress(file: &Path, waiting: &dyn Fn() -> usize) -> io::Result<()> {
    let original = match File::open(file) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    if flock(&original, FlockOperation::NonBlockingLockExclusive).is_err() || !file.exists() {
        return Ok(());
    }
    let partial = with_suffix(file, ".gz.part");
    let packed = pack(&original, &partial, waiting).and_then(|()| fs::rename(&partial, with_suffix(file, ".gz")));
    if packed.is_err() {
        // On a full disk, half a copy only takes room. Fails where there is none.
        let _ = fs::remove_file(&partial);
    }
    packed.and_then(|()| fs::remove_file(file))
}

/// Writes a compressed copy, and waits until it is on disk.
fn pack(original: &File, partial: &Path, waiting: &dyn Fn() -> usize) -> io::Result<()> {
    let out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(partial)?;
    let mut packer = GzEncoder::new(out, LEVEL);
    let mut piece = Vec::with_capacity(PIECE);
    let mut before = used();
    while original.take(PIECE as u64).read_to_end(&mut piece)? > 0 {
        packer.write_all(&piece)?;
        if piece.len() == PIECE {
            thread::sleep(rest(used().saturating_sub(before), waiting()));
        }
        before = used();
        piece.clear();
    }
    let mut out = packer.finish()?;
    out.flush()?;
    out.sync_all()
}

/// How long to rest after so much work, with so many files that wait.
fn rest(worked: Duration, waiting: usize) -> Duration {
    let share = u32::try_from(waiting).unwrap_or(PARTS).clamp(1, PARTS);
    worked * (PARTS - share) / share
}

/// The CPU time of this thread so far.
fn used() -> Duration {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(used).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::rotate::{open, rotated_name};
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_sweep_compresses_and_keeps_to_the_retention() {
        let folder = tempfile::tempdir().expect("a throwaway folder");
        let path = folder.path().join("audit.jsonl");
        let now = 1_800_000_000_000_000;
        let named = |seconds: u64| rotated_name(&path, now - seconds * 1_000_000);
        for file in [named(10), named(2), named(1)] {
            fs::write(file, "a line\n".repeat(PIECE / 3)).expect("written");
        }
        sweep(&path, Some(Duration::from_secs(5)), now, &|_| false).expect("swept");
        let left = rotated(&path).expect("listed");
        assert_eq!(left, [2, 1].map(|seconds| with_suffix(&named(seconds), ".gz")));
        for file in left {
            let mut text = String::new();
            open(&file).expect("opened").read_to_string(&mut text).expect("read");
            assert_eq!(text, "a line\n".repeat(PIECE / 3));
        }
    }

    #[test]
    fn a_file_that_somebody_holds_is_passed_over() {
        let folder = tempfile::tempdir().expect("a throwaway folder");
        let path = folder.path().join("audit.jsonl");
        let [held, free] = [1, 2].map(|micros| rotated_name(&path, micros));
        for file in [&held, &free] {
            fs::write(file, "a line\n").expect("written");
        }
        let holder = File::open(&held).expect("opened");
        flock(&holder, FlockOperation::LockExclusive).expect("locked");
        sweep(&path, None, 3, &|_| false).expect("swept");
        assert_eq!(rotated(&path).expect("listed"), [held, with_suffix(&free, ".gz")]);
    }

    #[test]
    fn more_files_that_wait_are_given_more_of_a_cpu() {
        let after = |waiting| rest(Duration::from_millis(1), waiting).as_micros();
        assert_eq!([0, 1, 2, 16, 32, 1000].map(after), [31_000, 31_000, 15_000, 1_000, 0, 0]);
    }

    #[test]
    fn a_copy_that_fails_leaves_the_original_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a throwaway folder");
        let file = folder.path().join("audit.jsonl");
        fs::write(&file, "a line\n").expect("written");
        // A full disk, and then something in the way of the copy's last step.
        let partial = with_suffix(&file, ".gz.part");
        symlink("/dev/full", &partial).expect("linked");
        let full = compress(&file, &|| 1).expect_err("no space");
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        assert!(!partial.is_symlink() && file.exists());
        fs::create_dir(with_suffix(&file, ".gz")).expect("made");
        compress(&file, &|| 1).expect_err("there is a folder of that name");
        assert!(!partial.exists() && file.exists());
    }
}
