//! How a broker hears of changes: at once where the database tells, by polling where it doesn't.

use super::Store;
use super::changes::Position;
use super::engine::Engine;
use super::error::Result;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Poll of the embedded store. Cheap (it reads a counter in shared memory) and well within the second that a change
/// may take to be live.
const POLL_FILE: Duration = Duration::from_millis(200);

/// Poll of a server, for a notification that got lost with its connection. One indexed row; still within the second.
const POLL_SERVER: Duration = Duration::from_millis(800);

/// Counts up when something may have changed; a watcher that was busy misses nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Signal(Arc<watch::Sender<u64>>);

impl Signal {
    /// Says that something may have changed.
    pub(super) fn raise(&self) {
        self.0.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

/// Waits for changes; made by [`Store::watch`].
pub struct Watch {
    store: Store,
    heard: watch::Receiver<u64>,
    /// Keeps the listening task alive.
    _alive: Arc<()>,
    seen: i64,
}

impl Store {
    /// Starts to watch for changes.
    pub fn watch(&self) -> Watch {
        let alive = Arc::new(());
        if let Engine::Postgres(server) = &self.inner.engine {
            server.listen(self.inner.signal.clone(), Arc::downgrade(&alive));
        }
        Watch { store: self.clone(), heard: self.inner.signal.subscribe(), _alive: alive, seen: -1 }
    }
}

impl Watch {
    /// Returns when there is something after change `since`, or at the next poll if the store says nothing new: the
    /// answer is whether there is. Cancel-safe.
    ///
    /// # Errors
    /// The store can't be read now; ask again.
    pub async fn changed(&mut self, since: Position) -> Result<bool> {
        let poll = match self.store.inner.engine {
            Engine::Sqlite(_) => POLL_FILE,
            Engine::Postgres(_) => POLL_SERVER,
        };
        let _ = tokio::time::timeout(poll, self.heard.changed()).await;
        let newest = self.store.position().await?;
        let moved = newest != since || newest.id < self.seen;
        self.seen = newest.id;
        Ok(moved)
    }
}
