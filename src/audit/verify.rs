//! Checks a trail's files, in their order, and names the first line that is wrong and how.
//!
//! What is found without a key: any change by somebody who does not recompute what follows it. Against somebody who
//! does, a signed checkpoint holds everything before it. What no file can tell is that its last lines were cut off after
//! its last checkpoint: [`End::Open`] says that the file did not end with its closing record.

mod walk;

use super::control::SIGNED_PREFIX;
use super::rotate;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use walk::{Fail, Suspect, Walk};

/// How a line is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Its bytes are not those that were written.
    Edited,
    /// Lines that stood before it are not there.
    Removed,
    /// It is there, but not where it was written.
    Reordered,
    /// The file does not begin, or does not end, with a whole line of its own.
    Cut,
    /// It does not belong here: a copy, or a line of another chain.
    Spliced,
    /// Its file is compressed, and is damaged: from here on it can't be unpacked, or unpacks to something else.
    Damaged,
}

impl How {
    /// One word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Edited => "edited",
            Self::Removed => "removed",
            Self::Reordered => "reordered",
            Self::Cut => "cut",
            Self::Spliced => "spliced",
            Self::Damaged => "damaged",
        }
    }
}

/// The first wrong line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tampering {
    /// Which file.
    pub file: PathBuf,
    /// Which line, from 1.
    pub line: u64,
    /// How it is wrong.
    pub how: How,
    /// What shows it.
    pub detail: String,
}

impl fmt::Display for Tampering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.file.display(), self.line, self.how.name(), self.detail)
    }
}

/// How the last file ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// With its closing record.
    Closed,
    /// Without: the broker is running, or was killed, or the end was cut off.
    #[default]
    Open,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The files in the order of their lines.
    pub files: Vec<PathBuf>,
    /// Lines that were checked.
    pub records: u64,
    /// Chains that were seen.
    pub writers: usize,
    /// Torn lines that restarts have mended.
    pub mended: u64,
    /// How the last file ends.
    pub end: End,
    /// The Ed25519 keys, in hex, that signed every checkpoint, in the order of their use; empty: not all are signed.
    pub signed_by: Vec<String>,
    /// Lines after the last signed checkpoint: only the chain holds them.
    pub unsigned: u64,
    /// The first wrong line; `None`: the trail is whole.
    pub tampering: Option<Tampering>,
}

/// Checks files of one trail. They may be compressed, and are put in order by what they say. With `keys`, public
/// Ed25519 keys in hex, every checkpoint must be signed by one of them.
///
/// # Errors
/// A file that can't be read.
pub fn verify(paths: &[PathBuf], keys: &[String]) -> io::Result<Verdict> {
    let files = in_order(paths)?;
    let mut walk = Walk::new(keys);
    let mut tampering = None;
    for (n, file) in files.iter().enumerate() {
        let last = n + 1 == files.len();
        let checked = check_file(&mut walk, file, last).map_err(|fault| named(file, &fault))?;
        if let Err((line, fail)) = checked {
            let (how, detail) = match fail {
                Fail::Certain(how, detail) => (how, detail),
                Fail::Gap(suspect) => explain(&suspect, &files[n..])?,
            };
            tampering = Some(Tampering { file: file.clone(), line, how, detail });
            break;
        }
    }
    let mut verdict = walk.verdict();
    verdict.files = files;
    verdict.tampering = tampering;
    Ok(verdict)
}

/// Longest line that is read, in bytes: the longest that is written is a fraction of it.
const MAX_LINE: u64 = 1 << 20;

type Checked = Result<(), (u64, Fail)>;

fn check_file(walk: &mut Walk<'_>, path: &Path, last: bool) -> io::Result<Checked> {
    let mut lines = Lines::open(path)?;
    walk.begin_file();
    let checked = check_lines(walk, &mut lines, path, last)?;
    // What a damaged file unpacks to says nothing of what was written.
    if let Err((line, _)) = checked
        && let Some(detail) = lines.damage(path)?
    {
        return Ok(Err((line, Fail::Certain(How::Damaged, detail))));
    }
    Ok(checked)
}

fn check_lines(walk: &mut Walk<'_>, lines: &mut Lines, path: &Path, last: bool) -> io::Result<Checked> {
    while lines.advance()? {
        let Some(text) = lines.line.strip_suffix(b"\n") else {
            if last && is_being_written(path) {
                break;
            }
            let detail = "the last line is torn (if the broker was killed, its next start mends it and says so)";
            return Ok(Err((lines.number, Fail::Certain(How::Cut, detail.to_owned()))));
        };
        if let Err(fail) = walk.line(text, lines.offset, lines.number) {
            return Ok(Err(fail));
        }
    }
    Ok(walk.end_file())
}

