//! Plain and TLS connections of threads that may wait.

use crate::tls::upstream::client_config;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for a connection, and for each read and write: a place that takes longer is tried again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where to connect.
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    tls: Option<Arc<ClientConfig>>,
}

/// Both ways of a connection.
pub(super) trait Stream: Read + Write + Send {
    /// Whether the other side has ended it, as far as is known here already: what is written to it then is lost.
    fn has_ended(&mut self) -> bool;
}

impl Stream for TcpStream {
    fn has_ended(&mut self) -> bool {
        /// What a server says is read and let go, so far: behind it may stand the end.
        const MOST_READS: usize = 64;
        let mut reads =
            std::iter::repeat_with(|| at_once(self, |mut stream| stream.read(&mut [0; 1024]))).take(MOST_READS);
        reads.find(|read| !matches!(read, Some(Ok(1..)))).flatten().is_some()
    }
}

impl Stream for StreamOwned<ClientConnection, TcpStream> {
    fn has_ended(&mut self) -> bool {
        let Self { conn, sock } = self;
        while let Some(read) = at_once(sock, |mut stream| conn.read_tls(&mut stream)) {
            // Session tickets may wait there as well as the end.
            let more =
                matches!(read, Ok(1..)) && conn.process_new_packets().is_ok_and(|state| !state.peer_has_closed());
            if !more {
                return true;
            }
        }
        false
    }
}

/// Reads without waiting; `None` if nothing is there.
fn at_once(stream: &TcpStream, read: impl FnOnce(&TcpStream) -> io::Result<usize>) -> Option<io::Result<usize>> {
    let done = stream.set_nonblocking(true).and_then(|()| read(stream));
    match done.and_then(|bytes| stream.set_nonblocking(false).map(|()| bytes)) {
        Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => stream.set_nonblocking(false).err().map(Err),
        done => Some(done),
    }
}

impl Address {
    pub(super) fn new(host: &str, port: u16, tls: bool, ca: Option<&Path>) -> io::Result<Self> {
        let tls =
            tls.then(|| client_config(ca, &[])).transpose().map_err(|fault| io::Error::other(fault.to_string()))?;
        Ok(Self { host: host.to_owned(), port, tls })
    }

    pub(super) fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(stream) => return self.settle(stream),
                Err(fault) => last = fault,
            }
        }
        Err(last)
    }

    fn settle(&self, stream: TcpStream) -> io::Result<Box<dyn Stream>> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
        let connection = ClientConnection::new(tls.clone(), name).map_err(io::Error::other)?;
        Ok(Box::new(StreamOwned::new(connection, stream)))
    }
}
