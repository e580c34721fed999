//! A caller's HTTP/2 connection: every stream is one exchange, judged as an HTTP/1.1 request would be.

use super::core::Core;
use super::h2_caller::{H2Caller, Reply};
use crate::authn::Presented;
use crate::broker::{Broker, Connection, Opened, Own, Prepared, Read, Settled};
use crate::forward::CallerSide;
use crate::http1::{Field, RequestHead, check_fields, fields_of};
use crate::net::{Pulse, Stream, Watch, cork, wordless};
use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Builder, SendResponse};
use http::Request;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

/// Streams at once on one connection: what Envoy's edge guide and nginx allow.
const MAX_STREAMS: u32 = 128;

/// Bytes of a stream that may be under way unread; the same for every stream of a connection together, times 16.
const WINDOW: u32 = 64 * 1024;

/// Bytes of a request's header list. Small, so that a flood of headers costs little (CVE-2026-49975).
const MAX_HEADERS: u32 = 16 * 1024;

/// A silent connection is asked for a sign of life, and closed without one.
const PING_AFTER: Duration = Duration::from_mins(1);

/// How long a peer is waited for that is told goodbye and has nothing under way: one that never sent the preface, or that
/// reads nothing, does not answer.
const FAREWELL: Duration = Duration::from_secs(5);

/// Streams that a connection's caller may take back before they are answered: who does it on and on has the upstream do work
/// that nobody wants (CVE-2023-44487). A caller that gives up now and then makes a new connection one day.
const MOST_TAKEN_BACK: u32 = 1_000;

/// Serves one connection until it ends.
pub async fn serve(core: Rc<Core>, stream: Stream, connection: Connection) {
    let connection = Rc::new(connection);
    let streams = Rc::new(Streams::default());
    let (io, cork) = cork(stream, Rc::clone(&core.broker().buffers));
    let leaving = Cell::new(false);
    let mut served = pin!(async {
        let mut open = builder().handshake(io).await.map_err(wordless)?;
        let mut pulse = Pulse::new(open.ping_pong(), PING_AFTER);
        poll_fn(|cx| {
            if streams.taken_back.get() > MOST_TAKEN_BACK {
                open.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
            } else if leaving.get() {
                open.graceful_shutdown();
            }
            loop {
                if pulse.poll(&cork, true, cx).is_ready() {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                match ready!(pin!(open.accept()).poll(cx)) {
                    Some(Ok((request, answer))) => {
                        let counted = Rc::clone(&streams).open();
                        let exchange = exchange(Rc::clone(&core), request, answer, Rc::clone(&connection), counted);
                        drop(tokio::task::spawn_local(exchange));
                    }
                    Some(Err(error)) => return Poll::Ready(Err(wordless(error))),
                    None => return Poll::Ready(Ok(())),
                }
            }
        })
        .await
    });
    let (watch, limit) = (core.watchdog.watch(), core.broker().limits.idle_timeout);
    let ended = loop {
        let begun = streams.begun.get();
        let ended = if leaving.get() {
            watch.within(FAREWELL, cork.drive(served.as_mut())).await
        } else {
            watch.idle(limit, cork.drive(served.as_mut())).await
        };
        let idle = streams.open.get() == 0 && (leaving.get() || streams.begun.get() == begun);
        match ended {
            Ok(ended) => break ended,
            Err(_) if leaving.get() && idle => break Ok(()),
            Err(_) if idle || core.draining() => leaving.set(true),
            Err(_) => {}
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a caller's HTTP/2 connection ended");
    }
}

/// The settings of every connection.
fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADERS)
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW * 16);
    builder
}

/// Counts a connection's streams, so that one without any is closed after `limits.idle_timeout`.
#[derive(Debug, Default)]
struct Streams {
    open: Cell<usize>,
    begun: Cell<u64>,
    taken_back: Cell<u32>,
}

impl Streams {
    /// Counts a stream as long as what comes back lives.
    fn open(self: Rc<Self>) -> Open {
        self.open.set(self.open.get() + 1);
        self.begun.set(self.begun.get().wrapping_add(1));
        Open(self)
    }
}

/// A counted stream.
struct Open(Rc<Streams>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
    }
}

