//! Reads a trail behind its writers, through rotations, from where the last run stopped.

use crate::audit::query::files;
use crate::audit::rotate::{self, opening};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Most bytes handed over at once, but for a single longer line: a collector takes 4 MiB by default.
const BATCH: usize = 256 << 10;

/// How much of what was handed over is looked at again before more is read: the end of a line, which holds a hash.
const TAIL: usize = 128;

/// How far back reading goes where that is another now: more than one write that fails half-way can hold. What is handed
/// over twice is told apart by its number.
const BACK: u64 = 4 << 20;

/// The lines that were not handed over yet.
pub(super) struct Source {
    path: PathBuf,
    cursor: PathBuf,
    progress: Arc<AtomicU64>,
    reading: Option<Reading>,
    /// Read and not handed over.
    buffer: Vec<u8>,
    /// How much of `buffer` was given last.
    given: usize,
    unsaved: bool,
}

/// A file that is being read.
struct Reading {
    /// Number of its opening record: tells it from others, whatever it is called.
    number: u64,
    /// What was handed over of it, in bytes before compression.
    offset: u64,
    /// The end of what was handed over.
    tail: Vec<u8>,
    bytes: Bytes,
}

enum Bytes {
    /// May still grow.
    Plain(File),
    Packed(Box<dyn Read + Send>),
}

impl Source {
    pub(super) fn new(path: PathBuf, cursor: PathBuf, progress: Arc<AtomicU64>) -> Self {
        Self { path, cursor, progress, reading: None, buffer: Vec::new(), given: 0, unsaved: false }
    }

    /// The next whole lines; empty: none for now. The same again until [`Source::advance`].
    pub(super) fn lines(&mut self) -> io::Result<&[u8]> {
        self.given = 0;
        if self.reading.is_none() {
            self.reading = self.first()?;
            // A run that hands over nothing must not let the next one begin later.
            self.unsaved = true;
            self.save();
        }
        while whole(&self.buffer) == 0 {
            if self.fill()? {
                continue;
            }
            // Asked after the end was met: what was written before the file was moved is read once more.
            if !self.is_left()? || self.fill()? {
                if whole(&self.buffer) == 0 {
                    return Ok(&[]);
                }
                break;
            }
            if !self.turn_page()? {
                return Ok(&[]);
            }
        }
        self.given = whole(&self.buffer);
        Ok(&self.buffer[..self.given])
    }

    /// What [`Source::lines`] gave is handed over.
    pub(super) fn advance(&mut self) {
        if let Some(reading) = &mut self.reading {
            reading.offset += u64::try_from(self.given).unwrap_or_default();
            reading.tail.clear();
            reading.tail.extend_from_slice(&self.buffer[self.given.saturating_sub(TAIL)..self.given]);
        }
        self.buffer.drain(..self.given);
        self.given = 0;
        self.unsaved = true;
    }

    /// Keeps how far this came. A failure only means that records are handed over twice after a restart.
    pub(super) fn save(&mut self) {
        let Some(reading) = self.reading.as_ref().filter(|_| self.unsaved) else { return };
        let partial = rotate::with_suffix(&self.cursor, ".part");
        let text = format!("{} {}\n", reading.number, reading.offset);
        if let Err(fault) = fs::write(&partial, text).and_then(|()| fs::rename(&partial, &self.cursor)) {
            tracing::debug!(%fault, "how far audit records were copied could not be kept");
        }
        self.unsaved = false;
    }

    /// Where the last run stopped; a new place begins with the oldest file that is kept.
    fn first(&self) -> io::Result<Option<Reading>> {
        let saved = fs::read_to_string(&self.cursor).ok();
        let saved = saved.as_deref().and_then(|text| text.trim().split_once(' '));
        let saved = saved.and_then(|(number, offset)| Some((number.parse().ok()?, offset.parse().ok()?)));
        let (number, offset): (u64, u64) = saved.unwrap_or_default();
        for (own, file) in spool(&self.path)? {
            if own >= number {
                return self.open(&file, if own == number { offset } else { 0 });
            }
        }
        // Nothing is there yet, or another trail began since.
        self.open(&self.path, 0)
    }

