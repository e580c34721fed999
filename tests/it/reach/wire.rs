//! HTTP/1.1 by hand over any stream, so that a test sees every byte of a tunnel's opening and of its inside.

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// TLS over TCP, as a caller.
pub type Secure = StreamOwned<ClientConnection, TcpStream>;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The whole head.
    pub head: String,
    pub body: String,
}

impl Answer {
    /// A header's value, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|fault| panic!("{fault}: {self:?}"))
    }
}

/// A connection to a listener.
pub fn dial(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).expect("a listener");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    stream
}

/// Shakes hands as a caller; the error is that of the handshake.
pub fn secure<S: Read + Write>(
    stream: S,
    config: &Arc<ClientConfig>,
    name: &str,
) -> io::Result<StreamOwned<ClientConnection, S>> {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let session = ClientConnection::new(Arc::clone(config), name).expect("settings");
    let mut stream = StreamOwned::new(session, stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// Sends a request and reads its answer, which has a length or no body; the connection lives on.
pub fn ask(stream: &mut (impl Read + Write), line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut head = format!("{line} HTTP/1.1\r\n");
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").expect("a String takes all");
    }
    if !body.is_empty() {
        write!(head, "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n", body.len())
            .expect("a String takes all");
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).expect("sent");
    stream.flush().expect("sent");
    read(stream)
}

/// Reads one answer.
pub fn read(stream: &mut impl Read) -> Answer {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap_or_else(|fault| panic!("{fault} after {}", String::from_utf8_lossy(&head)));
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("a head of text");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let mut answer = Answer { status, head, body: String::new() };
    if let Some(length) = answer.header("content-length") {
        let mut body = vec![0; length.parse().expect("a length")];
        stream.read_exact(&mut body).expect("a body");
        answer.body = String::from_utf8(body).expect("a body of text");
    } else if answer.header("transfer-encoding").is_some() {
        answer.body = chunks(stream);
    }
    answer
}

fn chunks(stream: &mut impl Read) -> String {
    let line = |stream: &mut dyn Read| {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a chunk");
            line.push(byte[0]);
        }
        String::from_utf8(line).expect("a line").trim_end().to_owned()
    };
    let mut body = Vec::new();
    loop {
        let size = usize::from_str_radix(&line(stream), 16).expect("a size");
        let mut chunk = vec![0; size];
        stream.read_exact(&mut chunk).expect("a chunk");
        body.extend_from_slice(&chunk);
        line(stream);
        if size == 0 {
            return String::from_utf8(body).expect("a body of text");
        }
    }
}
