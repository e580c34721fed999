//! A caller by hand: any bytes out, answers in, and every byte kept for a search.

use super::raw::Answered;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Long enough for any machine; a test that passes never waits for it.
const PATIENCE: Duration = Duration::from_secs(45);

/// What callers have been sent, packed bodies unpacked.
pub type Log = Arc<Mutex<Vec<u8>>>;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// In order, or by a reset.
    Closed,
    /// Not at all: nothing came for a long time.
    Open,
}

/// One connection.
pub struct Talk {
    stream: TcpStream,
    rest: Vec<u8>,
    log: Log,
    end: Option<End>,
}

impl Talk {
    /// Connects.
    pub fn open(to: SocketAddr, log: &Log) -> Self {
        let stream = TcpStream::connect(to).expect("a listener");
        stream.set_nodelay(true).expect("an option");
        stream.set_read_timeout(Some(PATIENCE)).expect("an option");
        Self { stream, rest: Vec::new(), log: Arc::clone(log), end: None }
    }

    /// Writes bytes; a broker that has closed already misses them. Says whether they went out.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Writes the same bytes again and again and reads nothing; how the connection ended, or that neither side moved
    /// for a long time.
    pub fn pour(&mut self, bytes: &[u8]) -> End {
        self.stream.set_write_timeout(Some(PATIENCE)).expect("an option");
        loop {
            match self.stream.write(bytes) {
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return End::Open,
                Err(_) => return End::Closed,
            }
        }
    }

    /// Writes as many of so many bytes as the buffers on the way hold, slowly enough for each piece to be read alone.
    pub fn fill(&mut self, bytes: usize) -> usize {
        self.stream.set_write_timeout(Some(Duration::from_secs(1))).expect("an option");
        let (piece, mut sent) = ([b'x'; 16 * 1024], 0);
        while sent < bytes {
            std::thread::sleep(Duration::from_millis(1));
            match self.stream.write(&piece[..piece.len().min(bytes - sent)]) {
                Ok(written) => sent += written,
                Err(_) => break,
            }
        }
        sent
    }

    /// Says that nothing more will come.
    pub fn hang_up(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Whether nothing has come that was not read; never waits.
    pub fn quiet(&self) -> bool {
        self.stream.set_nonblocking(true).expect("an option");
        let quiet = self.stream.peek(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        self.stream.set_nonblocking(false).expect("an option");
        quiet
    }

    /// How the connection ended, if it has.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// The next answer, interim ones included; `None` if the connection ends before its head, or within its body.
    pub fn answer(&mut self) -> Option<Answered> {
        self.answer_to("GET")
    }

    /// The next answer, to a request of this method.
    pub fn answer_to(&mut self, method: &str) -> Option<Answered> {
        let end = loop {
            if let Some(at) = find(&self.rest, b"\r\n\r\n") {
                break at;
            }
            self.more().then_some(())?;
        };
        let head: Vec<u8> = self.rest.drain(..end + 4).collect();
        let mut answered = head_of(&head[..end]);
        if method == "HEAD" || matches!(answered.status, 100..=199 | 204 | 304) {
            return Some(answered);
        }
        let lengths = answered.headers.iter().filter(|(name, _)| name == "content-length").count();
        let chunked = answered.header("transfer-encoding").is_some();
        assert!(lengths + usize::from(chunked) < 2, "an answer framed twice: {answered:?}");
        answered.body = match answered.header("content-length").map(|value| value.parse().expect("a length")) {
            Some(length) => self.take(length)?,
            None if chunked => self.chunks()?,
            None => {
                while self.more() {}
                std::mem::take(&mut self.rest)
            }
        };
        self.unpack(&answered);
        Some(answered)
    }

    /// Every answer until the connection ends.
    pub fn answers(&mut self) -> Vec<Answered> {
        std::iter::from_fn(|| self.answer()).collect()
    }

    /// Every byte until the connection ends.
    pub fn everything(&mut self) -> Vec<u8> {
        while self.more() {}
        std::mem::take(&mut self.rest)
    }

    fn more(&mut self) -> bool {
        let mut piece = [0; 16 * 1024];
        match self.stream.read(&mut piece) {
            Ok(read @ 1..) => {
                self.rest.extend_from_slice(&piece[..read]);
                self.log.lock().expect("no panic").extend_from_slice(&piece[..read]);
                return true;
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                self.end = Some(End::Open);
            }
            Ok(0) | Err(_) => self.end = Some(End::Closed),
        }
        false
    }

    fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.rest.len() < length {
            self.more().then_some(())?;
        }
        Some(self.rest.drain(..length).collect())
    }

    fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut whole = Vec::new();
        loop {
            let size = self.line()?;
            let size = usize::from_str_radix(&size, 16).unwrap_or_else(|_| panic!("a chunk size: {size:?}"));
            if size == 0 {
                // Trailers, then an empty line.
                while !self.line()?.is_empty() {}
                // Whole: a secret that was cut by chunks is one piece here.
                self.log.lock().expect("no panic").extend_from_slice(&whole);
                return Some(whole);
            }
            whole.extend(self.take(size)?);
            assert_eq!(self.take(2)?, b"\r\n", "the end of a chunk");
        }
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = find(&self.rest, b"\r\n") {
                let line: Vec<u8> = self.rest.drain(..end + 2).collect();
                return String::from_utf8(line[..end].to_vec()).ok();
            }
            self.more().then_some(())?;
        }
    }

    /// Logs what a packed body holds.
    fn unpack(&self, answered: &Answered) {
        let mut plain = Vec::new();
        // What is not packed after all is logged as it is anyway.
        let _ = MultiGzDecoder::new(&answered.body[..]).read_to_end(&mut plain);
        let _ = ZlibDecoder::new(&answered.body[..]).read_to_end(&mut plain);
        self.log.lock().expect("no panic").extend_from_slice(&plain);
    }
}

/// Where a part stands.
pub fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, part)
}

fn head_of(head: &[u8]) -> Answered {
    let head: String = head.iter().copied().map(char::from).collect();
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().splitn(3, ' ').skip(1);
    let status = first.next().and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("a status: {head:?}"));
    let reason = first.next().unwrap_or_default().to_owned();
    let field = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("a field: {head:?}"));
        (name.to_ascii_lowercase(), value.to_owned())
    };
    Answered { status, reason, headers: lines.map(field).collect(), body: Vec::new() }
}
