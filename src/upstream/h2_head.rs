//! A request's head as HTTP/2 carries it.

use crate::headers;
use crate::http1::{RequestHead, parse_request};
use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};

/// The head that `inject` wrote, as HTTP/2 carries it. Its parts share one copy of it.
pub(super) fn request(head: &[u8]) -> Option<Request<()>> {
    let head = Bytes::copy_from_slice(head);
    parse_request(&head, |parsed, _| build(&head, parsed)).ok().flatten().flatten()
}

/// Whether HTTP/2 says this otherwise, or not at all.
fn of_connection(name: &str) -> bool {
    headers::is(name, b"transfer-encoding")
        || headers::is(name, b"connection")
        || headers::is(name, b"keep-alive")
        || headers::is(name, b"proxy-connection")
        || headers::is(name, b"upgrade")
}

fn build(head: &Bytes, parsed: &RequestHead<'_, '_>) -> Option<Request<()>> {
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(parsed.method.as_bytes()).ok()?;
    *request.version_mut() = Version::HTTP_2;
    request.headers_mut().reserve(parsed.fields.len());
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(Scheme::HTTPS);
    uri.path_and_query = Some(PathAndQuery::from_maybe_shared(head.slice_ref(parsed.target.as_bytes())).ok()?);
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
