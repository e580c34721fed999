//! TLS handshakes under way on one core. Where every connection is taken, the oldest handshake makes room: whoever stalls one
//! holds no place that an honest caller wants.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use tokio::sync::Notify;

/// The handshakes, by their age.
#[derive(Debug, Default)]
pub struct Handshakes {
    next: Cell<u64>,
    open: RefCell<BTreeMap<u64, Rc<Notify>>>,
}

/// One of them, as long as it lives.
#[derive(Debug)]
pub struct Handshake {
    all: Rc<Handshakes>,
    number: u64,
    ended: Rc<Notify>,
}

impl Handshakes {
    /// Counts a handshake that begins.
    pub fn begin(self: &Rc<Self>) -> Handshake {
        let (number, ended) = (self.next.get(), Rc::new(Notify::new()));
        self.next.set(number + 1);
        self.open.borrow_mut().insert(number, Rc::clone(&ended));
        Handshake { all: Rc::clone(self), number, ended }
    }

    /// Ends the oldest handshake; `false` if there is none.
    pub fn make_room(&self) -> bool {
        let oldest = self.open.borrow_mut().pop_first();
        oldest.inspect(|(_, ended)| ended.notify_one()).is_some()
    }
}

impl Handshake {
    /// Resolves when somebody else needs the place.
    pub async fn ended(&self) {
        self.ended.notified().await;
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.all.open.borrow_mut().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_makes_room() {
        let all = Rc::new(Handshakes::default());
        let (first, second, third) = (all.begin(), all.begin(), all.begin());
        drop(first);
        assert!(all.make_room());
        second.ended().await;
        drop(second);
        assert!(all.make_room() && !all.make_room(), "one was left");
        third.ended().await;
    }
}
