//! HTTP/2 to an upstream: streams of one shared connection, by h2.

use super::lane::LaneError;
use crate::headers::{self, trailer};
use crate::http1::{AnswerHead, Framing, RequestHead, fields_of, parse_request};
use crate::net::{Buffers, Outflow, Pulse, Stream, cork};
use bytes::{Buf, Bytes};
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, Version};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::Notify;

/// A connection that is silent while a request is under way is asked for a sign of life, so that a dead one is found.
const PING_AFTER: Duration = Duration::from_secs(30);

/// Bytes of one answer that may be under way unread: what a caller holds who does not take its answer.
const WINDOW: u32 = 512 * 1024;

/// Bytes of an answer's header list.
const MAX_HEADERS: u32 = 16 * 1024;

/// Streams at once that a connection is given before another is opened, should the upstream take more. The connection's
/// window is as large as all of theirs together, so that answers which nobody takes hold up no other.
const MOST_STREAMS: u32 = 100;

/// A shared connection.
pub struct Multiplex {
    sender: SendRequest<Bytes>,
    link: Rc<Link>,
}

/// Held by all that use a connection: without any it ends.
#[derive(Default)]
struct Link {
    ended: Cell<bool>,
    /// Of the connection's task.
    waker: RefCell<Option<Waker>>,
    /// Requests that were given to h2 and have not ended.
    sent: Cell<usize>,
    /// One of them has ended, or all have.
    freed: Notify,
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl std::fmt::Debug for Multiplex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Multiplex").field("ended", &self.link.ended).finish_non_exhaustive()
    }
}

impl Multiplex {
    /// Speaks HTTP/2 on a new connection.
    ///
    /// # Errors
    /// h2's, if nothing can be written.
    pub async fn open(stream: Stream, buffers: Rc<Buffers>) -> Result<Self, h2::Error> {
        let (io, cork) = cork(stream, buffers);
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .initial_max_send_streams(MOST_STREAMS as usize)
            .max_header_list_size(MAX_HEADERS)
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW * MOST_STREAMS);
        let (sender, mut connection) = builder.handshake(io).await?;
        let link = Rc::new(Link::default());
        let held = Rc::downgrade(&link);
        tokio::task::spawn_local(async move {
            let mut pulse = Pulse::new(connection.ping_pong(), PING_AFTER);
            let living = poll_fn(|cx| {
                // The pool holds one; the others are requests.
                let busy = held.strong_count() > 1;
                note(&held, cx);
                if pulse.poll(&cork, busy, cx).is_ready() {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                Pin::new(&mut connection).poll(cx).map_err(io::Error::other)
            });
            if let Err(error) = cork.drive(pin!(living)).await {
                tracing::debug!(%error, "an HTTP/2 connection to an upstream ended");
            }
            if let Some(link) = held.upgrade() {
                link.ended.set(true);
                link.freed.notify_waiters();
            }
        });
        Ok(Self { sender, link })
    }

    /// Whether it takes requests.
    pub fn is_open(&self) -> bool {
        self.ready_sender().is_some()
    }

    /// Requests under way, those that wait for a stream included.
    pub fn load(&self) -> usize {
        // The first is this one's own.
        Rc::strong_count(&self.link) - 1
    }

    /// Whether a request would have a stream at once.
    pub fn has_room(&self) -> bool {
        self.load() < self.sender.current_max_send_streams().min(MOST_STREAMS as usize)
    }

    /// A stream for one request; `None` once the connection is closing. `reused`: the connection was not made for it.
    pub fn lane(&self, reused: bool) -> Option<H2> {
        self.ready_sender().map(|sender| H2 {
            sender,
            reused,
            state: State::Idle,
            frame: Bytes::new(),
            left: None,
            trailers: Vec::new(),
            ended: false,
            upload: None,
            hold: Hold { link: Rc::clone(&self.link), sent: false },
        })
    }

    /// An upstream that says goodbye takes no new streams.
    fn ready_sender(&self) -> Option<SendRequest<Bytes>> {
        let mut sender = self.sender.clone();
        let closing = matches!(sender.poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Ready(Err(_)));
        (!closing && !self.link.ended.get()).then_some(sender)
    }
}

/// Leaves word whom to wake when nobody holds the connection any more: h2 does not look by itself.
fn note(held: &Weak<Link>, cx: &Context<'_>) {
    if let Some(link) = held.upgrade() {
        let mut waker = link.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }
}

/// A request's hold on its connection.
struct Hold {
    link: Rc<Link>,
    /// Whether it was given to h2.
    sent: bool,
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.sent {
            self.link.sent.set(self.link.sent.get() - 1);
            self.link.freed.notify_one();
        }
    }
}

