//! The listener: connections in, answers out, and a drain when the sandbox goes.

use super::Shared;
use super::address::{Asked, Place, Product};
use super::answer::{Answer, AnswerBody};
use super::auth::Credential;
use super::fault::{self, Mode};
use super::lenient::Lenient;
use super::params::{MAX_BODY, Params};
use super::refusal::Refusal;
use super::{control, dispatch, log};
use crate::twilio::render::Format;
use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// How long answers that are under way may take after the stop.
const DRAIN: Duration = Duration::from_secs(1);

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Accepts until the sandbox is dropped.
pub async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>, stop: watch::Receiver<()>) {
    let mut stopped = stop.clone();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    tokio::spawn(welcome(stream, tls.clone(), shared.clone(), stop.clone()));
                }
                // Out of descriptors, most likely: others must close first.
                Err(_) => sleep(Duration::from_millis(10)).await,
            },
            _ = stopped.changed() => return,
        }
    }
}

async fn welcome(stream: TcpStream, tls: Option<TlsAcceptor>, shared: Arc<Shared>, stop: watch::Receiver<()>) {
    // Answers are small and whole: waiting for more to send would only delay them. A stream that can't is still one.
    let _ = stream.set_nodelay(true);
    match tls {
        None => serve(stream, shared, stop).await,
        Some(tls) => {
            if let Ok(Ok(stream)) = timeout(HANDSHAKE, tls.accept(stream)).await {
                serve(stream, shared, stop).await;
            }
        }
    }
}

async fn serve<S>(stream: S, shared: Arc<Shared>, mut stop: watch::Receiver<()>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().title_case_headers(true).header_read_timeout(None);
    let stopping = stop.clone();
    let service = service_fn(move |request| {
        let (shared, stop) = (shared.clone(), stopping.clone());
        async move { answer(&shared, request, stop).await }
    });
    let (read, write) = tokio::io::split(stream);
    let stream = tokio::io::join(Lenient::new(BufReader::new(read)), write);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    // A connection's end is its caller's affair: the sandbox reports nothing.
    tokio::select! {
        _ = connection.as_mut() => {}
        _ = stop.changed() => {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(DRAIN, connection).await;
        }
    }
}

/// No answer: the connection is closed.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection was cut on purpose")
    }
}

impl std::error::Error for Cut {}

async fn answer(
    shared: &Shared,
    request: Request<Incoming>,
    mut stop: watch::Receiver<()>,
) -> Result<Response<AnswerBody>, Cut> {
    let began = shared.clock.instant();
    let (head, body) = request.into_parts();
    let host = log::host(&head.uri, &head.headers);
    let path = head.uri.path();
    let (product, path) = match Place::of(&host, path) {
        Place::Product(product, path) => (product, path),
        Place::Control(name) => {
            let query = query(&head.uri);
            let form = match read(&head.headers, body).await {
                Ok(form) => form,
                Err(refusal) => return Ok(refused(&refusal, Product::Unknown, Format::Json)),
            };
            return Ok(control::answer(shared, &head.method, name, &query, &form));
        }
    };
    let credential = Credential::of(&head.headers);
    shared.log.note(&head.method, &head.uri, &head.headers, credential.as_ref());
    let fault = shared.faults.take([head.uri.path(), path]);
    if fault == Some(Mode::Cut) {
        return Err(Cut);
    }
    if fault == Some(Mode::Hang) {
        let _ = stop.changed().await;
        return Err(Cut);
    }
    if !shared.latency.is_zero() {
        sleep(shared.latency).await;
    }
    let format = if product == Product::Api { Format::of_path(path).1 } else { Format::Json };
    let form = match read(&head.headers, body).await {
        Ok(form) => form,
        Err(refusal) => return Ok(refused(&refusal, product, format)),
    };
    let answer = match fault {
        Some(Mode::Echo(echo)) => return Ok(echo.answer(&head.headers)),
        Some(Mode::Status(status, code, retry_after)) => {
            let answer = fault::status(status, code, format);
            let mut response = answer.into_response(product, Duration::ZERO);
            let retry_after = retry_after.map(|seconds| (header::RETRY_AFTER, seconds.into()));
            response.headers_mut().extend(retry_after);
            return Ok(response);
        }
        _ if head.method == Method::OPTIONS => Answer::new(200, format, Vec::new()),
        _ => {
            let asked = Asked::new(&head.method, product, path, query(&head.uri), form);
            let answer = dispatch::answer(&mut shared.state(), &asked, credential.as_ref(), shared.now());
            answer.unwrap_or_else(|refusal| Answer::refusal(&refusal, format))
        }
    };
    let took = shared.clock.instant().saturating_duration_since(began);
    Ok(answer.into_response(product, took))
}

fn query(uri: &http::Uri) -> Params {
    Params::of_form(uri.query().unwrap_or_default().as_bytes())
}

fn refused(refusal: &Refusal, product: Product, format: Format) -> Response<AnswerBody> {
    Answer::refusal(refusal, format).into_response(product, Duration::ZERO)
}

async fn read(headers: &http::HeaderMap, body: Incoming) -> Result<Params, Refusal> {
    let body: Bytes = if hyper::body::Body::is_end_stream(&body) {
        Bytes::new()
    } else {
        let whole = Limited::new(body, MAX_BODY).collect().await;
        whole.map_err(|_| Refusal::body_too_large())?.to_bytes()
    };
    Params::of_body(headers, body).await
}
