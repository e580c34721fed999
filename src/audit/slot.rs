//! A writer's place in the file: its chain and its own descriptor of the file.

use super::batch::Batch;
use super::chain::Head;
use std::fs::File;
use std::io::{self, Seek, Write};

/// One writer. Its lock is its core's own; only the exceptional (rotation, mending) takes the locks of others.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) head: Head,
    /// Opened for this writer alone, so that the descriptor's position is the end of its own last write.
    pub(super) file: File,
    out: Vec<u8>,
}

impl Slot {
    pub(super) fn new(head: Head, file: File) -> Self {
        Self { head, file, out: Vec::new() }
    }

    /// Writes a batch as the next lines of the chain; on a fault the chain stands where it stood.
    pub(super) fn write(&mut self, batch: &Batch) -> io::Result<()> {
        let before = self.head;
        self.out.clear();
        for (n, line) in batch.lines().enumerate() {
            self.head.append(&mut self.out, line, n == 0);
        }
        let done = (&self.file).write_all(&self.out).and_then(|()| (&self.file).stream_position());
        match done {
            Ok(end) => self.head.end = end,
            Err(fault) => {
                self.head = before;
                return Err(fault);
            }
        }
        Ok(())
    }
}
