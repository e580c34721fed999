//! One request at a time over one connection, whichever protocol it speaks.

use super::h1::H1;
use super::h2::H2;
use crate::http1::{AnswerHead, Framing};
use std::fmt;
use std::io;

/// A connection, taken for one request.
#[derive(Debug)]
pub enum Lane {
    /// HTTP/1.1: the connection is this request's alone. Boxed once, when it is opened: it changes hands with each request.
    H1(Box<H1>),
    /// HTTP/2: a stream of a shared connection.
    H2(H2),
}

/// Why a request got no whole answer.
#[derive(Debug)]
pub enum LaneError {
    /// Not one byte of the request was taken, or the upstream says that it did not look at it.
    Unprocessed(io::Error),
    /// The connection broke, before any byte of an answer if `clean`.
    Broken {
        /// Whether not one byte of an answer had arrived.
        clean: bool,
        /// The operating system's word.
        error: io::Error,
    },
    /// The upstream's answer is no HTTP, or could be read in two ways.
    BadAnswer(&'static str),
}

impl fmt::Display for LaneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unprocessed(error) | Self::Broken { error, .. } => write!(f, "the connection broke: {error}"),
            Self::BadAnswer(what) => write!(f, "bad answer: {what}"),
        }
    }
}

impl Lane {
    /// Whether this connection has been idle: if so it may have been closed under our hands.
    pub const fn reused(&self) -> bool {
        match self {
            Self::H1(lane) => lane.reused(),
            Self::H2(lane) => lane.reused(),
        }
    }

    /// Sends the head (serialised as HTTP/1.1) and the first bytes of the body.
    ///
    /// # Errors
    /// [`LaneError::Broken`].
    pub async fn send(&mut self, head: &[u8], framing: Framing, first: &[u8], end: bool) -> Result<(), LaneError> {
        match self {
            Self::H1(lane) => lane.send(head, framing, first, end).await,
            Self::H2(lane) => lane.send(head, first, end).await,
        }
    }

    /// Sends more of the body; an empty `data` ends it. Returns `true` if the upstream began its answer instead of
    /// reading on: the rest of the body is then not wanted.
    ///
    /// # Errors
    /// [`LaneError::Broken`].
    pub async fn send_more(&mut self, data: &[u8]) -> Result<bool, LaneError> {
        match self {
            Self::H1(lane) => lane.send_more(data).await,
            Self::H2(lane) => lane.send_more(data).await,
        }
    }

    /// Ends the body with trailers, given as lines that may cross. Returns `true` if the upstream began its answer instead
    /// of reading on.
    ///
    /// # Errors
    /// [`LaneError::Broken`].
    pub async fn end_with(&mut self, trailers: &[u8]) -> Result<bool, LaneError> {
        match self {
            Self::H1(lane) => lane.end_with(trailers).await,
            Self::H2(lane) => lane.end_with(trailers).await,
        }
    }

    /// Resolves when the upstream begins to answer (or breaks the connection). Cancel-safe.
    pub async fn answering(&mut self) {
        match self {
            Self::H1(lane) => lane.answering().await,
            Self::H2(lane) => lane.answering().await,
        }
    }

    /// Waits for the answer's head and shows it to `read`. Interim answers (1xx) are passed over.
    ///
    /// # Errors
    /// [`LaneError`].
    pub async fn head<T>(
        &mut self,
        head_request: bool,
        read: impl FnOnce(&AnswerHead<'_, '_>, Framing) -> T,
    ) -> Result<T, LaneError> {
        match self {
            Self::H1(lane) => lane.head(head_request, read).await,
            Self::H2(lane) => lane.head(head_request, read).await,
        }
    }

    /// From now on [`Lane::fill`] shows again what was not consumed, with more behind it; `false` where it can't: then what
    /// was shown must be consumed.
    pub fn gather(&mut self) -> bool {
        match self {
            Self::H1(lane) => lane.gather(),
            Self::H2(_) => false,
        }
    }

    /// The next bytes of the answer's body, and whether they are known to be the last ones; none at the end.
    /// [`Lane::consume`] them before asking again.
    ///
    /// # Errors
    /// [`LaneError`]: the body is cut or badly framed.
    pub async fn fill(&mut self) -> Result<(&[u8], bool), LaneError> {
        match self {
            Self::H1(lane) => lane.fill().await,
            Self::H2(lane) => lane.fill().await,
        }
    }

    /// The trailers of an answer's body that has ended, as lines: nobody has judged yet which of them may go on.
    pub fn trailers(&self) -> &[u8] {
        match self {
            Self::H1(lane) => lane.trailers(),
            Self::H2(lane) => lane.trailers(),
        }
    }

    /// Whether the next [`Lane::fill`] will have to wait.
    pub fn starved(&self) -> bool {
        match self {
            Self::H1(lane) => lane.starved(),
            Self::H2(lane) => lane.starved(),
        }
    }

    /// Forgets bytes that [`Lane::fill`] showed.
    pub fn consume(&mut self, bytes: usize) {
        match self {
            Self::H1(lane) => lane.consume(bytes),
            Self::H2(lane) => lane.consume(bytes),
        }
    }

    /// Gives the connection back to its pool, if its answer ended in a way that leaves it in step.
    pub fn release(self) {
        match self {
            Self::H1(lane) => lane.release(),
            Self::H2(_) => {}
        }
    }
}
