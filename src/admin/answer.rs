//! Answers of the admin API.

use super::problem::Problem;
use crate::store::StoreError;
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{Either, Full};
use serde::Serialize;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// The body of an answer: whole, or piece by piece.
pub(super) type Body = Either<Full<Bytes>, Pieces>;

/// A piece, or why there are no more: the connection is cut then.
pub(super) type Piece = Result<Bytes, StoreError>;

/// A body of pieces, each asked for when the one before has been taken.
#[derive(Debug)]
pub(super) struct Pieces(mpsc::Receiver<Piece>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = StoreError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StoreError>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    status: u16,
    kind: &'static str,
    body: Body,
    allow: Option<String>,
}

impl Answer {
    /// A JSON body.
    pub(super) fn json(status: u16, body: &impl Serialize) -> Self {
        Self { status, kind: "application/json", body: whole(Self::text_of(body)), allow: None }
    }

    /// The text of a JSON body.
    pub(super) fn text_of(body: &impl Serialize) -> Vec<u8> {
        serde_json::to_vec(body).expect("views hold strings, numbers and lists of them")
    }

    /// JSON that comes in pieces.
    pub(super) fn pieces(pieces: mpsc::Receiver<Piece>) -> Self {
        Self { status: 200, kind: "application/json", body: Either::Right(Pieces(pieces)), allow: None }
    }

    /// Nothing but the status.
    pub(super) fn empty() -> Self {
        Self { status: 204, kind: "", body: whole(Vec::new()), allow: None }
    }

    /// Text of some type.
    pub(super) fn text(status: u16, kind: &'static str, body: String) -> Self {
        Self { status, kind, body: whole(body.into_bytes()), allow: None }
    }

    /// Bytes that are JSON already.
    pub(super) fn raw_json(body: Vec<u8>) -> Self {
        Self { status: 200, kind: "application/json", body: whole(body), allow: None }
    }

    pub(super) fn problem(problem: &Problem) -> Self {
        let body = whole(problem.body().to_string().into_bytes());
        Self { status: problem.status, kind: "application/problem+json", body, allow: problem.allow.clone() }
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(self.body);
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        if !self.kind.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
        }
        if self.status == 401 {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"sidekey admin\""));
        }
        if let Some(methods) = self.allow.and_then(|allow| HeaderValue::try_from(allow).ok()) {
            headers.insert(ALLOW, methods);
        }
        // A token is shown here once: nothing on the way may keep it.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

fn whole(body: Vec<u8>) -> Body {
    Either::Left(Full::from(body))
}
