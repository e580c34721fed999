//! Request + lease → what is sent upstream.
//!
//! The order is the safety: what the caller wrote is dropped or passed first, what only sidekey may write is written
//! after it, so nothing in a request can remove or double it (CVE-2022-31813, CVE-2026-33433). [`Outbound`] has no
//! public constructor but [`inject`], which asks for a [`Lease`].

use crate::directory::Key;
use crate::headers::trailer::{self, Way};
use crate::headers::{self, RequestRule};
use crate::http1::{Framing, Named, RequestHead, write};
use crate::keys::Lease;
use crate::policy::Judged;
use crate::twilio::Method;
use bytes::BytesMut;
use std::sync::Weak;
use zeroize::Zeroizing;

/// A request as it goes upstream: its head, serialised once.
#[must_use]
#[derive(Debug)]
pub struct Outbound {
    head: BytesMut,
    /// Where what says how the body is framed begins.
    framed_at: usize,
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

    /// What is sent, to be sent again with the key of `lease`.
    pub fn template(&self, lease: &Lease) -> Template {
        let head = Zeroizing::new(self.head.to_vec());
        Template { head, framed_at: self.framed_at, framing: self.framing, key: lease.downgrade() }
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
            RequestRule::Pass => !named.has(field.name),
            RequestRule::AcceptEncoding => {
                // A part of a packed body can't be unpacked; parts are of a GET's alone (RFC 9110 §14.2).
                let ranged = || {
                    judged.method == Method::Get && request.fields.iter().any(|field| headers::is(field.name, b"range"))
                };
                if headers::tokens(field.value).any(|token| token.eq_ignore_ascii_case(b"gzip")) && !ranged() {
                    write::field(&mut head, field.name, b"gzip");
                }
                false
            }
            RequestRule::Trailer if framing == Framing::Chunked && !named.any() => {
                let names = trailer::announced(field.value, Way::Up);
                if !names.is_empty() {
                    write::field(&mut head, "Trailer", &names);
                }
                false
            }
            RequestRule::Te => {
                wants_trailers |= headers::tokens(field.value).any(|token| token.eq_ignore_ascii_case(b"trailers"));
                false
            }
            RequestRule::Drop | RequestRule::Connection | RequestRule::Trailer => false,
        };
        if passes {
            write::field(&mut head, field.name, field.value);
        }
    }
    if wants_trailers {
        head.extend_from_slice(b"TE: trailers\r\nConnection: TE\r\n");
    }
    write::field(&mut head, "Authorization", lease.key().authorization().expose());
    let framed_at = head.len();
    match framing {
        Framing::Length(0) if !wants_length(request, judged) => {}
        Framing::Length(length) => write::content_length(&mut head, length),
        Framing::Chunked | Framing::UntilClose => write::field(&mut head, "Transfer-Encoding", b"chunked"),
    }
    head.extend_from_slice(b"\r\n");
    Outbound { head, framed_at, framing, trailers: framing == Framing::Chunked && !named.any() }
}

/// A head that went upstream, for a request like its own.
pub struct Template {
    /// It holds the key.
    head: Zeroizing<Vec<u8>>,
    framed_at: usize,
    framing: Framing,
    key: Weak<Key>,
}

impl Template {
    /// The head for a body framed so; `None` with another key. Only for a request that stated its length is `framing` another
    /// one than it was.
    pub fn fill(&self, lease: &Lease, framing: Framing, lend: impl FnOnce() -> BytesMut) -> Option<Outbound> {
        if !lease.holds(&self.key) {
            return None;
        }
        let Self { framed_at, .. } = *self;
        let mut head = lend();
        match framing {
            framing if framing == self.framing => head.extend_from_slice(&self.head),
            Framing::Length(length) => {
                head.extend_from_slice(&self.head[..framed_at]);
                write::content_length(&mut head, length);
                head.extend_from_slice(b"\r\n");
            }
            Framing::Chunked | Framing::UntilClose => return None,
        }
        Some(Outbound { head, framed_at, framing, trailers: false })
    }
}

/// Whether an empty body is stated: always for POST, PUT and PATCH, and where the caller stated it itself.
fn wants_length(request: &RequestHead<'_, '_>, judged: &Judged<'_>) -> bool {
    matches!(judged.method.as_str(), "POST" | "PUT" | "PATCH")
        || request.fields.iter().any(|field| headers::is(field.name, b"content-length"))
}
