//! HTTP/2 to an upstream: streams of one shared connection, by hyper.

use super::lane::LaneError;
use crate::headers::trailer;
use crate::http1::{AnswerHead, Field, Framing, parse_request};
use crate::net::{LocalExecutor, Pipe, PipeBody, Stream, pipe};
use bytes::{Buf, Bytes};
use http::{HeaderName, HeaderValue, Request, Response, Version};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::time::Duration;

/// A silent connection is asked for a sign of life, so that a dead one is found before a request is lost on it.
const PING_EVERY: Duration = Duration::from_secs(30);

/// A shared connection.
#[derive(Debug)]
pub struct Multiplex {
    sender: SendRequest<PipeBody>,
}

impl Multiplex {
    /// Speaks HTTP/2 on a new connection.
    ///
    /// # Errors
    /// hyper's, if the upstream does not answer the preface.
    pub async fn open(stream: Stream) -> hyper::Result<Self> {
        let (sender, connection) = http2::Builder::new(LocalExecutor)
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .handshake(TokioIo::new(stream))
            .await?;
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an HTTP/2 connection to an upstream ended");
            }
        });
        Ok(Self { sender })
    }

    /// Whether it takes requests.
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// A stream for one request; `None` once the connection is closing. `reused`: the connection was not made for it.
    pub fn lane(&self, reused: bool) -> Option<H2> {
        self.is_open().then(|| H2 {
            sender: self.sender.clone(),
            reused,
            fed: false,
            state: State::Idle,
            frame: Bytes::new(),
            trailers: Vec::new(),
            ended: false,
            upload: None,
        })
    }
}

/// One request's stream.
#[derive(Debug)]
pub struct H2 {
    sender: SendRequest<PipeBody>,
    reused: bool,
    /// Whether anything of the caller's body has been taken.
    fed: bool,
    state: State,
    /// The piece of the answer's body that is being shown.
    frame: Bytes,
    /// The answer's, as lines.
    trailers: Vec<u8>,
    ended: bool,
    /// Where the request's body goes, until its end. Kept while the answer is read, even one that came before that end:
    /// dropped early it would reset the stream, and the answer with it.
    upload: Option<Pipe>,
}

/// The answer, when it comes.
type Answer = Pin<Box<dyn Future<Output = Result<Response<Incoming>, Lost>>>>;

/// Why none comes.
struct Lost {
    error: hyper::Error,
    /// Whether nothing of the request has been written: hyper gave it back.
    unsent: bool,
}

/// How far the request has come.
enum State {
    Idle,
    Sent(Answer),
    Answered(Box<Result<Response<Incoming>, Lost>>),
    Body(Incoming),
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Idle => "Idle",
            Self::Sent(_) => "Sent",
            Self::Answered(_) => "Answered",
            Self::Body(_) => "Body",
        })
    }
}

impl H2 {
    pub(super) const fn reused(&self) -> bool {
        self.reused
    }

    pub(super) async fn send(&mut self, head: &[u8], first: &[u8], end: bool) -> Result<(), LaneError> {
        let ready = poll_fn(|cx| self.sender.poll_ready(cx)).await;
        ready.map_err(|error| self.lost(Lost { error, unsent: true }))?;
        let (parts, length) = request(head).ok_or(LaneError::BadAnswer("a request that HTTP/2 can't carry"))?;
        let (upload, body) = if end && first.is_empty() {
            (None, PipeBody::empty())
        } else {
            let (pipe, body) = pipe(length);
            (Some(pipe), body)
        };
        let sent = self.sender.try_send_request(Request::from_parts(parts, body));
        let answer = async { sent.await.map_err(|e| Lost { unsent: e.message().is_some(), error: e.into_error() }) };
        (self.state, self.upload) = (State::Sent(Box::pin(answer)), upload);
        if !first.is_empty() {
            self.send_more(first).await?;
            if !self.fed
                && let State::Answered(answered) = &mut self.state
                && let Err(lost) = &**answered
                && lost.unsent
            {
                return Err(LaneError::Unsent(io::ErrorKind::NotConnected.into()));
            }
        }
        if end {
            self.send_more(b"").await?;
        }
        Ok(())
    }

    pub(super) async fn send_more(&mut self, data: &[u8]) -> Result<bool, LaneError> {
        let State::Sent(answer) = &mut self.state else { return Ok(true) };
        let Some(pipe) = &self.upload else { return Ok(false) };
        if data.is_empty() {
            if let Some(pipe) = self.upload.take() {
                pipe.finish();
            }
            return Ok(false);
        }
        tokio::select! {
            biased;
            answered = answer => {
                self.state = State::Answered(Box::new(answered));
                Ok(true)
            }
            fed = pipe.feed(data) => match fed {
                Ok(()) => {
                    self.fed = true;
                    Ok(false)
                }
                // Nobody takes the body: the answer (or the error) says why.
                Err(_) => Ok(true),
            }
        }
    }

