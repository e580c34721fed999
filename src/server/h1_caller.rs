//! The caller's side of an exchange over HTTP/1.1.

use super::core::Core;
use crate::broker::Broker;
use crate::forward::{BodyFault, CallerSide};
use crate::http1::{Body, Framing, Manners, Progress, write};
use crate::ids::RequestId;
use crate::net::{Stream, Watch, poll_read_buf};
use bytes::{Buf, BytesMut};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;

/// Answer bytes that are gathered before they are sent: more than this is sent as it is, without a copy.
const GATHER: usize = 8 * 1024;

/// A caller's connection. Its buffers are lent while a request is under way.
pub struct H1Caller {
    stream: Stream,
    core: Rc<Core>,
    broker: Rc<Broker>,
    watch: Rc<Watch>,
    /// Bytes read and not consumed.
    input: BytesMut,
    /// Answer bytes not yet sent.
    output: BytesMut,
    body: Body,
    /// Body bytes at the front of `input`.
    shown: usize,
    /// Room for a large body that has not been made yet: a refused one is never read.
    piece: Option<usize>,
    received: u64,
    manners: Manners,
    /// The answer is sent in chunks.
    chunked: bool,
    /// Something of the answer has been sent, or may have been.
    begun: bool,
    closing: bool,
}

impl H1Caller {
    /// A connection before its first request.
    pub fn new(stream: Stream, core: Rc<Core>, watch: Rc<Watch>) -> Self {
        let broker = core.broker();
        Self {
            stream,
            core,
            broker,
            watch,
            input: BytesMut::new(),
            output: BytesMut::new(),
            body: Body::new(Framing::Length(0)),
            shown: 0,
            piece: None,
            received: 0,
            manners: Manners { old: false, close: false, head: false, expects: false },
            chunked: false,
            begun: false,
            closing: false,
        }
    }

    /// Takes the configuration that the next request is handled with; whether it is another one.
    pub fn adopt(&mut self, broker: &Rc<Broker>) -> bool {
        let another = !Rc::ptr_eq(&self.broker, broker);
        if another {
            self.broker = Rc::clone(broker);
        }
        another
    }

    /// Waits for the first bytes of a request without holding a buffer; `false` at the end of the connection.
    pub async fn wake(&mut self) -> bool {
        let Self { stream, broker, input, .. } = self;
        let read = poll_fn(|cx| {
            if input.capacity() == 0 {
                *input = broker.buffers.lend();
            }
            let read = poll_read_buf(stream, input, cx);
            if read.is_pending() {
                broker.buffers.give_back(std::mem::take(input));
            }
            read
        });
        matches!(read.await, Ok(1..))
    }

    /// Reads more; 0 at the end.
    pub async fn read(&mut self) -> io::Result<usize> {
        let Self { stream, input, .. } = self;
        poll_fn(|cx| poll_read_buf(stream, input, cx)).await
    }

    /// What has been read and not consumed.
    pub fn buffered(&self) -> &[u8] {
        &self.input
    }

    /// A copy of the first `length` bytes.
    pub fn copy(&self, length: usize) -> Vec<u8> {
        self.input[..length].to_vec()
    }

    /// Forgets the head.
    pub fn take_head(&mut self, length: usize) {
        self.input.advance(length);
    }

    /// Gets ready for a request framed so.
    pub fn expect(&mut self, framing: Framing, manners: Manners) {
        self.body = Body::new(framing);
        self.piece = framing.piece();
        self.shown = 0;
        self.received = 0;
        self.manners = manners;
        self.chunked = false;
        self.begun = false;
        self.closing = manners.close;
    }

    /// Between two requests: buffers go back where nothing is in them.
    pub fn rest(&mut self) {
        if self.input.is_empty() {
            self.broker.buffers.give_back(std::mem::take(&mut self.input));
        }
        self.broker.buffers.give_back(std::mem::take(&mut self.output));
    }

    /// Whether the answer said that the connection ends.
    pub const fn closing(&self) -> bool {
        self.closing
    }

    /// Says that a tunnel is open.
    pub async fn establish(&mut self, id: RequestId) -> io::Result<()> {
        self.output.clear();
        self.output.extend_from_slice(b"HTTP/1.1 200 Connection Established\r\nSidekey-Request-Id: ");
        self.output.extend_from_slice(id.hex());
        self.output.extend_from_slice(b"\r\n\r\n");
        CallerSide::flush(self).await
    }

    /// What becomes of the connection when its tunnel is open, or when it rests: the stream, and bytes that came early.
    pub fn into_parts(mut self) -> (Stream, BytesMut) {
        self.broker.buffers.give_back(std::mem::take(&mut self.output));
        (self.stream, self.input)
    }

    /// The stream and the input buffer.
    pub const fn parts(&mut self) -> (&mut Stream, &mut BytesMut) {
        (&mut self.stream, &mut self.input)
    }

    /// Closes our direction.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    /// One look at the body in the buffer: `Some` once there is something to say.
    fn look(&mut self) -> Result<Option<usize>, BodyFault> {
        if self.shown > 0 {
            return Ok(Some(self.shown));
        }
        match self.body.look(&self.input).map_err(|e| BodyFault::Malformed(e.0))? {
            Progress::Data { skip, data } => {
                self.input.advance(skip);
                self.shown = data;
                self.received += data as u64;
                if self.received > self.broker.limits.max_body {
                    return Err(BodyFault::TooLarge);
                }
                Ok(Some(data))
            }
            Progress::NeedMore { skip } => {
                self.input.advance(skip);
                Ok(None)
            }
            Progress::End { skip } => {
                self.input.advance(skip);
                Ok(Some(0))
            }
        }
    }

