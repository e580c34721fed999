//! Request ids: random where they begin, counted after that, so that making one costs an addition.

use crate::ids::RequestId;
use crate::secret::random;
use std::cell::Cell;

/// Makes one core's request ids.
#[derive(Debug)]
pub struct RequestIds {
    next: Cell<u128>,
}

impl RequestIds {
    /// Starts at a random place: 128 bits, so that cores and restarts do not meet.
    pub fn at_random() -> Self {
        Self { next: Cell::new(u128::from_le_bytes(*random::<16>())) }
    }

    /// The next id.
    pub fn next(&self) -> RequestId {
        let id = self.next.get();
        self.next.set(id.wrapping_add(1));
        RequestId::new(id)
    }
}
