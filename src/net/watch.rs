//! Deadlines without a timer for each.
//!
//! A timer a request costs more than the request's own bookkeeping. Here a connection keeps one [`Watch`]; a sweep of all
//! watches every [`TICK`] finds those that are past their deadline and wakes them. Deadlines are therefore met up to one
//! tick late, which no ceiling in `[limits]` minds.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

/// Time between two sweeps.
pub const TICK: Duration = Duration::from_millis(100);

/// The deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired;

/// Sweeps the watches of one core.
#[derive(Debug, Default)]
pub struct Watchdog {
    now: Cell<u64>,
    /// Idle waits end: the broker is stopping.
    draining: Cell<bool>,
    watches: RefCell<Vec<Weak<Watch>>>,
}

/// One connection's deadline.
#[derive(Debug)]
pub struct Watch {
    dog: Rc<Watchdog>,
    /// Tick after which the wait has expired; `u64::MAX`: nothing waits.
    deadline: Cell<u64>,
    waker: RefCell<Option<Waker>>,
}

impl Watchdog {
    /// A watch for a new connection.
    pub fn watch(self: &Rc<Self>) -> Rc<Watch> {
        let watch = Rc::new(Watch { dog: Rc::clone(self), deadline: Cell::new(u64::MAX), waker: RefCell::new(None) });
        self.watches.borrow_mut().push(Rc::downgrade(&watch));
        watch
    }

    /// Sweeps for ever.
    pub async fn run(self: Rc<Self>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.sweep();
        }
    }

    /// Ends every idle wait, now and from now on.
    pub fn drain(&self) {
        self.draining.set(true);
        self.sweep();
    }

    /// Whether the broker is stopping.
    pub fn draining(&self) -> bool {
        self.draining.get()
    }

    /// Wakes what has expired and forgets connections that are gone.
    fn sweep(&self) {
        let now = self.now.get() + 1;
        self.now.set(now);
        self.watches.borrow_mut().retain(|watch| {
            let Some(watch) = watch.upgrade() else { return false };
            if (watch.deadline.get() < now || self.draining.get())
                && let Some(waker) = watch.waker.take()
            {
                waker.wake();
            }
            true
        });
    }
}

impl Watch {
    /// Waits for `future`, at most for `limit` (and up to two ticks more).
    ///
    /// # Errors
    /// [`Expired`]; the future is dropped.
    pub async fn within<F: Future>(&self, limit: Duration, future: F) -> Result<F::Output, Expired> {
        self.wait(limit, future, false).await
    }

    /// Waits like [`Watch::within`] for something that need not come: a broker that stops ends the wait.
    ///
    /// # Errors
    /// [`Expired`]; the future is dropped.
    pub async fn idle<F: Future>(&self, limit: Duration, future: F) -> Result<F::Output, Expired> {
        self.wait(limit, future, true).await
    }

    async fn wait<F: Future>(&self, limit: Duration, future: F, idle: bool) -> Result<F::Output, Expired> {
        let mut future = pin!(future);
        // Begins with the first wait: what is ready at once costs no bookkeeping.
        let mut deadline = None;
        let done = poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            let now = self.dog.now.get();
            let deadline = *deadline.get_or_insert_with(|| now.saturating_add(ticks(limit)).saturating_add(1));
            if now > deadline || (idle && self.dog.draining.get()) {
                return Poll::Ready(Err(Expired));
            }
            self.deadline.set(deadline);
            let mut waker = self.waker.borrow_mut();
            if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
        if deadline.is_some() {
            self.deadline.set(u64::MAX);
        }
        done
    }
}

/// Whole ticks of a wait.
fn ticks(limit: Duration) -> u64 {
    const A_SECOND: u64 = 10;
    limit.as_secs().saturating_mul(A_SECOND).saturating_add(u64::from(limit.subsec_millis() / 100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_one_way_or_the_other() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build_local(tokio::runtime::LocalOptions::default())
            .expect("a runtime");
        runtime.block_on(async {
            let dog = Rc::new(Watchdog::default());
            let watch = dog.watch();
            tokio::task::spawn_local(Rc::clone(&dog).run());
            let limit = Duration::from_secs(1);
            assert_eq!(watch.within(limit, std::future::pending::<()>()).await, Err(Expired));
            assert_eq!(watch.within(limit, async { 7 }).await, Ok(7));
            let slow = tokio::time::sleep(Duration::from_millis(500));
            assert_eq!(watch.within(limit, slow).await, Ok(()));
        });
    }
}
