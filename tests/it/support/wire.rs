//! An upstream by hand: it records the very bytes it is sent, and answers with whatever bytes a test writes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Long enough for any machine; a test that passes never waits for it.
const PATIENCE: Duration = Duration::from_mins(1);

/// A request as it arrived.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Which connection, from 0.
    pub connection: usize,
    /// The head with its empty line.
    pub head: String,
    /// The body as far as it was read, chunks joined.
    pub body: Vec<u8>,
    /// The trailers of a body in chunks, lines with their ends.
    pub trailers: String,
    /// Whether the body was read to its end.
    pub whole: bool,
}

impl Heard {
    /// Method and target.
    pub fn line(&self) -> &str {
        self.head.split(" HTTP/1.1\r\n").next().unwrap_or_default()
    }

    /// Every value of a header.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let fields = self.head.split("\r\n").skip(1).filter_map(|line| line.split_once(": "));
        fields.filter(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// A header's first value.
    pub fn value(&self, name: &str) -> &str {
        self.values(name).first().copied().unwrap_or_default()
    }

    /// What a strict reader has against it: every way in which another hop could read it differently.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let head = self.head.strip_suffix("\r\n\r\n").unwrap_or_default();
        if head.replace("\r\n", "").bytes().any(|byte| !matches!(byte, b' '..=b'~')) {
            faults.push("a byte that is not visible ASCII".to_owned());
        }
        let mut lines = head.split("\r\n");
        let first: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
        if first.len() != 3 || !first[1].starts_with('/') || first[2] != "HTTP/1.1" {
            faults.push(format!("request line {first:?}"));
        }
        let name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^`|~".contains(&byte);
        for line in lines {
            match line.split_once(": ") {
                Some((name, value)) if !name.is_empty() && name.bytes().all(name_byte) && value.trim() == value => {}
                _ => faults.push(format!("line {line:?}")),
            }
        }
        for once in ["host", "authorization"] {
            if self.values(once).len() != 1 {
                faults.push(format!("{once}: {:?}", self.values(once)));
            }
        }
        let (lengths, codings) = (self.values("content-length"), self.values("transfer-encoding"));
        if lengths.len() + codings.len() > 1 || codings.iter().any(|coding| *coding != "chunked") {
            faults.push(format!("framing {lengths:?} {codings:?}"));
        }
        faults
    }
}

/// What becomes of a connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It waits for the next request.
    Keep,
    /// It is closed.
    Close,
}

/// One request and the connection to answer it on.
pub struct Exchange {
    /// What has been read of it.
    pub heard: Heard,
    /// Which request of its connection, from 0.
    pub turn: usize,
    stream: TcpStream,
    /// Bytes read and not understood yet.
    rest: Vec<u8>,
    state: Arc<State>,
    index: usize,
}

impl Exchange {
    /// Writes bytes; a broker that hung up misses them.
    pub fn say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// An answer with this body and these lines of the head.
    pub fn answer(&mut self, status: &str, lines: &str, body: &[u8]) -> After {
        let head = format!("HTTP/1.1 {status}\r\n{lines}Content-Length: {}\r\n\r\n", body.len());
        self.say([head.as_bytes(), body].concat());
        After::Keep
    }

    /// Reads the body to its end; what came so far if it is cut.
    pub fn body(&mut self) -> &[u8] {
        if !self.heard.whole {
            let chunked = self.heard.value("transfer-encoding") == "chunked";
            let whole = if chunked { self.chunks() } else { self.length() };
            self.heard.whole = whole.is_some();
            self.state.heard()[self.index] = self.heard.clone();
        }
        &self.heard.body
    }

    /// Waits until the broker says or closes something; `false` at the end.
    pub fn more(&mut self) -> bool {
        let mut piece = [0; 16 * 1024];
        let read = self.stream.read(&mut piece).unwrap_or(0);
        self.rest.extend_from_slice(&piece[..read]);
        self.state.bytes.lock().expect("no panic").extend_from_slice(&piece[..read]);
        read > 0
    }

    /// The stream itself.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    fn length(&mut self) -> Option<()> {
        let mut left: usize = self.heard.value("content-length").parse().unwrap_or(0);
        while left > 0 {
            if self.rest.is_empty() && !self.more() {
                return None;
            }
            let taken = left.min(self.rest.len());
            self.heard.body.extend(self.rest.drain(..taken));
            left -= taken;
        }
        Some(())
    }

    /// One shape of chunk only: what the broker writes anew has no extensions.
    fn chunks(&mut self) -> Option<()> {
        loop {
            let size = self.line()?;
            let size = usize::from_str_radix(&size, 16).unwrap_or_else(|_| panic!("a chunk size: {size:?}"));
            if size == 0 {
                return self.trailers();
            }
            while self.rest.len() < size + 2 {
                self.more().then_some(())?;
            }
            self.heard.body.extend(self.rest.drain(..size));
            let end: Vec<u8> = self.rest.drain(..2).collect();
            assert_eq!(end, b"\r\n", "the end of a chunk");
        }
    }

    fn trailers(&mut self) -> Option<()> {
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Some(());
            }
            self.heard.trailers.push_str(&line);
            self.heard.trailers.push_str("\r\n");
        }
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.rest.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.rest.drain(..end + 2).collect();
                return String::from_utf8(line[..end].to_vec()).ok();
            }
            self.more().then_some(())?;
        }
    }

    /// Reads the next head.
    fn next(&mut self) -> Option<()> {
        let end = loop {
            if let Some(at) = self.rest.windows(4).position(|part| part == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().then_some(())?;
        };
        let head: Vec<u8> = self.rest.drain(..end).collect();
        let head = head.into_iter().map(char::from).collect();
        self.heard = Heard { connection: self.heard.connection, head, ..Heard::default() };
        let mut all = self.state.heard();
        self.index = all.len();
        all.push(self.heard.clone());
        Some(())
    }
}

/// What all connections share.
struct State {
    heard: Mutex<Vec<Heard>>,
    bytes: Mutex<Vec<u8>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    stopped: AtomicBool,
}

impl State {
    fn heard(&self) -> MutexGuard<'_, Vec<Heard>> {
        self.heard.lock().expect("no panic while it was held")
    }
}

/// A running upstream.
pub struct Wire {
    /// Where it is.
    pub address: SocketAddr,
    state: Arc<State>,
}

impl Wire {
    /// Starts one that answers with `play`.
    pub fn start(play: impl Fn(&mut Exchange) -> After + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            heard: Mutex::default(),
            bytes: Mutex::default(),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        });
        let (shared, play) = (Arc::clone(&state), Arc::new(play));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (state, play) = (Arc::clone(&shared), Arc::clone(&play));
                std::thread::spawn(move || serve(stream, state, &*play));
            }
        });
        Self { address, state }
    }

    /// Every request so far.
    pub fn heard(&self) -> Vec<Heard> {
        self.state.heard().clone()
    }

    /// How many requests so far.
    pub fn count(&self) -> usize {
        self.state.heard().len()
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }

    /// How many connections so far.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// The last request.
    #[track_caller]
    pub fn last(&self) -> Heard {
        self.state.heard().last().expect("a request").clone()
    }

    /// Every byte so far, of all connections.
    pub fn bytes(&self) -> Vec<u8> {
        self.state.bytes.lock().expect("no panic while it was held").clone()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        // Wakes the listener.
        drop(TcpStream::connect(self.address));
    }
}

fn serve(stream: TcpStream, state: Arc<State>, play: &(impl Fn(&mut Exchange) -> After + ?Sized)) {
    let connection = state.connections.fetch_add(1, Ordering::SeqCst);
    stream.set_nodelay(true).expect("an option");
    stream.set_read_timeout(Some(PATIENCE)).expect("an option");
    stream.set_write_timeout(Some(PATIENCE)).expect("an option");
    let counted = Arc::clone(&state);
    counted.open.fetch_add(1, Ordering::SeqCst);
    let heard = Heard { connection, ..Heard::default() };
    let mut exchange = Exchange { heard, turn: 0, stream, rest: Vec::new(), state, index: 0 };
    while exchange.next().is_some() {
        let after = play(&mut exchange);
        exchange.turn += 1;
        if after == After::Close {
            break;
        }
        exchange.body();
    }
    let _ = exchange.stream.shutdown(Shutdown::Both);
    drop(exchange);
    counted.open.fetch_sub(1, Ordering::SeqCst);
}
