//! The exchange itself: request up, answer down.

use super::answer::Plan;
use super::exchange::{Done, Exchange, Failure};
use super::stream::{Stopped, Stream, stream};
use super::{BodyFault, CallerSide};
use crate::error::Reason;
use crate::headers::trailer::{self, Way};
use crate::http1::Framing;
use crate::net::Watch;
use crate::upstream::{DialError, Lane, LaneError, Route};
use std::rc::Rc;

/// Why a try failed.
enum Failed {
    /// The connection broke before a byte of an answer; `unprocessed`: and nothing was done for the request.
    Broken { unprocessed: bool, detail: String },
    /// For good.
    Final(Reason, String),
    /// The caller hung up.
    Gone,
}

/// Sends the request and streams the answer to the caller.
///
/// A request is sent again, once, only if nothing of it was taken or the upstream says that it was not processed, and its
/// body is still here; or if it is safe, has no body, and its connection had been idle and broke before a byte of an
/// answer. Nothing that may have been processed is repeated.
///
/// `end` is called with the whole of what became of it, and waited for, before the answer's last bytes go out.
///
/// # Errors
/// [`Failure`].
pub async fn relay(
    caller: &mut impl CallerSide,
    route: &Rc<Route>,
    exchange: &Exchange<'_>,
    watch: &Watch,
    end: impl AsyncFnOnce(&Done),
) -> Result<Done, Failure> {
    let mut done = Done::default();
    let mut again = false;
    let (lane, tried) = loop {
        let mut lane = match route.idle_lane() {
            Some(lane) if !again => lane,
            _ => route.new_lane().await.map_err(|error| dial_failure(&error))?,
        };
        let mut attempt = Attempt { caller, lane: &mut lane, exchange, watch, held: 0, begun: false, bytes_in: 0 };
        let tried = attempt.run().await;
        if !again && attempt.may_repeat(&tried) {
            again = true;
            continue;
        }
        attempt.take(attempt.held);
        done.bytes_in = attempt.bytes_in;
        break (lane, tried);
    };
    let mut plan = match tried {
        Ok(plan) => plan,
        Err(Failed::Broken { detail, .. }) => return Err(refuse(Reason::UpstreamUnreachable, detail, &done)),
        Err(Failed::Final(reason, detail)) => return Err(refuse(reason, detail, &done)),
        Err(Failed::Gone) => return Err(Failure::Gone { done }),
    };
    done.status = plan.status;
    done.close = plan.close;
    done.upstream_request_id = plan.upstream_request_id.take();
    match stream(caller, lane, Stream { exchange, watch, plan, done: &mut done }, end).await {
        Ok(()) => Ok(done),
        Err(Stopped::Caller) => Err(Failure::Gone { done }),
        Err(Stopped::Unbegun(detail)) => {
            caller.scratch().clear();
            Err(refuse(Reason::UpstreamUnreachable, detail, &done))
        }
        Err(Stopped::Upstream(detail)) => {
            caller.cut();
            Err(Failure::Cut { done, detail })
        }
    }
}

fn refuse(reason: Reason, detail: String, done: &Done) -> Failure {
    Failure::Refuse { reason, detail, bytes_in: done.bytes_in }
}

fn dial_failure(error: &DialError) -> Failure {
    let reason = if error.is_own() { Reason::Overloaded } else { Reason::UpstreamUnreachable };
    refuse(reason, error.to_string(), &Done::default())
}

impl From<LaneError> for Failed {
    fn from(error: LaneError) -> Self {
        let detail = error.to_string();
        match error {
            LaneError::Unprocessed(_) => Self::Broken { unprocessed: true, detail },
            LaneError::Broken { clean: true, .. } => Self::Broken { unprocessed: false, detail },
            LaneError::Broken { .. } | LaneError::BadAnswer(_) => Self::Final(Reason::UpstreamUnreachable, detail),
        }
    }
}

impl From<BodyFault> for Failed {
    fn from(fault: BodyFault) -> Self {
        match fault {
            BodyFault::Gone => Self::Gone,
            fault => Self::Final(fault.reason(), fault.text().to_owned()),
        }
    }
}

/// The upstream took too long.
fn late() -> Failed {
    Failed::Final(Reason::UpstreamTimeout, "no answer in time".to_owned())
}

