//! Requests to the admin API without its token: whoever tries is counted and recorded, without filling the trail.

use crate::audit::Trail;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Between two records at least.
const EVERY: Duration = Duration::from_secs(1);

/// Refused requests since the process began, and those that no record has told of.
#[derive(Debug, Default)]
pub struct Refusals {
    total: AtomicU64,
    untold: Mutex<Untold>,
}

#[derive(Debug, Default)]
struct Untold {
    count: u64,
    /// Of the last one.
    peer: Arc<str>,
    /// Whether a task is telling.
    telling: bool,
}

impl Refusals {
    /// How many there were.
    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// One more, from this peer. The first is recorded at once; those of the second after it, together.
    pub(super) fn note(self: &Arc<Self>, trail: &Trail, peer: &Arc<str>) {
        self.total.fetch_add(1, Ordering::Relaxed);
        let mut untold = self.untold();
        untold.count += 1;
        untold.peer = Arc::clone(peer);
        if !std::mem::replace(&mut untold.telling, true) {
            tokio::spawn(tell(Arc::clone(self), trail.clone()));
        }
    }

    /// What to tell of now; nothing ends the telling.
    fn take(&self) -> Option<(u64, Arc<str>)> {
        let mut untold = self.untold();
        untold.telling = untold.count > 0;
        untold.telling.then(|| (std::mem::take(&mut untold.count), Arc::clone(&untold.peer)))
    }

    /// It is whole at every instant, so a panicked holder's poison means nothing.
    fn untold(&self) -> MutexGuard<'_, Untold> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn tell(refusals: Arc<Refusals>, trail: Trail) {
    while let Some((count, peer)) = refusals.take() {
        let others = if count == 1 { String::new() } else { format!(", the last of {count}") };
        tracing::warn!(%peer, count, "the admin API was asked without its token");
        // Nobody waits for it, and it is counted.
        let _ = trail.admin_record("admin", "admin.refused", &peer, &format!("no valid token{others}")).await;
        tokio::time::sleep(EVERY).await;
    }
}
