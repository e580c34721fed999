//! What both sides of HTTP/2 have in common: a body on its way out, and a look whether the peer still lives.

use super::cork::Cork;
use bytes::Bytes;
use h2::{Ping, PingPong, Reason, SendStream};
use http::HeaderMap;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// An error of h2's without what the peer wrote into its goodbye: an upstream may put anything there, the key that it was
/// sent included, and errors are recorded.
pub fn wordless(error: h2::Error) -> io::Error {
    match error.reason() {
        Some(reason) => io::Error::other(format!("HTTP/2: {reason}")),
        None if error.is_io() => error.into_io().unwrap_or_else(|| io::ErrorKind::Other.into()),
        // What h2 itself found: in its own words.
        None => io::Error::other(error),
    }
}

/// A body on its way to the peer. Dropped before its end it resets the stream: a body is whole only if it was ended.
pub struct Outflow {
    stream: SendStream<Bytes>,
    /// Whether something was sent: the first piece needs no room, since nothing waits before it.
    begun: bool,
}

impl Outflow {
    /// A body of which nothing is sent.
    pub const fn new(stream: SendStream<Bytes>) -> Self {
        Self { stream, begun: false }
    }

    /// Waits until the peer has room for more, so that no more than a piece waits in memory.
    ///
    /// # Errors
    /// `BrokenPipe` when the peer takes nothing any more.
    pub async fn ready(&mut self) -> io::Result<()> {
        if !self.begun {
            return Ok(());
        }
        // The least there is: what is asked for is taken from the other streams of the connection.
        self.stream.reserve_capacity(1);
        while self.stream.capacity() == 0 {
            match poll_fn(|cx| self.stream.poll_capacity(cx)).await {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
        Ok(())
    }

    /// Sends a piece; `ends`: it is the last, and may be empty.
    ///
    /// # Errors
    /// The peer takes nothing any more.
    pub fn send(&mut self, data: Bytes, ends: bool) -> io::Result<()> {
        self.begun = true;
        self.stream.send_data(data, ends).map_err(wordless)
    }

    /// Ends the body with trailers.
    ///
    /// # Errors
    /// The peer takes nothing any more.
    pub fn end_with(&mut self, trailers: HeaderMap) -> io::Result<()> {
        self.stream.reserve_capacity(0);
        self.stream.send_trailers(trailers).map_err(wordless)
    }

    /// The body can't be ended as it began.
    pub fn reset(&mut self) {
        self.stream.send_reset(Reason::INTERNAL_ERROR);
    }
}

/// Asks a silent peer for a sign of life.
pub struct Pulse {
    pings: Option<PingPong>,
    ticks: Interval,
    /// Ticks since something was heard.
    silent: u32,
}

/// Ticks of silence after which the peer is asked; after one more it counts as gone.
const PATIENCE: u32 = 3;

impl Pulse {
    /// Asks after so much silence, and waits a third of it for an answer.
    pub fn new(pings: Option<PingPong>, after: Duration) -> Self {
        let mut ticks = interval(after / PATIENCE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { pings, ticks, silent: 0 }
    }

    /// Ready when the peer counts as gone. Whatever it sends over `cork` is a sign of life; while
    /// not `busy` none is missed.
    pub fn poll(&mut self, cork: &Cork, busy: bool, cx: &mut Context<'_>) -> Poll<()> {
        let Some(pings) = &mut self.pings else { return Poll::Pending };
        while self.ticks.poll_tick(cx).is_ready() {
            self.silent = if cork.heard() || !busy { 0 } else { self.silent + 1 };
            if self.silent > PATIENCE {
                return Poll::Ready(());
            }
            if self.silent == PATIENCE {
                // One that was answered is still in the way of the next until it is looked at.
                let _ = pings.poll_pong(cx);
                let _ = pings.send_ping(Ping::opaque());
            }
        }
        Poll::Pending
    }
}
