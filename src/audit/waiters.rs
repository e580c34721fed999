//! Who waits for a record to be kept: a slab per core, so that a request costs no allocation.

use std::fmt;
use std::task::{Poll, Waker};

/// The record can't be kept, and the audit is required: the request must be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditUnavailable;

impl fmt::Display for AuditUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the audit record can't be kept")
    }
}

impl std::error::Error for AuditUnavailable {}

/// Not a place: nothing to wait for.
pub(super) const KEPT: usize = usize::MAX - 1;
/// Not a place: refused at once.
pub(super) const REFUSED: usize = usize::MAX - 2;

#[derive(Debug)]
enum Place {
    Free,
    Waiting(Option<Waker>),
    Done(Result<(), AuditUnavailable>),
    /// Whoever waited is gone; freed when the batch is settled.
    Left,
}

/// The places of one core.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    places: Vec<Place>,
    free: Vec<usize>,
}

impl Waiters {
    /// A place to wait in.
    pub(super) fn take(&mut self) -> usize {
        if let Some(place) = self.free.pop() {
            self.places[place] = Place::Waiting(None);
            return place;
        }
        self.places.push(Place::Waiting(None));
        self.places.len() - 1
    }

    /// Tells the one who waits how it went.
    pub(super) fn settle(&mut self, place: usize, result: Result<(), AuditUnavailable>) {
        match std::mem::replace(&mut self.places[place], Place::Done(result)) {
            Place::Waiting(Some(waker)) => waker.wake(),
            Place::Left => {
                self.places[place] = Place::Free;
                self.free.push(place);
            }
            Place::Free | Place::Waiting(None) | Place::Done(_) => {}
        }
    }

    /// Tells everybody who waits how it went.
    pub(super) fn settle_all(&mut self, result: Result<(), AuditUnavailable>) {
        for place in 0..self.places.len() {
            if matches!(self.places[place], Place::Waiting(_) | Place::Left) {
                self.settle(place, result);
            }
        }
    }

    pub(super) fn poll(&mut self, place: usize, waker: &Waker) -> Poll<Result<(), AuditUnavailable>> {
        match &mut self.places[place] {
            Place::Done(result) => Poll::Ready(*result),
            Place::Waiting(kept) => {
                match kept {
                    Some(kept) => kept.clone_from(waker),
                    None => *kept = Some(waker.clone()),
                }
                Poll::Pending
            }
            Place::Free | Place::Left => Poll::Ready(Err(AuditUnavailable)),
        }
    }

    pub(super) fn leave(&mut self, place: usize) {
        if matches!(self.places[place], Place::Done(_)) {
            self.places[place] = Place::Free;
            self.free.push(place);
        } else {
            self.places[place] = Place::Left;
        }
    }
}
