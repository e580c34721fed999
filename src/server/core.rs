//! What the connections of one core share.

use super::greetings::Greetings;
use crate::broker::{Broker, Connection};
use crate::metrics;
use crate::net::{Lot, Stream, Watchdog};
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

/// Connections that are awake, beyond which none stays so without need: a new one rests until something comes on it, and an
/// idle one goes to rest at once. More than a core serves at a time, and some 3 MiB.
const AWAKE: usize = 512;

/// One core: nothing in it is seen by another.
#[derive(Debug)]
pub struct Core {
    /// Swapped whole by a reload; a request keeps the one that it began with.
    broker: RefCell<Rc<Broker>>,
    /// Connections at rest.
    pub lot: Lot<Resting>,
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
    /// A core that handles requests with `broker`, in the runtime that this is called in.
    ///
    /// # Errors
    /// The operating system's.
    pub fn new(broker: Rc<Broker>, metrics: Arc<metrics::Core>) -> io::Result<Self> {
        Ok(Self {
            broker: RefCell::new(broker),
            lot: Lot::new()?,
            watchdog: Rc::default(),
            metrics,
            open: Cell::new(0),
            turning: Rc::new(()),
            greetings: Rc::default(),
        })
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

    /// Whether so many connections are awake that none should be without need.
    pub fn crowded(&self) -> bool {
        self.open() - self.lot.count() > AWAKE
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

impl Counted {
    /// The core that counts it.
    pub const fn core(&self) -> &Rc<Core> {
        &self.0
    }

    /// Lets an idle connection rest until the watchdog's tick `until`: something that comes before wakes it.
    pub fn rest(self, stream: Stream, connection: Connection, until: u64) {
        let core = Rc::clone(self.core());
        // Named anew by the next request.
        connection.links.take();
        if let Err(error) = core.lot.park(stream, Resting { connection, counted: self }, until) {
            tracing::warn!(%error, "an idle connection was closed: it could not be watched");
        }
    }
}

/// What is kept of a connection at rest.
#[derive(Debug)]
pub struct Resting {
    /// What is known of it.
    pub connection: Connection,
    /// It still counts.
    pub counted: Counted,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.metrics.connections(-1);
    }
}
