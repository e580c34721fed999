//! HTTP/1.1 by hand: one request on one connection, so that a test sees the very bytes.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer.
#[derive(Debug)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// The reason phrase.
    pub reason: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, chunks joined.
    pub body: Vec<u8>,
}

impl Answered {
    /// A header's first value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of text")
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|fault| panic!("{fault}: {self:?}"))
    }

    /// Status and Twilio's code.
    #[track_caller]
    pub fn refusal(&self) -> (u16, i64) {
        (self.status, self.json()["code"].as_i64().unwrap_or_default())
    }
}

/// Sends a request and reads the answer; `None` if the connection ends before one, or nothing comes for ten seconds.
pub fn ask(to: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Answered> {
    let mut stream = TcpStream::connect(to).expect("a listener");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let mut head = format!("{method} {target} HTTP/1.1\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        write!(head, "host: {to}\r\n").expect("a String takes all");
    }
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").expect("a String takes all");
    }
    write!(head, "content-length: {}\r\n\r\n", body.len()).expect("a String takes all");
    stream.write_all(head.as_bytes()).expect("a request goes out");
    stream.write_all(body).expect("a body goes out");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Option<Answered> {
    let end = bytes.windows(4).position(|part| part == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).expect("a head of text");
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.splitn(3, ' ').skip(1);
    let status = first.next()?.parse().expect("a status");
    let reason = first.next().unwrap_or_default().to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let body = &bytes[end + 4..];
    let chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = if chunked { joined(body) } else { body.to_vec() };
    Some(Answered { status, reason, headers, body })
}

fn joined(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|part| part == b"\r\n") {
        let size = std::str::from_utf8(&body[..end]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size in hex");
        if size == 0 {
            break;
        }
        whole.extend_from_slice(&body[end + 2..end + 2 + size]);
        body = &body[end + 2 + size + 2..];
    }
    whole
}
