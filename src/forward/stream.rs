//! The answer's body, piece by piece.

use super::CallerSide;
use super::answer::{Plan, Trailers};
use super::encoding::Encoding;
use super::exchange::{Done, Exchange};
use super::transform::{Transform, WHOLE};
use crate::headers::trailer::{self, Way};
use crate::http1::Framing;
use crate::net::{Expired, Watch};
use crate::upstream::{Lane, LaneError};
use std::io;

/// Why the stream of an answer stopped.
pub enum Stopped {
    /// The caller is gone.
    Caller,
    /// The upstream broke off, or its body can't be read.
    Upstream(String),
    /// The same, before the caller was sent a byte.
    Unbegun(String),
}

impl From<io::Error> for Stopped {
    fn from(_: io::Error) -> Self {
        Self::Caller
    }
}

impl From<LaneError> for Stopped {
    fn from(error: LaneError) -> Self {
        Self::Upstream(error.to_string())
    }
}

impl From<Expired> for Stopped {
    fn from(_: Expired) -> Self {
        Self::Upstream("the answer stalled".to_owned())
    }
}

impl From<&'static str> for Stopped {
    fn from(what: &'static str) -> Self {
        Self::Upstream(what.to_owned())
    }
}

/// What a stream works with.
pub struct Stream<'s, 'x> {
    pub exchange: &'s Exchange<'x>,
    pub watch: &'s Watch,
    pub plan: Plan,
    pub done: &'s mut Done,
}

/// Streams the body and gives the connection back. The head stands in the caller's scratch and goes out with the first
/// piece, so that a small answer is one write.
pub async fn stream(
    caller: &mut impl CallerSide,
    lane: Lane,
    mut stream: Stream<'_, '_>,
    end: impl AsyncFnOnce(&Done),
) -> Result<(), Stopped> {
    let mut begun = false;
    match pump(caller, lane, &mut stream, &mut begun, end).await {
        // What only waits to be sent is taken back: a refusal tells more than a connection that ends.
        Err(Stopped::Upstream(detail)) if !begun || caller.take_back() => Err(Stopped::Unbegun(detail)),
        done => done,
    }
}

/// `begun`: whether the head has been ended.
async fn pump(
    caller: &mut impl CallerSide,
    mut lane: Lane,
    stream: &mut Stream<'_, '_>,
    begun: &mut bool,
    end: impl AsyncFnOnce(&Done),
) -> Result<(), Stopped> {
    let Stream { exchange, watch, plan, done } = stream;
    let limit = exchange.body_timeout;
    let links = exchange.links.filter(|_| plan.json);
    let short = matches!(plan.framing, Some(Framing::Length(length)) if length <= WHOLE as u64);
    let mut transform = Transform::new(plan.encoding, exchange.key.spellings(), links, short)?;
    let read_already = plan.read_already.take();
    // Looked at where it lies: most answers have nothing that must change, and go on without a copy.
    let whole = transform.gathers() && lane.gather();
    let mut end = Some(end);
    loop {
        let (data, ends) = match &read_already {
            Some(body) => (body.as_slice(), true),
            None => watch.within(limit, lane.fill()).await??,
        };
        if plan.framing.is_none() && !data.is_empty() {
            return Err("a body behind an answer that has none".into());
        }
        if whole && !ends {
            continue;
        }
        let taken = if read_already.is_some() { data.len() } else { data.len().min(transform.takes()) };
        let last = ends && taken == data.len();
        let out = transform.feed(&data[..taken], last)?;
        if short && !last && out.is_empty() && !*begun {
            lane.consume(taken);
            continue;
        }
        if !*begun {
            *begun = true;
            caller.begin(framing(plan, links.is_some(), last.then_some(out.len())), plan.close);
        }
        done.bytes_out += out.len() as u64;
        if last && let Some(end) = end.take() {
            end(done).await;
        }
        if !out.is_empty() {
            watch.within(limit, caller.data(out)).await.map_err(|_| Stopped::Caller)??;
        }
        if read_already.is_none() {
            lane.consume(taken);
        }
        if last {
            if plan.trailers != Trailers::Dropped && !lane.trailers().is_empty() {
                let mut trailers = trailer::crossing(lane.trailers(), Way::Down);
                exchange.key.spellings().mask(&mut trailers);
                caller.end_with(&trailers);
            }
            // Given back before the caller is written to: by the time it asks again, the connection is idle.
            lane.release();
            return watch.within(limit, caller.finish()).await.map_err(|_| Stopped::Caller)?.map_err(Stopped::from);
        }
        if lane.starved() {
            watch.within(limit, caller.flush()).await.map_err(|_| Stopped::Caller)??;
        }
    }
}

/// How the body is framed towards the caller: by its length where that is known, and no trailers were announced.
fn framing(plan: &Plan, links: bool, whole: Option<usize>) -> Option<Framing> {
    let framing = plan.framing?;
    Some(match (framing, whole) {
        _ if plan.trailers == Trailers::Announced => Framing::Chunked,
        (_, Some(length)) => Framing::Length(length as u64),
        (Framing::Length(length), None) if plan.encoding == Encoding::Identity && !links => Framing::Length(length),
        _ => Framing::Chunked,
    })
}
