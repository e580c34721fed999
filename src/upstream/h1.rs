//! An HTTP/1.1 connection to an upstream.

use super::lane::LaneError;
use super::pool::Route;
use crate::headers;
use crate::http1::write::ChunkSize;
use crate::http1::{AnswerHead, Body, Framing, Progress, answer_framing, parse_answer};
use crate::net::{Buffers, Stream, poll_read_buf};
use bytes::{Buf, BytesMut};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncReadExt, AsyncWrite};

/// Bytes of an answer's head, at most.
const MAX_HEAD: usize = 64 * 1024;

/// Bytes of an answer's head, as most are.
const USUAL_HEAD: usize = 4 * 1024;

/// Interim answers before the final one, at most.
const MAX_INTERIM: usize = 16;

/// One connection.
#[derive(Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is one fact of the connection, and they do not exclude each other"
)]
pub struct H1 {
    stream: Stream,
    // Not its owner: the route keeps idle connections.
    route: Weak<Route>,
    buffers: Rc<Buffers>,
    /// What has been read and not consumed; lent while a request is under way.
    buffer: BytesMut,
    /// How the request's body is framed on the wire.
    chunked: bool,
    body: Body,
    /// Body bytes at the front of `buffer`.
    shown: usize,
    /// Each look at the body shows all of it that is not consumed.
    gathers: bool,
    reused: bool,
    /// Whether the upstream's close has ended the body.
    closed: bool,
    /// Whether a byte of the request has been taken.
    begun: bool,
    /// Whether the connection can carry another request once this one is done.
    keep: bool,
    /// Whether the whole of the request has been written.
    sent: bool,
    /// What the last answer's body was read in, if it was large: the next one's is likely to be like it.
    usual: Option<usize>,
    /// Interim answers passed over.
    interim: usize,
}

/// What a wait for the socket came to.
enum Moved {
    Written(usize),
    Flushed,
    Read(usize),
}

impl H1 {
    pub(super) fn new(stream: Stream, route: Weak<Route>, buffers: Rc<Buffers>) -> Self {
        let body = Body::new(Framing::Length(0));
        let buffer = BytesMut::new();
        Self {
            stream,
            route,
            buffers,
            buffer,
            chunked: false,
            body,
            shown: 0,
            gathers: false,
            reused: false,
            begun: false,
            closed: false,
            keep: false,
            sent: false,
            usual: None,
            interim: 0,
        }
    }

    pub(super) const fn reused(&self) -> bool {
        self.reused
    }

    /// It is idle from now on: it may be closed under our hands, whether it has carried a request or not.
    pub(super) const fn rest(&mut self) {
        self.reused = true;
    }

    pub(super) fn stirred(&mut self) -> bool {
        self.stream.stirred()
    }

    pub(super) async fn send(
        &mut self,
        head: &[u8],
        framing: Framing,
        first: &[u8],
        end: bool,
    ) -> Result<(), LaneError> {
        self.buffer = self.buffers.lend();
        self.keep = false;
        self.begun = false;
        self.closed = false;
        self.interim = 0;
        self.shown = 0;
        self.gathers = false;
        self.chunked = framing == Framing::Chunked;
        let size = self.chunked.then(|| ChunkSize::new(first.len()));
        let size = size.as_ref().map_or(&b""[..], ChunkSize::text);
        let parts: [&[u8]; 5] = match (self.chunked, first.is_empty(), end) {
            (false, _, _) => [head, first, b"", b"", b""],
            (true, true, false) => [head, b"", b"", b"", b""],
            (true, true, true) => [head, b"0\r\n\r\n", b"", b"", b""],
            (true, false, false) => [head, size, first, b"\r\n", b""],
            (true, false, true) => [head, size, first, b"\r\n", b"0\r\n\r\n"],
        };
        let answered = self.write(&parts).await?;
        self.sent = end && !answered;
        Ok(())
    }

    pub(super) async fn send_more(&mut self, data: &[u8]) -> Result<bool, LaneError> {
        let size = ChunkSize::new(data.len());
        let answered = match (self.chunked, data.is_empty()) {
            (false, _) => self.write(&[data]).await,
            (true, true) => self.write(&[b"0\r\n\r\n"]).await,
            (true, false) => self.write(&[size.text(), data, b"\r\n"]).await,
        }?;
        self.sent = data.is_empty() && !answered;
        Ok(answered)
    }

    pub(super) async fn end_with(&mut self, trailers: &[u8]) -> Result<bool, LaneError> {
        let answered = self.write(&[b"0\r\n", trailers, b"\r\n"]).await?;
        self.sent = !answered;
        Ok(answered)
    }

