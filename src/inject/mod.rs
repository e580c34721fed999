//! Request + lease → what is sent upstream.
//!
//! The order is the safety: what the caller wrote is dropped or passed first, what only sidekey may write is written
//! after it, so nothing in a request can remove or double it (CVE-2022-31813, CVE-2026-33433). [`Outbound`] has no
//! public constructor but [`inject`], which asks for a [`Lease`].

use crate::headers::trailer::{self, Way};
use crate::headers::{self, Inbound};
use crate::http1::{Framing, Named, RequestHead};
use crate::keys::Lease;
use crate::policy::Judged;
use bytes::BytesMut;

/// A request as it goes upstream: its head, serialised once.
#[must_use]
#[derive(Debug)]
pub struct Outbound {
    head: BytesMut,
    framing: Framing,
    trailers: bool,
}

impl Outbound {
    /// The head's bytes, framing and the empty line included.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// How the body is framed.
    pub const fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the body's trailers may follow it: chunked, and `Connection` names no field that ends at this hop.
    pub const fn trailers(&self) -> bool {
        self.trailers
    }

    /// Gives the buffer back for reuse. It holds the key: a lent buffer stays in this process and is overwritten.
    pub fn into_buffer(self) -> BytesMut {
        self.head
    }
}

/// Writes the head that goes upstream into `head`, an empty buffer.
pub fn inject(
    request: &RequestHead<'_, '_>,
    judged: &Judged<'_>,
    lease: &Lease,
    framing: Framing,
    mut head: BytesMut,
) -> Outbound {
    head.extend_from_slice(judged.method.as_str().as_bytes());
    head.extend_from_slice(b" ");
    head.extend_from_slice(judged.address.path(&judged.path).as_bytes());
    if let Some(query) = judged.path.query() {
        head.extend_from_slice(b"?");
        head.extend_from_slice(query.as_bytes());
    }
    head.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    head.extend_from_slice(judged.address.host().as_bytes());
    head.extend_from_slice(b"\r\n");
    let named = Named::of(request.fields);
    let mut wants_trailers = false;
    for field in request.fields {
        let passes = match headers::inbound(field.name) {
            Inbound::Pass => !named.has(field.name),
            Inbound::AcceptEncoding => {
                if headers::tokens(field.value).any(|token| token.eq_ignore_ascii_case(b"gzip")) {
                    put(&mut head, field.name, b"gzip");
                }
                false
            }
            Inbound::Trailer if framing == Framing::Chunked && !named.any() => {
                let names = trailer::announced(field.value, Way::Up);
                if !names.is_empty() {
                    put(&mut head, "Trailer", &names);
                }
                false
            }
            Inbound::Te => {
                wants_trailers |= headers::tokens(field.value).any(|token| token.eq_ignore_ascii_case(b"trailers"));
                false
            }
            Inbound::Drop | Inbound::Connection | Inbound::Trailer => false,
        };
        if passes {
            put(&mut head, field.name, field.value);
        }
    }
    if wants_trailers {
        head.extend_from_slice(b"TE: trailers\r\nConnection: TE\r\n");
    }
    put(&mut head, "Authorization", lease.key().authorization().expose());
    match framing {
        Framing::Length(0) if !wants_length(request, judged) => {}
        Framing::Length(length) => put(&mut head, "Content-Length", itoa::Buffer::new().format(length).as_bytes()),
        Framing::Chunked | Framing::UntilClose => put(&mut head, "Transfer-Encoding", b"chunked"),
    }
    head.extend_from_slice(b"\r\n");
    Outbound { head, framing, trailers: framing == Framing::Chunked && !named.any() }
}

/// Writes one field.
#[inline]
fn put(head: &mut BytesMut, name: &str, value: &[u8]) {
    head.extend_from_slice(name.as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(value);
    head.extend_from_slice(b"\r\n");
}

/// Whether an empty body is stated: always for POST, PUT and PATCH, and where the caller stated it itself.
fn wants_length(request: &RequestHead<'_, '_>, judged: &Judged<'_>) -> bool {
    matches!(judged.method.as_str(), "POST" | "PUT" | "PATCH")
        || request.fields.iter().any(|field| field.name.eq_ignore_ascii_case("content-length"))
}
