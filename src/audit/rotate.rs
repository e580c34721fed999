//! Rotated files: their names, and how they are read.
//!
//! `audit.jsonl` becomes `audit.jsonl.20260131T235959.000001Z`, then the same with `.gz`: in the order of their names is
//! in the order of their lines.

use super::chain::Link;
use flate2::bufread::MultiGzDecoder;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What a rotated file of `path` is called if it is rotated at this time.
pub(super) fn rotated_name(path: &Path, unix_micros: u64) -> PathBuf {
    let micros = i64::try_from(unix_micros).unwrap_or_default();
    let time = jiff::Timestamp::from_microsecond(micros).unwrap_or_default();
    with_suffix(path, &time.strftime(".%Y%m%dT%H%M%S.%6fZ").to_string())
}

/// The same for a file that is rotated now: always behind those that are there, wherever the clock has gone since. Nothing
/// is overwritten, and the order of the names stays that of the lines.
pub(super) fn next_name(path: &Path, unix_micros: u64) -> PathBuf {
    let newest = rotated(path).ok().and_then(|files| micros_of(files.last()?));
    rotated_name(path, newest.map_or(unix_micros, |newest| unix_micros.max(newest.saturating_add(1))))
}

/// When a rotated file was rotated, as its name says.
fn micros_of(file: &Path) -> Option<u64> {
    let name = unpacked_name(file.file_name()?.to_str()?);
    let suffix = name.get(name.len().checked_sub(SUFFIX.len())?..)?;
    let time = jiff::civil::DateTime::strptime(".%Y%m%dT%H%M%S.%6fZ", suffix).ok()?;
    let time = jiff::tz::TimeZone::UTC.to_timestamp(time).ok()?;
    u64::try_from(time.as_microsecond()).ok()
}

/// The rotated files of `path` that are there, oldest first.
///
/// # Errors
/// The folder can't be read.
pub fn rotated(path: &Path) -> io::Result<Vec<PathBuf>> {
    // While files are renamed, a listing may miss both the old name and the new one: two that agree missed none.
    let stem = |file: &PathBuf| file.to_string_lossy().trim_end_matches(".gz").to_owned();
    let mut before = list(path)?;
    for _ in 0..5 {
        let now = list(path)?;
        if now.iter().map(stem).eq(before.iter().map(stem)) {
            return Ok(now);
        }
        before = now;
    }
    Ok(before)
}

fn list(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = every(path)?;
    found.retain(|file| !is_partial(file));
    // While a file is being compressed it is there twice.
    found.dedup_by(|later, earlier| later.file_stem() == earlier.file_name());
    Ok(found)
}

/// The same with copies that are not whole yet, and with both of what is there twice. What is no file is none of them.
pub(super) fn every(path: &Path) -> io::Result<Vec<PathBuf>> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder(path))? {
        let entry = entry?;
        let is_rotated = entry.file_name().to_str().and_then(|other| other.strip_prefix(name)).is_some_and(is_suffix);
        if is_rotated && is_file(&entry) {
            found.push(folder(path).join(entry.file_name()));
        }
    }
    found.sort();
    Ok(found)
}

/// The one of [`others`] with which the trail goes on: of those that nobody writes, the one that was opened last.
pub(super) fn renamed(path: &Path) -> io::Result<Option<PathBuf>> {
    let mut newest = None;
    for (number, file) in others(path)? {
        let modified = fs::metadata(&file).and_then(|found| found.modified()).ok();
        if !is_written(&file) {
            newest = newest.max(Some((number, modified, file)));
        }
    }
    Ok(newest.map(|(.., file)| file))
}

/// Whether a broker has it open: its lock is that of another trail, whose name begins like this one's.
fn is_written(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK))
}

/// Trails, each with the number of its opening record, whose names begin with that of `path` and are none that sidekey has given:
/// somebody else may have renamed the trail to one of them, as `logrotate` does. What can't be read is passed over.
pub(super) fn others(path: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut trails = Vec::new();
    for file in namesakes(path)? {
        match opening(&file) {
            Ok(number) => trails.extend(number.map(|number| (number, file))),
            Err(fault) => {
                tracing::warn!(%fault, file = %file.display(), "can't be read, so it is taken for no part of the trail");
            }
        }
    }
    Ok(trails)
}

/// The number of the record that opens a file; `None` if it does not begin with one.
pub(super) fn opening(path: &Path) -> io::Result<Option<u64>> {
    let mut line = Vec::new();
    BufReader::new(open(path)?).take(1 << 20).read_until(b'\n', &mut line)?;
    let link = line.strip_suffix(b"\n").and_then(Link::parse);
    Ok(link.filter(|link| link.writer == 0).map(|link| link.seq))
}

fn namesakes(path: &Path) -> io::Result<Vec<PathBuf>> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder(path))? {
        let entry = entry?;
        let found = folder(path).join(entry.file_name());
        let suffix = entry.file_name().to_str().and_then(|other| other.strip_prefix(name).map(str::to_owned));
        let theirs = suffix.is_some_and(|suffix| is_added(&suffix) && !is_suffix(&suffix));
        let aside = found.extension().is_some_and(|extension| extension == "foreign" || extension == "part");
        if theirs && !aside && is_file(&entry) {
            files.push(found);
        }
    }
    Ok(files)
}

