//! A request's head as HTTP/2 carries it.

use crate::headers;
use crate::http1::{RequestHead, parse_own};
use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};
use percent_encoding::{AsciiSet, utf8_percent_encode};

/// The head that `inject` wrote, as HTTP/2 carries it. Its parts share one copy of it.
pub(super) fn request(head: &[u8]) -> Option<Request<()>> {
    let head = Bytes::copy_from_slice(head);
    parse_own(&head, |parsed| build(&head, parsed)).ok().flatten().flatten()
}

/// Whether HTTP/2 says this otherwise, or not at all.
fn of_connection(name: &str) -> bool {
    headers::is(name, b"transfer-encoding")
        || headers::is(name, b"connection")
        || headers::is(name, b"keep-alive")
        || headers::is(name, b"proxy-connection")
        || headers::is(name, b"upgrade")
}

/// The target as it is, but for what a query of HTTP/1.1 may hold in the eyes of many (`DateSent>=2026-01-31`, as Twilio's
/// own pages spell it) and no URI does (RFC 3986 §3.4): that is encoded, which means the same.
fn target(head: &Bytes, target: &str) -> Bytes {
    const ODD: &AsciiSet = &AsciiSet::EMPTY.add(b'"').add(b'<').add(b'>');
    if target.bytes().any(|byte| matches!(byte, b'"' | b'<' | b'>')) {
        return Bytes::from(utf8_percent_encode(target, ODD).to_string());
    }
    head.slice_ref(target.as_bytes())
}

fn build(head: &Bytes, parsed: &RequestHead<'_, '_>) -> Option<Request<()>> {
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(parsed.method.as_bytes()).ok()?;
    *request.version_mut() = Version::HTTP_2;
    request.headers_mut().reserve(parsed.fields.len());
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(Scheme::HTTPS);
    uri.path_and_query = Some(PathAndQuery::from_maybe_shared(target(head, parsed.target)).ok()?);
    for field in parsed.fields {
        let value = head.slice_ref(field.value);
        if headers::is(field.name, b"host") {
            uri.authority = Some(Authority::from_maybe_shared(value).ok()?);
        } else if !of_connection(field.name) {
            let mut value = HeaderValue::from_maybe_shared(value).ok()?;
            value.set_sensitive(headers::is(field.name, b"authorization"));
            request.headers_mut().append(HeaderName::from_bytes(field.name.as_bytes()).ok()?, value);
        }
    }
    *request.uri_mut() = Uri::from_parts(uri).ok()?;
    Some(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(target: &str, fields: usize) -> Vec<u8> {
        let more: String = (0..fields).map(|n| format!("x-{n}: y\r\n")).collect::<Vec<_>>().concat();
        format!("GET {target} HTTP/1.1\r\nHost: api.twilio.com\r\n{more}\r\n").into_bytes()
    }

    #[test]
    fn what_no_uri_may_hold_is_encoded_and_nothing_else() {
        for (sent, said) in [
            ("/a.json?DateSent>=2026-01-31&b=%3C\"", "/a.json?DateSent%3E=2026-01-31&b=%3C%22"),
            ("/a.json?b=%2F+c'(){}|^`", "/a.json?b=%2F+c'(){}|^`"),
        ] {
            let request = request(&head(sent, 0)).expect("a request");
            assert_eq!(request.uri().path_and_query().map(PathAndQuery::as_str), Some(said));
        }
    }

    #[test]
    fn a_callers_fields_leave_room_for_ours() {
        let request = request(&head("/", crate::http1::MAX_FIELDS + 4)).expect("a request");
        assert_eq!(request.headers().len(), crate::http1::MAX_FIELDS + 4);
    }
}
