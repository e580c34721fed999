//! Accepting connections on one core.

use super::core::Core;
use super::{h1, tls};
use crate::audit::Peer;
use crate::authn::ConnectionProof;
use crate::broker::Connection;
use crate::net::Stream;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, UnixListener};

/// A pause when the process is out of file descriptors: accepting again at once would only spin.
const PAUSE: Duration = Duration::from_millis(50);

/// What a caller is told that comes when every connection is taken. Written without reading what it asks for.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nSidekey-Error: overloaded\r\n\
Retry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// Accepts plain connections for ever.
pub async fn tcp(core: Rc<Core>, listener: TcpListener, ceiling: usize) {
    loop {
        let accepted = listener.accept().await.map(|(tcp, peer)| {
            // Only delays, never harms, where the operating system won't.
            let _ = tcp.set_nodelay(true);
            (Stream::Tcp(tcp), Peer::Ip(peer), None)
        });
        admit(&core, accepted, ceiling, Door::Plain).await;
    }
}

/// Accepts TLS connections for ever.
pub async fn greeted(core: Rc<Core>, listener: TcpListener, ceiling: usize) {
    loop {
        let accepted = listener.accept().await.map(|(tcp, peer)| {
            let _ = tcp.set_nodelay(true);
            (Stream::Tcp(tcp), Peer::Ip(peer), None)
        });
        admit(&core, accepted, ceiling, Door::Tls).await;
    }
}

/// Accepts connections on a Unix socket for ever.
pub async fn unix(core: Rc<Core>, listener: UnixListener, ceiling: usize) {
    loop {
        let accepted = listener.accept().await.map(|(unix, _)| {
            let proof = unix.peer_cred().ok().map(|peer| ConnectionProof::Peer(peer.uid()));
            (Stream::Unix(unix), Peer::Unix, proof)
        });
        admit(&core, accepted, ceiling, Door::Plain).await;
    }
}

/// What is spoken first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Door {
    Plain,
    Tls,
}

/// A connection, who is at its other end, and what that proves.
type Accepted = (Stream, Peer, Option<ConnectionProof>);

/// Serves a connection, or says why not.
async fn admit(core: &Rc<Core>, accepted: io::Result<Accepted>, ceiling: usize, door: Door) {
    let (mut stream, peer, proof) = match accepted {
        Ok(accepted) => accepted,
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(PAUSE).await;
            return;
        }
    };
    let core = Rc::clone(core);
    if core.open() >= ceiling {
        if door == Door::Tls {
            // A greeting would cost more than the refusal is worth.
            return;
        }
        tokio::task::spawn_local(async move {
            // A caller that does not read it is not waited for.
            let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(FULL)).await;
        });
        return;
    }
    tokio::task::spawn_local(async move {
        let counted = core.count();
        match door {
            Door::Plain => {
                let connection = Connection { peer, proof, only_host: None, server_name: None, secure: false };
                h1::serve(core, stream, connection).await;
            }
            Door::Tls => tls::serve(core, stream, peer).await,
        }
        drop(counted);
    });
}
