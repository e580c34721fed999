//! The thread that writes for all cores where a write may wait: `fsync`, streams, and files on remote file systems.
//!
//! The cores go on meanwhile and refuse when a batch does not come back, so a hanging disk or pipe stops no event loop.
//! All batches of a round share one sync.

use super::health::Trouble;
use super::shared::{Appended, Shared};
use crate::config::Durability;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{OnceLock, Weak};
use std::thread::{self, Thread};

/// How the cores wake the scribe.
#[derive(Debug, Default)]
pub(super) struct Scribe {
    thread: OnceLock<Thread>,
    parked: AtomicBool,
}

impl Scribe {
    /// Starts the thread. It ends with the last owner of `shared`.
    pub(super) fn start(shared: &std::sync::Arc<Shared>) -> io::Result<()> {
        let weak = std::sync::Arc::downgrade(shared);
        let thread = thread::Builder::new().name("audit-scribe".to_owned()).spawn(move || run(&weak))?;
        // Set once: the trail starts its scribe once.
        drop(shared.scribe.thread.set(thread.thread().clone()));
        Ok(())
    }

    /// Wakes the thread, if it sleeps.
    pub(super) fn wake(&self) {
        if self.parked.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }
}

fn run(shared: &Weak<Shared>) {
    loop {
        let Some(shared) = shared.upgrade() else { return };
        if round(&shared) {
            continue;
        }
        shared.scribe.parked.store(true, Ordering::SeqCst);
        // What came before `parked` was set woke nobody.
        if round(&shared) {
            continue;
        }
        drop(shared);
        // Wakes on its own now and then, to see whether the trail is still there.
        thread::park_timeout(std::time::Duration::from_secs(1));
    }
}

/// Writes what the cores have handed over. `false`: nothing.
fn round(shared: &Shared) -> bool {
    let mut done = Vec::new();
    for (n, lane) in shared.lanes.iter().enumerate() {
        if let Some(batch) = lane.take() {
            let appended = shared.append_waiting(n, &batch);
            done.push((lane, batch, appended));
        }
    }
    if done.is_empty() {
        return false;
    }
    let synced = shared.durability != Durability::Fsync || sync(shared);
    for (lane, batch, appended) in done {
        let appended = if appended == Appended::Kept && !synced { Appended::Unsynced } else { appended };
        lane.give_back(batch, appended);
    }
    true
}

fn sync(shared: &Shared) -> bool {
    match shared.sync() {
        Ok(()) => true,
        Err(fault) => {
            shared.fault(Trouble::of(&fault));
            false
        }
    }
}
