//! An HTTP/2 upstream that has few streams, refuses some, or says goodbye.

use super::pairs::{Between, Pair, SECRET, acceptor};
use super::pieces::Pieces;
use super::world::Issued;
use crate::support::frames::{ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, frame};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, mpsc as channel};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

const PAIR: Pair = Pair { near: "http/1.1", far: "h2" };

const REFUSED_STREAM: u32 = 7;
const INTERNAL_ERROR: u32 = 2;

/// What the upstream does with a request once it has seen it.
#[derive(Clone)]
enum Act {
    /// Answers 201 with the body it was sent.
    Echo,
    /// The same once so many are waiting for it.
    Together(Arc<Barrier>),
    /// Ends the stream with this code.
    Reset(u32),
    /// Says that it has looked at nothing, and goes.
    Leave,
    /// Goes without a word once so many are waiting for it.
    Vanish(Arc<Barrier>),
}

/// An upstream's script and memory.
struct Script {
    /// Streams at once on one connection.
    streams: u8,
    /// What to do with each request in turn; the last is for all that follow.
    acts: Vec<Act>,
    /// Whether it does so before it has a body.
    at_once: bool,
    requests: AtomicUsize,
    connections: AtomicUsize,
    /// Connections that know how many streams they have.
    informed: AtomicUsize,
    bodies: Mutex<Vec<String>>,
}

impl Script {
    fn new(acts: &[Act]) -> Self {
        Self {
            streams: 100,
            acts: acts.to_vec(),
            at_once: false,
            requests: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            informed: AtomicUsize::new(0),
            bodies: Mutex::default(),
        }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Does what comes next.
    async fn act(self: Arc<Self>, stream: u32, body: String, out: channel::UnboundedSender<Vec<u8>>) {
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        let act = self.acts[number.min(self.acts.len() - 1)].clone();
        self.bodies.lock().expect("unbroken").push(body.clone());
        let frames = match act {
            Act::Reset(code) => frame(RST_STREAM, 0, stream, &code.to_be_bytes()),
            // With a word of its own: the key that it was sent.
            Act::Leave => frame(GOAWAY, 0, 0, &[&[0; 8][..], SECRET.as_bytes()].concat()),
            Act::Vanish(all) => {
                all.wait().await;
                Vec::new()
            }
            Act::Echo | Act::Together(_) => {
                if let Act::Together(all) = act {
                    all.wait().await;
                }
                // `:status: 201`, as a literal with the name of entry 8.
                let head = [&[0x08, 3][..], b"201"].concat();
                let head = frame(HEADERS, END_HEADERS, stream, &head);
                [head, frame(DATA, END_STREAM, stream, body.as_bytes())].concat()
            }
        };
        let _ = out.send(frames);
        if matches!(self.acts[number.min(self.acts.len() - 1)], Act::Leave) {
            let _ = out.send(Vec::new());
        }
    }

    /// Serves one connection.
    async fn serve(self: Arc<Self>, acceptor: TlsAcceptor, tcp: TcpStream) -> Option<()> {
        let (mut from, mut to) = split(acceptor.accept(tcp).await.ok()?);
        self.connections.fetch_add(1, Ordering::SeqCst);
        let (out, mut outs) = channel::unbounded_channel::<Vec<u8>>();
        tokio::spawn(async move {
            while let Some(bytes) = outs.recv().await {
                // Nothing to say: the end.
                if bytes.is_empty() || to.write_all(&bytes).await.is_err() || to.flush().await.is_err() {
                    let _ = to.shutdown().await;
                    return;
                }
            }
        });
        from.read_exact(&mut [0; 24]).await.ok()?;
        out.send(frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, self.streams])).ok()?;
        let mut bodies = BTreeMap::<u32, Vec<u8>>::new();
        loop {
            let mut head = [0; 9];
            from.read_exact(&mut head).await.ok()?;
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            from.read_exact(&mut payload).await.ok()?;
            let (kind, flags) = (head[3], head[4]);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            match kind {
                SETTINGS | PING if flags & ACK == 0 => {
                    let echoed = if kind == PING { &payload[..] } else { &[] };
                    out.send(frame(kind, ACK, 0, echoed)).ok()?;
                }
                SETTINGS => drop(self.informed.fetch_add(1, Ordering::SeqCst)),
                HEADERS => drop(bodies.insert(stream, Vec::new())),
                DATA => bodies.get_mut(&stream)?.extend(payload),
                _ => {}
            }
            let seen = if self.at_once { kind == HEADERS } else { flags & END_STREAM != 0 };
            if seen && matches!(kind, HEADERS | DATA) {
                let body = String::from_utf8_lossy(&bodies[&stream]).into_owned();
                tokio::spawn(Arc::clone(&self).act(stream, body, out.clone()));
            }
        }
    }

    /// Listens.
    async fn listen(self: Arc<Self>, own: &Issued) -> SocketAddr {
        let acceptor = acceptor(own, "h2");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&self).serve(acceptor.clone(), tcp));
            }
        });
        address
    }
}

async fn before(script: &Arc<Script>) -> Between {
    let (_, stopped) = mpsc::channel();
    Between::before(PAIR, stopped, async |own| Arc::clone(script).listen(own).await).await
}

