//! Deadlines without a timer for each.
//!
//! A timer a request costs more than the request's own bookkeeping. Here a connection keeps one [`Watch`]; a sweep of all
//! watches every [`TICK`] finds those that are past their deadline and wakes them. Deadlines are therefore met up to one
//! tick late, which no ceiling in `[limits]` minds.

use pin_project_lite::pin_project;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
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

    /// The tick that begins now has this number.
    pub fn now(&self) -> u64 {
        self.now.get()
    }

    /// The last tick of a wait that begins now.
    pub fn end_of(&self, limit: Duration) -> u64 {
        self.now().saturating_add(ticks(limit)).saturating_add(1)
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
    /// Waits for `future`, at most for `limit` (and up to two ticks more; not at all where that is zero): [`Expired`] if it
    /// takes longer.
    pub fn within<F: Future>(&self, limit: Duration, future: F) -> Wait<'_, F> {
        Wait { watch: self, limit, deadline: None, idle: false, future }
    }

    /// Waits like [`Watch::within`] for something that need not come: a broker that stops ends the wait.
    pub fn idle<F: Future>(&self, limit: Duration, future: F) -> Wait<'_, F> {
        Wait { watch: self, limit, deadline: None, idle: true, future }
    }
}

pin_project! {
    /// A wait with an end. No `async fn`: that would keep the future several times over, at every depth of the line.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Wait<'w, F> {
        watch: &'w Watch,
        limit: Duration,
        // Begins with the first wait: what is ready at once costs no bookkeeping.
        deadline: Option<u64>,
        idle: bool,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Wait<'_, F> {
    type Output = Result<F::Output, Expired>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let wait = self.project();
        let watch: &Watch = wait.watch;
        let dog = &watch.dog;
        if let Poll::Ready(output) = wait.future.poll(cx) {
            if wait.deadline.is_some() {
                watch.deadline.set(u64::MAX);
            }
            return Poll::Ready(Ok(output));
        }
        let deadline = *wait.deadline.get_or_insert_with(|| dog.end_of(*wait.limit));
        if dog.now() > deadline || wait.limit.is_zero() || (*wait.idle && dog.draining()) {
            watch.deadline.set(u64::MAX);
            return Poll::Ready(Err(Expired));
        }
        watch.deadline.set(deadline);
        let mut waker = watch.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

/// Whole ticks of a wait.
fn ticks(limit: Duration) -> u64 {
    /// A second is a whole number of them.
    const MILLIS: u32 = TICK.subsec_millis();
    let seconds = limit.as_secs().saturating_mul(u64::from(1000 / MILLIS));
    seconds.saturating_add(u64::from(limit.subsec_millis() / MILLIS))
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
            // Without a limit there is no wait, and what is ready is taken.
            assert_eq!(watch.idle(Duration::ZERO, std::future::pending::<()>()).await, Err(Expired));
            assert_eq!(watch.idle(Duration::ZERO, async { 7 }).await, Ok(7));
        });
    }
}
