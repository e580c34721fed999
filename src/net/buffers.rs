//! Read and write buffers, lent while a request is under way, so that an idle connection holds none.

use bytes::BytesMut;
use std::cell::RefCell;

/// Bytes of a lent buffer. A request head and an API answer fit; larger bodies pass through in pieces of this size.
pub const SIZE: usize = 16 * 1024;

/// Most buffers kept for reuse on one core: 4 MiB.
const KEPT: usize = 256;

/// One core's spare buffers.
#[derive(Debug, Default)]
pub struct Buffers {
    spare: RefCell<Vec<BytesMut>>,
}

impl Buffers {
    /// Lends an empty buffer with room for at least [`SIZE`] bytes.
    pub fn lend(&self) -> BytesMut {
        self.spare.borrow_mut().pop().unwrap_or_else(|| BytesMut::with_capacity(SIZE))
    }

    /// Takes a buffer back. Its bytes are overwritten by the next request that borrows it, never read by it.
    pub fn give_back(&self, mut buffer: BytesMut) {
        buffer.clear();
        // A buffer that was split or has grown is not worth keeping.
        if buffer.try_reclaim(SIZE) && buffer.capacity() <= 2 * SIZE {
            let mut spare = self.spare.borrow_mut();
            if spare.len() < KEPT {
                spare.push(buffer);
            }
        }
    }
}
