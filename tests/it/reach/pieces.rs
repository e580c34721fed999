//! Bodies for tests: known pieces, perhaps without end, perhaps with trailers.

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{OnceLock, mpsc};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Interval;

/// A body.
pub struct Pieces {
    /// Pieces sent, and to send.
    sent: usize,
    count: usize,
    size: usize,
    text: Option<Bytes>,
    trailers: Option<HeaderMap>,
    /// Time between pieces of a body without end.
    pace: Option<Interval>,
    /// Hears when the body is dropped.
    dropped: Option<mpsc::Sender<()>>,
}

impl Pieces {
    /// No body.
    pub fn none() -> Self {
        Self { sent: 0, count: 0, size: 0, text: None, trailers: None, pace: None, dropped: None }
    }

    /// A text of known length.
    pub fn text(text: &str) -> Self {
        let mut pieces = Self::none();
        pieces.text = Some(Bytes::copy_from_slice(text.as_bytes()));
        pieces
    }

    /// `count` pieces of `size` bytes, of a length that is not told.
    pub fn many(count: usize, size: usize) -> Self {
        let mut pieces = Self::none();
        (pieces.count, pieces.size) = (count, size);
        pieces
    }

    /// Pieces without end, a hundred a second; `dropped` hears when nobody wants more.
    pub fn endless(dropped: mpsc::Sender<()>) -> Self {
        let mut pieces = Self::many(usize::MAX, 1024);
        pieces.pace = Some(tokio::time::interval(Duration::from_millis(10)));
        pieces.dropped = Some(dropped);
        pieces
    }

    /// The same, and then trailers.
    pub fn with_trailers(mut self, trailers: HeaderMap) -> Self {
        self.trailers = Some(trailers);
        self
    }

    /// Whether trailers follow.
    pub fn has_trailers(&self) -> bool {
        self.trailers.is_some()
    }

    /// A piece by its number: no two of 37 in a row are the same.
    pub fn piece(number: usize, size: usize) -> Bytes {
        static TEXT: OnceLock<Bytes> = OnceLock::new();
        let text = TEXT.get_or_init(|| b"0123456789abcdefghijklmnopqrstuvwxyz\n".repeat(2048).into());
        text.slice(number % 37..number % 37 + size)
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        if let Some(dropped) = &self.dropped {
            let _ = dropped.send(());
        }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(pace) = &mut self.pace {
            ready!(pace.poll_tick(cx));
        }
        if let Some(text) = self.text.take() {
            return Poll::Ready(Some(Ok(Frame::data(text))));
        }
        if self.sent < self.count {
            let piece = Self::piece(self.sent, self.size);
            self.sent += 1;
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.text.is_none() && self.sent >= self.count && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.text {
            Some(text) => SizeHint::with_exact(text.len() as u64),
            None if self.count == 0 => SizeHint::with_exact(0),
            None => SizeHint::default(),
        }
    }
}