/// One request's stream. Dropped before its end it is reset: an upstream never takes half a request for all of it.
pub struct H2 {
    sender: SendRequest<Bytes>,
    reused: bool,
    state: State,
    /// The piece of the answer's body that is being shown.
    frame: Bytes,
    /// Bytes of the answer's body still to come, where its head says so.
    left: Option<u64>,
    /// The answer's, as lines.
    trailers: Vec<u8>,
    ended: bool,
    /// Where the request's body goes, until its end.
    upload: Option<Outflow>,
    // The last to be dropped: by then nothing of the stream holds the connection.
    hold: Hold,
}

/// How far the request has come.
enum State {
    Idle,
    Sent(ResponseFuture),
    Answered(Box<Result<Response<RecvStream>, h2::Error>>),
    Body(RecvStream),
}

impl std::fmt::Debug for H2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match self.state {
            State::Idle => "Idle",
            State::Sent(_) => "Sent",
            State::Answered(_) => "Answered",
            State::Body(_) => "Body",
        };
        f.debug_struct("H2").field("reused", &self.reused).field("state", &state).finish_non_exhaustive()
    }
}

impl H2 {
    pub(super) const fn reused(&self) -> bool {
        self.reused
    }

    pub(super) async fn send(&mut self, head: &[u8], first: &[u8], end: bool) -> Result<(), LaneError> {
        let unsent = |error| LaneError::Unprocessed(io::Error::other(error));
        let head = request(head).ok_or(LaneError::BadAnswer("a request that HTTP/2 can't carry"))?;
        self.room().await?;
        let whole = end && first.is_empty();
        let (answer, stream) = self.sender.send_request(head, whole).map_err(unsent)?;
        self.state = State::Sent(answer);
        if !whole {
            let mut upload = Outflow::new(stream);
            // Where nobody takes the body, the answer (or the error) says why.
            if first.is_empty() || (upload.send(Bytes::copy_from_slice(first), end).is_ok() && !end) {
                self.upload = Some(upload);
            }
        }
        Ok(())
    }

    /// Waits for a stream here, since h2 does not tell of a request that waited there whether it went out.
    async fn room(&mut self) -> Result<(), LaneError> {
        loop {
            let ready = poll_fn(|cx| self.sender.poll_ready(cx)).await;
            ready.map_err(|error| LaneError::Unprocessed(io::Error::other(error)))?;
            let link = &self.hold.link;
            if link.ended.get() {
                return Err(LaneError::Unprocessed(io::ErrorKind::NotConnected.into()));
            }
            if link.sent.get() < self.sender.current_max_send_streams() {
                link.sent.set(link.sent.get() + 1);
                self.hold.sent = true;
                return Ok(());
            }
            link.freed.notified().await;
        }
    }

    pub(super) async fn send_more(&mut self, data: &[u8]) -> Result<bool, LaneError> {
        let State::Sent(answer) = &mut self.state else { return Ok(true) };
        let Some(upload) = &mut self.upload else { return Ok(false) };
        if data.is_empty() {
            let ended = upload.send(Bytes::new(), true);
            self.upload = None;
            return Ok(ended.is_err());
        }
        tokio::select! {
            biased;
            answered = answer => {
                self.state = State::Answered(Box::new(answered));
                Ok(true)
            }
            ready = upload.ready() => {
                Ok(ready.and_then(|()| upload.send(Bytes::copy_from_slice(data), false)).is_err())
            }
        }
    }

    pub(super) async fn end_with(&mut self, trailers: &[u8]) -> Result<bool, LaneError> {
        if trailers.is_empty() {
            return self.send_more(b"").await;
        }
        let State::Sent(_) = &self.state else { return Ok(true) };
        let Some(mut upload) = self.upload.take() else { return Ok(false) };
        Ok(upload.end_with(trailer::to_map(trailers)).is_err())
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
        let (parts, body) = answered.map_err(|error| broken(error, true))?.into_parts();
        let fields = fields_of(&parts.headers);
        let announced = parts.headers.contains_key(http::header::TRAILER);
        // What follows the head of an answer that has no body is nobody's: the stream is reset with it.
        let bodiless = matches!(parts.status.as_u16(), 204 | 304);
        self.ended = bodiless || body.is_end_stream();
        let framing = if head_request || self.ended {
            Framing::Length(0)
        } else {
            self.left = length(&parts.headers);
            // HTTP/1.1 can carry a length or trailers, not both.
            self.left.filter(|_| !announced).map_or(Framing::Chunked, Framing::Length)
        };
        let phrase = parts.status.canonical_reason().unwrap_or("");
        let head = AnswerHead { status: parts.status.as_u16(), phrase, minor: 1, fields: &fields };
        let shown = read(&head, framing);
        if !bodiless {
            self.state = State::Body(body);
        }
        Ok(shown)
    }

