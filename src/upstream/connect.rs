//! Opening connections.

use crate::config;
use crate::net::Stream;
use crate::tls::upstream::{ALPN_ANY, ALPN_HTTP1, client_config};
use rustix::io::Errno;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Opens connections to upstreams; shared by all cores.
#[derive(Clone)]
pub struct Connector {
    tls: Arc<ClientConfig>,
    timeout: Duration,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// Why a connection could not be opened.
#[derive(Debug)]
pub enum DialError {
    /// Not within `connect_timeout`.
    Timeout,
    /// The operating system's or TLS's word.
    Io(io::Error),
}

impl DialError {
    /// Whether the broker itself has run out of something: no upstream is at fault.
    pub fn is_own(&self) -> bool {
        let Self::Io(error) = self else { return false };
        let own = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL];
        error.raw_os_error().is_some_and(|code| own.iter().any(|errno| errno.raw_os_error() == code))
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no connection in time"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

/// A new connection and what it speaks.
#[derive(Debug)]
pub struct Dialled {
    /// The connection.
    pub stream: Stream,
    /// Whether ALPN chose HTTP/2.
    pub http2: bool,
}

impl Connector {
    /// Settings for every upstream connection.
    ///
    /// # Errors
    /// A CA file that gives no root.
    pub fn new(upstream: &config::Upstream) -> Result<Self, crate::tls::Error> {
        Ok(Self { tls: client_config(upstream.ca.as_deref(), ALPN_ANY)?, timeout: upstream.connect_timeout })
    }

    /// Settings for calls that want one answer and no more: HTTP/1.1 alone.
    ///
    /// # Errors
    /// A CA file that gives no root.
    pub fn http1(upstream: &config::Upstream) -> Result<Self, crate::tls::Error> {
        Ok(Self { tls: client_config(upstream.ca.as_deref(), ALPN_HTTP1)?, timeout: upstream.connect_timeout })
    }

    /// Opens a connection, within `connect_timeout`.
    ///
    /// # Errors
    /// [`DialError`]; every address of the name has been tried.
    pub async fn dial(&self, origin: &config::Origin) -> Result<Dialled, DialError> {
        match tokio::time::timeout(self.timeout, self.open(origin)).await {
            Ok(done) => done.map_err(DialError::Io),
            Err(_) => Err(DialError::Timeout),
        }
    }

    async fn open(&self, origin: &config::Origin) -> io::Result<Dialled> {
        let tcp = connect(&origin.host, origin.port).await?;
        tcp.set_nodelay(true)?;
        if !origin.tls {
            return Ok(Dialled { stream: Stream::Tcp(tcp), http2: false });
        }
        let name = ServerName::try_from(origin.host.clone()).map_err(io::Error::other)?;
        let tls = TlsConnector::from(Arc::clone(&self.tls)).connect(name, tcp).await?;
        let http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Dialled { stream: Stream::TlsClient(Box::new(tls)), http2 })
    }
}

/// Tries every address of a name; the error is that of the last one that could be tried.
async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut fault = None;
    for address in tokio::net::lookup_host((host, port)).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            // Of IPv4 it means that no port is left, of IPv6 that this machine has no address of its own.
            Err(error) if address.is_ipv6() && error.kind() == io::ErrorKind::AddrNotAvailable => {
                fault.get_or_insert_with(|| {
                    io::Error::new(io::ErrorKind::NetworkUnreachable, format!("no IPv6 here: {error}"))
                });
            }
            Err(error) => fault = Some(error),
        }
    }
    Err(fault.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_run_out_is_told_from_who_is_not_there() {
        let of = |errno: Errno| DialError::Io(io::Error::from_raw_os_error(errno.raw_os_error()));
        assert!(of(Errno::MFILE).is_own() && of(Errno::ADDRNOTAVAIL).is_own());
        assert!(!of(Errno::CONNREFUSED).is_own() && !DialError::Timeout.is_own());
    }
}