    /// Writes all parts. If the upstream begins to answer while it does not read, or before it breaks the connection, gives
    /// up and says `true`.
    async fn write(&mut self, parts: &[&[u8]]) -> Result<bool, LaneError> {
        let mut done = 0;
        loop {
            let moved = poll_fn(|cx| match self.poll_out(parts, done, cx) {
                // Not reading: perhaps it answers, and waits for us to read.
                Poll::Pending => poll_read_buf(&mut self.stream, &mut self.buffer, cx).map_ok(Moved::Read),
                moved @ Poll::Ready(_) => moved,
            });
            match moved.await {
                Ok(Moved::Flushed) => return Ok(false),
                Ok(Moved::Written(bytes)) => {
                    done += bytes;
                    self.begun = true;
                }
                Ok(Moved::Read(1..)) if !self.answer_begun() => {}
                Ok(Moved::Read(_)) => return Ok(true),
                // A refusal may already be on its way to us: read it rather than report a broken pipe.
                Err(_) if !self.buffer.is_empty() || (self.begun && self.drain_refusal().await) => return Ok(true),
                Err(error) if !self.begun => return Err(LaneError::Unprocessed(error)),
                Err(error) => return Err(LaneError::Broken { clean: true, error }),
            }
        }
    }

    /// Writes on behind the first `done` bytes of `parts`; flushes once all are written.
    fn poll_out(&mut self, parts: &[&[u8]], done: usize, cx: &mut Context<'_>) -> Poll<io::Result<Moved>> {
        let slices = slices(parts, done);
        let count = slices.iter().take_while(|slice| !slice.is_empty()).count();
        let stream = Pin::new(&mut self.stream);
        // One piece: the plain call is cheaper in the kernel than the one for many.
        let written = match &slices[..count] {
            [] => return stream.poll_flush(cx).map_ok(|()| Moved::Flushed),
            [only] => stream.poll_write(cx, only),
            several => stream.poll_write_vectored(cx, several),
        };
        match written {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => written.map_ok(Moved::Written),
        }
    }