    pub(super) async fn fill(&mut self) -> Result<(&[u8], bool), LaneError> {
        let State::Body(body) = &mut self.state else { return Ok((b"", true)) };
        while self.frame.is_empty() && !self.ended {
            match poll_fn(|cx| body.poll_data(cx)).await {
                Some(Ok(data)) => {
                    let _ = body.flow_control().release_capacity(data.len());
                    self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                    self.frame = data;
                    self.ended = body.is_end_stream();
                }
                // So an upstream ends a request's body that it does not want, behind an answer that is whole (RFC 9113 §8.1).
                Some(Err(error))
                    if error.reason() == Some(Reason::NO_ERROR) && may_be_whole(self.left, self.upload.is_some()) =>
                {
                    self.ended = true;
                }
                Some(Err(error)) => return Err(broken(error, false)),
                None => {
                    let trailers = poll_fn(|cx| body.poll_trailers(cx)).await.map_err(|error| broken(error, false))?;
                    if let Some(map) = trailers {
                        self.trailers = trailer::of_map(&map).ok_or(LaneError::BadAnswer("trailer"))?;
                    }
                    self.ended = true;
                }
            }
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

/// Whether an answer whose stream was reset with `NO_ERROR` may be all there. Of one that tells no length there is no way to
/// know; only an upstream that did not want the rest of the request's body has a reason to end it so.
fn may_be_whole(left: Option<u64>, uploading: bool) -> bool {
    left.map_or(uploading, |left| left == 0)
}

/// h2's error as ours.
fn broken(error: h2::Error, nothing_yet: bool) -> LaneError {
    if nothing_yet && is_unprocessed(&error) {
        return LaneError::Unprocessed(io::Error::other(error));
    }
    LaneError::Broken { clean: nothing_yet, error: io::Error::other(error) }
}

/// Whether the upstream says that it has not looked at the request: it refused the stream (RFC 9113 §8.7), or its goodbye
/// names an earlier stream as the last (§6.8; h2 fails the streams behind that one, and no others, with the goodbye).
fn is_unprocessed(error: &h2::Error) -> bool {
    let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    error.is_remote() && (refused || error.is_go_away())
}

/// What the head says of the body's length, if it says one thing.
fn length(headers: &HeaderMap) -> Option<u64> {
    let mut told = headers.get_all(http::header::CONTENT_LENGTH).iter();
    let length = told.next()?.to_str().ok()?.parse().ok()?;
    told.all(|other| other.to_str().is_ok_and(|other| other.parse() == Ok(length))).then_some(length)
}

/// The head that `inject` wrote, as HTTP/2 carries it. Its parts share one copy of it.
fn request(head: &[u8]) -> Option<Request<()>> {
    let head = Bytes::copy_from_slice(head);
    parse_request(&head, |parsed, _| build(&head, parsed)).ok().flatten().flatten()
}

/// Whether HTTP/2 says this otherwise, or not at all.
fn of_connection(name: &str) -> bool {
    headers::is(name, b"transfer-encoding")
        || headers::is(name, b"connection")
        || headers::is(name, b"keep-alive")
        || headers::is(name, b"proxy-connection")
        || headers::is(name, b"upgrade")
}

fn build(head: &Bytes, parsed: &RequestHead<'_, '_>) -> Option<Request<()>> {
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(parsed.method.as_bytes()).ok()?;
    *request.version_mut() = Version::HTTP_2;
    request.headers_mut().reserve(parsed.fields.len());
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(Scheme::HTTPS);
    uri.path_and_query = Some(PathAndQuery::from_maybe_shared(head.slice_ref(parsed.target.as_bytes())).ok()?);
    for field in parsed.fields {
        let value = head.slice_ref(field.value);
        if headers::is(field.name, b"host") {
            uri.authority = Some(Authority::from_maybe_shared(value).ok()?);
        } else if !of_connection(field.name) {
            let mut value = HeaderValue::from_maybe_shared(value).ok()?;
            value.set_sensitive(headers::is(field.name, b"authorization"));
            request.headers_mut().append(HeaderName::from_bytes(field.name.as_bytes()).ok()?, value);
        }
    }
    *request.uri_mut() = Uri::from_parts(uri).ok()?;
    Some(request)
}
