//! Answers of the admin API.

use super::problem::Problem;
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    status: u16,
    kind: &'static str,
    body: Vec<u8>,
    allow: Option<String>,
}

impl Answer {
    /// A JSON body.
    pub(super) fn json(status: u16, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("views hold strings, numbers and lists of them");
        Self { status, kind: "application/json", body, allow: None }
    }

    /// Nothing but the status.
    pub(super) fn empty() -> Self {
        Self { status: 204, kind: "", body: Vec::new(), allow: None }
    }

    /// Text of some type.
    pub(super) fn text(status: u16, kind: &'static str, body: String) -> Self {
        Self { status, kind, body: body.into_bytes(), allow: None }
    }

    /// Bytes that are JSON already.
    pub(super) fn raw_json(body: Vec<u8>) -> Self {
        Self { status: 200, kind: "application/json", body, allow: None }
    }

    pub(super) fn problem(problem: &Problem) -> Self {
        let body = problem.body().to_string().into_bytes();
        Self { status: problem.status, kind: "application/problem+json", body, allow: problem.allow.clone() }
    }

    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::from(self.body));
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
