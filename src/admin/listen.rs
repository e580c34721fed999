//! Listening: HTTP/1.1 over TCP or a Unix socket, with ceilings on everything that a stranger could hold.

use super::Parts;
use super::answer::{Answer, Body};
use super::dispatch::{admit, answer};
use super::patient::Patient;
use super::problem::Problem;
use crate::net::{FOR_OWNER, bind_unix};
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

/// Connections at once: operators, a scraper and a few probes.
const MAX_CONNECTIONS: usize = 64;

/// Bytes of a body: a team with a long policy has a few thousand.
const MAX_BODY: usize = 64 << 10;

/// How long a head, and how long a body, may take to arrive, and how long an answer may wait for its caller to take some of it.
const PATIENCE: Duration = Duration::from_secs(10);

/// The admin API of one broker.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    handle: AdminHandle,
}

/// Replaces what the admin API works on.
#[derive(Clone, Debug)]
pub struct AdminHandle(Arc<ArcSwap<Parts>>);

impl AdminHandle {
    /// The admin API works on these.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(parts)))
    }

    /// Works on these from now on.
    pub fn adopt(&self, parts: Parts) {
        let refusals = Arc::clone(&self.0.load().refusals);
        self.0.store(Arc::new(Parts { refusals, ..parts }));
    }
}

impl Admin {
    /// Listens on `at`; port 0 takes a free one. Needs a tokio runtime.
    ///
    /// # Errors
    /// The address can't be listened on.
    pub fn bind(at: SocketAddr, handle: AdminHandle) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(at)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        Ok(Self { listener, handle })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The operating system's.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until it is dropped.
    pub async fn serve(self) {
        let accept = |context: &mut Context<'_>| {
            let caller = |peer: SocketAddr| Caller { proven: false, peer: peer.to_string().into() };
            self.listener.poll_accept(context).map_ok(|(stream, peer)| (stream, caller(peer)))
        };
        serve(self.handle, accept).await;
    }
}

/// The admin API on a Unix socket, whose peer is the proof.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    handle: AdminHandle,
}

impl AdminSocket {
    /// Listens at `path`. Needs a tokio runtime.
    ///
    /// # Errors
    /// Somebody listens there already, or the operating system's word.
    pub fn bind(path: &Path, handle: AdminHandle) -> io::Result<Self> {
        Ok(Self { listener: UnixListener::from_std(bind_unix(path, FOR_OWNER)?)?, handle })
    }

    /// Answers until it is dropped.
    pub async fn serve(self) {
        let accept = |context: &mut Context<'_>| {
            self.listener.poll_accept(context).map_ok(|(stream, _)| {
                // The kernel's word, taken when the peer connected. Whoever is neither needs the token.
                let uid = stream.peer_cred().ok().map(|peer| peer.uid());
                let peer = uid.map_or_else(|| "unix".to_owned(), |uid| format!("unix, uid {uid}"));
                (stream, Caller { proven: uid.is_some_and(is_operator), peer: peer.into() })
            })
        };
        serve(self.handle, accept).await;
    }
}

/// Who is on a connection.
#[derive(Clone, Debug)]
struct Caller {
    /// Whether that is proof enough.
    proven: bool,
    /// As the audit names it.
    peer: Arc<str>,
}

/// Answers whoever connects.
async fn serve<S>(handle: AdminHandle, mut accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<(S, Caller)>>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        match poll_fn(&mut accept).await {
            Ok((stream, caller)) => {
                let parts = handle.0.clone();
                tokio::spawn(async move {
                    connection(stream, parts, caller).await;
                    drop(slot);
                });
            }
            Err(error) => {
                // Out of file descriptors, mostly: a moment later there may be one.
                tracing::warn!(%error, "an admin connection was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Whether a process of this user may do what the admin token may: root, or the broker's own user, who could read the
/// token, the config and the store anyway.
fn is_operator(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, parts: Arc<ArcSwap<Parts>>, caller: Caller) {
    let service = service_fn(move |request| {
        let (parts, caller) = (parts.load_full(), caller.clone());
        async move { Ok::<_, Infallible>(respond(parts, request, &caller).await) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    if let Err(error) = http.serve_connection(TokioIo::new(Patient::new(stream, PATIENCE)), service).await {
        tracing::debug!(%error, "an admin connection ended");
    }
}

async fn respond(parts: Arc<Parts>, request: Request<Incoming>, caller: &Caller) -> Response<Body> {
    let outcome = async {
        let (head, body) = request.into_parts();
        let asked = admit(&parts, &head, caller.proven).inspect_err(|problem| {
            if problem.status == 401 {
                parts.refusals.note(&parts.trail, &caller.peer);
            }
        })?;
        let body = read(body).await?;
        // A task of its own: a change that was begun is finished, also for somebody who hangs up.
        let done = tokio::spawn(async move { answer(&parts, &asked, &body).await });
        done.await.unwrap_or_else(|_| Err(Problem::new(500, "failed", "this request hit a fault of sidekey's own")))
    };
    let answer = outcome.await.unwrap_or_else(|problem: Problem| Answer::problem(&problem));
    answer.into_response()
}

async fn read(body: Incoming) -> Result<Bytes, Problem> {
    match tokio::time::timeout(PATIENCE, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Problem::new(413, "too_large", format!("a body holds at most {MAX_BODY} bytes")))
        }
        Ok(Err(_)) => Err(Problem::invalid("the body broke off")),
        Err(_) => Err(Problem::new(408, "too_slow", "the body did not arrive in time")),
    }
}

#[cfg(test)]
mod tests {
    use super::is_operator;

    #[test]
    fn root_and_the_brokers_own_user_are_operators() {
        let own = rustix::process::geteuid().as_raw();
        assert!(is_operator(0) && is_operator(own));
        assert!(!is_operator(own.wrapping_add(1).max(1)));
    }
}
