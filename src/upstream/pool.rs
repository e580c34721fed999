//! One core's connections, by upstream host.

use super::bundle::Bundle;
use super::connect::{Connector, DialError};
use super::h1::H1;
use super::h2::H2;
use super::lane::Lane;
use super::multiplex::Multiplex;
use super::warm::Warmth;
use crate::config;
use crate::net::{Buffers, wordless};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

/// Most hosts with a pool of their own: Twilio's products in a few regions. Others are dialled for each request.
const MAX_ROUTES: usize = 512;

/// One core's connections to all upstreams.
#[derive(Debug)]
pub struct Pool {
    connector: Connector,
    upstream: config::Upstream,
    settings: Settings,
    routes: RefCell<HashMap<Box<str>, Rc<Route>>>,
    /// The route that was asked for last: most teams use one host.
    last: RefCell<Option<Rc<Route>>>,
    buffers: Rc<Buffers>,
}

/// How many idle connections are kept, and for how long.
#[derive(Clone, Copy, Debug)]
struct Settings {
    idle: usize,
    idle_ticks: u32,
}

/// How often idle connections are looked at.
const SWEEP: Duration = Duration::from_secs(1);

/// Where one host is reached, and idle connections to it.
#[derive(Debug)]
pub struct Route {
    /// The host's own name, as `Host` carries it.
    host: Box<str>,
    origin: config::Origin,
    connector: Connector,
    settings: Settings,
    idle: RefCell<Vec<Idle>>,
    http2: Bundle,
    warmth: Warmth,
    buffers: Rc<Buffers>,
}

/// A new connection, by what it speaks.
enum Opened {
    H1(Box<H1>),
    H2(Multiplex),
}

/// An idle connection and how many sweeps it has seen.
#[derive(Debug)]
struct Idle {
    h1: Box<H1>,
    age: u32,
}

impl Pool {
    /// A pool for one core.
    pub fn new(connector: Connector, config: &config::Config, buffers: Rc<Buffers>) -> Self {
        let ticks = config.limits.upstream_idle_timeout.as_secs() / SWEEP.as_secs();
        let settings =
            Settings { idle: config.limits.upstream_idle, idle_ticks: u32::try_from(ticks).unwrap_or(u32::MAX) };
        Self {
            connector,
            upstream: config.upstream.clone(),
            settings,
            routes: RefCell::default(),
            last: RefCell::default(),
            buffers,
        }
    }

    /// The route to `host`, as [`config::Upstream::origin`] finds it.
    pub fn route(&self, host: &str, product: &str) -> Rc<Route> {
        if let Some(route) = self.last.borrow().as_ref().filter(|route| *route.host == *host) {
            return Rc::clone(route);
        }
        let route = self.find(host, product);
        *self.last.borrow_mut() = Some(Rc::clone(&route));
        route
    }

    fn find(&self, host: &str, product: &str) -> Rc<Route> {
        if let Some(route) = self.routes.borrow().get(host) {
            return Rc::clone(route);
        }
        let route = Rc::new(Route {
            host: host.into(),
            origin: self.upstream.origin(host, product),
            connector: self.connector.clone(),
            settings: self.settings,
            idle: RefCell::default(),
            http2: Bundle::default(),
            warmth: Warmth::default(),
            buffers: Rc::clone(&self.buffers),
        });
        let mut routes = self.routes.borrow_mut();
        if routes.len() < MAX_ROUTES {
            routes.insert(host.into(), Rc::clone(&route));
        }
        route
    }

    /// Keeps idle connections as long as the pool lives: drops those that are old or that the upstream has closed, and
    /// opens one to each host in use that has none, so that no request waits for a handshake. The API's own host counts
    /// as used from the start.
    pub async fn tend(pool: Weak<Self>) {
        let mut ticks = tokio::time::interval(SWEEP);
        if let Some(pool) = pool.upgrade() {
            pool.route(config::API_HOST, config::API_HOST);
        }
        loop {
            ticks.tick().await;
            let Some(pool) = pool.upgrade() else { return };
            for route in pool.routes.borrow().values() {
                route.tend();
            }
        }
    }
}

impl Route {
    /// The host's own name.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// An idle connection or a stream of one that is shared, or none: never waits.
    pub fn idle_lane(self: &Rc<Self>) -> Option<Lane> {
        self.warmth.used();
        if let Some(lane) = self.http2.lane() {
            return Some(Lane::H2(lane));
        }
        loop {
            let mut idle = self.idle.borrow_mut().pop()?.h1;
            // Bytes nobody asked for, or the upstream's goodbye: not a connection to send a request on.
            if !idle.stirred() {
                return Some(Lane::H1(idle));
            }
        }
    }

    /// A new connection, or a stream of one that others are opening.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn new_lane(self: &Rc<Self>) -> Result<Lane, DialError> {
        if let Some(lane) = self.http2.next_lane().await {
            return Ok(Lane::H2(lane));
        }
        let growing = self.http2.grow();
        match self.open().await {
            Ok(Opened::H1(h1)) => Ok(Lane::H1(h1)),
            Ok(Opened::H2(multiplex)) => {
                let lane = H2::on(&multiplex, false);
                self.http2.keep(multiplex);
                drop(growing);
                lane.map(Lane::H2).ok_or_else(|| DialError::Io(std::io::ErrorKind::NotConnected.into()))
            }
            // An upstream that takes no more connections: there may be one to wait for.
            Err(error) => self.http2.any_lane().map(Lane::H2).ok_or(error),
        }
    }

    async fn open(self: &Rc<Self>) -> Result<Opened, DialError> {
        let dialled = self.connector.dial(&self.origin).await?;
        if !dialled.http2 {
            return Ok(Opened::H1(Box::new(H1::new(dialled.stream, Rc::downgrade(self), Rc::clone(&self.buffers)))));
        }
        let multiplex = Multiplex::open(dialled.stream, Rc::clone(&self.buffers)).await;
        let multiplex = multiplex.map_err(|e| DialError::Io(wordless(e)))?;
        Ok(Opened::H2(multiplex))
    }

    /// See [`Pool::tend`].
    fn tend(self: &Rc<Self>) {
        let mut idle = self.idle.borrow_mut();
        idle.retain_mut(|idle| {
            idle.age += 1;
            idle.age <= self.settings.idle_ticks && !idle.h1.stirred()
        });
        self.http2.tend();
        if self.warmth.tick(self.http2.is_open() || !idle.is_empty() || self.settings.idle == 0) {
            tokio::task::spawn_local(Rc::clone(self).open_spare());
        }
    }

    async fn open_spare(self: Rc<Self>) {
        let _growing = self.http2.grow();
        let opened = self.open().await;
        self.warmth.opened(opened.is_ok());
        match opened {
            Ok(Opened::H1(mut h1)) => {
                h1.rest();
                self.give_back(h1);
            }
            Ok(Opened::H2(multiplex)) => self.http2.keep(multiplex),
            Err(error) => tracing::debug!(host = self.host(), %error, "no connection could be opened beforehand"),
        }
    }

    /// Takes a connection back whose answer has ended.
    pub(super) fn give_back(&self, h1: Box<H1>) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < self.settings.idle {
            idle.push(Idle { h1, age: 0 });
        }
    }
}
