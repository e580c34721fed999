//! Accepting connections on one core.

use super::core::Core;
use super::files::Ceiling;
use super::{h1, tls};
use crate::audit::Peer;
use crate::authn::ConnectionProof;
use crate::broker::Connection;
use crate::net::Stream;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};

/// A pause when the process is out of file descriptors: accepting again at once would only spin.
const PAUSE: Duration = Duration::from_millis(50);

/// Connections that are being turned away at once over TLS, where a handshake comes before the word and costs more than all
/// the rest.
const TURNED_AWAY_BY_TLS: usize = 16;

/// Accepts connections at `door` for ever.
pub async fn tcp(core: Rc<Core>, listener: TcpListener, ceiling: Ceiling, door: Door) {
    loop {
        let accepted = listener.accept().await.map(|(tcp, peer)| {
            // Only delays, never harms, where the operating system won't.
            let _ = tcp.set_nodelay(true);
            (Stream::Tcp(tcp), Peer::Ip(peer), None)
        });
        admit(&core, accepted, ceiling, door).await;
    }
}

/// Accepts connections on a Unix socket for ever.
pub async fn unix(core: Rc<Core>, listener: UnixListener, ceiling: Ceiling) {
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
pub enum Door {
    /// HTTP.
    Plain,
    /// TLS.
    Tls,
}

/// A connection, who is at its other end, and what that proves.
type Accepted = (Stream, Peer, Option<ConnectionProof>);

/// Serves a connection, or says why not.
async fn admit(core: &Rc<Core>, accepted: io::Result<Accepted>, ceiling: Ceiling, door: Door) {
    let (stream, peer, proof) = match accepted {
        Ok(accepted) => accepted,
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(PAUSE).await;
            return;
        }
    };
    let core = Rc::clone(core);
    if core.open() >= ceiling.open && !core.handshakes.make_room() {
        let at_once = if door == Door::Plain { ceiling.turned } else { ceiling.turned.min(TURNED_AWAY_BY_TLS) };
        if let Some(turned) = core.turn(at_once) {
            tokio::task::spawn_local(async move {
                match door {
                    Door::Plain => h1::turn_away(core, stream, Connection::new(peer, proof, false)).await,
                    Door::Tls => tls::turn_away(core, stream, peer).await,
                }
                drop(turned);
            });
        }
        return;
    }
    // Counted here: the task begins only after others of the same burst have been accepted.
    let (counted, handshake) = (core.count(), (door == Door::Tls).then(|| core.handshakes.begin()));
    // A task each: as one, every plain connection would hold the room that TLS needs.
    if let Some(handshake) = handshake {
        tokio::task::spawn_local(tls::serve(counted, stream, peer, handshake));
        return;
    }
    let connection = Connection::new(peer, proof, false);
    if counted.crowded() {
        counted.rest(stream, connection, core.watchdog.end_of(core.broker().limits.idle_timeout));
    } else {
        tokio::task::spawn_local(h1::serve(counted, stream, connection));
    }
}
