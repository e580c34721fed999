//! The wait for a record to be kept.

use super::core::Core;
use super::waiters::{AuditUnavailable, KEPT, REFUSED};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Resolves when a record is kept as `durability` says. The record goes out whether or not this is awaited; dropping it
/// only means that nobody wants to know.
#[must_use = "an intent must be kept before its request goes upstream; for an outcome, dropping this is fine"]
pub struct Kept {
    core: Rc<Core>,
    place: usize,
}

impl Kept {
    /// Waits in this place of the core's.
    pub(super) fn waiting(core: Rc<Core>, place: usize) -> Self {
        Self { core, place }
    }
}

impl Future for Kept {
    type Output = Result<(), AuditUnavailable>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.place {
            KEPT => Poll::Ready(Ok(())),
            REFUSED => Poll::Ready(Err(AuditUnavailable)),
            place => self.core.waiters.borrow_mut().poll(place, context.waker()),
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.place < REFUSED {
            self.core.waiters.borrow_mut().leave(self.place);
        }
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}
