//! Starting and stopping all of it.

use super::shared::Shared;
use super::start_error::StartError;
use super::worker::Worker;
use super::{files, restart, upkeep};
use crate::audit::Trail;
use crate::authn::jwt::Jwts;
use crate::clock::Clock;
use crate::config::Config;
use crate::directory::{Directory, declare};
use crate::keys::Keeper;
use crate::metrics::Metrics;
use crate::net::{FILE_DENIED, FOR_ALL, PORT_DENIED, bind_tcp, bind_unix, with_mend};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::watch;

/// A running broker.
#[derive(Debug)]
pub struct Server {
    addresses: Addresses,
    directory: Arc<Directory>,
    trail: Trail,
    keeper: Option<Keeper>,
    clock: Clock,
    metrics: Arc<Metrics>,
    shared: watch::Sender<Shared>,
    stop: watch::Sender<bool>,
    workers: Vec<JoinHandle<io::Result<()>>>,
}

/// A configuration as a broker takes it on: what it keeps of it, and the directory with what it declares.
#[derive(Debug)]
pub struct Plan {
    config: Config,
    directory: Arc<Directory>,
}

impl Plan {
    /// The plan of this configuration, of which it holds nothing.
    pub fn of(config: &Config) -> Self {
        let directory = Arc::new(Directory::default());
        declare(config, &directory);
        Self { config: config.kept(), directory }
    }
}

/// Where a broker listens, with the ports that were chosen for port 0.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// Plain HTTP.
    pub proxy: Option<SocketAddr>,
    /// HTTPS.
    pub tls: Option<SocketAddr>,
    /// The Unix socket.
    pub unix: Option<PathBuf>,
}

impl Server {
    /// Starts a broker as planned.
    ///
    /// # Errors
    /// What could not be set up.
    pub fn start(plan: Plan, clock: &Clock) -> Result<Self, StartError> {
        let Plan { config, directory } = plan;
        let cores = cores(&config);
        files::raise(config.limits.max_connections);
        let trail = Trail::open(&config.audit, cores, clock.clone()).map_err(|e| {
            let place = config.audit.file.as_ref().map_or("-".into(), |path| path.to_string_lossy());
            StartError::of(&format!("audit.file {place}"), with_mend(&e, FILE_DENIED))
        })?;
        let listen = config.listen.clone();
        let (mut plain, proxy) = bind(listen.proxy, cores, "listen.proxy")?;
        let (mut tls, tls_at) = bind(listen.tls, cores, "listen.tls")?;
        let unix =
            match &listen.unix {
                Some(at) => Some(bind_unix(at, FOR_ALL).map_err(|e| {
                    StartError::of(&format!("listen.unix {}", at.display()), with_mend(&e, FILE_DENIED))
                })?),
                None => None,
            };
        let shared = Shared::open(config, Arc::clone(&directory), None, clock)?;
        let keeper = keep(&shared, &directory, &trail, clock)?;
        let mut server = Self {
            addresses: Addresses { proxy, tls: tls_at, unix: listen.unix },
            directory,
            trail,
            keeper,
            clock: clock.clone(),
            metrics: Arc::default(),
            shared: watch::Sender::new(shared),
            stop: watch::Sender::new(false),
            workers: Vec::new(),
        };
        upkeep::start(server.shared.subscribe()).map_err(|e| StartError::of("a thread for certificates", e))?;
        let mut unix = unix;
        for index in 0..cores {
            let worker = Worker {
                index,
                cores,
                tcp: plain.pop(),
                tls: tls.pop(),
                unix: unix.take(),
                trail: server.trail.clone(),
                metrics: server.metrics.core(),
                clock: clock.clone(),
                shared: server.shared.subscribe(),
                stop: server.stop.subscribe(),
            };
            let thread = std::thread::Builder::new().name(format!("core-{index}")).spawn(move || worker.run());
            server.workers.push(thread.map_err(|e| StartError::of("a thread for a core", e))?);
        }
        Ok(server)
    }

    /// Handles requests with this configuration from now on. Certificates, CAs and key sets that the configuration
    /// names as before are kept, with their sessions, leaves and ages. Listeners, the audit and the number of cores stay
    /// as they were, and it is warned of each that should be another at the next start. What comes back is the
    /// configuration in force.
    ///
    /// # Errors
    /// What could not be set up, or a store that is not the one in use; the running configuration stays.
    pub fn reload(&mut self, config: &Config) -> Result<Arc<Config>, StartError> {
        // Teams that live in the store stay where they are; declared teams come as a whole new directory.
        let directory =
            if config.store.is_some() { Arc::clone(&self.directory) } else { Arc::new(Directory::default()) };
        let before = self.shared.borrow().clone();
        let kept = restart::keep(&before.config, config).map_err(StartError)?;
        let shared = Shared::open(kept, Arc::clone(&directory), Some(&before), &self.clock)?;
        // Last: with a store, the directory is in use, and a config that can't be used changes nothing.
        declare(config, &directory);
        if let Some(keeper) = &self.keeper {
            keeper.reload(&shared.config);
        }
        self.directory = directory;
        let config = Arc::clone(&shared.config);
        self.shared.send_replace(shared);
        Ok(config)
    }

    /// The configuration in force, as far as a running broker keeps it.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.shared.borrow().config)
    }

    /// What checks JWTs now; `None` without `[[jwt]]`.
    pub fn jwts(&self) -> Option<Arc<Jwts>> {
        self.shared.borrow().jwts.clone()
    }

    /// Where it listens.
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// What requests are judged by.
    pub const fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// The store, and what keeps the directory up to date with it; `None` without `[store]`.
    pub const fn keeper(&self) -> Option<&Keeper> {
        self.keeper.as_ref()
    }

    /// The audit.
    pub const fn trail(&self) -> &Trail {
        &self.trail
    }

    /// The counters.
    pub const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Whether it is stopping.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Stops accepting, lets requests finish for at most `limits.drain_timeout`, and ends. Blocks until then.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.send_replace(true);
        for worker in self.workers.drain(..) {
            match worker.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "a core ended early"),
                Err(_) => tracing::error!("a core's thread panicked"),
            }
        }
        // Its last steps go into the trail too.
        self.keeper = None;
        self.trail.close();
        if let Some(path) = self.addresses.unix.take() {
            // Already gone is as good.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Opens the store, if there is one, and loads the directory from it.
fn keep(
    shared: &Shared,
    directory: &Arc<Directory>,
    trail: &Trail,
    clock: &Clock,
) -> Result<Option<Keeper>, StartError> {
    let Some(store) = &shared.config.store else { return Ok(None) };
    let keeper = Keeper::start(&shared.config, store, Arc::clone(directory), trail.clone(), clock.clone());
    keeper.map(Some).map_err(|error| StartError::of("store", error))
}

/// Runtimes to start.
fn cores(config: &Config) -> usize {
    match config.limits.cores {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        cores => cores,
    }
}

/// A socket for each core, and where they listen.
fn bind(
    at: Option<SocketAddr>,
    cores: usize,
    what: &str,
) -> Result<(Vec<std::net::TcpListener>, Option<SocketAddr>), StartError> {
    let Some(at) = at else { return Ok((Vec::new(), None)) };
    let sockets =
        bind_tcp(at, cores).map_err(|e| StartError::of(&format!("{what} {at}"), with_mend(&e, PORT_DENIED)))?;
    let bound = sockets.first().and_then(|socket| socket.local_addr().ok());
    Ok((sockets, bound))
}
