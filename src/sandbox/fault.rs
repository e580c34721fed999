//! Faults on demand: the next requests fail in a named way.

use super::answer::{Answer, AnswerBody, Pieces};
use super::params::Params;
use super::refusal::Refusal;
use crate::twilio::render::Format;
use bytes::Bytes;
use flate2::Compression;
use http::Response;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;
use http_body_util::Either;
use std::collections::VecDeque;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// How a request fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// An error of Twilio's shape with this status and code, and `Retry-After` in seconds.
    Status(u16, u32, Option<u32>),
    /// No answer, for as long as the connection lasts.
    Hang,
    /// The connection is closed without an answer.
    Cut,
    /// The `Authorization` value comes back.
    Echo(Echo),
}

/// How an echo is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Echo {
    encoding: Option<Encoding>,
    chunk: Option<usize>,
    trailers: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Gzip,
    Deflate,
}

#[derive(Debug)]
struct Fault {
    mode: Mode,
    left: u64,
    path: String,
}

/// The faults that are still to come, in the order they were asked for.
#[derive(Debug, Default)]
pub struct Faults {
    armed: AtomicBool,
    list: Mutex<Vec<Fault>>,
}

impl Faults {
    /// Adds one from the form of `POST /_sandbox/fail`: `mode`, `count` (1), and `path`, a prefix.
    /// For `status`: `status` (500), `code`, `retry_after`. For `echo`: `encoding`, `chunk` (bytes), `trailers`.
    pub fn add(&self, form: &Params) -> Result<(), Refusal> {
        fn number<T: std::str::FromStr>(form: &Params, name: &str) -> Result<Option<T>, Refusal> {
            form.get(name).map(|text| text.parse().map_err(|_| Refusal::invalid(name))).transpose()
        }
        let mode = match form.get("mode") {
            Some("status") => {
                let status = number(form, "status")?.unwrap_or(500);
                if !(200..600).contains(&status) {
                    return Err(Refusal::invalid("status"));
                }
                let code = number(form, "code")?.unwrap_or(match status {
                    401 => 20003,
                    405 => 20004,
                    _ => 20_000 + u32::from(status),
                });
                Mode::Status(status, code, number(form, "retry_after")?)
            }
            Some("hang") => Mode::Hang,
            Some("cut") => Mode::Cut,
            Some("echo") => {
                let encoding = match form.get("encoding") {
                    None | Some("identity") => None,
                    Some("gzip") => Some(Encoding::Gzip),
                    Some("deflate") => Some(Encoding::Deflate),
                    Some(_) => return Err(Refusal::invalid("encoding")),
                };
                let chunk = number(form, "chunk")?.filter(|size: &usize| *size > 0);
                Mode::Echo(Echo { encoding, chunk, trailers: form.get("trailers") == Some("true") })
            }
            _ => return Err(Refusal::bad(20001, "mode must be status, hang, cut or echo")),
        };
        let left = number(form, "count")?.unwrap_or(1);
        let path = form.get("path").unwrap_or_default().to_owned();
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.extend((left > 0).then_some(Fault { mode, left, path }));
        self.armed.store(!list.is_empty(), Ordering::Release);
        Ok(())
    }

    /// Takes them all back.
    pub fn clear(&self) {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.armed.store(false, Ordering::Release);
    }

    /// The fault for this request, if one is due. `paths` are the raw path and the path on its host.
    pub fn take(&self, paths: [&str; 2]) -> Option<Mode> {
        if !self.armed.load(Ordering::Acquire) {
            return None;
        }
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let due = list.iter().position(|fault| paths.iter().any(|path| path.starts_with(&fault.path)))?;
        list[due].left -= 1;
        let mode = list[due].mode.clone();
        if list[due].left == 0 {
            list.remove(due);
            self.armed.store(!list.is_empty(), Ordering::Release);
        }
        Some(mode)
    }
}

/// The answer of `status`.
pub fn status(status: u16, code: u32, format: Format) -> Answer {
    let refusal = match (status, code) {
        (401, 20003) => Refusal::unauthenticated(),
        (405, 20004) => Refusal::method_not_allowed(),
        (429, _) => Refusal::new(status, code, "Too Many Requests"),
        (500, _) => Refusal::new(status, code, "Internal Server Error"),
        (503, _) => Refusal::new(status, code, "Service Unavailable"),
        _ => Refusal::new(status, code, "This failure was asked for"),
    };
    Answer::refusal(&refusal, format)
}

impl Echo {
    /// 200 with the `Authorization` value in the header `X-Echo-Authorization`, in the body, and in a trailer if asked.
    pub fn answer(&self, headers: &HeaderMap) -> Response<AnswerBody> {
        let missing = HeaderValue::from_static("");
        let value = headers.get(header::AUTHORIZATION).unwrap_or(&missing).clone();
        let text = String::from_utf8_lossy(value.as_bytes());
        let plain = crate::twilio::render::json(&serde_json::json!({"authorization": text}));
        let body = Bytes::from(match self.encoding {
            None => plain,
            Some(Encoding::Gzip) => {
                let mut out = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
                out.write_all(&plain).and_then(|()| out.finish()).unwrap_or_default()
            }
            Some(Encoding::Deflate) => {
                let mut out = flate2::write::ZlibEncoder::new(Vec::new(), Compression::default());
                out.write_all(&plain).and_then(|()| out.finish()).unwrap_or_default()
            }
        });
        let mut response = Response::new(Either::Right(self.pieces(body, &value)));
        let out = response.headers_mut();
        out.insert(HeaderName::from_static("x-echo-authorization"), value);
        out.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(encoding) = self.encoding {
            let name = if encoding == Encoding::Gzip { "gzip" } else { "deflate" };
            out.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        if self.trailers {
            out.insert(header::TRAILER, HeaderValue::from_static("x-echo-trailer"));
        }
        response
    }

    fn pieces(&self, mut body: Bytes, value: &HeaderValue) -> Pieces {
        let mut frames = VecDeque::new();
        while let Some(size) = self.chunk.filter(|size| *size < body.len()) {
            frames.push_back(Frame::data(body.split_to(size)));
        }
        frames.push_back(Frame::data(body));
        if self.trailers {
            let trailers = [(HeaderName::from_static("x-echo-trailer"), value.clone())];
            frames.push_back(Frame::trailers(trailers.into_iter().collect()));
        }
        Pieces(frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(forms: &[&str]) -> Faults {
        let faults = Faults::default();
        for form in forms {
            faults.add(&Params::of_form(form.as_bytes())).expect("a good form");
        }
        faults
    }

    #[test]
    fn faults_are_used_up_in_order_and_only_on_their_path() {
        let faults = added(&["mode=status&status=503&count=2&path=/v1", "mode=cut"]);
        assert_eq!(faults.take(["/x", "/x"]), Some(Mode::Cut));
        assert_eq!(faults.take(["/iam.twilio.com/v1/Keys", "/v1/Keys"]), Some(Mode::Status(503, 20503, None)));
        assert_eq!(faults.take(["/x", "/x"]), None);
        assert_eq!(faults.take(["/v1", "/v1"]), Some(Mode::Status(503, 20503, None)));
        assert_eq!(faults.take(["/v1", "/v1"]), None);
    }

    #[test]
    fn wrong_forms_are_named() {
        for form in ["", "mode=explode", "mode=status&status=99", "mode=cut&count=-1", "mode=echo&encoding=br"] {
            assert!(Faults::default().add(&Params::of_form(form.as_bytes())).is_err(), "{form}");
        }
    }
}
