//! The demo's own caller: one plain HTTP/1.1 request to this machine, one answer.

use crate::cli::Failure;
use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

/// Ceiling on one exchange: everything is on this machine, so anything longer is a fault to be shown.
const PATIENCE: Duration = Duration::from_secs(15);

/// Ceiling on an answer, in bytes: a page of messages is far smaller.
const MAX_ANSWER: usize = 4 << 20;

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// A text member of a JSON body; empty if there is none.
    pub(super) fn text(&self, name: &str) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body[name].as_str().unwrap_or_default().to_owned()
    }

    /// Why sidekey refused; empty if it did not.
    pub(super) fn refusal(&self) -> &str {
        self.headers.get("sidekey-error").and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// Who asks: a username and a token, as an SDK sends them.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub username: String,
    pub token: String,
}

/// Sends one request; `form` makes it carry a body.
pub(super) async fn send(
    broker: SocketAddr,
    caller: Option<&Caller>,
    method: Method,
    path: &str,
    form: Option<&str>,
) -> Result<Answer, Failure> {
    let exchange = exchange(broker, caller, method, path, form);
    let late = |_| Failure::failed(format!("no answer from {broker} within {PATIENCE:?}"));
    tokio::time::timeout(PATIENCE, exchange).await.map_err(late)?
}

async fn exchange(
    broker: SocketAddr,
    caller: Option<&Caller>,
    method: Method,
    path: &str,
    form: Option<&str>,
) -> Result<Answer, Failure> {
    let failed = |what: &str| Failure::failed(format!("{what} at {broker}{path}"));
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, broker.to_string());
    if let Some(Caller { username, token }) = caller {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{token}"));
        request = request.header(header::AUTHORIZATION, format!("Basic {pair}"));
    }
    if form.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    }
    let body = Full::new(Bytes::from(form.unwrap_or_default().to_owned()));
    let request = request.body(body).map_err(|_| failed("the request can't be made"))?;
    let stream = TcpStream::connect(broker).await.map_err(|_| failed("nobody listens"))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|_| failed("the connection broke"))?;
    // Ends with the connection, whose end the sender reports.
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(|_| failed("the connection broke"))?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|_| failed("the answer broke off"))?;
    connection.abort();
    Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
}