    /// Tells a caller that waits for it to send its body.
    async fn go_on(&mut self) -> Result<(), BodyFault> {
        if std::mem::take(&mut self.manners.expects) {
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n").await.map_err(|_| BodyFault::Gone)?;
            // That is no part of the answer.
            self.begun = false;
        }
        Ok(())
    }

    /// Sends what was gathered and then `data`, without copying either. A caller that does not read is not waited for
    /// longer than `limits.body_timeout`, whatever it is sent.
    async fn send(&mut self, data: &[u8]) -> io::Result<()> {
        self.begun = true;
        let Self { stream, output, watch, broker, .. } = self;
        let sent = watch.within(broker.limits.body_timeout, Self::write(stream, output, data)).await;
        let sent = sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        self.output.clear();
        // Part of it may be on its way: nothing can follow it.
        self.closing |= sent.is_err();
        sent
    }

    /// Writes `first`, then `second`.
    async fn write(stream: &mut Stream, mut first: &[u8], mut second: &[u8]) -> io::Result<()> {
        while !first.is_empty() || !second.is_empty() {
            // One piece: the plain call is cheaper in the kernel than the one for two.
            let sent = if first.is_empty() || second.is_empty() {
                let only = if first.is_empty() { second } else { first };
                poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, only)).await?
            } else {
                let parts = [IoSlice::new(first), IoSlice::new(second)];
                poll_fn(|cx| Pin::new(&mut *stream).poll_write_vectored(cx, &parts)).await?
            };
            if sent == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            let from_first = sent.min(first.len());
            first = &first[from_first..];
            second = &second[sent - from_first..];
        }
        poll_fn(|cx| Pin::new(&mut *stream).poll_flush(cx)).await
    }
}

impl CallerSide for H1Caller {
    async fn fill(&mut self) -> Result<&[u8], BodyFault> {
        loop {
            if let Some(data) = self.look()? {
                return Ok(&self.input[..data]);
            }
            self.go_on().await?;
            if let Some(piece) = self.piece.take() {
                self.broker.buffers.widen(&mut self.input, piece);
            }
            let limit = self.broker.limits.body_timeout;
            let watch = Rc::clone(&self.watch);
            match watch.within(limit, self.read()).await {
                Ok(Ok(1..)) => {}
                Ok(Ok(0) | Err(_)) => return Err(BodyFault::Gone),
                Err(_) => return Err(BodyFault::Late),
            }
        }
    }

    fn at_hand(&mut self) -> Result<(&[u8], bool), BodyFault> {
        let data = self.look()?.unwrap_or(0);
        self.body.look_ahead(&self.input[data..]).map_err(|e| BodyFault::Malformed(e.0))?;
        Ok((&self.input[..data], self.body.ended()))
    }

    fn consume(&mut self, bytes: usize) {
        self.input.advance(bytes);
        self.shown -= bytes;
    }

    fn trailers(&self) -> &[u8] {
        self.body.trailers()
    }

    fn upload_done(&self) -> bool {
        self.body.ended() && self.shown == 0
    }

    fn wants_body(&self) -> bool {
        !self.manners.head
    }

    fn scratch(&mut self) -> &mut BytesMut {
        if self.output.capacity() == 0 {
            self.output = self.broker.buffers.lend();
        }
        &mut self.output
    }

    fn begin(&mut self, framing: Option<Framing>, close: bool) {
        self.closing |= close || self.core.draining();
        match framing {
            None => {}
            Some(Framing::Length(length)) => write::content_length(&mut self.output, length),
            // HTTP/1.0 knows no chunks: the end of the connection ends the body.
            Some(_) if self.manners.old => self.closing = true,
            Some(_) => {
                self.chunked = true;
                self.output.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
            }
        }
        if self.closing {
            self.output.extend_from_slice(b"Connection: close\r\n");
        } else if self.manners.old {
            self.output.extend_from_slice(b"Connection: keep-alive\r\n");
        }
        self.output.extend_from_slice(b"\r\n");
    }

    async fn data(&mut self, data: &[u8]) -> io::Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        if self.chunked {
            self.output.extend_from_slice(write::ChunkSize::new(data.len()).text());
        }
        if self.output.len() + data.len() <= GATHER {
            self.output.extend_from_slice(data);
        } else {
            self.send(data).await?;
        }
        if self.chunked {
            self.output.extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.send(b"").await
    }

    fn end_with(&mut self, trailers: &[u8]) {
        if std::mem::take(&mut self.chunked) {
            for part in [b"0\r\n", trailers, b"\r\n"] {
                self.output.extend_from_slice(part);
            }
        }
    }

    async fn finish(&mut self) -> io::Result<()> {
        if self.chunked {
            self.output.extend_from_slice(b"0\r\n\r\n");
        }
        self.flush().await
    }

    fn take_back(&mut self) -> bool {
        if self.begun {
            return false;
        }
        self.output.clear();
        self.chunked = false;
        true
    }

    fn cut(&mut self) {
        self.output.clear();
        self.closing = true;
    }
}
