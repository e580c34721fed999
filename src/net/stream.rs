//! One type for every socket, so that the request path is written (and compiled) once.

use super::buffers::{ROOM, SIZE};
use bytes::BytesMut;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A connected socket. TLS sessions are boxed: they are large, and most connections of a sidecar have none.
#[derive(Debug)]
pub enum Stream {
    /// Plain TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// TLS towards a caller, on any stream.
    TlsServer(Box<tokio_rustls::server::TlsStream<Stream>>),
    /// TLS towards an upstream.
    TlsClient(Box<tokio_rustls::client::TlsStream<TcpStream>>),
    /// A socket that the event loop has let go of: nothing can be read or written before [`Stream::rouse`].
    Resting(Option<Resting>),
}

/// A socket of a resting [`Stream`].
#[derive(Debug)]
pub enum Resting {
    /// Plain TCP.
    Tcp(std::net::TcpStream),
    /// A Unix socket.
    Unix(std::os::unix::net::UnixStream),
}

impl Stream {
    /// Whether an idle connection has something to say: bytes nobody asked for, an end, or an error. On an idle connection
    /// every one of these means that it must not be used again. Asks the event loop only, without a system call where nothing
    /// has come; TLS is read, since session tickets come unasked and are no such thing, and since it may have decrypted more
    /// already than was asked for.
    pub fn stirred(&mut self) -> bool {
        let mut context = Context::from_waker(std::task::Waker::noop());
        match self {
            Self::Tcp(tcp) => tcp.poll_read_ready(&mut context).is_ready(),
            Self::Unix(unix) => unix.poll_read_ready(&mut context).is_ready(),
            Self::TlsServer(tls) => tls.get_mut().0.stirred(),
            Self::Resting(_) => true,
            Self::TlsClient(tls) => {
                let mut byte = [0];
                Pin::new(&mut **tls).poll_read(&mut context, &mut ReadBuf::new(&mut byte)).is_ready()
            }
        }
    }

    /// Waits for something to read, where the event loop can tell.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Tcp(tcp) => tcp.poll_read_ready(cx).map(drop),
            Self::Unix(unix) => unix.poll_read_ready(cx).map(drop),
            // There may be something behind what was decrypted last.
            Self::TlsServer(_) | Self::TlsClient(_) | Self::Resting(_) => Poll::Ready(()),
        }
    }

    /// Lets the event loop forget the socket: what it keeps of each is more than the socket itself.
    ///
    /// # Errors
    /// The operating system's; and `Unsupported` for an upstream's.
    pub fn rest(self) -> io::Result<Self> {
        match self {
            Self::Tcp(tcp) => Ok(Self::Resting(Some(Resting::Tcp(tcp.into_std()?)))),
            Self::Unix(unix) => Ok(Self::Resting(Some(Resting::Unix(unix.into_std()?)))),
            Self::TlsServer(tls) => Self::below(tls, Self::rest),
            Self::TlsClient(_) => Err(io::ErrorKind::Unsupported.into()),
            resting @ Self::Resting(_) => Ok(resting),
        }
    }

    /// Hands a resting socket back to the event loop.
    ///
    /// # Errors
    /// The operating system's.
    pub fn rouse(self) -> io::Result<Self> {
        match self {
            Self::Resting(Some(Resting::Tcp(tcp))) => Ok(Self::Tcp(TcpStream::from_std(tcp)?)),
            Self::Resting(Some(Resting::Unix(unix))) => Ok(Self::Unix(UnixStream::from_std(unix)?)),
            Self::TlsServer(tls) => Self::below(tls, Self::rouse),
            awake => Ok(awake),
        }
    }

    /// Changes the stream under a TLS session.
    fn below(
        mut tls: Box<tokio_rustls::server::TlsStream<Self>>,
        change: impl FnOnce(Self) -> io::Result<Self>,
    ) -> io::Result<Self> {
        let under = tls.get_mut().0;
        *under = change(std::mem::replace(under, Self::Resting(None)))?;
        Ok(Self::TlsServer(tls))
    }

    /// The socket under it all.
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        Some(match self {
            Self::Tcp(tcp) => tcp.as_fd(),
            Self::Unix(unix) => unix.as_fd(),
            Self::TlsServer(tls) => return tls.get_ref().0.socket(),
            Self::TlsClient(tls) => tls.get_ref().0.as_fd(),
            Self::Resting(Some(Resting::Tcp(tcp))) => tcp.as_fd(),
            Self::Resting(Some(Resting::Unix(unix))) => unix.as_fd(),
            Self::Resting(None) => return None,
        })
    }
}

/// Calls the same method on whichever stream this is.
macro_rules! each {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp(inner) => {
                let $stream = Pin::new(inner);
                $call
            }
            Stream::Unix(inner) => {
                let $stream = Pin::new(inner);
                $call
            }
            Stream::TlsServer(inner) => {
                let $stream = Pin::new(&mut **inner);
                $call
            }
            Stream::TlsClient(inner) => {
                let $stream = Pin::new(&mut **inner);
                $call
            }
            Stream::Resting(_) => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => stream.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(inner) => inner.is_write_vectored(),
            Self::Unix(inner) => inner.is_write_vectored(),
            Self::TlsServer(inner) => inner.is_write_vectored(),
            Self::TlsClient(inner) => inner.is_write_vectored(),
            Self::Resting(_) => false,
        }
    }
}

/// Reads once into the buffer's spare room, of which there is always a useful amount.
pub fn poll_read_buf(stream: &mut Stream, buffer: &mut BytesMut, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    if buffer.capacity() - buffer.len() < ROOM {
        buffer.reserve(SIZE);
    }
    pin!(stream.read_buf(buffer)).poll(cx)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls;
    use rustls::pki_types::ServerName;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    #[tokio::test(flavor = "current_thread")]
    async fn an_idle_session_stirs_by_what_is_decrypted_already_and_not_by_a_ticket() {
        let folder = tempfile::tempdir().expect("a throwaway folder");
        let ca = tls::testing::Authority::new("stream");
        let (roots, _) = ca.write(folder.path());
        let (cert, key) = ca.server(&["localhost"]).write(folder.path(), "server");
        let config = crate::config::Tls { cert, key, client_ca: None, client_crl: None, client_cert_required: false };
        let server = tls::server::ServerTls::open(Some(&config), None).expect("opens").config();
        let client = tls::upstream::client_config(Some(&roots), tls::upstream::ALPN_HTTP1).expect("a root");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let ours = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("it listens");
        let (theirs, _) = listener.accept().await.expect("a caller");
        let name = ServerName::try_from("localhost").expect("a name");
        let (ours, theirs) = tokio::join!(
            tokio_rustls::TlsConnector::from(client).connect(name, ours),
            tokio_rustls::TlsAcceptor::from(server).accept(theirs)
        );
        let (mut ours, mut theirs) =
            (Stream::TlsClient(Box::new(ours.expect("a session"))), theirs.expect("a session"));
        tokio::task::yield_now().await;
        assert!(!ours.stirred(), "tickets come unasked");
        theirs.write_all(b"answer, and one that nobody asked for").await.expect("room");
        theirs.flush().await.expect("sent");
        let mut answer = [0; 6];
        ours.read_exact(&mut answer).await.expect("an answer");
        assert!(ours.stirred(), "the rest lies in the session");
    }
}
