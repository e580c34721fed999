//! Carries one granted request upstream and its answer back.
//!
//! Both bodies are streamed and what can't be written is not read, so a slow side slows the other and nothing piles up.
//! The answer is scrubbed of the key's secret in every spelling. [`CallerSide`] is what a caller's connection must offer;
//! HTTP/1.1 and HTTP/2 callers both do.

mod answer;
mod encoding;
mod exchange;
mod relay;
mod stream;
mod transform;

pub use exchange::{Done, Exchange, Failure};
pub use relay::relay;

use crate::error::Reason;
use crate::http1::Framing;
use bytes::BytesMut;
use std::io;

/// Why a caller's body can't be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// The caller hung up.
    Gone,
    /// It is not framed as its head said.
    Malformed(&'static str),
    /// It is larger than `limits.max_body`.
    TooLarge,
    /// All bodies in memory together would be larger than `limits.max_body_memory`.
    NoRoom,
    /// It stalled longer than `limits.body_timeout`.
    Late,
}

impl BodyFault {
    /// The row of the table; a caller that hung up is told nothing.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Gone | Self::Malformed(_) | Self::Late => Reason::MalformedRequest,
            Self::TooLarge => Reason::BodyTooLarge,
            Self::NoRoom => Reason::Overloaded,
        }
    }

    /// For the audit.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Gone => "the caller hung up",
            Self::Malformed(what) => what,
            Self::TooLarge => "limits.max_body",
            Self::NoRoom => "limits.max_body_memory",
            Self::Late => "the body did not arrive in time",
        }
    }
}

/// A caller's side of one exchange.
#[allow(async_fn_in_trait, reason = "used on one core only: nothing needs to be Send")]
pub trait CallerSide {
    /// The next bytes of the request's body; empty at its end. [`CallerSide::consume`] them before asking again.
    /// Cancel-safe; puts its own ceiling on the wait.
    ///
    /// # Errors
    /// [`BodyFault`].
    async fn fill(&mut self) -> Result<&[u8], BodyFault>;

    /// What of the body is here already, and whether that is its end. Never waits.
    ///
    /// # Errors
    /// [`BodyFault`].
    fn at_hand(&mut self) -> Result<(&[u8], bool), BodyFault>;

    /// Forgets bytes that were shown.
    fn consume(&mut self, bytes: usize);

    /// The trailers of a body that has ended, as lines: nobody has judged yet which of them may go on.
    fn trailers(&self) -> &[u8];

    /// Whether nothing of the body is left to read, so that the connection can carry another request.
    fn upload_done(&self) -> bool;

    /// Whether an answer may have a body: not to a HEAD request.
    fn wants_body(&self) -> bool;

    /// Where the answer's status line and header fields are written, as HTTP/1.1, without framing and without the
    /// empty line at the end. Empty at the start.
    fn scratch(&mut self) -> &mut BytesMut;

    /// Ends the head that stands in [`CallerSide::scratch`]. `framing`: `None` for an answer that has no body by its nature.
    /// `close`: the connection must not be used again.
    fn begin(&mut self, framing: Option<Framing>, close: bool);

    /// Takes answer body bytes; may keep small ones until [`CallerSide::flush`].
    ///
    /// # Errors
    /// The caller is gone.
    async fn data(&mut self, data: &[u8]) -> io::Result<()>;

    /// Sends what was kept.
    ///
    /// # Errors
    /// The caller is gone.
    async fn flush(&mut self) -> io::Result<()>;

    /// Takes the answer's trailers, as lines that may cross, after all of its body. A caller that can't be sent any
    /// (no body, one of a known length, HTTP/1.0) misses them.
    fn end_with(&mut self, trailers: &[u8]);

    /// Ends the answer and sends what was kept.
    ///
    /// # Errors
    /// The caller is gone.
    async fn finish(&mut self) -> io::Result<()>;

    /// Forgets an answer of which nothing has been sent, so that another can begin; whether it could.
    fn take_back(&mut self) -> bool;

    /// The answer can't be ended as it began: the caller must see a cut, not an end.
    fn cut(&mut self);
}
