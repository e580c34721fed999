//! A caller's HTTP/1.1 connection: heads in, answers out, one request after the other.

use super::core::{Core, Counted};
use super::tls;
use crate::broker::{Again, Broker, Connection, Ended, Prepared, Read, Repeat, Settled, Tunnel, Wait};
use crate::error::Reason;
use crate::http1::{Framing, HeadError, Manners, parse_request, request_framing};
use crate::net::{Expired, Stream, Watch, poll_read_buf};
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

pub use super::h1_caller::H1Caller;

/// Bytes of a refused body that are read and thrown away, so that the caller gets to read its refusal before the
/// connection closes.
const LINGER_BYTES: usize = 256 * 1024;

/// A connection that is silent for longer goes to rest. Long beside the pause of a busy caller, short beside all others: the
/// way there and back costs a few calls into the kernel.
const PATIENCE: Duration = Duration::from_millis(100);

/// What became of a head.
enum Head {
    /// Judged; so many bytes of the buffer were its.
    Judged { prepared: Prepared, length: usize, framing: Framing, manners: Manners },
    /// No head at all.
    Bad(Reason, &'static str),
    /// The caller closed, or idled for too long.
    Closed,
}

/// A connection whose head can't be read: whatever follows is not.
const HEADLESS: Manners = Manners { old: false, close: true, head: false, expects: false };

/// Tells a caller that every connection is taken, without reading what it asks for.
pub async fn turn_away(core: Rc<Core>, stream: Stream, connection: Connection) {
    /// Long enough for an answer of one packet; who is turned away must not hold anything for longer.
    const LINGER: Duration = Duration::from_secs(1);
    let watch = core.watchdog.watch();
    let broker = core.broker();
    let mut caller = H1Caller::new(stream, Rc::clone(&core), Rc::clone(&watch));
    let refused = broker.refuse_unread(broker.open(&connection), Reason::Overloaded, "limits.max_connections");
    caller.expect(Framing::UntilClose, HEADLESS);
    broker.answer(&mut caller, refused).await;
    linger(&mut caller, &watch, LINGER).await;
}

/// Serves one connection until it ends or rests.
pub async fn serve(counted: Counted, stream: Stream, connection: Connection) {
    let core = Rc::clone(counted.core());
    let watch = core.watchdog.watch();
    let mut caller = H1Caller::new(stream, Rc::clone(&core), Rc::clone(&watch));
    // Something may have woken it, which the runtime hears of only when it looks: at rest again before, it would be woken for
    // ever and never served.
    let mut patience = PATIENCE;
    let mut again = Again::default();
    loop {
        // One configuration for the judgement of a request, whatever a reload does meanwhile.
        match wait_for_bytes(&core, &mut caller, &watch, patience).await {
            Idle::Over => {}
            Idle::End => break,
            Idle::Rest { until } => return counted.rest(caller.into_parts().0, connection, until),
        }
        let broker = core.broker();
        if caller.adopt(&broker) {
            again = Again::default();
        }
        let ended = match next_head(&broker, &mut caller, &connection, &watch, &mut again).await {
            Head::Closed => break,
            Head::Bad(reason, what) => {
                let refused = broker.refuse_unread(broker.open(&connection), reason, what);
                caller.expect(Framing::UntilClose, HEADLESS);
                broker.answer(&mut caller, refused).await;
                Ended { close: true }
            }
            Head::Judged { prepared, length, framing, manners } => {
                // A head that must be judged again with its body is kept; every other one is done with.
                let kept = matches!(prepared, Prepared::ReadBody(_)).then(|| caller.copy(length));
                caller.take_head(length);
                caller.expect(framing, manners);
                match prepared {
                    Prepared::Settled(settled) => broker.finish(&mut caller, settled, &watch).await,
                    Prepared::ReadBody(opened) => {
                        // By the configuration of then: what was withdrawn while a body came by and by is withdrawn.
                        let again = |_: &H1Caller, read: &Read| {
                            let (kept, now) = (kept.unwrap_or_default(), core.broker());
                            parse_request(&kept, |head, _| now.judge_read(opened, head, &connection, read)).ok()?
                        };
                        broker.inspect(&mut caller, &watch, again).await
                    }
                    Prepared::Tunnel(pending) => match broker.open_tunnel(&mut caller, *pending).await {
                        Some(tunnel) => return enter(counted, caller, tunnel, &connection).await,
                        None => Ended { close: true },
                    },
                }
            }
        };
        if ended.close || caller.closing() || core.draining() {
            linger(&mut caller, &watch, broker.limits.head_timeout).await;
            break;
        }
        caller.rest();
        patience = if counted.crowded() { Duration::ZERO } else { PATIENCE };
    }
}

/// Says that a tunnel is open, and serves what is inside.
async fn enter(counted: Counted, mut caller: H1Caller, granted: Tunnel, outside: &Connection) {
    if caller.establish(granted.id).await.is_ok() {
        let (stream, early) = caller.into_parts();
        // Boxed: the inside is served by the very function that serves the outside.
        Box::pin(tls::tunnel(counted, stream, early, granted, outside)).await;
    }
}

/// How a wait for a request ended.
enum Idle {
    /// Something came.
    Over,
    /// Nothing did: the connection goes to rest, until this tick of the watchdog's.
    Rest { until: u64 },
    /// The connection ends.
    End,
}

/// Waits for a request; with `patience`, if there is any, for a moment before the connection goes to rest.
async fn wait_for_bytes(core: &Core, caller: &mut H1Caller, watch: &Watch, patience: Duration) -> Idle {
    if !caller.buffered().is_empty() {
        return Idle::Over;
    }
    let limit = core.broker().limits.idle_timeout;
    let until = core.watchdog.end_of(limit);
    let patience = if limit <= PATIENCE { limit } else { patience };
    match watch.idle(patience, caller.wake()).await {
        Ok(true) => Idle::Over,
        Err(Expired) if patience < limit && !core.draining() => Idle::Rest { until },
        Ok(false) | Err(Expired) => Idle::End,
    }
}

/// Reads up to the end of the next head and judges it.
async fn next_head(
    broker: &Broker,
    caller: &mut H1Caller,
    connection: &Connection,
    watch: &Watch,
    again: &mut Again,
) -> Head {
    let limits = &broker.limits;
    let mut begun = None;
    let mut waited = None;
    loop {
        if let (Some(repeat), None) = (again.hears(caller.buffered()), &waited) {
            match broker.prepare_again(broker.open(connection), again, repeat) {
                Ok(forward) => {
                    let Repeat { length, framing, manners } = repeat;
                    let prepared = Prepared::Settled(Settled::Forward(forward));
                    return Head::Judged { prepared, length, framing, manners };
                }
                Err(opened) => waited = Some(opened),
            }
        }
        let judged = parse_request(caller.buffered(), |head, length| {
            let opened = waited.take().unwrap_or_else(|| broker.open(connection));
            let prepared = broker.prepare(opened, head, connection, Some(&mut *again))?;
            // A head whose framing can't be read was refused, and its connection ends.
            let framing = request_framing(head).unwrap_or(Framing::UntilClose);
            Ok::<_, Wait>(Head::Judged { prepared, length, framing, manners: Manners::of(head) })
        });
        match judged {
            Ok(Some(Err(wait))) => {
                let (opened, coming) = *wait;
                coming.wait().await;
                waited = Some(opened);
                continue;
            }
            Ok(Some(Ok(head))) => return head,
            Err(HeadError::Malformed(what)) => return Head::Bad(Reason::MalformedRequest, what),
            Err(HeadError::TooManyFields) => return Head::Bad(Reason::MalformedRequest, "more than 100 header fields"),
            Ok(None) if caller.buffered().len() >= limits.max_head => {
                return Head::Bad(Reason::MalformedRequest, "a head larger than limits.max_head");
            }
            Ok(None) => {}
        }
        let now = broker.clock.instant();
        let left = limits.head_timeout.saturating_sub(now - *begun.get_or_insert(now));
        match watch.within(left, caller.read()).await {
            Ok(Ok(1..)) => {}
            Ok(Ok(0) | Err(_)) => return Head::Closed,
            Err(_) => return Head::Bad(Reason::MalformedRequest, "the head did not arrive in time"),
        }
    }
}

/// Ends a connection in order: our end first, then a bounded wait for the caller's. Closing with bytes unread would make
/// the kernel throw away an answer that the caller has not read yet.
async fn linger(caller: &mut H1Caller, watch: &Watch, limit: Duration) {
    let drain = async {
        if poll_fn(|cx| caller.poll_shutdown(cx)).await.is_err() {
            return;
        }
        let mut left = LINGER_BYTES;
        while left > 0 {
            let (stream, buffer) = caller.parts();
            buffer.clear();
            match poll_fn(|cx| poll_read_buf(stream, buffer, cx)).await {
                Ok(read @ 1..) => left = left.saturating_sub(read),
                Ok(0) | Err(_) => return,
            }
        }
    };
    let _ = watch.within(limit.min(Duration::from_secs(1)), drain).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The future of a function of three.
    fn size<A, B, C, F>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_busy_connection_is_small() {
        // 4.2 KiB when this was written. A wait that holds its future twice, at any depth, doubles it.
        assert!(size(serve) <= 6 * 1024, "{} bytes", size(serve));
    }
}