/// Whether this behind a name makes another name of the same file, such as `.1`, `.old` or `-20260131`.
fn is_added(suffix: &str) -> bool {
    suffix.starts_with('.')
        || suffix.strip_prefix(['-', '_']).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// A file, or a link to one: opening a pipe would wait for its other end.
fn is_file(entry: &fs::DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| {
        kind.is_file() || kind.is_symlink() && fs::metadata(entry.path()).is_ok_and(|found| found.is_file())
    })
}

/// Whether a rotated file was rotated before this time, so that it holds nothing newer. `false` of any other file.
pub(super) fn is_older(path: &Path, unix_micros: u64) -> bool {
    let name = unpacked_name(path.file_name().and_then(|name| name.to_str()).unwrap_or_default());
    let Some((_, suffix)) = name.len().checked_sub(SUFFIX.len()).and_then(|at| name.split_at_checked(at)) else {
        return false;
    };
    is_suffix(suffix) && suffix < rotated_name(Path::new(""), unix_micros).to_str().unwrap_or_default()
}

/// Opens a trail file, compressed or not: by its content, whatever it is called. One that was compressed since it was
/// listed is found under its new name. What is damaged in a compressed one is an error that is not the operating system's.
pub(super) fn open(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    let file = match File::open(path) {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => {
            File::open(with_suffix(path, ".gz")).map_err(|_| fault)?
        }
        opened => opened?,
    };
    Ok(if is_gzip(&file)? { Box::new(Unpacked(MultiGzDecoder::new(BufReader::new(file)))) } else { Box::new(file) })
}

fn is_gzip(file: &File) -> io::Result<bool> {
    let mut magic = [0; 2];
    Ok(file.read_at(&mut magic, 0)? == 2 && magic == [0x1f, 0x8b])
}

/// Whether a file is called compressed, and is neither that nor a plain trail: its beginning was damaged.
pub(super) fn is_misnamed(path: &Path) -> io::Result<bool> {
    if !is_called_packed(path) {
        return Ok(false);
    }
    let file = File::open(path)?;
    let mut first = [0];
    Ok(!is_gzip(&file)? && (file.read_at(&mut first, 0)? == 0 || first != *b"{"))
}

/// Whether a file has the name of a rotated one.
pub(super) fn is_rotated(path: &Path) -> bool {
    micros_of(path).is_some()
}

/// Whether a file is called the copy that is being compressed.
pub(super) fn is_partial(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "part")
}

/// What a file is called of which this is the copy that is being compressed; `None` if it is no such copy.
pub(super) fn original(partial: &Path) -> Option<PathBuf> {
    let name = partial.file_name()?.to_str()?.strip_suffix(".gz.part")?;
    Some(partial.with_file_name(name))
}

/// What a rotated file was called before it was compressed.
fn unpacked_name(name: &str) -> &str {
    name.strip_suffix(".gz.part").or_else(|| name.strip_suffix(".gz")).unwrap_or(name)
}

/// Whether a file is called compressed.
pub(super) fn is_called_packed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz")
}

/// A compressed file's lines; says of one that is damaged how far it can be read.
struct Unpacked(MultiGzDecoder<BufReader<File>>);

impl Read for Unpacked {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let fault = match self.0.read(into) {
            Err(fault) if fault.raw_os_error().is_none() => fault,
            other => return other,
        };
        let at = self.0.get_mut().stream_position()?;
        let told = format!("the compressed file can't be unpacked beyond its byte {at} ({fault})");
        Err(io::Error::new(fault.kind(), told))
    }
}

/// Whether this is what [`rotated_name`] puts after a name, compressed or not.
fn is_suffix(suffix: &str) -> bool {
    let shape: String = unpacked_name(suffix).chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == SUFFIX
}

/// The shape of a rotated file's suffix.
const SUFFIX: &str = ".00000000T000000.000000Z";

/// `path` with more behind its name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A hidden file beside `path`: `.audit.jsonl.key`. Hidden, so that `audit.jsonl*` names trail files only.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(suffix);
    folder(path).join(name)
}

/// The folder that a file is in.
pub(super) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_time_and_only_ours_are_taken() {
        let folder = tempfile::tempdir().expect("a throwaway folder");
        let path = folder.path().join("audit.jsonl");
        let (first, second) = (rotated_name(&path, 1_700_000_000_000_001), rotated_name(&path, 1_800_000_000_000_000));
        for file in [&second, &first, &with_suffix(&first, ".gz"), &path, &with_suffix(&path, ".bak")] {
            fs::write(file, "x").expect("written");
        }
        assert_eq!(rotated(&path).expect("listed"), [first.clone(), second]);
        assert!(is_older(&first, 1_700_000_000_000_002) && is_older(&with_suffix(&first, ".gz"), u64::MAX >> 12));
        assert!(!is_older(&first, 1_700_000_000_000_001) && !is_older(&path, u64::MAX >> 12));
        // Behind the newest, whatever the clock says.
        assert_eq!(micros_of(&with_suffix(&first, ".gz")), Some(1_700_000_000_000_001));
        assert_eq!(next_name(&path, 1_750_000_000_000_000), rotated_name(&path, 1_800_000_000_000_001));
        assert_eq!(next_name(&path, 1_900_000_000_000_000), rotated_name(&path, 1_900_000_000_000_000));
    }
}
