//! HTTP/1.1 heads and body framing, parsed strictly, and written; never does I/O.
//!
//! A proxy is safe only if what it judges is what the next hop reads. So nothing here is lenient: a head or a body that
//! two parsers could read in two ways is an error, and nothing is repaired. `docs/decisions/` says why this is not
//! hyper's HTTP/1.1 server.

mod body;
mod connection;
mod framing;
mod head;
mod manners;
pub mod write;

#[cfg(test)]
mod tests;

pub use body::{Body, BodyError, Progress};
pub use connection::Named;
pub use framing::{Framing, FramingError, answer_framing, content_length, request_framing};
pub use head::{
    AnswerHead, Field, HeadError, MAX_FIELDS, RequestHead, check_fields, fields_of, parse_answer, parse_own,
    parse_request,
};
pub use manners::Manners;
