//! Read and write buffers, lent while a request is under way, so that an idle connection holds none.

use bytes::BytesMut;
use std::cell::RefCell;

/// Bytes of a lent buffer. A request head and an API answer fit; larger bodies pass through in pieces of this size.
pub const SIZE: usize = 16 * 1024;

/// Least room that is worth a read.
pub const ROOM: usize = 4096;

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

    /// Changes a lent buffer for one in which pieces of so many bytes are read at once: each costs a call into the kernel,
    /// and a lookout for the key. What is in it moves along.
    pub fn widen(&self, buffer: &mut BytesMut, piece: usize) {
        // The last one must not make it grow again.
        let room = piece + ROOM;
        if buffer.capacity() < room {
            let mut wide = BytesMut::with_capacity(room.next_multiple_of(SIZE));
            wide.extend_from_slice(buffer);
            self.give_back(std::mem::replace(buffer, wide));
        }
    }

    /// Takes a buffer back. Its bytes are overwritten by the next request that borrows it, never read by it.
    pub fn give_back(&self, mut buffer: BytesMut) {
        buffer.clear();
        // A buffer that was split or has grown is not worth keeping.
        if buffer.try_reclaim(SIZE) && buffer.capacity() < 2 * SIZE {
            let mut spare = self.spare.borrow_mut();
            if spare.len() < KEPT {
                spare.push(buffer);
            }
        }
    }
}
