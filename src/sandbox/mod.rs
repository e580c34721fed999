//! A Twilio-compatible upstream in memory: every credential rule real, nothing sent to anybody.
//!
//! [`Sandbox::start`] listens on the current tokio runtime and stops when the value is dropped. Product by product:
//! Accounts, Keys, Messages, Calls and phone numbers on api; Keys with Restricted keys on iam; services, conversations,
//! participants, users, sinks and subscriptions on the product hosts. `/_sandbox/` holds switches for tests.
//!
//! # Switches
//! They need no credential and answer only where Host names no host of Twilio's. Forms unless said otherwise.
//!
//! | switch | what it does |
//! |---|---|
//! | `GET /_sandbox/requests[?limit=N]` | what arrived, as a JSON array, oldest first: `number method host path query sid authorization headers`, never a secret; `Sandbox-Request-Count` counts the forgotten too |
//! | `DELETE /_sandbox/requests` | forgets it |
//! | `POST /_sandbox/fail` | the next `count` (1) requests fail, all or those whose path begins with `path`: `mode=status` (`status`, `code`, by default Twilio's for that status, `retry_after`), `hang`, `cut`, or `echo` (the `Authorization` value comes back in `X-Echo-Authorization` and the body; `encoding=gzip` or `deflate`, `chunk` in bytes, `trailers=true`) |
//! | `DELETE /_sandbox/fail` | takes that back |
//! | `POST /_sandbox/keys` | a key as the console makes them: `kind=main`, `standard` or `restricted` (`policy`), `account_sid`, `friendly_name` |
//! | `POST /_sandbox/access-tokens/validate` | `token`: 200 with the claims, or 401 with Twilio's code |
//!
//! A request goes `listen` → `dispatch` → `accounts`, `keys`, `available` or the `engine` over `resources` → `answer`.
//! The sandbox knows [`crate::twilio`] and never the broker: it must not share the broker's idea of what is right.

mod accounts;
mod address;
mod answer;
mod auth;
mod available;
mod control;
mod dispatch;
mod engine;
mod fault;
mod keys;
mod lenient;
mod listen;
mod log;
mod paging;
mod params;
mod permission;
mod refusal;
mod resource;
mod resources;
mod seed;
mod shelf;
mod sid;
mod state;
mod time;
mod tokens;
mod view;
mod wanted;

pub use log::Seen;

use crate::clock::Clock;
use crate::ids::{AccountSid, KeySid};
use crate::secret::Secret;
use fault::Faults;
use log::Log;
use rustls::ServerConfig;
use state::{Power, State};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// How a sandbox is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The main account; a random one if `None`.
    pub account_sid: Option<AccountSid>,
    /// Its auth token; a random one if `None`. An empty one lets in whoever knows the account.
    pub auth_token: Option<Secret>,
    /// What every answer of the API waits; the switches under `/_sandbox/` never wait.
    pub latency: Duration,
    /// TLS with these settings; plain HTTP if `None`. HTTP/1.1 and HTTP/2 are told apart by their first bytes, so ALPN
    /// is free to say what it likes.
    pub tls: Option<Arc<ServerConfig>>,
    /// The time in dates and for Access Tokens.
    pub clock: Clock,
}

impl Default for Options {
    /// A random account on a free port of the loopback, in plain HTTP and without delay.
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            account_sid: None,
            auth_token: None,
            latency: Duration::ZERO,
            tls: None,
            clock: Clock::system(),
        }
    }
}

/// A running sandbox. Dropping it stops it: answers under way have a second to end.
#[derive(Debug)]
pub struct Sandbox {
    address: SocketAddr,
    tls: bool,
    auth_token: Secret,
    shared: Arc<Shared>,
    _stop: watch::Sender<()>,
}

/// What a key of [`Sandbox::create_key`] may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Everything; Twilio makes these in its console only.
    Main,
    /// Everything but accounts and keys.
    Standard,
}

impl Sandbox {
    /// Starts on the current tokio runtime, which must have I/O and time.
    ///
    /// # Errors
    /// The address can't be listened on.
    pub fn start(options: Options) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(options.listen)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let random_account = || AccountSid::parse(sid::Sid::fresh("AC").as_str());
        let account_sid = options.account_sid.or_else(random_account).expect("a fresh name has the shape of one");
        let auth_token = options.auth_token.unwrap_or_else(|| Secret::from(sid::hex32()));
        let shared = Arc::new(Shared::new(account_sid, &auth_token, options.latency, options.clock));
        let (stop, stopped) = watch::channel(());
        let tls = options.tls.map(TlsAcceptor::from);
        let sandbox = Self { address, tls: tls.is_some(), auth_token, shared: shared.clone(), _stop: stop };
        tokio::spawn(listen::accept(listener, tls, shared, stopped));
        Ok(sandbox)
    }

    /// `http://127.0.0.1:4010`, or `https://…` with TLS.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The main account.
    pub fn account_sid(&self) -> AccountSid {
        self.shared.account_sid
    }

    /// The main account's auth token.
    pub fn auth_token(&self) -> &Secret {
        &self.auth_token
    }

    /// Makes a key of the main account, as the console would.
    pub fn create_key(&self, kind: KeyKind) -> (KeySid, Secret) {
        let power = if kind == KeyKind::Main { Power::Main } else { Power::Standard };
        let mut state = self.shared.state();
        let account = sid::Sid::parse(self.shared.account_sid.as_str(), AccountSid::PREFIX);
        let account = account.expect("both types read the same shape");
        let key = state.create_key(account, None, power, self.shared.now());
        (KeySid::parse(key.sid.as_str()).expect("both types read the same shape"), key.secret)
    }

    /// What arrived: how many since the start or the last clearing, and the last 100,000 of them, oldest first.
    pub fn requests(&self) -> (u64, Vec<Seen>) {
        self.shared.log.newest(usize::MAX)
    }
}

/// What every connection sees.
#[derive(Debug)]
struct Shared {
    account_sid: AccountSid,
    latency: Duration,
    clock: Clock,
    state: Mutex<State>,
    log: Log,
    faults: Faults,
}

impl Shared {
    fn new(account_sid: AccountSid, auth_token: &Secret, latency: Duration, clock: Clock) -> Self {
        let now = i64::try_from(clock.unix_seconds()).unwrap_or(i64::MAX);
        let mut state = State::new(account_sid, auth_token.clone(), now);
        seed::numbers(&mut state, account_sid, now);
        Self { account_sid, latency, clock, state: Mutex::new(state), log: Log::default(), faults: Faults::default() }
    }

    /// The state. No guard of it lives across an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> i64 {
        i64::try_from(self.clock.unix_seconds()).unwrap_or(i64::MAX)
    }
}