    pub(super) async fn end_with(&mut self, trailers: &[u8]) -> Result<bool, LaneError> {
        if trailers.is_empty() {
            return self.send_more(b"").await;
        }
        let State::Sent(answer) = &mut self.state else { return Ok(true) };
        let Some(pipe) = self.upload.take() else { return Ok(false) };
        tokio::select! {
            biased;
            answered = answer => {
                self.state = State::Answered(Box::new(answered));
                Ok(true)
            }
            ended = pipe.end_with(trailer::to_map(trailers)) => Ok(ended.is_err()),
        }
    }

    pub(super) async fn answering(&mut self) {
        if let State::Sent(answer) = &mut self.state {
            let answered = answer.await;
            self.state = State::Answered(Box::new(answered));
        }
    }

    pub(super) async fn head<T>(
        &mut self,
        head_request: bool,
        read: impl FnOnce(&AnswerHead<'_, '_>, Framing) -> T,
    ) -> Result<T, LaneError> {
        self.answering().await;
        let State::Answered(answered) = std::mem::replace(&mut self.state, State::Idle) else {
            return Err(LaneError::BadAnswer("no request was sent"));
        };
        let response = answered.map_err(|lost| self.lost(lost))?;
        let (parts, body) = response.into_parts();
        let fields: Vec<Field<'_>> =
            parts.headers.iter().map(|(name, value)| Field { name: name.as_str(), value: value.as_bytes() }).collect();
        let announced = parts.headers.contains_key(http::header::TRAILER);
        let framing = if head_request || body.is_end_stream() {
            Framing::Length(0)
        } else {
            // HTTP/1.1 can carry a length or trailers, not both.
            body.size_hint().exact().filter(|_| !announced).map_or(Framing::Chunked, Framing::Length)
        };
        self.ended = body.is_end_stream();
        let phrase = parts.status.canonical_reason().unwrap_or("");
        let head = AnswerHead { status: parts.status.as_u16(), phrase, minor: 1, fields: &fields };
        let shown = read(&head, framing);
        self.state = State::Body(body);
        Ok(shown)
    }

    pub(super) async fn fill(&mut self) -> Result<(&[u8], bool), LaneError> {
        let State::Body(body) = &mut self.state else { return Ok((b"", true)) };
        while self.frame.is_empty() && !self.ended {
            match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
                Some(Ok(frame)) => match frame.into_data().map_err(Frame::into_trailers) {
                    Ok(data) => self.frame = data,
                    Err(Ok(map)) => self.trailers = trailer::of_map(&map).ok_or(LaneError::BadAnswer("trailer"))?,
                    Err(Err(_)) => {}
                },
                Some(Err(error)) => return Err(broken(error, false)),
                None => self.ended = true,
            }
            self.ended |= body.is_end_stream();
        }
        Ok((&self.frame, self.ended))
    }

    pub(super) fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    pub(super) fn starved(&self) -> bool {
        self.frame.is_empty() && !self.ended
    }

    pub(super) fn consume(&mut self, bytes: usize) {
        self.frame.advance(bytes);
    }
}

impl H2 {
    /// Why there is no answer, as ours. Bytes of the body that were taken can't be had again.
    fn lost(&self, lost: Lost) -> LaneError {
        match broken(lost.error, true) {
            LaneError::Broken { error, .. } if lost.unsent && !self.fed => LaneError::Unsent(error),
            other => other,
        }
    }
}

/// hyper's error as ours.
fn broken(error: hyper::Error, nothing_yet: bool) -> LaneError {
    let error = if error.is_timeout() { io::Error::from(io::ErrorKind::TimedOut) } else { io::Error::other(error) };
    LaneError::Broken { clean: nothing_yet, error }
}

/// The head that `inject` wrote, as HTTP/2 carries it, and the length of its body if it has one.
fn request(head: &[u8]) -> Option<(http::request::Parts, Option<u64>)> {
    let built = parse_request(head, |head, _| {
        let mut builder = Request::builder().method(head.method).version(Version::HTTP_2);
        let (mut host, mut length) = ("", None);
        for field in head.fields {
            if field.name.eq_ignore_ascii_case("host") {
                host = std::str::from_utf8(field.value).ok()?;
                continue;
            }
            if field.name.eq_ignore_ascii_case("transfer-encoding") || field.name.eq_ignore_ascii_case("connection") {
                continue;
            }
            if field.name.eq_ignore_ascii_case("content-length") {
                length = std::str::from_utf8(field.value).ok()?.parse().ok();
            }
            let mut value = HeaderValue::from_bytes(field.value).ok()?;
            value.set_sensitive(field.name.eq_ignore_ascii_case("authorization"));
            builder = builder.header(HeaderName::from_bytes(field.name.as_bytes()).ok()?, value);
        }
        let uri = http::Uri::builder().scheme("https").authority(host).path_and_query(head.target).build().ok()?;
        Some((builder.uri(uri).body(()).ok()?.into_parts().0, length))
    });
    built.ok().flatten().flatten()
}
