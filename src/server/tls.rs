//! TLS connections of callers: `listen.tls`, and the insides of tunnels.

use super::core::{Core, Counted};
use super::handshakes::Handshake;
use super::{h1, h2};
use crate::audit::Peer;
use crate::authn::ConnectionProof;
use crate::broker::{Broker, Connection, Tunnel};
use crate::error::Reason;
use crate::net::Stream;
use crate::tls::identity::PeerCertificate;
use crate::tls::server::ServerTls;
use crate::twilio::host::Host;
use bytes::BytesMut;
use rustls::{ServerConfig, ServerConnection};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Serves a connection of `listen.tls`, whose handshake has begun.
pub async fn serve(counted: Counted, stream: Stream, peer: Peer, handshake: Handshake) {
    let core = Rc::clone(counted.core());
    let broker = core.broker();
    let Some(settings) = broker.tls.listener().map(ServerTls::current) else { return };
    drop(broker);
    let outside = Connection::new(peer, None, true);
    let stream = tokio::select! {
        handshaken = Box::pin(shake_hands(&core, stream, BytesMut::new(), Arc::clone(&settings.config), &outside)) => handshaken,
        () = handshake.ended() => None,
    };
    drop(handshake);
    let Some(stream) = stream else { return };
    let session = stream.get_ref().1;
    let certificate = session.peer_certificates().and_then(|chain| PeerCertificate::new(chain, settings.number));
    let proof = certificate.map(|peer| ConnectionProof::Certificate(Arc::new(peer)));
    let name = session.server_name().map(str::to_ascii_lowercase);
    // A Twilio name in the handshake binds the connection to that host; any other binds `Host` alone.
    let (only_host, server_name) = match name {
        Some(name) if Host::parse(&name).is_some() => (Some(name.into_boxed_str()), None),
        name => (None, name.map(String::into_boxed_str)),
    };
    inside(counted, stream, Connection { proof, only_host, server_name, ..outside }).await;
}

/// Tells a caller that every connection is taken, in HTTP/1.1: the word fits any request, and costs no more than it must.
pub async fn turn_away(core: Rc<Core>, stream: Stream, peer: Peer) {
    /// For a handshake that nothing slows down.
    const HANDSHAKE: Duration = Duration::from_secs(2);
    let Some(config) = core.broker().tls.listener().map(ServerTls::config) else { return };
    let mut config = ServerConfig::clone(&config);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let watch = core.watchdog.watch();
    let accept = TlsAcceptor::from(Arc::new(config)).accept(stream);
    if let Ok(Ok(stream)) = watch.within(HANDSHAKE, accept).await {
        h1::turn_away(core, Stream::TlsServer(Box::new(stream)), Connection::new(peer, None, true)).await;
    }
}

/// Serves the inside of a tunnel that was just granted; `early` is what the caller sent already.
pub async fn tunnel(counted: Counted, stream: Stream, early: BytesMut, tunnel: Tunnel, outside: &Connection) {
    let connection = Connection { only_host: Some(tunnel.host), ..Connection::new(outside.peer, tunnel.proof, true) };
    if let Some(stream) = Box::pin(shake_hands(counted.core(), stream, early, tunnel.config, &connection)).await {
        inside(counted, stream, connection).await;
    }
}

/// The HTTP that ALPN chose.
async fn inside(counted: Counted, stream: TlsStream<Stream>, connection: Connection) {
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let stream = Stream::TlsServer(Box::new(stream));
    // Boxed: a connection holds the room of the HTTP that it speaks, and not the handshake's besides.
    if http2 {
        Box::pin(h2::serve(Rc::clone(counted.core()), stream, connection)).await;
    } else {
        Box::pin(h1::serve(counted, stream, connection)).await;
    }
}

/// Shakes hands within `limits.head_timeout`. A certificate that can't be taken is a failed proof, and recorded.
async fn shake_hands(
    core: &Rc<Core>,
    stream: Stream,
    early: BytesMut,
    config: Arc<ServerConfig>,
    connection: &Connection,
) -> Option<TlsStream<Stream>> {
    let broker = core.broker();
    let watch = core.watchdog.watch();
    let accept = TlsAcceptor::from(config).accept_with(stream, |session| feed(session, &early));
    match watch.within(broker.limits.head_timeout, accept).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake failed");
            if let Some(fault) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                record(&broker, connection, fault).await;
            }
            None
        }
        Err(_) => None,
    }
}

/// Gives a session what was read before it began. A fault shows when the session is driven.
fn feed(session: &mut ServerConnection, early: &[u8]) {
    let mut rest = early;
    while !rest.is_empty() && session.read_tls(&mut rest).is_ok_and(|read| read > 0) {
        if session.process_new_packets().is_err() {
            return;
        }
    }
}

/// Records a caller's certificate that was refused.
async fn record(broker: &Broker, connection: &Connection, fault: &rustls::Error) {
    let detail = match fault {
        rustls::Error::InvalidCertificate(_) => "tls: the certificate is not one of client_ca's, or no longer",
        rustls::Error::NoCertificatesPresented => "tls: no certificate, and one is required",
        _ => return,
    };
    broker.record_failed_proof(connection, Reason::InvalidProof, detail).await;
}
