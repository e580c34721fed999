//! A caller's HTTP/2 connection, by hyper: every stream is one exchange, judged as an HTTP/1.1 request would be.

use super::core::Core;
use super::h2_caller::H2Caller;
use crate::broker::{Broker, Connection, HeldBody, Inspected, Prepared, Preread};
use crate::error::Reason;
use crate::forward::{BodyFault, Caller};
use crate::http1::{Field, RequestHead, check_fields};
use crate::net::{LocalExecutor, PipeBody, Stream, Watch};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Streams at once on one connection: what Envoy's edge guide and nginx allow.
const MAX_STREAMS: u32 = 128;

/// Bytes of a stream that may be under way unread; the same for every stream of a connection together, times 16.
const WINDOW: u32 = 64 * 1024;

/// Bytes of a request's header list. Small, so that a flood of headers costs little (CVE-2026-49975).
const MAX_HEADERS: u32 = 16 * 1024;

/// A silent connection is asked for a sign of life, and closed without one.
const PING_EVERY: Duration = Duration::from_mins(1);

/// How long a peer is waited for that is told goodbye and has nothing under way: one that never sent the preface, or that
/// reads nothing, does not answer.
const FAREWELL: Duration = Duration::from_secs(5);

/// Serves one connection until it ends.
pub async fn serve(core: Rc<Core>, stream: Stream, connection: Connection) {
    let connection = Rc::new(connection);
    let streams = Rc::new(Streams::default());
    let shared = (Rc::clone(&core), Rc::clone(&streams));
    let service = service_fn(move |request| {
        let ((core, streams), connection) = (shared.clone(), Rc::clone(&connection));
        async move { exchange(&core, request, connection, streams.open()).await }
    });
    let served = Builder::new(LocalExecutor)
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADERS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW * 16)
        .keep_alive_interval(PING_EVERY)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(served);
    let (watch, limit) = (core.watchdog.watch(), core.broker().limits.idle_timeout);
    let mut leaving = false;
    let ended = loop {
        let begun = streams.begun.get();
        let ended = if leaving {
            watch.within(FAREWELL, served.as_mut()).await
        } else {
            watch.idle(limit, served.as_mut()).await
        };
        let idle = streams.open.get() == 0 && (leaving || streams.begun.get() == begun);
        match ended {
            Ok(ended) => break ended,
            Err(_) if leaving && idle => break Ok(()),
            Err(_) if idle || core.draining() => {
                leaving = true;
                served.as_mut().graceful_shutdown();
            }
            Err(_) => {}
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a caller's HTTP/2 connection ended");
    }
}

/// Counts a connection's streams, so that one without any is closed after `limits.idle_timeout`.
#[derive(Debug, Default)]
struct Streams {
    open: Cell<usize>,
    begun: Cell<u64>,
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

/// Stops the exchange of a stream that the caller resets before its answer has begun.
struct AbortOnDrop(Option<JoinHandle<()>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }
}

/// One stream: the answer's head as soon as there is one; its body follows through a pipe.
async fn exchange(
    core: &Rc<Core>,
    request: Request<Incoming>,
    connection: Rc<Connection>,
    counted: Open,
) -> Result<Response<PipeBody>, oneshot::error::RecvError> {
    let (head, answered) = oneshot::channel();
    let (broker, watch) = (core.broker(), core.watchdog.watch());
    let mut task = AbortOnDrop(Some(tokio::task::spawn_local(async move {
        let (parts, body) = request.into_parts();
        let mut caller = H2Caller::new(body, parts.method == http::Method::HEAD, Rc::clone(&broker), Rc::clone(&watch));
        caller.answer_to(head);
        run(&broker, &mut caller, &parts, (&connection, &watch)).await;
        drop(counted);
    })));
    let response = answered.await?;
    // From here on the pipe tells the exchange when the caller is gone.
    task.0 = None;
    Ok(response)
}

/// Judges and carries one request.
async fn run(
    broker: &Broker,
    caller: &mut H2Caller,
    parts: &http::request::Parts,
    (connection, watch): (&Connection, &Watch),
) {
    let judge = |opened, caller: &H2Caller| match Head::read(parts, caller) {
        Ok(head) => broker.prepare(opened, &head.view(), connection, None),
        Err(what) => broker.refuse_unread(opened, Reason::MalformedRequest, what),
    };
    let mut prepared = judge(broker.open(connection), caller);
    if let Prepared::Wait(wait) = prepared {
        let (opened, coming) = *wait;
        coming.wait().await;
        prepared = judge(opened, caller);
    }
    let opened = match prepared {
        Prepared::ReadBody(opened) => opened,
        judged => return finish(broker, caller, judged, watch).await,
    };
    let read = broker.read_body(caller).await;
    let prepared = match &read {
        Err(BodyFault::Gone) => return broker.metrics.aborted(),
        Err(fault) => match Head::read(parts, caller) {
            Ok(head) => broker.refuse_body(opened, &head.view(), connection, *fault),
            Err(what) => broker.refuse_unread(opened, Reason::MalformedRequest, what),
        },
        Ok(body) => match Head::read(parts, caller) {
            Ok(head) => {
                broker.prepare(opened, &head.view(), connection, Some(&Inspected::new(&head.view(), body.bytes())))
            }
            Err(what) => broker.refuse_unread(opened, Reason::MalformedRequest, what),
        },
    };
    let body = read.as_ref().map_or(&b""[..], HeldBody::bytes);
    finish(broker, &mut Preread::new(caller, body), prepared, watch).await;
}

/// Carries or answers; how it ended is the stream's business alone.
async fn finish<C: Caller>(broker: &Broker, caller: &mut C, judged: Prepared, watch: &Watch) {
    match judged {
        Prepared::Forward(forward) => {
            broker.carry(caller, *forward, watch).await;
        }
        Prepared::Own(own) => {
            broker.answer(caller, own).await;
        }
        // Only a first look asks for the body or for time; CONNECT has no target here, and so is refused as malformed.
        Prepared::ReadBody(_) | Prepared::Wait(_) | Prepared::Tunnel(_) => {}
    }
}

/// A request's head, as HTTP/1.1 would say it.
struct Head<'p> {
    method: &'p str,
    target: &'p str,
    fields: Vec<Field<'p>>,
}

impl<'p> Head<'p> {
    fn read(parts: &'p http::request::Parts, caller: &H2Caller) -> Result<Self, &'static str> {
        if !matches!(parts.uri.scheme_str(), Some("http" | "https")) {
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
                if announced && !caller.bodiless() {
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
        RequestHead { method: self.method, target: self.target, minor: 1, fields: &self.fields }
    }
}
