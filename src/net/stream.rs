//! One type for every socket, so that the request path is written (and compiled) once.

use bytes::BytesMut;
use std::io;
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
}

impl Stream {
    /// Whether an idle connection has something to say: bytes nobody asked for, an end, or an error. On an idle connection
    /// every one of these means that it must not be used again. Asks the event loop only, without a system call; TLS is
    /// read where there is something to read, since session tickets come unasked and are no such thing.
    pub fn stirred(&mut self) -> bool {
        let mut context = Context::from_waker(std::task::Waker::noop());
        match self {
            Self::Tcp(tcp) => tcp.poll_read_ready(&mut context).is_ready(),
            Self::Unix(unix) => unix.poll_read_ready(&mut context).is_ready(),
            Self::TlsServer(tls) => tls.get_mut().0.stirred(),
            Self::TlsClient(tls) => {
                let mut byte = [0];
                tls.get_ref().0.poll_read_ready(&mut context).is_ready()
                    && Pin::new(&mut **tls).poll_read(&mut context, &mut ReadBuf::new(&mut byte)).is_ready()
            }
        }
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
        }
    }
}

/// Makes room for large pieces: each costs a call into the kernel, and a lookout for the key.
pub fn widen(buffer: &mut BytesMut) {
    buffer.reserve(64 * 1024);
}

/// Reads once into the buffer's spare room, of which there is always a useful amount.
pub fn poll_read_buf(stream: &mut Stream, buffer: &mut BytesMut, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    if buffer.capacity() - buffer.len() < 4096 {
        buffer.reserve(16 * 1024);
    }
    pin!(stream.read_buf(buffer)).poll(cx)
}
