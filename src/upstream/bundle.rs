//! The HTTP/2 connections to one host: one, and more of them while it has no stream left.

use super::h2::H2;
use super::multiplex::Multiplex;
use std::cell::{Cell, RefCell};
use tokio::sync::Notify;

/// Most connections to one host, for one core: with the 100 streams that an upstream commonly allows on each, 1,600
/// requests at once. More wait for a stream.
const MOST: usize = 16;

/// Ticks of a second after which a connection that nobody needed beside the others is closed.
const SURPLUS_TICKS: u32 = 10;

/// The connections to one host.
#[derive(Debug, Default)]
pub(super) struct Bundle {
    connections: RefCell<Vec<Multiplex>>,
    /// Connections that are being opened.
    growing: Cell<usize>,
    ended: Notify,
    /// Connections that were opened so far.
    grown: Cell<u64>,
    /// Ticks for which one connection has had nothing to do beside others.
    surplus: Cell<u32>,
}

/// Says, as long as it lives, that a connection is being opened.
pub(super) struct Growing<'b>(&'b Bundle);

impl Drop for Growing<'_> {
    fn drop(&mut self) {
        self.0.growing.set(self.0.growing.get() - 1);
        self.0.ended.notify_waiters();
    }
}

impl Bundle {
    /// A stream; where none is left and there are as many connections as there may be, the next of the least busy one.
    /// `None`: it takes another connection.
    pub(super) fn lane(&self) -> Option<H2> {
        let mut connections = self.connections.borrow_mut();
        if let Some(lane) = connections.iter().filter(|one| one.has_room()).find_map(|one| H2::on(one, true)) {
            return Some(lane);
        }
        connections.retain(Multiplex::is_open);
        if connections.len() < MOST { None } else { least_busy(&connections) }
    }

    /// A stream of any connection, after a wait if need be.
    pub(super) fn any_lane(&self) -> Option<H2> {
        least_busy(&self.connections.borrow())
    }

    /// Whether a request would find a connection.
    pub(super) fn is_open(&self) -> bool {
        self.connections.borrow().iter().any(Multiplex::is_open)
    }

    /// Begins to open a connection.
    pub(super) fn grow(&self) -> Growing<'_> {
        self.growing.set(self.growing.get() + 1);
        Growing(self)
    }

    /// A stream of a connection that others are opening, so that all who miss one share the next. `None`: nobody is
    /// opening any, or in vain, or the host is not known to speak HTTP/2.
    pub(super) async fn next_lane(&self) -> Option<H2> {
        while self.grown.get() > 0 && self.growing.get() > 0 {
            let before = self.grown.get();
            self.ended.notified().await;
            let lane = if self.grown.get() > before { self.lane() } else { return self.any_lane() };
            if lane.is_some() {
                return lane;
            }
        }
        None
    }

    /// Takes a new connection, unless there is room without it: then it ends with its first request.
    pub(super) fn keep(&self, connection: Multiplex) {
        self.grown.set(self.grown.get() + 1);
        let mut connections = self.connections.borrow_mut();
        connections.retain(Multiplex::is_open);
        if connections.len() < MOST && !connections.iter().any(Multiplex::has_room) {
            connections.push(connection);
        }
    }

    /// Once a tick: closes a connection that has had nothing to do for a while beside others.
    pub(super) fn tend(&self) {
        let mut connections = self.connections.borrow_mut();
        connections.retain(Multiplex::is_open);
        let idle = connections.iter().rposition(|one| one.load() == 0).filter(|_| connections.len() > 1);
        let ticks = idle.map_or(0, |_| self.surplus.get() + 1);
        self.surplus.set(ticks % SURPLUS_TICKS);
        if let (Some(idle), SURPLUS_TICKS) = (idle, ticks) {
            connections.remove(idle);
        }
    }
}

fn least_busy(connections: &[Multiplex]) -> Option<H2> {
    connections.iter().min_by_key(|one| one.load()).and_then(|one| H2::on(one, true))
}
