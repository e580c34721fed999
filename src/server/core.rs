//! What the connections of one core share.

use super::greetings::Greetings;
use crate::broker::Broker;
use crate::metrics;
use crate::net::Watchdog;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// One core: nothing in it is seen by another.
#[derive(Debug)]
pub struct Core {
    /// Swapped whole by a reload; a request keeps the one that it began with.
    broker: RefCell<Rc<Broker>>,
    /// Sweeps deadlines.
    pub watchdog: Rc<Watchdog>,
    /// This core's counters.
    pub metrics: Arc<metrics::Core>,
    /// Open caller connections.
    open: Cell<usize>,
    /// One more reference for each connection that is being turned away.
    turning: Rc<()>,
    /// TLS greetings under way.
    pub greetings: Rc<Greetings>,
}

impl Core {
    /// A core that handles requests with `broker`.
    pub fn new(broker: Rc<Broker>, metrics: Arc<metrics::Core>) -> Self {
        Self {
            broker: RefCell::new(broker),
            watchdog: Rc::default(),
            metrics,
            open: Cell::new(0),
            turning: Rc::new(()),
            greetings: Rc::default(),
        }
    }

    /// What requests are handled with now.
    pub fn broker(&self) -> Rc<Broker> {
        Rc::clone(&self.broker.borrow())
    }

    /// Handles requests with `broker` from now on.
    pub fn adopt(&self, broker: Rc<Broker>) {
        *self.broker.borrow_mut() = broker;
    }

    /// Whether the broker is stopping.
    pub fn draining(&self) -> bool {
        self.watchdog.draining()
    }

    /// Open caller connections.
    pub const fn open(&self) -> usize {
        self.open.get()
    }

    /// Counts a connection that is turned away, as long as what comes back lives; `None` if there are `ceiling` already.
    pub fn turn(&self, ceiling: usize) -> Option<Rc<()>> {
        (Rc::strong_count(&self.turning) <= ceiling).then(|| Rc::clone(&self.turning))
    }

    /// Counts a connection as long as what comes back lives.
    pub fn count(self: &Rc<Self>) -> Counted {
        self.open.set(self.open.get() + 1);
        self.metrics.connections(1);
        Counted(Rc::clone(self))
    }
}

/// A counted connection.
#[derive(Debug)]
pub struct Counted(Rc<Core>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.metrics.connections(-1);
    }
}
