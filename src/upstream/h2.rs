//! HTTP/2 to an upstream: streams of one shared connection, by h2.

use super::h2_head::request;
use super::lane::LaneError;
use super::multiplex::{Hold, Multiplex};
use crate::headers::trailer;
use crate::http1::{AnswerHead, Framing, fields_of};
use crate::net::{Outflow, wordless};
use bytes::{Buf, Bytes};
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Response};
use std::future::poll_fn;
use std::io;

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
    /// A stream for one request; `None` once the connection is closing. `reused`: the connection was not made for it.
    pub(super) fn on(connection: &Multiplex, reused: bool) -> Option<Self> {
        connection.hold().map(|(sender, hold)| Self {
            sender,
            reused,
            state: State::Idle,
            frame: Bytes::new(),
            left: None,
            trailers: Vec::new(),
            ended: false,
            upload: None,
            hold,
        })
    }

    pub(super) const fn reused(&self) -> bool {
        self.reused
    }

    pub(super) async fn send(&mut self, head: &[u8], first: &[u8], end: bool) -> Result<(), LaneError> {
        let unsent = |error| LaneError::Unprocessed(wordless(error));
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
            ready.map_err(|error| LaneError::Unprocessed(wordless(error)))?;
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
        return LaneError::Unprocessed(wordless(error));
    }
    LaneError::Broken { clean: nothing_yet, error: wordless(error) }
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
