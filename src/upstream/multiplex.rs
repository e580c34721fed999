//! A connection that speaks HTTP/2, shared by many requests.

use crate::net::{Buffers, Pulse, Stream, cork, wordless};
use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::Notify;

/// A connection that is silent while a request is under way is asked for a sign of life, so that a dead one is found.
const PING_AFTER: Duration = Duration::from_secs(30);

/// Bytes of one answer that may be under way unread: what a caller holds who does not take its answer.
const WINDOW: u32 = 512 * 1024;

/// Bytes of an answer's header list.
const MAX_HEADERS: u32 = 16 * 1024;

/// Streams at once that a connection is given before another is opened, should the upstream take more. The connection's
/// window is as large as all of theirs together, so that answers which nobody takes hold up no other.
const MOST_STREAMS: u32 = 100;

/// A shared connection.
pub struct Multiplex {
    sender: SendRequest<Bytes>,
    link: Rc<Link>,
}

/// Held by all that use a connection: without any it ends.
#[derive(Default)]
pub(super) struct Link {
    pub(super) ended: Cell<bool>,
    /// Of the connection's task.
    waker: RefCell<Option<Waker>>,
    /// Requests that were given to h2 and have not ended.
    pub(super) sent: Cell<usize>,
    /// One of them has ended, or all have.
    pub(super) freed: Notify,
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl std::fmt::Debug for Multiplex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Multiplex").field("ended", &self.link.ended).finish_non_exhaustive()
    }
}

impl Multiplex {
    /// Speaks HTTP/2 on a new connection.
    ///
    /// # Errors
    /// h2's, if nothing can be written.
    pub async fn open(stream: Stream, buffers: Rc<Buffers>) -> Result<Self, h2::Error> {
        let (io, cork) = cork(stream, buffers);
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .initial_max_send_streams(MOST_STREAMS as usize)
            .max_header_list_size(MAX_HEADERS)
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW * MOST_STREAMS);
        let (sender, mut connection) = builder.handshake(io).await?;
        let link = Rc::new(Link::default());
        let held = Rc::downgrade(&link);
        tokio::task::spawn_local(async move {
            let mut pulse = Pulse::new(connection.ping_pong(), PING_AFTER);
            let living = poll_fn(|cx| {
                // The pool holds one; the others are requests.
                let busy = held.strong_count() > 1;
                note(&held, cx);
                if pulse.poll(&cork, busy, cx).is_ready() {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                Pin::new(&mut connection).poll(cx).map_err(wordless)
            });
            if let Err(error) = cork.drive(pin!(living)).await {
                tracing::debug!(%error, "an HTTP/2 connection to an upstream ended");
            }
            if let Some(link) = held.upgrade() {
                link.ended.set(true);
                link.freed.notify_waiters();
            }
        });
        Ok(Self { sender, link })
    }

    /// Whether it takes requests.
    pub fn is_open(&self) -> bool {
        self.ready_sender().is_some()
    }

    /// Requests under way, those that wait for a stream included.
    pub fn load(&self) -> usize {
        // The first is this one's own.
        Rc::strong_count(&self.link) - 1
    }

    /// Whether a request would have a stream at once.
    pub fn has_room(&self) -> bool {
        self.load() < self.sender.current_max_send_streams().min(MOST_STREAMS as usize)
    }

    /// What one request needs of it; `None` once the connection is closing.
    pub fn hold(&self) -> Option<(SendRequest<Bytes>, Hold)> {
        self.ready_sender().map(|sender| (sender, Hold { link: Rc::clone(&self.link), sent: false }))
    }

    /// An upstream that says goodbye takes no new streams.
    fn ready_sender(&self) -> Option<SendRequest<Bytes>> {
        let mut sender = self.sender.clone();
        let closing = matches!(sender.poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Ready(Err(_)));
        (!closing && !self.link.ended.get()).then_some(sender)
    }
}

/// Leaves word whom to wake when nobody holds the connection any more: h2 does not look by itself.
fn note(held: &Weak<Link>, cx: &Context<'_>) {
    if let Some(link) = held.upgrade() {
        let mut waker = link.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }
}

/// A request's hold on its connection.
pub struct Hold {
    pub(super) link: Rc<Link>,
    /// Whether it was given to h2.
    pub(super) sent: bool,
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.sent {
            self.link.sent.set(self.link.sent.get() - 1);
            self.link.freed.notify_one();
        }
    }
}
