//! A writer's place in the file: its chain and its own descriptor of the file.

use super::batch::{Batch, MOST_ROOM};
use super::chain::Head;
use super::place::{Identity, identify};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One writer: the trail itself, or a core. The scribe and the warden take its lock, since either may wait for the disk; a
/// core never does.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) head: Head,
    /// Opened for this writer alone, so that the descriptor's position is the end of its own last write.
    pub(super) file: Arc<File>,
    pub(super) identity: Identity,
    /// When it was last seen that the file still has its name, in microseconds after the trail began.
    pub(super) looked: u64,
    /// A piece of a write that failed half-way: where it begins and ends.
    pub(super) torn: Option<(u64, u64)>,
    /// A stream has no positions: the bytes that all writers have written stand in for them.
    stream: Option<Arc<AtomicU64>>,
    out: Vec<u8>,
}

impl Slot {
    pub(super) fn new(head: Head, file: File, stream: Option<Arc<AtomicU64>>) -> io::Result<Self> {
        let (identity, _) = identify(&file)?;
        Ok(Self { head, file: Arc::new(file), identity, looked: 0, torn: None, stream, out: Vec::new() })
    }

    /// Goes on in another file.
    pub(super) fn reopen(&mut self, file: File) -> io::Result<()> {
        (self.identity, _) = identify(&file)?;
        self.file = Arc::new(file);
        self.looked = 0;
        self.head.end = 0;
        self.torn = None;
        Ok(())
    }

    /// Whether no name leads to the file any more: what was written to it is gone.
    pub(super) fn is_removed(&self) -> bool {
        identify(&self.file).is_ok_and(|(_, named)| !named)
    }

    /// Writes a batch as the next lines of the chain. After a fault the chain stands where it stood, and a piece that
    /// was written stays behind for the warden to mend: cutting it off here could cut a line of another writer.
    pub(super) fn write(&mut self, batch: &Batch) -> io::Result<()> {
        let before = self.head;
        self.out.clear();
        for (n, line) in batch.lines().enumerate() {
            self.head.append(&mut self.out, line, n == 0);
        }
        let mut rest = self.out.as_slice();
        while !rest.is_empty() {
            match (&*self.file).write(rest) {
                Ok(0) => return Err(self.tear(before, rest.len(), io::ErrorKind::WriteZero.into())),
                Ok(n) => rest = &rest[n..],
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
                Err(fault) => return Err(self.tear(before, rest.len(), fault)),
            }
        }
        let length = u64::try_from(self.out.len()).unwrap_or_default();
        self.head.end = match &self.stream {
            Some(written) => written.fetch_add(length, Ordering::Relaxed) + length,
            None => (&*self.file).stream_position()?,
        };
        if self.out.capacity() > MOST_ROOM {
            self.out = Vec::new();
        }
        Ok(())
    }

    fn tear(&mut self, before: Head, left: usize, fault: io::Error) -> io::Error {
        self.head = before;
        let written = u64::try_from(self.out.len() - left).unwrap_or_default();
        if written > 0
            && let Ok(end) = (&*self.file).stream_position()
        {
            self.torn = Some((end.saturating_sub(written), end));
        }
        fault
    }
}