/// Looks further on for the line that should have come: it was moved, or it is gone.
fn explain(suspect: &Suspect, files: &[PathBuf]) -> io::Result<(How, String)> {
    let (mut expected, mut again) = (false, false);
    for (n, file) in files.iter().enumerate() {
        let mut lines = Lines::open(file)?;
        while lines.advance()? {
            let text = lines.line.strip_suffix(b"\n").unwrap_or(&lines.line);
            expected |= suspect.is_expected(text);
            again |= (n > 0 || lines.number > suspect.line) && suspect.is_found(text);
        }
    }
    let (found, missing) = (suspect.found, suspect.missing());
    Ok(match (expected, again) {
        (true, true) => (How::Spliced, format!("{found} stands here and in its own place")),
        (true, false) => (How::Reordered, format!("{found} stands before {missing}")),
        (false, _) => (How::Removed, format!("{missing} is missing before {found}")),
    })
}

/// A broker holds a lock on the file that it writes; its last line may be on its way. Who holds one that was rotated only
/// compresses it.
fn is_being_written(path: &Path) -> bool {
    let lock = rustix::fs::FlockOperation::NonBlockingLockShared;
    !rotate::is_rotated(path) && File::open(path).is_ok_and(|file| rustix::fs::flock(file, lock).is_err())
}

/// Files in the order of the numbers that their first lines carry.
fn in_order(paths: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::with_capacity(paths.len());
    // A pattern for a trail's names meets the copy that is being compressed too. Beside what it is a copy of it says nothing.
    let is_copy = |path: &&PathBuf| rotate::original(path).is_some_and(|original| paths.contains(&original));
    for path in paths.iter().filter(|path| !is_copy(path)) {
        let mut lines = Lines::open(path).map_err(|fault| named(path, &fault))?;
        lines.advance().map_err(|fault| named(path, &fault))?;
        files.push((walk::opening_number(&lines.line), path.clone()));
    }
    // A file without a readable beginning stays where it was put.
    if files.iter().all(|(number, _)| number.is_some()) {
        files.sort();
    }
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

fn named(path: &Path, fault: &io::Error) -> io::Error {
    io::Error::new(fault.kind(), format!("{}: {fault}", path.display()))
}

/// Reads line by line, plain or compressed.
struct Lines {
    reader: BufReader<Box<dyn Read + Send>>,
    line: Vec<u8>,
    number: u64,
    /// Where the line begins.
    offset: u64,
    /// Why a compressed file can't be read on.
    damage: Option<String>,
}

impl Lines {
    fn open(path: &Path) -> io::Result<Self> {
        let reader = BufReader::with_capacity(1 << 20, rotate::open(path)?);
        Ok(Self { reader, line: Vec::new(), number: 0, offset: 0, damage: None })
    }

    /// Reads the next line, with its newline if it has one; `false` at the end. Where a compressed file is damaged it ends
    /// with what there is of a line, which may be nothing.
    fn advance(&mut self) -> io::Result<bool> {
        if self.damage.is_some() {
            return Ok(false);
        }
        self.offset += u64::try_from(self.line.len()).unwrap_or_default();
        self.line.clear();
        match self.reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut self.line) {
            Err(fault) if fault.raw_os_error().is_none() => self.damage = Some(fault.to_string()),
            read => drop(read?),
        }
        self.number += 1;
        Ok(!self.line.is_empty() || self.damage.is_some())
    }

    /// What is wrong with the file as a compressed one. Reads it to its end, where its checksum is.
    fn damage(&mut self, path: &Path) -> io::Result<Option<String>> {
        while self.advance()? {}
        if self.damage.is_none() && rotate::is_misnamed(path)? {
            self.damage = Some("it does not begin as a compressed file does, though it is called one".to_owned());
        }
        Ok(self.damage.take())
    }
}

/// Whether a signature over a control record holds.
fn is_signed(body: &[u8], key: &str, signature: &[u8]) -> bool {
    let Ok(key) = hex::decode(key) else { return false };
    let message = [SIGNED_PREFIX, body].concat();
    UnparsedPublicKey::new(&ED25519, key).verify(&message, signature).is_ok()
}

#[cfg(test)]
mod tests;
