//! Bodies that are read before they are sent: those of the few operations that take an account in the body.

use super::{Broker, Connection, Ended, Opened, Settled};
use crate::admission::Share;
use crate::forward::{BodyFault, CallerSide};
use crate::headers;
use crate::http1::{Framing, RequestHead};
use crate::net::Watch;
use crate::twilio::accounts::{Selectors, Unreadable, inspect_body};
use bytes::BytesMut;
use std::io;

/// A body that was read whole, and what its head says of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inspected<'a> {
    /// The body.
    pub(super) bytes: &'a [u8],
    content_type: Option<&'a str>,
    content_encoding: Option<&'a str>,
    /// A header that says how to read the body stands there twice.
    ambiguous: bool,
}

impl<'a> Inspected<'a> {
    fn new(head: &RequestHead<'_, 'a>, bytes: &'a [u8]) -> Self {
        let find = |is: fn(&str) -> bool| {
            let mut values = head.fields.iter().filter(|field| is(field.name));
            let first = values.next().map(|field| std::str::from_utf8(field.value).unwrap_or_default());
            (first, values.next().is_some())
        };
        let (content_type, type_twice) = find(|name| headers::is(name, b"content-type"));
        let (content_encoding, encoding_twice) = find(|name| headers::is(name, b"content-encoding"));
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
struct Preread<'c, C> {
    caller: &'c mut C,
    body: &'c [u8],
}

/// What came of reading a body.
pub type Read = Result<HeldBody, BodyFault>;

/// A body in memory. All of a process together stay within `limits.max_body_memory`.
#[derive(Debug)]
pub struct HeldBody {
    bytes: Vec<u8>,
    share: Share,
}

impl HeldBody {
    /// Takes a piece, within the ceilings of one body and of all.
    fn take(&mut self, piece: &[u8], one: u64, all: u64) -> Result<(), BodyFault> {
        let needed = self.bytes.len() + piece.len();
        if needed as u64 > one {
            return Err(BodyFault::TooLarge);
        }
        let room = self.bytes.capacity();
        if needed > room {
            // Twice as much each time, as a vector grows; but never beyond what one body may have.
            let grown = needed.max(room.saturating_mul(2)).min(usize::try_from(one).unwrap_or(usize::MAX));
            if !self.share.grow((grown - room) as u64, all) {
                return Err(BodyFault::NoRoom);
            }
            self.bytes.reserve_exact(grown - self.bytes.len());
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }
}

impl Broker {
    /// Reads the body by which a request is judged, and carries or answers it. `judge` reads the head again and shows it to
    /// [`Broker::judge_read`]; `None` if it can't.
    pub async fn inspect<C: CallerSide>(
        &self,
        caller: &mut C,
        watch: &Watch,
        judge: impl FnOnce(&C, &Read) -> Option<Settled>,
    ) -> Ended {
        let read = self.read_body(caller).await;
        if let Err(BodyFault::Gone) = read {
            self.metrics.aborted();
            return Ended { close: true };
        }
        match (judge(caller, &read), &read) {
            (Some(Settled::Forward(forward)), Ok(body)) => {
                self.carry(&mut Preread { caller, body: &body.bytes }, *forward, watch).await
            }
            (Some(Settled::Own(own)), _) => self.answer(caller, own).await,
            _ => Ended { close: true },
        }
    }

    /// Judges a head once more, with what came of its body.
    pub fn judge_read(
        &self,
        opened: Opened,
        head: &RequestHead<'_, '_>,
        connection: &Connection,
        read: &Read,
    ) -> Settled {
        match read {
            Ok(body) => self.prepare_read(opened, head, connection, &Inspected::new(head, &body.bytes)),
            Err(fault) => Settled::Own(self.refuse_body(opened, head, connection, *fault)),
        }
    }

    /// Reads a caller's whole body. What is held of it others can't hold, so that it may not come for ever by the byte: each MiB
    /// has `limits.body_timeout`.
    async fn read_body<C: CallerSide>(&self, caller: &mut C) -> Read {
        const MIB: usize = 1 << 20;
        let begun = self.clock.instant();
        let mut body = HeldBody { bytes: Vec::new(), share: self.bodies.share() };
        loop {
            let piece = caller.fill().await?;
            let taken = piece.len();
            let mibs = u32::try_from((body.bytes.len() + taken) / MIB).unwrap_or(u32::MAX).saturating_add(1);
            if self.clock.instant().saturating_duration_since(begun) > self.limits.body_timeout.saturating_mul(mibs) {
                return Err(BodyFault::Late);
            }
            if taken == 0 {
                return Ok(body);
            }
            body.take(piece, self.limits.max_body, self.limits.max_body_memory)?;
            caller.consume(taken);
        }
    }
}

impl<C: CallerSide> CallerSide for Preread<'_, C> {
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

    fn take_back(&mut self) -> bool {
        self.caller.take_back()
    }

    fn cut(&mut self) {
        self.caller.cut();
    }
}
