//! The thread that writes for all cores: a write may wait for the disk, and no core does.
//!
//! The cores go on meanwhile and refuse when a batch does not come back, so a hanging disk or pipe stops no event loop.
//! All batches of a round share one sync.

use super::batch::{Appended, Batch};
use super::health::Trouble;
use super::shared::{Hand, Shared};
use std::io;
use std::sync::{Arc, Weak};
use std::thread;

/// Starts the thread. It ends with the last owner of `shared`, who wakes it.
pub(super) fn start(shared: &Arc<Shared>) -> io::Result<()> {
    let weak = Arc::downgrade(shared);
    let thread = thread::Builder::new().name("audit-scribe".to_owned()).spawn(move || run(&weak))?;
    shared.scribe.is(thread.thread());
    Ok(())
}

/// A core's batch, and what became of it.
type Done = (usize, Batch, Appended);

fn run(shared: &Weak<Shared>) {
    let mut done = Vec::new();
    while let Some(shared) = shared.upgrade() {
        let wrote = round(&shared, &mut done);
        // Before the sleep: whoever is the last owner wakes this thread.
        drop(shared);
        if !wrote {
            thread::park();
        }
    }
}

/// Writes what the cores have handed over. `false`: nothing.
fn round(shared: &Shared, done: &mut Vec<Done>) -> bool {
    for (n, lane) in shared.lanes.iter().enumerate() {
        if let Some(batch) = lane.take() {
            shared.begin(Hand::Scribe);
            let appended = shared.append(n, &batch);
            done.push((n, batch, appended));
        }
    }
    if done.is_empty() {
        return false;
    }
    let synced = sync(shared);
    for (n, batch, appended) in done.drain(..) {
        let appended = if appended == Appended::Kept && !synced { Appended::Unsynced } else { appended };
        shared.lanes[n].give_back(batch, appended);
    }
    shared.rest(Hand::Scribe);
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