    /// Goes on with the file after this one. `false`: it is not there yet.
    fn turn_page(&mut self) -> io::Result<bool> {
        let number = self.reading.as_ref().map_or(0, |reading| reading.number);
        let next = spool(&self.path)?.into_iter().find(|(own, _)| *own > number);
        if let Some((_, file)) = &next {
            self.reading = self.open(file, 0)?;
            self.buffer.clear();
        }
        Ok(next.is_some())
    }

    fn open(&self, path: &Path, offset: u64) -> io::Result<Option<Reading>> {
        let Some(number) = opening(path)? else { return Ok(None) };
        self.progress.store(number, Ordering::Relaxed);
        let file = File::open(path);
        let mut first = [0];
        let bytes = match file {
            Ok(file) if file.read_at(&mut first, 0)? == 1 && first == *b"{" => Bytes::Plain(file),
            _ => {
                let mut packed = rotate::open(path)?;
                io::copy(&mut packed.by_ref().take(offset), &mut io::sink())?;
                Bytes::Packed(packed)
            }
        };
        Ok(Some(Reading { number, offset, tail: Vec::new(), bytes }))
    }

    /// Reads more. `false`: the end.
    fn fill(&mut self) -> io::Result<bool> {
        let Some(reading) = &mut self.reading else { return Ok(false) };
        if let Bytes::Plain(file) = &reading.bytes {
            // A write that failed half-way was taken off again, whole lines of it too, and others stand there now, perhaps.
            if !still_there(file, reading.offset, &reading.tail)? {
                reading.offset = line_before(file, reading.offset)?;
                reading.tail.clear();
                self.buffer.clear();
            }
        }
        let had = self.buffer.len();
        // So was, perhaps, what is no whole line here yet, and another stands there now.
        if matches!(reading.bytes, Bytes::Plain(_)) && had < BATCH {
            self.buffer.truncate(memchr::memrchr(b'\n', &self.buffer).map_or(0, |newline| newline + 1));
        }
        let before = self.buffer.len();
        self.buffer.resize(before + BATCH, 0);
        let more = &mut self.buffer[before..];
        let read = match &mut reading.bytes {
            Bytes::Plain(file) => file.read_at(more, reading.offset + u64::try_from(before).unwrap_or_default()),
            Bytes::Packed(packed) => packed.read(more),
        };
        self.buffer.truncate(before + *read.as_ref().unwrap_or(&0));
        read?;
        Ok(self.buffer.len() > had)
    }

    /// Whether the file is no longer the one that is written.
    fn is_left(&self) -> io::Result<bool> {
        match self.reading.as_ref().map(|reading| &reading.bytes) {
            None => Ok(false),
            Some(Bytes::Packed(_)) => Ok(true),
            Some(Bytes::Plain(file)) => {
                let own = file.metadata()?;
                Ok(fs::metadata(&self.path).is_ok_and(|now| (now.dev(), now.ino()) != (own.dev(), own.ino())))
            }
        }
    }
}

/// The trail's files, whoever has given them their names, by the number of their opening record.
fn spool(path: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut spool = Vec::new();
    for file in files(path)? {
        spool.extend(opening(&file)?.map(|number| (number, file)));
    }
    spool.extend(rotate::others(path)?);
    // Without moving the file itself behind a copy of it.
    spool.sort_by_key(|(number, _)| *number);
    Ok(spool)
}

/// Whether a file is this long, and what was handed over of it stands there still.
fn still_there(file: &File, offset: u64, tail: &[u8]) -> io::Result<bool> {
    if file.metadata()?.len() < offset {
        return Ok(false);
    }
    let mut now = vec![0; tail.len()];
    file.read_exact_at(&mut now, offset.saturating_sub(tail.len() as u64))?;
    Ok(now == tail)
}

/// Where a line begins, some way before `offset`.
fn line_before(file: &File, offset: u64) -> io::Result<u64> {
    let from = offset.saturating_sub(BACK);
    if from == 0 {
        return Ok(0);
    }
    let mut block = vec![0; 64 << 10];
    let read = file.read_at(&mut block, from)?;
    Ok(memchr::memchr(b'\n', &block[..read]).map_or(0, |newline| from + newline as u64 + 1))
}

/// The length of the whole lines at the start, at most a batch unless one line is longer.
fn whole(buffer: &[u8]) -> usize {
    let within = &buffer[..buffer.len().min(BATCH)];
    memchr::memrchr(b'\n', within).or_else(|| memchr::memchr(b'\n', buffer)).map_or(0, |newline| newline + 1)
}
