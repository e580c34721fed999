//! Gathers what a connection writes in one turn of its task, so that many small frames leave in one write.
//!
//! HTTP/2 flushes behind nearly every piece of a body. On a connection that carries many streams each flush would be a TLS
//! record, and a call into the kernel, of its own. Here a flush costs nothing: [`Cork::drive`] sends what was gathered
//! once the connection has done all that it can do for now.

use super::buffers::{Buffers, SIZE};
use super::stream::Stream;
use bytes::{Buf, BytesMut};
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most bytes that are gathered before some must leave.
const FULL: usize = 4 * SIZE;

/// The end that the protocol reads and writes.
pub struct Corked(Rc<RefCell<Wire>>);

/// The end that sends.
pub struct Cork(Rc<RefCell<Wire>>);

/// What both ends share.
struct Wire {
    stream: Stream,
    /// Not yet sent; lent while there is something in it.
    gathered: BytesMut,
    buffers: Rc<Buffers>,
    /// The stream has taken something that it may hold back still, as TLS does while the socket is full.
    unflushed: bool,
    /// Something was read since [`Cork::heard`] was asked.
    heard: bool,
    /// Why nothing can be sent any more.
    failed: Option<io::ErrorKind>,
}

/// Corks a stream.
pub fn cork(stream: Stream, buffers: Rc<Buffers>) -> (Corked, Cork) {
    let wire = Wire { stream, gathered: BytesMut::new(), buffers, unflushed: false, heard: false, failed: None };
    let wire = Rc::new(RefCell::new(wire));
    (Corked(Rc::clone(&wire)), Cork(wire))
}

impl Cork {
    /// Polls the protocol, and sends what it has written. Nothing leaves unless the protocol is driven so.
    pub async fn drive<F: Future + Unpin>(&self, mut protocol: F) -> F::Output {
        poll_fn(|cx| {
            let done = Pin::new(&mut protocol).poll(cx);
            let wire = &mut *self.0.borrow_mut();
            if let Poll::Ready(Err(error)) = wire.poll_send(cx) {
                // The protocol is told when it asks again.
                wire.failed = Some(error.kind());
                cx.waker().wake_by_ref();
            }
            done
        })
        .await
    }

    /// Whether the peer has said anything since this was last asked.
    pub fn heard(&self) -> bool {
        std::mem::take(&mut self.0.borrow_mut().heard)
    }
}

impl Wire {
    /// Sends all that was gathered.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.failed.is_some() {
            return Poll::Ready(Ok(()));
        }
        if !self.gathered.is_empty() {
            self.unflushed = true;
            while !self.gathered.is_empty() {
                match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.gathered))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    sent => self.gathered.advance(sent),
                }
            }
            self.buffers.give_back(std::mem::take(&mut self.gathered));
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Makes room for more.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.whole()?;
        if self.gathered.len() >= FULL {
            ready!(self.poll_send(cx))?;
        }
        if self.gathered.capacity() == 0 {
            self.gathered = self.buffers.lend();
        }
        Poll::Ready(Ok(FULL - self.gathered.len()))
    }

    fn whole(&self) -> io::Result<()> {
        self.failed.map_or(Ok(()), |kind| Err(kind.into()))
    }
}

impl AsyncRead for Corked {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = &mut *self.0.borrow_mut();
        let read = ready!(Pin::new(&mut wire.stream).poll_read(cx, buf));
        wire.heard = true;
        Poll::Ready(read)
    }
}

