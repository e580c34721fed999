//! What the connections of one core share.

use super::handshakes::Handshakes;
use crate::audit::Peer;
use crate::broker::{Broker, Connection};
use crate::metrics;
use crate::net::{Lot, Stream, Watchdog};
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

/// Connections that are awake, beyond which none stays so without need: an idle one goes to rest at once. More than a core
/// serves at a time.
const AWAKE: usize = 512;

/// The same for connections that are not known to be busy: a new one rests until something comes on it. What those that wait
/// in vain take stays behind in the heap: some 10 KiB each.
const IDLERS: usize = 64;

/// What woke within so many of the watchdog's ticks had no rest: its caller is busy.
const NAP: u64 = 1;

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
    /// TLS handshakes under way.
    pub handshakes: Rc<Handshakes>,
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
            handshakes: Rc::default(),
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

    /// Whether so many connections are awake that one with a caller that is `busy`, or not known to be, should not be so
    /// without need.
    pub fn crowded(&self, busy: bool) -> bool {
        self.open() - self.lot.count() > if busy { AWAKE } else { IDLERS }
    }

    /// Counts a connection that is turned away, as long as what comes back lives; `None` if there are `ceiling` already.
    pub fn turn(&self, ceiling: usize) -> Option<Rc<()>> {
        (Rc::strong_count(&self.turning) <= ceiling).then(|| Rc::clone(&self.turning))
    }

    /// Counts a connection as long as what comes back lives.
    pub fn count(self: &Rc<Self>) -> Counted {
        self.open.set(self.open.get() + 1);
        self.metrics.connections(1);
        Counted { core: Rc::clone(self), busy: false }
    }
}

/// A counted connection.
#[derive(Debug)]
pub struct Counted {
    core: Rc<Core>,
    /// Its last rest was cut short.
    busy: bool,
}

impl Counted {
    /// The core that counts it.
    pub const fn core(&self) -> &Rc<Core> {
        &self.core
    }

    /// Whether so many connections are awake that this one should not be so without need.
    pub fn crowded(&self) -> bool {
        self.core.crowded(self.busy)
    }

    /// Lets an idle connection rest until the watchdog's tick `until`: something that comes before wakes it.
    pub fn rest(self, stream: Stream, connection: Connection, until: u64) {
        let core = Rc::clone(self.core());
        // Named anew by the next request.
        connection.links.take();
        let resting = Resting { kept: Kept::of(connection), counted: self, since: core.watchdog.now() };
        if let Err(error) = core.lot.park(stream, resting, until) {
            tracing::warn!(%error, "an idle connection was closed: it could not be watched");
        }
    }
}

/// What is kept of a connection at rest.
#[derive(Debug)]
pub struct Resting {
    kept: Kept,
    /// It still counts.
    counted: Counted,
    /// The watchdog's tick when its rest began.
    since: u64,
}

impl Resting {
    /// The connection, to be served.
    pub fn wake(mut self) -> (Connection, Counted) {
        self.counted.busy = self.counted.core.watchdog.now() <= self.since + NAP;
        let connection = match self.kept {
            Kept::Plain(peer) => Connection::new(peer, None, false),
            Kept::More(connection) => *connection,
        };
        (connection, self.counted)
    }
}

/// What is known of a connection at rest: in a third of the room if that is little, as it is of nearly all.
#[derive(Debug)]
enum Kept {
    /// No more than where it comes from.
    Plain(Peer),
    More(Box<Connection>),
}

impl Kept {
    fn of(connection: Connection) -> Self {
        match connection {
            Connection { peer, proof: None, only_host: None, server_name: None, secure: false, links: _ } => {
                Self::Plain(peer)
            }
            more => Self::More(Box::new(more)),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.core.open.set(self.core.open.get() - 1);
        self.core.metrics.connections(-1);
    }
}
