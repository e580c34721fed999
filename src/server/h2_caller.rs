//! The caller's side of an exchange over HTTP/2.

use crate::broker::Broker;
use crate::forward::{BodyFault, Caller};
use crate::headers::trailer;
use crate::http1::{Framing, parse_answer};
use crate::net::{Pipe, PipeBody, Watch, pipe};
use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use tokio::sync::oneshot;

/// One stream.
pub struct H2Caller {
    upload: Incoming,
    /// The piece of the upload that is being shown.
    frame: Bytes,
    /// The upload's, as lines.
    uploaded_trailers: Vec<u8>,
    received: u64,
    head_request: bool,
    broker: Rc<Broker>,
    watch: Rc<Watch>,
    scratch: BytesMut,
    answer: Option<oneshot::Sender<Response<PipeBody>>>,
    /// The answer's head, until the first of its body goes out.
    head: Option<Response<PipeBody>>,
    pipe: Option<Pipe>,
    /// Whether trailers may follow the answer's body: its length is not told.
    open_ended: bool,
    trailers: Option<HeaderMap>,
}

impl H2Caller {
    /// A stream whose request has just begun.
    pub fn new(upload: Incoming, head_request: bool, broker: Rc<Broker>, watch: Rc<Watch>) -> Self {
        Self {
            upload,
            frame: Bytes::new(),
            uploaded_trailers: Vec::new(),
            received: 0,
            head_request,
            broker,
            watch,
            scratch: BytesMut::new(),
            answer: None,
            head: None,
            pipe: None,
            open_ended: false,
            trailers: None,
        }
    }

    /// Where the answer's head goes.
    pub fn answer_to(&mut self, answer: oneshot::Sender<Response<PipeBody>>) {
        self.answer = Some(answer);
    }

    /// Whether the request has no body.
    pub fn bodiless(&self) -> bool {
        self.upload.is_end_stream()
    }

    /// Lets the head go.
    fn send_head(&mut self) -> io::Result<()> {
        if let (Some(head), Some(answer)) = (self.head.take(), self.answer.take()) {
            answer.send(head).map_err(|_| io::ErrorKind::BrokenPipe)?;
        }
        Ok(())
    }
}

impl Caller for H2Caller {
    async fn fill(&mut self) -> Result<&[u8], BodyFault> {
        while self.frame.is_empty() && !self.upload.is_end_stream() {
            let upload = &mut self.upload;
            let frame = poll_fn(|cx| Pin::new(&mut *upload).poll_frame(cx));
            match self.watch.within(self.broker.limits.body_timeout, frame).await {
                Ok(Some(Ok(frame))) => match frame.into_data().map_err(Frame::into_trailers) {
                    Ok(data) => self.frame = data,
                    Err(Ok(map)) => {
                        self.uploaded_trailers = trailer::of_map(&map).ok_or(BodyFault::Malformed("trailer"))?;
                    }
                    Err(Err(_)) => {}
                },
                Ok(None) => break,
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
        &mut self.scratch
    }

    fn begin(&mut self, framing: Option<Framing>, _close: bool) {
        let (pipe, body) = match framing {
            None | Some(Framing::Length(0)) => (None, PipeBody::empty()),
            Some(Framing::Length(_)) if self.head_request => (None, PipeBody::empty()),
            Some(Framing::Length(length)) => {
                let (pipe, body) = pipe(Some(length));
                (Some(pipe), body)
            }
            Some(Framing::Chunked | Framing::UntilClose) => {
                self.open_ended = true;
                let (pipe, body) = pipe(None);
                (Some(pipe), body)
            }
        };
        self.scratch.extend_from_slice(b"\r\n");
        let mut response = Response::new(body);
        let read = parse_answer(&self.scratch, |head, _| {
            *response.status_mut() = StatusCode::from_u16(head.status).unwrap_or(StatusCode::BAD_GATEWAY);
            for field in head.fields {
                let name = HeaderName::from_bytes(field.name.as_bytes());
                if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(field.value)) {
                    response.headers_mut().append(name, value);
                }
            }
        });
        if !matches!(read, Ok(Some(()))) {
            // A head that HTTP/1.1 could not carry either: the stream is reset for want of an answer.
            self.answer = None;
            return;
        }
        if let Some(Framing::Length(length)) = framing {
            response.headers_mut().insert(http::header::CONTENT_LENGTH, length.into());
        }
        self.scratch.clear();
        self.head = Some(response);
        self.pipe = pipe;
    }

    async fn data(&mut self, data: &[u8]) -> io::Result<()> {
        self.send_head()?;
        match &self.pipe {
            Some(pipe) if !data.is_empty() => pipe.feed(data).await,
            _ => Ok(()),
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.send_head()
    }

    fn end_with(&mut self, trailers: &[u8]) {
        self.trailers = (self.open_ended && !trailers.is_empty()).then(|| trailer::to_map(trailers));
    }

    async fn finish(&mut self) -> io::Result<()> {
        self.send_head()?;
        match (self.pipe.take(), self.trailers.take()) {
            (Some(pipe), Some(trailers)) => pipe.end_with(trailers).await,
            (Some(pipe), None) => {
                pipe.finish();
                Ok(())
            }
            (None, _) => Ok(()),
        }
    }

    fn cut(&mut self) {
        self.answer = None;
        self.pipe = None;
    }
}
