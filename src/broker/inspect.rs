//! Bodies that are read before they are sent: those of the few operations that take an account in the body.

use crate::forward::{BodyFault, Caller};
use crate::http1::{Framing, RequestHead};
use crate::twilio::accounts::{Selectors, Unreadable, inspect_body};
use bytes::BytesMut;
use std::io;

/// A body that was read whole, and what its head says of it.
#[derive(Clone, Copy, Debug)]
pub struct Inspected<'a> {
    /// The body.
    pub bytes: &'a [u8],
    content_type: Option<&'a str>,
    content_encoding: Option<&'a str>,
    /// A header that says how to read the body stands there twice.
    ambiguous: bool,
}

impl<'a> Inspected<'a> {
    /// A body and its head.
    pub fn new(head: &RequestHead<'_, 'a>, bytes: &'a [u8]) -> Self {
        let find = |name: &str| {
            let mut values = head.fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
            let first = values.next().map(|field| std::str::from_utf8(field.value).unwrap_or_default());
            (first, values.next().is_some())
        };
        let (content_type, type_twice) = find("content-type");
        let (content_encoding, encoding_twice) = find("content-encoding");
        Self { bytes, content_type, content_encoding, ambiguous: type_twice || encoding_twice }
    }

    pub(super) fn selectors(&self) -> Result<Selectors, Unreadable> {
        if self.ambiguous {
            return Err(Unreadable::Type);
        }
        inspect_body(self.content_type, self.content_encoding, self.bytes)
    }
}

/// A caller whose body has been read already.
#[derive(Debug)]
pub struct Preread<'c, C> {
    caller: &'c mut C,
    body: &'c [u8],
}

impl<'c, C: Caller> Preread<'c, C> {
    /// Reads the whole body into `body`, up to `ceiling` bytes.
    ///
    /// # Errors
    /// [`BodyFault`].
    pub async fn read(caller: &mut C, ceiling: u64, body: &mut Vec<u8>) -> Result<(), BodyFault> {
        loop {
            let piece = caller.fill().await?;
            let taken = piece.len();
            if taken == 0 {
                return Ok(());
            }
            if body.len() as u64 + taken as u64 > ceiling {
                return Err(BodyFault::TooLarge);
            }
            body.extend_from_slice(piece);
            caller.consume(taken);
        }
    }

    /// A caller that shows this body.
    pub const fn new(caller: &'c mut C, body: &'c [u8]) -> Self {
        Self { caller, body }
    }
}

impl<C: Caller> Caller for Preread<'_, C> {
    async fn fill(&mut self) -> Result<&[u8], BodyFault> {
        Ok(self.body)
    }

    fn at_hand(&mut self) -> Result<(&[u8], bool), BodyFault> {
        Ok((self.body, true))
    }

    fn consume(&mut self, bytes: usize) {
        self.body = &self.body[bytes..];
    }

    /// None: what was judged is the body, and nothing is sent that was not.
    fn trailers(&self) -> &[u8] {
        b""
    }

    fn upload_done(&self) -> bool {
        true
    }

    fn wants_body(&self) -> bool {
        self.caller.wants_body()
    }

    fn scratch(&mut self) -> &mut BytesMut {
        self.caller.scratch()
    }

    fn begin(&mut self, framing: Option<Framing>, close: bool) {
        self.caller.begin(framing, close);
    }

    async fn data(&mut self, data: &[u8]) -> io::Result<()> {
        self.caller.data(data).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.caller.flush().await
    }

    fn end_with(&mut self, trailers: &[u8]) {
        self.caller.end_with(trailers);
    }

    async fn finish(&mut self) -> io::Result<()> {
        self.caller.finish().await
    }

    fn cut(&mut self) {
        self.caller.cut();
    }
}
