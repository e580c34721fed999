//! What goes in and comes out of a relay.

use crate::directory::Key;
use crate::error::Reason;
use crate::http1::Framing;
use crate::ids::RequestId;
use std::time::Duration;

/// One request on its way.
#[derive(Debug)]
pub struct Exchange<'x> {
    /// Names it in the answer.
    pub id: RequestId,
    /// What is sent, serialised as HTTP/1.1, framing included.
    pub head: &'x [u8],
    /// How its body is framed.
    pub framing: Framing,
    /// Whether the body's trailers may follow it.
    pub trailers: bool,
    /// Whether it is a HEAD request: its answer has no body.
    pub head_request: bool,
    /// Whether sending it twice does no harm (GET, HEAD, OPTIONS).
    pub safe: bool,
    /// The key it carries.
    pub key: &'x Key,
    /// Address of the broker that links in the answer should lead to; `None`: they stay as they are.
    pub links: Option<&'x str>,
    /// Ceiling on the wait for an answer's head.
    pub response_timeout: Duration,
    /// Ceiling on one stalled read or write of a body.
    pub body_timeout: Duration,
}

/// What became of it, for the audit.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// The status that the caller got.
    pub status: u16,
    /// Body bytes from the caller.
    pub bytes_in: u64,
    /// Body bytes to the caller.
    pub bytes_out: u64,
    /// Twilio's id for the request, if it gave one.
    pub upstream_request_id: Option<Box<str>>,
    /// Whether the caller's connection must end here.
    pub close: bool,
}

/// Why there is no whole answer.
#[derive(Debug)]
pub enum Failure {
    /// Nothing has been sent to the caller: tell it why.
    Refuse {
        /// The row of the table.
        reason: Reason,
        /// For the log; nothing of the caller's in it.
        detail: String,
        /// Body bytes from the caller.
        bytes_in: u64,
    },
    /// The answer had begun; the caller has seen a cut.
    Cut {
        /// What is known so far.
        done: Done,
        /// For the log.
        detail: String,
    },
    /// The caller hung up.
    Gone {
        /// What is known so far.
        done: Done,
    },
}
