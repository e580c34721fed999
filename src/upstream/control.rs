//! Calls that sidekey makes for itself: a new connection each, so that no stale one makes it unclear whether a call was
//! carried out. Rare by nature (the life of keys); the request path has its own pool.

use super::connect::{Connector, DialError};
use crate::config;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use std::error::Error as _;
use std::fmt;
use std::time::Duration;
use zeroize::Zeroizing;

/// Ceiling on an answer's body, in bytes: a page of 1,000 keys is about 300 kB.
const MAX_BODY: usize = 4 << 20;

/// Makes calls.
#[derive(Clone, Debug)]
pub struct Control {
    connector: Connector,
    upstream: config::Upstream,
}

/// One call.
#[derive(Debug)]
pub struct Call<'a> {
    /// The host at Twilio, such as `iam.twilio.com`.
    pub host: &'a str,
    /// The method.
    pub method: Method,
    /// Path and query.
    pub target: &'a str,
    /// The credential, marked as sensitive.
    pub authorization: HeaderValue,
    /// A form, for a POST.
    pub form: Option<String>,
}

/// What came back.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The whole body; it may hold a secret.
    pub body: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({}, {} bytes)", self.status, self.body.len())
    }
}

/// Why no answer came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// Nothing was sent: it has certainly not been carried out.
    Unsent(String),
    /// It may have been carried out.
    Unclear(String),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsent(why) | Self::Unclear(why) => f.write_str(why),
        }
    }
}

impl Control {
    /// Calls as this configuration says.
    ///
    /// # Errors
    /// A CA file that gives no root.
    pub fn new(upstream: &config::Upstream) -> Result<Self, crate::tls::Error> {
        Ok(Self { connector: Connector::http1(upstream)?, upstream: upstream.clone() })
    }

    /// The configuration.
    pub const fn upstream(&self) -> &config::Upstream {
        &self.upstream
    }

    /// Makes one call, once: nothing is tried again.
    ///
    /// # Errors
    /// [`CallError`]. A status of any kind is an answer.
    pub async fn call(&self, call: Call<'_>) -> Result<Answer, CallError> {
        let origin = self.upstream.origin(call.host, call.host);
        let place = format!("{} ({}:{})", call.host, origin.host, origin.port);
        let dialled = self.connector.dial(&origin).await.map_err(|error| match error {
            DialError::Timeout => CallError::Unsent(format!("{place}: no connection in time")),
            DialError::Io(error) => CallError::Unsent(format!("{place}: {error}")),
        })?;
        let request = request(&call).map_err(|error| CallError::Unsent(format!("{place}: {error}")))?;
        let exchange = exchange(dialled.stream, request);
        match tokio::time::timeout(self.patience(), exchange).await {
            Ok(outcome) => outcome.map_err(|why| CallError::Unclear(format!("{place}: {why}"))),
            Err(_) => Err(CallError::Unclear(format!("{place}: no answer in time"))),
        }
    }

    /// For head and body together.
    fn patience(&self) -> Duration {
        self.upstream.response_timeout
    }
}

fn request(call: &Call<'_>) -> Result<Request<Full<Bytes>>, http::Error> {
    let form = call.form.clone().unwrap_or_default();
    let mut request = Request::builder()
        .method(call.method.clone())
        .uri(call.target)
        .header(HOST, call.host)
        .header(AUTHORIZATION, call.authorization.clone())
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, concat!("sidekey/", env!("CARGO_PKG_VERSION")));
    if call.form.is_some() {
        request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    }
    request.body(Full::from(form))
}

async fn exchange(stream: crate::net::Stream, request: Request<Full<Bytes>>) -> Result<Answer, String> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(|error| explain(&error))?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), MAX_BODY).collect().await;
        let body = body.map_err(|error| format!("its answer broke off: {error}"))?;
        Ok(Answer { status, body: Zeroizing::new(body.to_bytes().to_vec()) })
    };
    // The connection moves only while it is asked for: both end with this call.
    tokio::pin!(exchange);
    tokio::select! {
        outcome = &mut exchange => outcome,
        ended = connection => match ended {
            // The answer may have been read to its end in the connection's last step.
            Ok(()) => exchange.await,
            Err(error) => Err(explain(&error)),
        },
    }
}

fn explain(error: &hyper::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}