    /// After a failed write: whether an answer was sent before the connection broke.
    async fn drain_refusal(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.buffer).await, Ok(1..))
    }

    pub(super) async fn answering(&mut self) {
        while !self.answer_begun() {
            match poll_fn(|cx| poll_read_buf(&mut self.stream, &mut self.buffer, cx)).await {
                Ok(1..) => {}
                // An error or an end shows itself again when the head is read.
                Ok(0) | Err(_) => return,
            }
        }
    }

    /// Whether the final answer has begun to arrive, or something that can't become one. Interim answers before it are
    /// passed over: an upstream may say `100 Continue` unasked.
    fn answer_begun(&mut self) -> bool {
        /// Where the status begins in `HTTP/1.1 200 OK`.
        const STATUS: usize = 9;
        loop {
            match self.buffer.get(STATUS) {
                None => return false,
                Some(b'1') => {}
                Some(_) => return true,
            }
            let interim = |status: u16| matches!(status, 100 | 102..=199);
            match parse_answer(&self.buffer, |head, length| interim(head.status).then_some(length)) {
                Ok(Some(Some(length))) if self.interim < MAX_INTERIM => {
                    self.buffer.advance(length);
                    self.interim += 1;
                }
                Ok(None) => return self.buffer.len() >= MAX_HEAD,
                Ok(Some(_)) | Err(_) => return true,
            }
        }
    }

    pub(super) async fn head<T>(
        &mut self,
        head_request: bool,
        read: impl FnOnce(&AnswerHead<'_, '_>, Framing) -> T,
    ) -> Result<T, LaneError> {
        let mut read = Some(read);
        loop {
            while !self.answer_begun() {
                self.read().await?;
            }
            let step = parse_answer(&self.buffer, |head, length| {
                if head.status < 200 {
                    return Err(LaneError::BadAnswer("interim answers that nobody asked for, or too many"));
                }
                let framing = answer_framing(head, head_request).map_err(|e| LaneError::BadAnswer(e.0))?;
                let keep = keeps(head) && framing != Framing::UntilClose;
                let shown = read.take().map(|read| read(head, framing));
                Ok((length, shown, framing, keep))
            });
            match step {
                Ok(Some(Ok((length, Some(shown), framing, keep)))) => {
                    self.buffer.advance(length);
                    self.body = Body::new(framing);
                    self.usual = framing.piece();
                    if let Some(piece) = self.usual {
                        self.buffers.widen(&mut self.buffer, piece);
                    }
                    self.keep = keep;
                    return Ok(shown);
                }
                Ok(Some(Err(error))) => return Err(error),
                // `read` is taken only here, where the loop ends.
                Ok(Some(Ok(_))) | Err(_) => return Err(LaneError::BadAnswer("head")),
                Ok(None) if self.buffer.len() >= MAX_HEAD => return Err(LaneError::BadAnswer("head too large")),
                Ok(None) => self.read().await?,
            }
        }
    }

    /// Reads what is there; an end is an error here.
    async fn read(&mut self) -> Result<(), LaneError> {
        let clean = self.interim == 0 && self.buffer.is_empty();
        let read = poll_fn(|cx| {
            if self.usual.is_some() {
                // Not before something is there: upstreams take their time.
                ready!(self.stream.poll_readable(cx));
                let usual = self.usual.take().unwrap_or_default();
                self.buffers.widen(&mut self.buffer, usual + USUAL_HEAD);
            }
            poll_read_buf(&mut self.stream, &mut self.buffer, cx)
        });
        match read.await {
            Ok(0) => Err(LaneError::Broken { clean, error: io::ErrorKind::UnexpectedEof.into() }),
            Ok(_) => Ok(()),
            Err(error) => Err(LaneError::Broken { clean, error }),
        }
    }

    pub(super) fn gather(&mut self) -> bool {
        // Framing between the pieces would have to go first.
        self.gathers = self.body.counted();
        self.gathers
    }

    pub(super) async fn fill(&mut self) -> Result<(&[u8], bool), LaneError> {
        let before = if self.gathers { self.shown } else { 0 };
        while self.shown == before && !(self.body.ended() && self.buffer.len() == before) {
            match self.body.look(&self.buffer[before..]).map_err(|e| LaneError::BadAnswer(e.0))? {
                Progress::Data { skip, data } => {
                    self.buffer.advance(skip);
                    self.shown = before + data;
                }
                Progress::End { skip } => {
                    self.buffer.advance(skip);
                    // Bytes after the end are an answer to no request of ours.
                    self.keep &= self.buffer.is_empty();
                    break;
                }
                Progress::NeedMore { skip } => {
                    self.buffer.advance(skip);
                    match poll_fn(|cx| poll_read_buf(&mut self.stream, &mut self.buffer, cx)).await {
                        Ok(0) if self.body.ends_at_close() => {
                            self.closed = true;
                            break;
                        }
                        Ok(0) => return Err(LaneError::BadAnswer("the body was cut")),
                        Ok(_) => {}
                        Err(error) => return Err(LaneError::Broken { clean: false, error }),
                    }
                }
            }
        }
        Ok((&self.buffer[..self.shown], self.body.ended() || self.closed))
    }

    pub(super) fn trailers(&self) -> &[u8] {
        self.body.trailers()
    }

    pub(super) fn starved(&self) -> bool {
        self.buffer.is_empty() && !self.body.ended()
    }

    pub(super) fn consume(&mut self, bytes: usize) {
        self.buffer.advance(bytes);
        self.shown -= bytes;
    }

    pub(super) fn release(mut self: Box<Self>) {
        // An upstream that answered before it had the whole request would take the next one for the rest of this one.
        let in_step = self.keep && self.sent && self.body.ended() && self.buffer.is_empty();
        self.buffers.give_back(std::mem::take(&mut self.buffer));
        if in_step {
            let route = self.route.upgrade();
            if let Some(route) = route {
                self.rest();
                route.give_back(self);
            }
        }
    }
}

/// What is left of `parts` after `done` bytes; empty slices at the end.
fn slices<'p>(parts: &[&'p [u8]], mut done: usize) -> [IoSlice<'p>; 5] {
    let mut slices = [IoSlice::new(b""); 5];
    let mut used = 0;
    for part in parts {
        let rest = &part[done.min(part.len())..];
        done = done.saturating_sub(part.len());
        if !rest.is_empty() {
            slices[used] = IoSlice::new(rest);
            used += 1;
        }
    }
    slices
}

/// Whether the upstream will take another request on this connection.
fn keeps(head: &AnswerHead<'_, '_>) -> bool {
    let said = |token| {
        let mut connection = head.fields.iter().filter(|field| headers::is(field.name, b"connection"));
        connection.any(|field| headers::names(field.value, token))
    };
    !said("close") && (head.minor == 1 || said("keep-alive"))
}
