//! The caller's side of an exchange over HTTP/2.

use crate::broker::Broker;
use crate::forward::{BodyFault, CallerSide};
use crate::headers::trailer;
use crate::http1::{AnswerHead, Framing, parse_answer};
use crate::net::{Outflow, Watch, wordless};
use bytes::{Buf, Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Room for an answer's head: most fit.
const HEAD: usize = 1024;

/// Where a stream's answer begins.
pub struct Reply {
    answer: RefCell<SendResponse<Bytes>>,
    begun: Cell<bool>,
}

impl Reply {
    /// An answer that has not begun.
    pub const fn new(answer: SendResponse<Bytes>) -> Self {
        Self { answer: RefCell::new(answer), begun: Cell::new(false) }
    }

    /// Ready when the caller has reset its stream before the answer began.
    pub fn poll_reset(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.begun.get() { Poll::Pending } else { self.answer.borrow_mut().poll_reset(cx).map(|_| ()) }
    }

    /// Sends the head; `ends`: it is all of the answer.
    fn begin(&self, head: Response<()>, ends: bool) -> io::Result<Outflow> {
        self.begun.set(true);
        self.answer.borrow_mut().send_response(head, ends).map(Outflow::new).map_err(wordless)
    }

    /// There will be no answer.
    fn refuse(&self) {
        if !self.begun.replace(true) {
            self.answer.borrow_mut().send_reset(Reason::INTERNAL_ERROR);
        }
    }
}

/// One stream.
pub struct H2Caller<'r> {
    upload: RecvStream,
    /// The piece of the upload that is being shown.
    frame: Bytes,
    /// The upload's, as lines.
    uploaded_trailers: Vec<u8>,
    received: u64,
    head_request: bool,
    broker: Rc<Broker>,
    watch: Rc<Watch>,
    scratch: BytesMut,
    reply: &'r Reply,
    /// The answer's head, until it goes out with the first of its body.
    head: Option<Response<()>>,
    /// The answer's body, once its head is out.
    body: Option<Outflow>,
    /// Whether the answer has a body.
    bodied: bool,
    /// The piece of the answer that was taken last: the next call says whether it is the last.
    kept: Bytes,
    /// Whether trailers may follow the answer's body: its length is not told.
    open_ended: bool,
    trailers: Option<HeaderMap>,
}

impl<'r> H2Caller<'r> {
    /// A stream whose request has just begun.
    pub fn new(upload: RecvStream, reply: &'r Reply, head_request: bool, broker: Rc<Broker>, watch: Rc<Watch>) -> Self {
        Self {
            upload,
            frame: Bytes::new(),
            uploaded_trailers: Vec::new(),
            received: 0,
            head_request,
            broker,
            watch,
            scratch: BytesMut::new(),
            reply,
            head: None,
            body: None,
            bodied: false,
            kept: Bytes::new(),
            open_ended: false,
            trailers: None,
        }
    }

    /// Whether the request has no body.
    pub fn bodiless(&self) -> bool {
        self.upload.is_end_stream()
    }

    /// Sends what was kept, and the head before it.
    async fn send(&mut self, ends: bool) -> io::Result<()> {
        if let Some(head) = self.head.take() {
            let whole = !self.bodied || (ends && self.kept.is_empty());
            let body = self.reply.begin(head, whole)?;
            self.body = (!whole).then_some(body);
        }
        match &mut self.body {
            Some(body) if ends || !self.kept.is_empty() => {
                body.ready().await?;
                body.send(std::mem::take(&mut self.kept), ends)
            }
            _ => Ok(()),
        }
    }
}

/// A head as HTTP/2 carries it; its values share the bytes of `head`.
fn response(head: &Bytes, answer: &AnswerHead<'_, '_>) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    response.headers_mut().reserve(answer.fields.len() + 1);
    for field in answer.fields {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_maybe_shared(head.slice_ref(field.value))) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

