//! Syslog, RFC 5424: facility 13 (log audit), the record as the message.
//!
//! Over TCP and TLS messages carry their length (RFC 6587, RFC 5425). Syslog has no acknowledgement: what a broken
//! connection had taken and not delivered is lost to syslog, and still in the trail.

use super::Sink;
use super::wire::{Address, Stream};
use crate::audit::scan::time_of;
use memchr::memmem;
use std::fs;
use std::io::{self, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// Syslog by one of its transports.
pub(super) struct Syslog {
    to: To,
    /// `HOST sidekey PID`
    origin: String,
}

enum To {
    Unix(PathBuf),
    Udp(String, u16, Option<UdpSocket>),
    Tcp(Address, Option<Box<dyn Stream>>),
}

impl Syslog {
    pub(super) fn unix(path: &Path) -> Self {
        Self::new(To::Unix(path.to_owned()))
    }

    pub(super) fn udp(host: &str, port: u16) -> Self {
        Self::new(To::Udp(host.to_owned(), port, None))
    }

    pub(super) fn tcp(address: Address) -> Self {
        Self::new(To::Tcp(address, None))
    }

    fn new(to: To) -> Self {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host: String = host.trim().chars().filter(char::is_ascii_graphic).take(255).collect();
        let host = if host.is_empty() { "-" } else { &host };
        Self { to, origin: format!("{host} sidekey {}", std::process::id()) }
    }

    fn message(&self, line: &[u8]) -> Vec<u8> {
        // Facility 13 times 8; severity 5 (notice) for a refusal, 6 (informational) for the rest.
        let denied = memmem::find(line, b",\"decision\":\"deny\"").is_some();
        let priority = 13 * 8 + if denied { 5 } else { 6 };
        let phase = memmem::find(line, b",\"phase\":\"").map_or(&b"-"[..], |at| &line[at + 10..]);
        let phase = phase.split(|&b| b == b'"').next().unwrap_or(b"-");
        let (time, phase) = (String::from_utf8_lossy(time_of(line)), String::from_utf8_lossy(phase));
        let mut message = format!("<{priority}>1 {time} {} {phase} - ", self.origin).into_bytes();
        message.extend_from_slice(line);
        message
    }
}

impl Sink for Syslog {
    fn send(&mut self, lines: &[u8]) -> io::Result<()> {
        let messages = lines.split(|&b| b == b'\n').filter(|line| !line.is_empty());
        let messages: Vec<_> = messages.map(|line| self.message(line)).collect();
        match &mut self.to {
            To::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                messages.iter().try_for_each(|message| socket.send(message).map(drop))
            }
            To::Udp(host, port, socket) => {
                let socket = match socket {
                    Some(socket) => socket,
                    None => socket.insert(connected(host, *port)?),
                };
                messages.iter().try_for_each(|message| socket.send(message).map(drop))
            }
            To::Tcp(address, stream) => {
                // A server may close between two batches, and would hear nothing of what is written to it then.
                let known = stream.take().and_then(|mut stream| (!stream.has_ended()).then_some(stream));
                let mut taken = known.map_or_else(|| address.connect(), Ok)?;
                let mut framed = Vec::with_capacity(lines.len() * 2);
                for message in messages {
                    write!(framed, "{} ", message.len())?;
                    framed.extend_from_slice(&message);
                }
                taken.write_all(&framed)?;
                taken.flush()?;
                // Only a connection that took everything is used again.
                *stream = Some(taken);
                Ok(())
            }
        }
    }
}

fn connected(host: &str, port: u16) -> io::Result<UdpSocket> {
    let any = if host.contains(':') { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect((host, port))?;
    Ok(socket)
}
