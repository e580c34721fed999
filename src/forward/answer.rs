//! The answer's head: what crosses, and what its body needs.

use super::encoding::{Encoding, unpacked};
use super::exchange::Exchange;
use crate::headers::trailer::{self, Way};
use crate::headers::{self, AnswerRule};
use crate::http1::{AnswerHead, Framing, Named, write};
use crate::twilio::links;
use bytes::BytesMut;

/// What becomes of an answer's trailers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trailers {
    /// The body can have none, or `Connection` names fields that end at this hop.
    Dropped,
    /// They follow the body if there are any.
    Passed,
    /// The same, and the caller was told which to expect.
    Announced,
}

/// What is known of an answer once its head is read.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The upstream's status.
    pub status: u16,
    /// How the upstream frames the body; `None`: an answer without one by its nature.
    pub framing: Option<Framing>,
    /// How the body is packed.
    pub encoding: Encoding,
    /// Whether the body is JSON, which may hold links.
    pub json: bool,
    /// Whether the body's trailers may follow it.
    pub trailers: Trailers,
    /// Whether the caller's connection must end with this answer.
    pub close: bool,
    /// Twilio's id for the request.
    pub upstream_request_id: Option<Box<str>>,
    /// Twilio's error code, where a header names it.
    error_code: Option<Box<str>>,
    /// The body, if it had to be read before anything could be said.
    pub read_already: Option<Vec<u8>>,
}

impl Plan {
    /// Reads a head and writes what crosses of it into `out`: status line, fields, `Sidekey-Request-Id`.
    pub fn read(head: &AnswerHead<'_, '_>, framing: Framing, exchange: &Exchange<'_>, out: &mut BytesMut) -> Self {
        let bodiless = exchange.head_request || matches!(head.status, 204 | 304);
        let mut plan = Self {
            status: head.status,
            framing: (!bodiless).then_some(framing),
            encoding: Encoding::Identity,
            json: false,
            trailers: Trailers::Dropped,
            close: false,
            upstream_request_id: None,
            error_code: None,
            read_already: None,
        };
        let begin = out.len();
        write::status_line(out, head.status, head.phrase);
        let named = Named::of(head.fields);
        if plan.framing == Some(Framing::Chunked) && !named.any() {
            plan.trailers = Trailers::Passed;
        }
        for field in head.fields.iter().filter(|field| !named.has(field.name)) {
            match headers::outbound(field.name) {
                AnswerRule::Drop | AnswerRule::Connection => continue,
                AnswerRule::Trailer => {
                    let names = trailer::announced(field.value, Way::Down);
                    if plan.trailers != Trailers::Dropped && !names.is_empty() {
                        plan.trailers = Trailers::Announced;
                        write::field(out, field.name, &names);
                    }
                    continue;
                }
                // Where there is no body these tell of the body that a GET would have.
                AnswerRule::ContentLength if !bodiless || head.status == 204 => continue,
                AnswerRule::ContentEncoding if !bodiless => {
                    plan.encoding = plan.encoding.and(Encoding::named(field.value));
                    continue;
                }
                AnswerRule::Location => {
                    if let Some(inside) = link_inside(field.value, exchange) {
                        write::field(out, field.name, inside.as_bytes());
                        continue;
                    }
                }
                AnswerRule::ContentType => plan.json = field.value.windows(4).any(|w| w.eq_ignore_ascii_case(b"json")),
                _ => plan.note(field.name, field.value, exchange),
            }
            write::field(out, field.name, field.value);
        }
        write::field(out, "Sidekey-Request-Id", exchange.id.hex());
        exchange.key.spellings().mask(&mut out[begin..]);
        plan
    }

    /// Notes what is worth knowing later.
    fn note(&mut self, name: &str, value: &[u8], exchange: &Exchange<'_>) {
        // It goes into the audit: an echo of the key must not.
        let text =
            || std::str::from_utf8(value).ok().filter(|_| !exchange.key.spellings().found_in(value)).map(Into::into);
        if headers::is(name, b"twilio-request-id") {
            self.upstream_request_id = text();
        } else if headers::is(name, b"x-twilio-error-code") {
            self.error_code = text();
        }
    }

    /// Whether a 401 with this body refuses the key itself: Twilio's code 20003, or no code that says otherwise. A
    /// Restricted key without the permission (70051) is the caller's to know.
    pub fn refuses_key(&self, body: &[u8]) -> bool {
        let code = match &self.error_code {
            Some(code) => code.parse().ok(),
            // What can't be unpacked says nothing about the key; it is not passed on either.
            None => match unpacked(self.encoding, body) {
                Some(body) => code_of(&body),
                None => return false,
            },
        };
        code.is_none_or(|code: u32| code == 20003)
    }
}

/// The `code` of an error body in JSON or XML.
fn code_of(body: &[u8]) -> Option<u32> {
    if let Ok(json) = serde_json::from_slice::<serde_json::Value>(body) {
        return json.get("code")?.as_u64()?.try_into().ok();
    }
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once("<Code>")?;
    rest.split_once("</Code>")?.0.trim().parse().ok()
}

/// A `Location` that leads to a host of Twilio's, as an address of the broker.
fn link_inside(value: &[u8], exchange: &Exchange<'_>) -> Option<String> {
    links::inside(exchange.links?, std::str::from_utf8(value).ok()?)
}
