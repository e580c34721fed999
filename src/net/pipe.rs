//! A body for hyper that another task of the same core feeds, one piece at a time: what can't be sent yet is not read yet.

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// The feeding end. A body is whole only if it was ended by [`Pipe::finish`] or [`Pipe::end_with`]: where this end is
/// dropped otherwise, whatever the reason, the reader sees a cut.
#[derive(Debug)]
pub struct Pipe {
    sender: mpsc::Sender<Frame<Bytes>>,
    whole: Arc<AtomicBool>,
}

/// The end that hyper reads.
#[derive(Debug)]
pub struct PipeBody {
    receiver: Option<mpsc::Receiver<Frame<Bytes>>>,
    whole: Arc<AtomicBool>,
    /// Bytes still to come, where the framing says so.
    left: Option<u64>,
}

/// A pipe for a body of `length` bytes, where that is known.
pub fn pipe(length: Option<u64>) -> (Pipe, PipeBody) {
    let (sender, receiver) = mpsc::channel(1);
    let whole = Arc::new(AtomicBool::new(false));
    (Pipe { sender, whole: Arc::clone(&whole) }, PipeBody { receiver: Some(receiver), whole, left: length })
}

impl PipeBody {
    /// A body that is empty from the start.
    pub fn empty() -> Self {
        Self { receiver: None, whole: Arc::default(), left: Some(0) }
    }
}

impl Pipe {
    /// Hands over a piece; waits while the last one is not taken.
    ///
    /// # Errors
    /// `BrokenPipe` when the reading end is gone.
    pub async fn feed(&self, data: &[u8]) -> io::Result<()> {
        self.send(Frame::data(Bytes::copy_from_slice(data))).await
    }

    /// Ends the body with trailers; waits while the last piece is not taken. A body of a known length takes none.
    ///
    /// # Errors
    /// `BrokenPipe` when the reading end is gone.
    pub async fn end_with(self, trailers: HeaderMap) -> io::Result<()> {
        let sent = self.send(Frame::trailers(trailers)).await;
        self.finish();
        sent
    }

    async fn send(&self, frame: Frame<Bytes>) -> io::Result<()> {
        self.sender.send(frame).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// Ends the body: what was handed over is all of it.
    pub fn finish(self) {
        self.whole.store(true, Ordering::Release);
    }

    /// Whether nobody reads any more.
    pub fn closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Resolves when nobody reads any more.
    pub async fn gone(&self) {
        self.sender.closed().await;
    }
}

impl Body for PipeBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(receiver) = &mut self.receiver else { return Poll::Ready(None) };
        receiver.poll_recv(cx).map(|piece| {
            let Some(piece) = piece else {
                self.receiver = None;
                return (!self.whole.load(Ordering::Acquire)).then(|| Err(io::ErrorKind::UnexpectedEof.into()));
            };
            if let (Some(left), Some(data)) = (&mut self.left, piece.data_ref()) {
                *left = left.saturating_sub(data.len() as u64);
            }
            Some(Ok(piece))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.receiver.is_none() || self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Spawns hyper's tasks on this core.
#[derive(Clone, Copy, Debug)]
pub struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        drop(tokio::task::spawn_local(future));
    }
}