impl CallerSide for H2Caller<'_> {
    async fn fill(&mut self) -> Result<&[u8], BodyFault> {
        let limit = self.broker.limits.body_timeout;
        while self.frame.is_empty() && !self.upload.is_end_stream() {
            let upload = &mut self.upload;
            match self.watch.within(limit, poll_fn(|cx| upload.poll_data(cx))).await {
                Ok(Some(Ok(data))) => {
                    // What is shown is one piece: the next is not asked for before it is consumed.
                    let _ = upload.flow_control().release_capacity(data.len());
                    self.frame = data;
                }
                Ok(None) => {
                    let trailers = self.watch.within(limit, poll_fn(|cx| upload.poll_trailers(cx))).await;
                    match trailers.map_err(|_| BodyFault::Late)?.map_err(|_| BodyFault::Gone)? {
                        Some(map) => {
                            self.uploaded_trailers = trailer::of_map(&map).ok_or(BodyFault::Malformed("trailer"))?;
                        }
                        None => break,
                    }
                }
                Ok(Some(Err(_))) => return Err(BodyFault::Gone),
                Err(_) => return Err(BodyFault::Late),
            }
            self.received += self.frame.len() as u64;
            if self.received > self.broker.limits.max_body {
                return Err(BodyFault::TooLarge);
            }
        }
        Ok(&self.frame)
    }

    fn at_hand(&mut self) -> Result<(&[u8], bool), BodyFault> {
        Ok((&self.frame, self.upload.is_end_stream()))
    }

    fn consume(&mut self, bytes: usize) {
        self.frame.advance(bytes);
    }

    fn trailers(&self) -> &[u8] {
        &self.uploaded_trailers
    }

    fn upload_done(&self) -> bool {
        // Streams are independent: what is not read of one says nothing about the next.
        true
    }

    fn wants_body(&self) -> bool {
        !self.head_request
    }

    fn scratch(&mut self) -> &mut BytesMut {
        if self.scratch.capacity() == 0 {
            self.scratch.reserve(HEAD);
        }
        &mut self.scratch
    }

    fn begin(&mut self, framing: Option<Framing>, _close: bool) {
        (self.bodied, self.open_ended) = match framing {
            None | Some(Framing::Length(0)) => (false, false),
            Some(Framing::Length(_)) => (!self.head_request, false),
            Some(Framing::Chunked | Framing::UntilClose) => (true, true),
        };
        self.scratch.extend_from_slice(b"\r\n");
        let head = std::mem::take(&mut self.scratch).freeze();
        let Ok(Some(mut response)) = parse_answer(&head, |answer, _| response(&head, answer)) else {
            // A head that HTTP/1.1 could not carry either.
            self.cut();
            return;
        };
        if let Some(Framing::Length(length)) = framing {
            response.headers_mut().insert(http::header::CONTENT_LENGTH, length.into());
        }
        self.head = Some(response);
    }

    async fn data(&mut self, data: &[u8]) -> io::Result<()> {
        if self.bodied && !data.is_empty() {
            if !self.kept.is_empty() {
                self.send(false).await?;
            }
            self.kept = Bytes::copy_from_slice(data);
        }
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.send(false).await
    }

    fn end_with(&mut self, trailers: &[u8]) {
        self.trailers = (self.open_ended && !trailers.is_empty()).then(|| trailer::to_map(trailers));
    }

    async fn finish(&mut self) -> io::Result<()> {
        match self.trailers.take() {
            None => self.send(true).await,
            Some(trailers) => {
                self.send(false).await?;
                self.body.as_mut().map_or(Ok(()), |body| body.end_with(trailers))
            }
        }
    }

    fn take_back(&mut self) -> bool {
        let unsent = self.head.take().is_some();
        if unsent {
            self.kept = Bytes::new();
        }
        unsent
    }

    fn cut(&mut self) {
        self.head = None;
        self.bodied = false;
        self.reply.refuse();
        if let Some(mut body) = self.body.take() {
            body.reset();
        }
    }
}
