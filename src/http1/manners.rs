//! What a request's head says about its connection.

use super::head::RequestHead;
use crate::headers;

/// What a head says about its connection.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is one fact of the head, and they do not exclude each other")]
pub struct Manners {
    /// HTTP/1.0.
    pub old: bool,
    /// The caller asked for the end of the connection, or speaks HTTP/1.0 without `keep-alive`.
    pub close: bool,
    /// A HEAD request.
    pub head: bool,
    /// The caller waits for `100 Continue` before it sends its body.
    pub expects: bool,
}

impl Manners {
    /// Reads them from a head.
    pub fn of(head: &RequestHead<'_, '_>) -> Self {
        let mut manners =
            Self { old: head.minor == 0, close: head.minor == 0, head: head.method == "HEAD", expects: false };
        let mut said_close = false;
        for field in head.fields {
            if headers::is(field.name, b"connection") {
                said_close |= headers::names(field.value, "close");
                manners.close = said_close || (manners.close && !headers::names(field.value, "keep-alive"));
            } else if headers::is(field.name, b"expect") {
                manners.expects = !manners.old;
            }
        }
        manners
    }
}