impl AsyncWrite for Corked {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wire = &mut *self.0.borrow_mut();
        let room = ready!(wire.poll_room(cx))?;
        let mut left = room;
        for buf in bufs {
            let taken = buf.len().min(left);
            wire.gathered.extend_from_slice(&buf[..taken]);
            left -= taken;
        }
        Poll::Ready(Ok(room - left))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.borrow().whole())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = &mut *self.0.borrow_mut();
        wire.whole()?;
        ready!(wire.poll_send(cx))?;
        Pin::new(&mut wire.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    #[tokio::test(flavor = "current_thread")]
    async fn what_is_written_leaves_when_the_protocol_rests() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair of sockets");
        let (mut io, cork) = cork(Stream::Unix(ours), Rc::default());
        let protocol = Box::pin(async {
            for part in [&b"one "[..], b"two ", b"three"] {
                io.write_all(part).await.expect("there is room");
                io.flush().await.expect("nothing has failed");
            }
            assert_eq!(theirs.try_read(&mut [0; 16]).map_err(|e| e.kind()), Err(io::ErrorKind::WouldBlock));
            io
        });
        let mut io = cork.drive(protocol).await;
        let mut read = [0; 13];
        theirs.read_exact(&mut read).await.expect("it has left");
        assert_eq!(&read, b"one two three");
        // More than is gathered leaves as the peer reads.
        let large = vec![7; 2 * FULL + 1];
        let writes = Box::pin(async {
            io.write_all(&large).await.expect("there is room");
            io.shutdown().await.expect("nothing has failed");
        });
        let mut all = Vec::new();
        let ((), read) = tokio::join!(cork.drive(writes), theirs.read_to_end(&mut all));
        assert_eq!((read.expect("it ends"), all == large), (large.len(), true));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_peer_that_is_gone_shows() {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let (mut io, cork) = cork(Stream::Unix(ours), Rc::default());
        drop(theirs);
        cork.drive(pin!(io.write_all(b"lost"))).await.expect("gathered");
        let told = cork.drive(pin!(io.flush())).await;
        assert_eq!(told.map_err(|e| e.kind()), Err(io::ErrorKind::BrokenPipe));
    }

    /// Both ends of a TLS session over a pair of sockets, ours corked later.
    async fn secured() -> (Stream, tokio_rustls::client::TlsStream<UnixStream>) {
        let folder = tempfile::tempdir().expect("a throwaway folder");
        let ca = crate::tls::testing::Authority::new("cork");
        let (roots, _) = ca.write(folder.path());
        let (cert, key) = ca.server(&["localhost"]).write(folder.path(), "server");
        let tls = crate::config::Tls { cert, key, client_ca: None, client_crl: None, client_cert_required: false };
        let server = crate::tls::server::ServerTls::open(Some(&tls), None).expect("opens").config();
        let client =
            crate::tls::upstream::client_config(Some(&roots), crate::tls::upstream::ALPN_HTTP1).expect("a root");
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let name = rustls::pki_types::ServerName::try_from("localhost").expect("a name");
        let (ours, theirs) = tokio::join!(
            tokio_rustls::TlsAcceptor::from(server).accept(Stream::Unix(ours)),
            tokio_rustls::TlsConnector::from(client).connect(name, theirs)
        );
        (Stream::TlsServer(Box::new(ours.expect("a session"))), theirs.expect("a session"))
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_tls_holds_back_leaves_without_anything_behind_it() {
        // Lengths at which a socket that is full meets the end of the data in all ways.
        for length in (100_000..500_000).step_by(4_999) {
            let (ours, mut theirs) = secured().await;
            let (mut io, cork) = cork(ours, Rc::default());
            let sent = vec![7; length];
            let protocol = Box::pin(async {
                io.write_all(&sent).await.expect("there is room");
                io.flush().await.expect("nothing has failed");
                std::future::pending::<()>().await;
            });
            let mut read = vec![0; length];
            let read = async {
                // The socket fills up before anybody reads.
                tokio::task::yield_now().await;
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                theirs.read_exact(&mut read).await.expect("it has left");
            };
            let patience = std::time::Duration::from_secs(30);
            let all = tokio::time::timeout(patience, async {
                tokio::select! { () = cork.drive(protocol) => (), () = read => () }
            });
            all.await.unwrap_or_else(|_| panic!("the end of {length} bytes stays behind"));
        }
    }
}
