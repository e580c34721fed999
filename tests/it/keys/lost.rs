//! The upstream makes a key, and its answer is lost on the way back: nobody knows the secret, and no key may stay.

use crate::support::upstream::As;
use crate::support::world::{World, text};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Stands before the sandbox; what it is told to lose reaches the sandbox, and the answer does not come back.
#[derive(Clone, Default)]
pub(super) struct Losses {
    /// Answers to creations of keys that are lost.
    created: Arc<AtomicUsize>,
    /// The same for lists of keys.
    listed: Arc<AtomicUsize>,
    /// Creations of keys whose caller is cut off, and that reach the sandbox when nobody waits for them any more.
    late: Arc<AtomicUsize>,
    /// Method of the next request about keys that waits for [`Losses::go_on`].
    held: Arc<Mutex<Option<&'static str>>>,
    /// Whether it may go on.
    free: Arc<AtomicUsize>,
}

impl Losses {
    /// Whether the answer to this request is lost.
    fn take(&self, request: &[u8]) -> bool {
        let line = request.split(|&byte| byte == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let left = match line.split_once(' ') {
            Some(("POST", rest)) if rest.contains("/Keys.json") => &self.created,
            Some(("GET", rest)) if rest.contains("/Keys.json") => &self.listed,
            _ => return false,
        };
        one_less(left)
    }

    /// Begins to wait for a request about keys with this method, which is then held.
    pub(super) fn hold(&self, method: &'static str) {
        *self.held.lock().expect("nobody panicked") = Some(method);
    }

    /// Waits until the request is there.
    pub(super) fn until_held(&self) {
        let until = Instant::now() + Duration::from_secs(20);
        while self.held.lock().expect("nobody panicked").is_some() {
            assert!(Instant::now() < until, "no such request");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Lets the request go on.
    pub(super) fn go_on(&self) {
        self.free.store(1, Ordering::SeqCst);
    }

    /// Waits if this is the request to be held.
    fn wait(&self, request: &[u8]) {
        let mut held = self.held.lock().expect("nobody panicked");
        if held.is_none_or(|method| !request.starts_with(method.as_bytes())) {
            return;
        }
        *held = None;
        drop(held);
        while !one_less(&self.free) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Carries one connection. A caller sends one request after the other, and each in one piece.
    fn carry(&self, mut caller: TcpStream, sandbox: SocketAddr) -> std::io::Result<()> {
        let mut upstream = TcpStream::connect(sandbox)?;
        let (mut from, mut to) = (upstream.try_clone()?, caller.try_clone()?);
        let lost = Arc::new(AtomicUsize::new(0));
        let swallowed = Arc::clone(&lost);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                if swallowed.load(Ordering::SeqCst) > 0 || to.write_all(&buffer[..read]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Both);
        });
        let mut buffer = [0; 4096];
        loop {
            let read = caller.read(&mut buffer)?;
            if read == 0 {
                return upstream.shutdown(Shutdown::Both);
            }
            if buffer.starts_with(b"POST") && one_less(&self.late) {
                caller.shutdown(Shutdown::Both)?;
                std::thread::sleep(Duration::from_secs(1));
                upstream.write_all(&buffer[..read])?;
                // A connection that closes takes the call back.
                std::thread::sleep(Duration::from_secs(1));
                return Ok(());
            }
            self.wait(&buffer[..read]);
            if self.take(&buffer[..read]) {
                lost.store(1, Ordering::SeqCst);
            }
            upstream.write_all(&buffer[..read])?;
        }
    }
}

/// Counts down; whether it was above zero.
fn one_less(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

/// A world whose sandbox is reached through the losses.
pub(super) fn world() -> (World, Losses) {
    let (world, losses) = (World::new(), Losses::default());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (at, carrier) = (listener.local_addr().expect("bound"), losses.clone());
    let sandbox = world.upstream.sandbox.url();
    let address = sandbox.trim_start_matches("http://").parse().expect("an address");
    std::thread::spawn(move || {
        for caller in listener.incoming().map_while(Result::ok) {
            let carrier = carrier.clone();
            std::thread::spawn(move || carrier.carry(caller, address));
        }
    });
    let file = world.folder().join("sidekey.toml");
    let config = std::fs::read_to_string(&file).expect("a config");
    std::fs::write(file, config.replace(&sandbox, &format!("http://{at}"))).expect("a config");
    world.json(&["team", "create", "billing"]);
    (world, losses)
}

#[track_caller]
fn assert_settled(world: &World, losses: &Losses, keys: &[String]) {
    assert_eq!(
        (losses.created.load(Ordering::SeqCst), losses.listed.load(Ordering::SeqCst)),
        (0, 0),
        "nothing was lost"
    );
    assert_eq!(world.upstream_keys(), keys, "an orphan");
    let found = world.json(&["key", "reconcile"]);
    assert_eq!((&found["orphans"], &found["missing"]), (&json!([]), &json!([])), "{found}");
}

#[test]
fn a_key_whose_answer_was_lost_is_deleted_at_once() {
    let (world, losses) = world();
    losses.created.store(1, Ordering::SeqCst);
    let said = world.refused(&["key", "create", "billing"]);
    assert!(said.contains("the upstream did not answer"), "{said}");
    assert_settled(&world, &losses, &[]);
    let first = text(&world.json(&["key", "create", "billing"]), "sid");
    losses.created.store(1, Ordering::SeqCst);
    world.refused(&["key", "rotate", "billing", "--grace", "0s"]);
    assert_settled(&world, &losses, std::slice::from_ref(&first));
    assert_eq!(world.json(&["key", "list", "billing"])[0]["sid"], json!(first));
}

#[test]
fn a_key_that_could_not_even_be_looked_for_is_deleted_by_the_next_command() {
    for next in [&["key", "create", "billing"][..], &["key", "reconcile", "--delete-orphans"]] {
        let (world, losses) = world();
        losses.created.store(1, Ordering::SeqCst);
        // More than are asked for in one go.
        losses.listed.store(100, Ordering::SeqCst);
        world.refused(&["key", "create", "billing"]);
        losses.listed.store(0, Ordering::SeqCst);
        let orphan = world.upstream_keys();
        assert_eq!(orphan.len(), 1, "the upstream did make it");
        assert_eq!(world.json(&["key", "reconcile"])["orphans"][0]["sid"], json!(orphan[0]), "it is ours to delete");
        world.json(next);
        let keys: Vec<String> =
            world.json(&["key", "list"]).as_array().expect("a list").iter().map(|key| text(key, "sid")).collect();
        assert!(!keys.contains(&orphan[0]), "nobody knows its secret");
        assert_settled(&world, &losses, &keys);
    }
}

#[test]
fn a_key_that_is_made_when_nobody_waits_for_it_any_more_is_deleted() {
    let (world, losses) = world();
    let file = world.folder().join("sidekey.toml");
    let config = std::fs::read_to_string(&file).expect("a config");
    // It is looked for again after twice this time.
    assert!(config.contains("[upstream]\n"), "{config}");
    std::fs::write(&file, config.replace("[upstream]\n", "[upstream]\nresponse_timeout = \"1s\"\n")).expect("a config");
    losses.late.store(1, Ordering::SeqCst);
    world.refused(&["key", "create", "billing"]);
    let first = text(&world.json(&["key", "create", "billing"]), "sid");
    let until = Instant::now() + Duration::from_secs(20);
    while world.upstream_keys().len() < 2 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(world.upstream_keys().len(), 2, "the one that nobody knows was made late");
    while world.upstream_keys().len() > 1 && Instant::now() < until {
        // What a broker does by itself each second, any key command does.
        world.refused(&["key", "create", "billing"]);
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_settled(&world, &losses, &[first]);
}

#[test]
fn what_an_upstream_gives_back_of_the_master_credential_is_told_nobody() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (at, file) = (listener.local_addr().expect("bound"), world.folder().join("sidekey.toml"));
    let config = std::fs::read_to_string(&file).expect("a config");
    std::fs::write(&file, config.replace(&world.upstream.sandbox.url(), &format!("http://{at}"))).expect("a config");
    std::thread::spawn(move || {
        for mut caller in listener.incoming().map_while(Result::ok) {
            let mut head = vec![0; 4096];
            let read = caller.read(&mut head).unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..read]).into_owned();
            let sent = head.lines().find_map(|line| line.split_once("Basic ")).map_or("none", |(_, sent)| sent);
            let body = json!({ "code": 20001, "message": format!("you sent {sent}") }).to_string();
            let length = body.len();
            let head =
                format!("HTTP/1.1 400 Bad Request\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
            let _ = caller.write_all(head.as_bytes());
        }
    });
    world.json(&["team", "create", "billing"]);
    let said = world.refused(&["key", "create", "billing"]);
    assert!(said.contains("400/20001: you sent ") && said.contains("********"), "{said}");
    let As(username, password) = world.upstream.owner();
    let basic = STANDARD.encode(format!("{username}:{password}"));
    assert!(!said.contains(&password) && !said.contains(&basic[basic.len() - 24..]), "{said}");
}
