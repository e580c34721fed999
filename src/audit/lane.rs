//! The way between a core and the scribe: one batch at a time, so that what becomes ready meanwhile shares the next.

use super::batch::{Appended, Batch};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::thread::Thread;

/// One core's way to the scribe and back; also how other threads wake its flusher.
#[derive(Debug, Default)]
pub(super) struct Lane {
    mail: Mutex<Mail>,
}

#[derive(Debug, Default)]
struct Mail {
    out: Option<Batch>,
    back: Option<(Batch, Appended)>,
    flusher: Option<Waker>,
}

impl Lane {
    pub(super) fn register(&self, flusher: &Waker) {
        self.mail().flusher = Some(flusher.clone());
    }

    /// Runs the core's flusher soon.
    pub(super) fn wake(&self) {
        let flusher = self.mail().flusher.clone();
        if let Some(flusher) = flusher {
            flusher.wake();
        }
    }

    /// The core's side: gives a batch to be written. Only when none is out.
    pub(super) fn hand_over(&self, batch: Batch) {
        self.mail().out = Some(batch);
    }

    /// The core's side: the batch that was handed over, once it is done.
    pub(super) fn take_back(&self) -> Option<(Batch, Appended)> {
        self.mail().back.take()
    }

    /// The scribe's side.
    pub(super) fn take(&self) -> Option<Batch> {
        self.mail().out.take()
    }

    /// The scribe's side.
    pub(super) fn give_back(&self, batch: Batch, appended: Appended) {
        let mut mail = self.mail();
        mail.back = Some((batch, appended));
        let flusher = mail.flusher.clone();
        drop(mail);
        if let Some(flusher) = flusher {
            flusher.wake();
        }
    }

    fn mail(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the cores wake the scribe.
#[derive(Debug, Default)]
pub(super) struct Scribe(OnceLock<Thread>);

impl Scribe {
    /// Which thread it is. Told once: the trail starts its scribe once.
    pub(super) fn is(&self, thread: &Thread) {
        drop(self.0.set(thread.clone()));
    }

    /// Wakes the thread. If it does not sleep it looks once more, and there is no system call.
    pub(super) fn wake(&self) {
        if let Some(thread) = self.0.get() {
            thread.unpark();
        }
    }
}
