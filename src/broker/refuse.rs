//! Answers that sidekey makes itself.

use crate::error::Reason;
use crate::forward::Caller;
use crate::http1::Framing;
use crate::ids::RequestId;
use crate::twilio::{Format, error_body};
use http::StatusCode;

/// A refusal on its way to the caller.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Names the request.
    pub id: RequestId,
    /// The row of the table.
    pub reason: Reason,
    /// The format of the body.
    pub format: Format,
    /// Whether it answers a CONNECT.
    pub tunnel: bool,
    /// What the caller is told instead of the row's own message; nothing of its own text in it.
    pub told: Option<String>,
}

/// Seconds after which a caller that was refused for load may come again.
const RETRY_AFTER: &str = "1";

/// Writes a refusal; how many body bytes it had. A caller that is gone is not told.
pub async fn write<C: Caller>(caller: &mut C, refused: &Refused) -> u64 {
    let row = if refused.tunnel { refused.reason.tunnel_row() } else { refused.reason.row() };
    let (content_type, body) = error_body(row, refused.told.as_deref().unwrap_or(row.message), refused.format);
    let challenge = matches!(refused.reason, Reason::Unauthenticated | Reason::InvalidProof);
    let retry = matches!(refused.reason, Reason::RateLimited | Reason::Overloaded | Reason::AuditUnavailable);
    let mut fields = vec![("Content-Type", content_type), ("Sidekey-Error", row.name), ("Cache-Control", "no-store")];
    if challenge && refused.tunnel {
        fields.push(("Proxy-Authenticate", "Basic realm=\"sidekey\""));
    } else if challenge {
        // Old SDKs send no credentials until they are asked (twilio-python 5 and httplib2).
        fields.push(("WWW-Authenticate", "Basic realm=\"Twilio API\""));
    }
    if retry {
        fields.push(("Retry-After", RETRY_AFTER));
    }
    respond(caller, refused.id, row.status, &fields, body.as_bytes()).await
}

/// Writes an answer of sidekey's own; how many body bytes it had.
pub async fn respond<C: Caller>(
    caller: &mut C,
    id: RequestId,
    status: u16,
    fields: &[(&str, &str)],
    body: &[u8],
) -> u64 {
    let phrase = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("");
    let scratch = caller.scratch();
    scratch.clear();
    let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| scratch.extend_from_slice(part));
    put(&[b"HTTP/1.1 ", status.to_string().as_bytes(), b" ", phrase.as_bytes(), b"\r\n"]);
    for (name, value) in fields {
        put(&[name.as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }
    put(&[b"Sidekey-Request-Id: ", id.hex(), b"\r\n"]);
    let close = !caller.upload_done();
    let framing = (status != 204).then_some(Framing::Length(body.len() as u64));
    caller.begin(framing, close);
    let body = if caller.wants_body() { body } else { b"" };
    let sent = async {
        caller.data(body).await?;
        caller.finish().await
    };
    // A caller that hung up misses its refusal; the record says what it would have been.
    if sent.await.is_ok() { body.len() as u64 } else { 0 }
}
