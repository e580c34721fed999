//! Answers that sidekey makes itself.

use crate::error::{Reason, Row};
use crate::forward::CallerSide;
use crate::http1::{self, Framing};
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

impl Refused {
    /// A refusal in the row's own words.
    pub const fn new(id: RequestId, reason: Reason, format: Format) -> Self {
        Self { id, reason, format, tunnel: false, told: None }
    }

    /// The same in answer to a CONNECT.
    #[must_use]
    pub fn of_tunnel(self) -> Self {
        Self { tunnel: true, ..self }
    }

    /// Its row of the table.
    pub const fn row(&self) -> Row {
        if self.tunnel { self.reason.tunnel_row() } else { self.reason.row() }
    }

    /// Content type and body, as an answer that may have one carries them.
    pub fn body(&self) -> (&'static str, String) {
        let row = self.row();
        error_body(row, self.told.as_deref().unwrap_or(row.message), self.format)
    }
}

/// Seconds after which a caller that was refused for load may come again.
const RETRY_AFTER: &str = "1";

/// Writes a refusal. A caller that is gone is not told.
///
/// A malformed request ends its connection: where it was read in another way than it was meant, nothing behind it can be
/// trusted to begin where it seems to.
pub async fn write<C: CallerSide>(caller: &mut C, refused: &Refused, now: u64) {
    let (row, (content_type, body)) = (refused.row(), refused.body());
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
    let doubtful = refused.reason == Reason::MalformedRequest;
    let answer = OwnBody { status: row.status, fields: &fields, body: body.as_bytes() };
    respond(caller, refused.id, now, &answer, doubtful).await;
}

/// What an answer of sidekey's own says.
#[derive(Clone, Copy, Debug)]
pub struct OwnBody<'a> {
    /// The status.
    pub status: u16,
    /// Header fields but for those that every answer has.
    pub fields: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

/// Writes an answer of sidekey's own, `now` in Unix seconds. `close`: the connection ends with it, as it does where a body
/// is left unread.
pub async fn respond<C: CallerSide>(caller: &mut C, id: RequestId, now: u64, answer: &OwnBody<'_>, close: bool) {
    let OwnBody { status, fields, body } = *answer;
    let phrase = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("");
    let scratch = caller.scratch();
    scratch.clear();
    http1::write::status_line(scratch, status, phrase);
    for (name, value) in fields {
        http1::write::field(scratch, name, value.as_bytes());
    }
    http1::write::field(scratch, "Date", date(now).as_bytes());
    http1::write::field(scratch, "Sidekey-Request-Id", id.hex());
    let close = close || !caller.upload_done();
    let framing = (status != 204).then_some(Framing::Length(body.len() as u64));
    caller.begin(framing, close);
    let body = if caller.wants_body() { body } else { b"" };
    let sent = async {
        caller.data(body).await?;
        caller.finish().await
    };
    // A caller that hung up misses its refusal; the record says what it would have been.
    let _ = sent.await;
}

/// A Unix second as `Date` says it (RFC 9110 §5.6.7).
fn date(now: u64) -> String {
    // Past the year 9999 the clock is broken; the epoch is as wrong as any other.
    let time = jiff::Timestamp::from_second(i64::try_from(now).unwrap_or_default()).unwrap_or_default();
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_http() {
        assert_eq!(date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date(u64::MAX), "Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
