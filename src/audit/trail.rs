//! The trail of one process: its file, its writers, its health.

use super::batch::Batch;
use super::chain::{Head, ROOT};
use super::recorder::Recorder;
use super::slot::Slot;
use crate::clock::Clock;
use crate::config::{Audit, AuditMode};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The trail of this process; cheap to clone.
#[derive(Clone, Debug)]
pub struct Trail(Arc<Shared>);

/// What all cores share. No lock here is taken by two cores on the hot path.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) mode: AuditMode,
    healthy: AtomicBool,
    slots: Box<[Mutex<Slot>]>,
}

impl Trail {
    /// Opens the trail for `cores` recorders. An error says why the file can't be written.
    pub fn open(config: &Audit, cores: usize, clock: Clock) -> io::Result<Self> {
        let slots = (0..=cores)
            .map(|n| {
                let file = open_file(config.file.as_deref())?;
                let writer = u64::try_from(n).map_err(io::Error::other)?;
                Ok(Mutex::new(Slot::new(Head::new(writer, ROOT), file)))
            })
            .collect::<io::Result<Box<[_]>>>()?;
        Ok(Self(Arc::new(Shared { clock, mode: config.mode, healthy: AtomicBool::new(true), slots })))
    }

    /// The recorder of core number `core`, from 0; one per core, taken inside the core's local runtime.
    ///
    /// # Panics
    /// If `core` is not below the number of cores that the trail was opened for.
    pub fn recorder(&self, core: usize) -> Recorder {
        assert!(core + 1 < self.0.slots.len(), "the trail was opened for fewer cores");
        Recorder::start(self.0.clone(), core + 1)
    }

    /// Whether records can be kept now.
    pub fn healthy(&self) -> bool {
        self.0.healthy.load(Ordering::Relaxed)
    }

    /// Records an admin action or a step in a key's life.
    pub fn admin_record(&self, actor: &str, action: &str, subject: &str, result: &str) -> io::Result<()> {
        use super::line;
        let mut batch = Batch::default();
        line::Stamp::default().begin(batch.buffer(), self.0.clock.unix_micros());
        for (name, value) in
            [("phase", "admin"), ("actor", actor), ("action", action), ("subject", subject), ("result", result)]
        {
            line::text(batch.buffer(), name, Some(value.as_bytes()), line::MAX_TEXT);
        }
        batch.seal(super::batch::Kind::Fact, super::waiters::NOBODY);
        self.0.write(0, &batch)
    }
}

impl Shared {
    /// Writes a batch as the next lines of a writer.
    pub(super) fn write(&self, slot: usize, batch: &Batch) -> io::Result<()> {
        let done = self.slots[slot].lock().unwrap_or_else(PoisonError::into_inner).write(batch);
        self.healthy.store(done.is_ok(), Ordering::Relaxed);
        done
    }
}

fn open_file(path: Option<&Path>) -> io::Result<File> {
    match path {
        Some(path) => OpenOptions::new().append(true).create(true).mode(0o600).open(path),
        None => OpenOptions::new().append(true).open("/dev/stdout"),
    }
}