/// The status of a POST of this body.
async fn post(between: &Between, body: Pieces) -> u16 {
    between.caller().await.send(between.request("POST", "", body)).await.status().as_u16()
}

#[tokio::test]
async fn more_requests_than_a_connection_has_streams_take_more_connections() {
    const AT_ONCE: usize = 7;
    let all = Arc::new(Barrier::new(AT_ONCE));
    let script = Arc::new(Script { streams: 2, ..Script::new(&[Act::Echo, Act::Together(all)]) });
    let between = before(&script).await;
    // The first one learns how many streams there are.
    assert_eq!(post(&between, Pieces::text("first")).await, 201);
    let mut waiting = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (mut caller, request) = (between.caller().await, between.request("POST", "", Pieces::text("To=1")));
        waiting.spawn(async move { caller.send(request).await.status() });
    }
    for status in waiting.join_all().await {
        assert_eq!(status, 201, "one that waits for a stream of the others would wait for ever");
    }
    let connections = script.connections.load(Ordering::SeqCst);
    // How many streams a new connection has is known a moment after it is open: the first may take more.
    assert!((2..=16).contains(&connections), "{connections} connections");
}

#[tokio::test]
async fn what_an_upstream_writes_into_its_goodbye_is_kept_nowhere() {
    let script = Arc::new(Script::new(&[Act::Leave]));
    let between = before(&script).await;
    assert_eq!(post(&between, Pieces::text("To=1")).await, 502);
    let left = between.end();
    assert!(left.contains("\"reason\":\"upstream_unreachable\",\"detail\":\""), "{left}");
    assert!(!left.contains(SECRET) && !left.contains(&SECRET[1..]), "{left}");
}

#[tokio::test]
async fn what_the_upstream_says_it_did_not_look_at_is_sent_again_once() {
    for (name, act) in [("refused", Act::Reset(REFUSED_STREAM)), ("goodbye", Act::Leave)] {
        let script = Arc::new(Script::new(&[act.clone(), Act::Echo]));
        let between = before(&script).await;
        assert_eq!(post(&between, Pieces::text("To=%2B15558675310")).await, 201, "{name}");
        assert_eq!(*script.bodies.lock().expect("unbroken"), ["To=%2B15558675310"; 2], "{name}");
        let script = Arc::new(Script::new(&[act]));
        let between = before(&script).await;
        assert_eq!(post(&between, Pieces::text("To=%2B15558675310")).await, 502, "{name}: again and again");
        assert_eq!(script.requests(), 2, "{name}: once more, and no more");
    }
}

#[tokio::test]
async fn what_may_have_been_processed_or_is_not_here_any_more_is_not_sent_again() {
    let script = Arc::new(Script::new(&[Act::Reset(INTERNAL_ERROR), Act::Echo]));
    let between = before(&script).await;
    assert_eq!(post(&between, Pieces::text("To=%2B15558675310")).await, 502);
    assert_eq!(script.requests(), 1);
    // Refused in its midst: what was read of the body is gone.
    let acts = [Act::Reset(REFUSED_STREAM), Act::Echo];
    let script = Arc::new(Script { at_once: true, ..Script::new(&acts) });
    let between = before(&script).await;
    let (gone, _) = mpsc::channel();
    assert_eq!(post(&between, Pieces::endless(gone)).await, 502);
    assert_eq!(script.requests(), 1);
}

#[tokio::test]
async fn what_waits_for_a_stream_of_a_connection_that_breaks_is_sent_on_another() {
    // As many connections as there may be, all of them full.
    const FULL: usize = 16;
    const WAITING: usize = 3;
    let break_off = Arc::new(Barrier::new(FULL + 1));
    let acts = [vec![Act::Vanish(Arc::clone(&break_off)); FULL], vec![Act::Echo]].concat();
    let script = Arc::new(Script { streams: 1, ..Script::new(&acts) });
    let between = before(&script).await;
    let mut held = JoinSet::new();
    for number in 0..=FULL {
        // The first connection is opened without a request.
        until(|| script.requests() == number && script.informed.load(Ordering::SeqCst) == number.max(1)).await;
        if number < FULL {
            spawn_post(&mut held, &between, "held").await;
        }
    }
    let mut waiting = JoinSet::new();
    for _ in 0..WAITING {
        spawn_post(&mut waiting, &between, "waits").await;
    }
    // Nobody can see that they wait. Without this they may come later, and be none of those that are meant.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((script.requests(), script.connections.load(Ordering::SeqCst)), (FULL, FULL));
    break_off.wait().await;
    assert_eq!(held.join_all().await, [502; FULL], "what was sent may have been processed");
    assert_eq!(waiting.join_all().await, [201; WAITING], "what was not sent was not processed");
    let bodies = script.bodies.lock().expect("unbroken").clone();
    assert_eq!(bodies.iter().filter(|body| *body == "waits").count(), WAITING, "each of them once");
}

/// Waits for this.
async fn until(so: impl Fn() -> bool) {
    while !so() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Begins to POST this body.
async fn spawn_post(set: &mut JoinSet<u16>, between: &Between, body: &str) {
    let (mut caller, request) = (between.caller().await, between.request("POST", "", Pieces::text(body)));
    set.spawn(async move { caller.send(request).await.status().as_u16() });
}