/// One stream. A caller that resets it before its answer has begun stops the exchange; later, sending says that it is gone.
async fn exchange(
    core: Rc<Core>,
    request: Request<RecvStream>,
    answer: SendResponse<Bytes>,
    connection: Rc<Connection>,
    counted: Open,
) {
    let (broker, watch) = (core.broker(), core.watchdog.watch());
    let (parts, body) = request.into_parts();
    let reply = Reply::new(answer);
    let bodiless = parts.method == http::Method::HEAD;
    let mut caller = H2Caller::new(body, &reply, bodiless, Rc::clone(&broker), Rc::clone(&watch));
    let mut running = pin!(run(&core, &mut caller, &parts, &connection, &watch));
    let taken_back = poll_fn(|cx| match running.as_mut().poll(cx) {
        Poll::Pending => reply.poll_reset(cx).map(|()| true),
        Poll::Ready(()) => Poll::Ready(false),
    });
    if taken_back.await {
        counted.0.taken_back.set(counted.0.taken_back.get().saturating_add(1));
    }
}

/// Judges and carries one request.
async fn run(
    core: &Core,
    caller: &mut H2Caller<'_>,
    parts: &http::request::Parts,
    connection: &Connection,
    watch: &Watch,
) {
    let broker = &*core.broker();
    let judge = |opened, caller: &H2Caller<'_>| match Head::read(parts, caller) {
        Ok(head) => broker.prepare(opened, &head.view(), connection, None),
        Err(what) => Ok(unsayable(broker, opened, parts, connection, what).into()),
    };
    let mut opened = broker.open(connection);
    let prepared = loop {
        match judge(opened, caller) {
            Ok(prepared) => break prepared,
            Err(wait) => {
                let (waited, coming) = *wait;
                coming.wait().await;
                opened = waited;
            }
        }
    };
    // How it ends is the stream's business alone.
    match prepared {
        Prepared::Settled(settled) => {
            broker.finish(caller, settled, watch).await;
        }
        Prepared::ReadBody(opened) => {
            let again = |caller: &H2Caller<'_>, read: &Read| {
                // By the configuration of then: what was withdrawn while a body came by and by is withdrawn.
                let now = core.broker();
                Some(match Head::read(parts, caller) {
                    Ok(head) => now.judge_read(opened, &head.view(), connection, read),
                    Err(what) => Settled::Own(unsayable(&now, opened, parts, connection, what)),
                })
            };
            broker.inspect(caller, watch, again).await;
        }
        // A CONNECT has no target here, and is refused as malformed.
        Prepared::Tunnel(_) => caller.cut(),
    }
}

/// Refuses a head that HTTP/1.1 can't say.
fn unsayable(
    broker: &Broker,
    opened: Opened,
    parts: &http::request::Parts,
    connection: &Connection,
    what: &str,
) -> Own {
    let fields = fields_of(&parts.headers);
    let proxied = parts.method == http::Method::CONNECT;
    let presented = Presented { fields: &fields, proxied, connection: connection.proof.as_ref() };
    broker.refuse_head(opened, &presented, parts.method.as_str(), what)
}

/// A request's head, as HTTP/1.1 would say it.
struct Head<'p> {
    method: &'p str,
    target: &'p str,
    fields: Vec<Field<'p>>,
}

impl<'p> Head<'p> {
    fn read(parts: &'p http::request::Parts, caller: &H2Caller<'_>) -> Result<Self, &'static str> {
        // Where `:authority` is left out, as it may be beside `Host`, no scheme can be told.
        let untold = parts.uri.authority().is_none() && parts.method != http::Method::CONNECT;
        if !untold && !matches!(parts.uri.scheme_str(), Some("http" | "https")) {
            return Err("a scheme other than http and https");
        }
        let mut fields = Vec::with_capacity(parts.headers.len() + 2);
        let authority = parts.uri.authority().map(http::uri::Authority::as_str);
        if let Some(authority) = authority {
            fields.push(Field { name: "host", value: authority.as_bytes() });
        }
        // HTTP/1.1 can carry a length or trailers, not both.
        let announced = parts.headers.contains_key(http::header::TRAILER);
        let mut stated = false;
        for (name, value) in &parts.headers {
            if name == http::header::HOST && authority.is_some() {
                if value.as_bytes() != authority.unwrap_or_default().as_bytes() {
                    return Err("host and :authority name two hosts");
                }
                continue;
            }
            if name == http::header::CONTENT_LENGTH {
                // One of 0 on a stream that goes on is believed when it ends: something else may come yet.
                if (announced || value == "0") && !caller.bodiless() {
                    continue;
                }
                stated = true;
            }
            fields.push(Field { name: name.as_str(), value: value.as_bytes() });
        }
        if !stated && !caller.bodiless() {
            fields.push(Field { name: "transfer-encoding", value: b"chunked" });
        }
        check_fields(&fields)?;
        let target = parts.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
        Ok(Self { method: parts.method.as_str(), target, fields })
    }

    fn view(&self) -> RequestHead<'_, 'p> {
        RequestHead { method: self.method, target: self.target, minor: 1, fields: &self.fields, raw: b"" }
    }
}