/// One try on one connection.
struct Attempt<'a, 'x, C> {
    caller: &'a mut C,
    lane: &'a mut Lane,
    exchange: &'a Exchange<'x>,
    watch: &'a Watch,
    /// Bytes of the body that were sent and are still here: all of it, as long as no answer has come.
    held: usize,
    /// Part of the body is gone: it can't be sent again.
    begun: bool,
    bytes_in: u64,
}

impl<C: CallerSide> Attempt<'_, '_, C> {
    /// Sends the request and reads the answer's head into the caller's scratch.
    async fn run(&mut self) -> Result<Plan, Failed> {
        let exchange = self.exchange;
        let (first, mut last) = self.caller.at_hand()?;
        let taken = first.len();
        // Trailers come behind the body; what follows sends them.
        last &= !(exchange.framing == Framing::Chunked && taken == 0);
        let sent = self.lane.send(exchange.head, exchange.framing, first, last);
        self.watch.within(exchange.body_timeout, sent).await.map_err(|_| late())??;
        if last {
            self.held = taken;
        } else {
            self.begun = true;
            self.take(taken);
        }
        let whole = last || self.upload().await?;
        let scratch = self.caller.scratch();
        let read = self.lane.head(exchange.head_request, |head, framing| Plan::read(head, framing, exchange, scratch));
        let mut plan = self.watch.within(exchange.response_timeout, read).await.map_err(|_| late())??;
        plan.close |= !whole;
        if plan.status == 401 {
            self.read_refusal(&mut plan).await?;
        }
        Ok(plan)
    }

    /// Whether the request may be sent once more.
    fn may_repeat(&self, tried: &Result<Plan, Failed>) -> bool {
        let Err(Failed::Broken { unprocessed, .. }) = tried else { return false };
        let harmless = self.exchange.safe && self.exchange.framing == Framing::Length(0);
        (*unprocessed && !self.begun) || (self.lane.reused() && harmless)
    }

    /// Is done with bytes of the body.
    fn take(&mut self, bytes: usize) {
        self.caller.consume(bytes);
        self.bytes_in += bytes as u64;
    }

    /// Sends the rest of the body; `false` if the upstream answered before it had all of it.
    async fn upload(&mut self) -> Result<bool, Failed> {
        loop {
            let data = tokio::select! {
                biased;
                filled = self.caller.fill() => filled?,
                () = self.lane.answering() => return Ok(false),
            };
            let taken = data.len();
            if taken == 0 && self.exchange.trailers {
                return self.end_with_trailers().await;
            }
            let sent = self.lane.send_more(data);
            let answered = self.watch.within(self.exchange.body_timeout, sent).await.map_err(|_| late())??;
            self.take(taken);
            if answered || taken == 0 {
                return Ok(taken == 0);
            }
        }
    }

    /// Ends the body with what may cross of its trailers; `false` if the upstream answered before it had all of it.
    async fn end_with_trailers(&mut self) -> Result<bool, Failed> {
        let trailers = trailer::crossing(self.caller.trailers(), Way::Up);
        let sent = self.lane.end_with(&trailers);
        let answered = self.watch.within(self.exchange.body_timeout, sent).await.map_err(|_| late())??;
        Ok(!answered)
    }

    /// Reads the body of a 401 whole: is it the key that the upstream refuses?
    async fn read_refusal(&mut self, plan: &mut Plan) -> Result<(), Failed> {
        /// Twilio's refusals have some 200 bytes; one that is larger than this is not read on.
        const CEILING: usize = 64 * 1024;
        let mut body = Vec::new();
        loop {
            let read = self.watch.within(self.exchange.response_timeout, self.lane.fill()).await;
            let (data, last) = read.map_err(|_| late())??;
            let taken = data.len();
            body.extend_from_slice(data);
            self.lane.consume(taken);
            if last {
                break;
            }
            if body.len() > CEILING {
                return Err(Failed::Final(Reason::UpstreamUnreachable, "a 401 too large to be read".to_owned()));
            }
        }
        if plan.refuses_key(&body) {
            self.caller.scratch().clear();
            return Err(Failed::Final(Reason::UpstreamRejectedKey, "401 with code 20003".to_owned()));
        }
        plan.read_already = Some(body);
        Ok(())
    }
}
