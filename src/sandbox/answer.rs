//! Answers with the headers that captures of Twilio show.

use super::address::Product;
use super::refusal::Refusal;
use super::sid;
use crate::twilio::error_body::{self, ErrorBody};
use crate::twilio::render::{self, Format};
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{Either, Full};
use hyper::ext::ReasonPhrase;
use serde_json::Value;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::Duration;

/// An answer's body: one piece, but for the echo switch.
pub type AnswerBody = Either<Full<Bytes>, Pieces>;

/// A body in pieces: each becomes a chunk of its own, and no length is announced.
#[derive(Debug)]
pub struct Pieces(pub VecDeque<Frame<Bytes>>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

/// An answer, not yet on the wire.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// `Content-Type`; `None` for no body.
    pub content_type: Option<&'static str>,
    /// The body.
    pub body: Vec<u8>,
    /// `X-Twilio-Error-Code`.
    pub code: Option<u32>,
    /// `Location`.
    pub location: Option<String>,
}

impl Answer {
    /// A body in a format.
    pub fn new(status: u16, format: Format, body: Vec<u8>) -> Self {
        Self { status, content_type: Some(format.content_type()), body, code: None, location: None }
    }

    /// 204: done, and nothing to say.
    pub fn empty() -> Self {
        Self { status: 204, content_type: None, body: Vec::new(), code: None, location: None }
    }

    /// One thing in any format; `tag` names its XML element.
    pub fn instance(status: u16, format: Format, tag: &str, fields: &Value) -> Self {
        let body = match format {
            Format::Json => render::json(fields),
            Format::Xml => render::xml_instance(tag, fields),
            Format::Csv => render::csv(&render::columns(fields), std::slice::from_ref(fields)),
        };
        Self::new(status, format, body)
    }

    /// A refusal in the format that was asked for.
    pub fn refusal(refusal: &Refusal, format: Format) -> Self {
        let Refusal { status, code, ref message, detail } = *refusal;
        let body = ErrorBody { status, code, message, detail };
        let body = match format {
            Format::Json => body.render(error_body::Format::Json).into_bytes(),
            Format::Xml => body.render(error_body::Format::Xml).into_bytes(),
            Format::Csv => {
                let fields = serde_json::from_str(&body.render(error_body::Format::Json)).unwrap_or_default();
                render::csv(&render::columns(&fields), &[fields])
            }
        };
        Self { code: Some(code), ..Self::new(status, format, body) }
    }

    /// On the wire, with the headers of the product's host. `took` is how long the answer took to make.
    pub fn into_response(self, product: Product, took: Duration) -> Response<AnswerBody> {
        let mut response = Response::new(Either::Left(Full::new(Bytes::from(self.body))));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if let Some(phrase) = reason(response.status()) {
            response.extensions_mut().insert(phrase);
        }
        let headers = response.headers_mut();
        headers.clone_from(if product == Product::Api { &API_HEADERS } else { &PRODUCT_HEADERS });
        put(headers, "twilio-request-id", format!("RQ{}", sid::hex32()));
        put(headers, "twilio-request-duration", format!("{:.3}", took.as_secs_f64()));
        if let Some(content_type) = self.content_type {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if let Some(code) = self.code {
            put(headers, "x-twilio-error-code", code.to_string());
        }
        if self.status == 401 {
            // Python's SDK 5 sends no credentials until it sees this.
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"Twilio API\""));
        }
        if let Some(location) = self.location {
            put(headers, "location", location);
        }
        response
    }
}

fn put(headers: &mut HeaderMap, name: &'static str, value: String) {
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(value)) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

fn table(rows: &[(&'static str, &'static str)]) -> HeaderMap {
    let pairs = rows.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    pairs.collect()
}

/// Captures of api.twilio.com, 2020 and 2023. `Date` is hyper's.
static API_HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| {
    table(&[
        ("twilio-concurrent-requests", "1"),
        ("access-control-allow-origin", "*"),
        (
            "access-control-allow-headers",
            "Accept, Authorization, Content-Type, If-Match, If-Modified-Since, If-None-Match, If-Unmodified-Since, \
             Idempotency-Key",
        ),
        ("access-control-allow-methods", "GET, POST, DELETE, OPTIONS"),
        ("access-control-expose-headers", "ETag"),
        ("access-control-allow-credentials", "true"),
        ("x-powered-by", "AT-5000"),
        ("x-shenanigans", "none"),
        ("x-home-region", "us1"),
        ("x-api-domain", "api.twilio.com"),
        ("strict-transport-security", "max-age=31536000"),
    ])
});

/// A capture of a product host, 2022.
static PRODUCT_HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| {
    table(&[
        ("server", "envoy"),
        ("vary", "Accept-Encoding"),
        ("x-shenanigans", "none"),
        ("x-envoy-upstream-service-time", "3"),
        ("strict-transport-security", "max-age=31536000"),
    ])
});

/// Twilio writes reason phrases in capitals (captures). "OK" is hyper's own, and "UNKNOWN" stands for a status that has
/// no phrase.
fn reason(status: StatusCode) -> Option<ReasonPhrase> {
    let phrase = (status != StatusCode::OK).then(|| status.canonical_reason().unwrap_or("unknown"));
    phrase.and_then(|phrase| ReasonPhrase::try_from(phrase.to_ascii_uppercase()).ok())
}
