//! One core's thread: its runtime, its listeners, its share of everything.

use super::accept::{self, Door};
use super::core::Core;
use super::shared::Shared;
use super::{files, rest};
use crate::audit::Trail;
use crate::authn::Authn;
use crate::broker::{Broker, RequestIds};
use crate::clock::Clock;
use crate::config::Kind;
use crate::metrics;
use crate::net::Buffers;
use crate::upstream::Pool;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;

/// One core's own.
pub struct Worker {
    /// Its number, from 0.
    pub index: usize,
    /// How many there are.
    pub cores: usize,
    /// Its sockets.
    pub tcp: Option<std::net::TcpListener>,
    /// The same for TLS.
    pub tls: Option<std::net::TcpListener>,
    /// The Unix socket, on one core only.
    pub unix: Option<std::os::unix::net::UnixListener>,
    /// The audit.
    pub trail: Trail,
    /// Its counters.
    pub metrics: Arc<metrics::Core>,
    /// Time.
    pub clock: Clock,
    /// What requests are handled with, and its successors.
    pub shared: watch::Receiver<Shared>,
    /// Says when to stop.
    pub stop: watch::Receiver<bool>,
}

impl Worker {
    /// Serves until told to stop, then drains.
    ///
    /// # Errors
    /// The runtime or a listener could not be set up.
    pub fn run(self) -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        runtime.block_on(self.serve())
    }

    async fn serve(mut self) -> io::Result<()> {
        let buffers = Rc::new(Buffers::default());
        let recorder = self.trail.recorder(self.index);
        let first = self.shared.borrow_and_update().clone();
        let build = |shared: &Shared| self.broker(shared, &buffers, &recorder);
        let core = Rc::new(Core::new(build(&first), Arc::clone(&self.metrics))?);
        tokio::task::spawn_local(Rc::clone(&core.watchdog).run());
        tokio::task::spawn_local(rest::tend(Rc::clone(&core)));
        let ceiling = files::ceiling(first.config.limits.max_connections, self.cores);
        let mut accepting = Vec::new();
        if let Some(listener) = self.tcp.take() {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            accepting.push(tokio::task::spawn_local(accept::tcp(Rc::clone(&core), listener, ceiling, Door::Plain)));
        }
        if let Some(listener) = self.tls.take() {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            accepting.push(tokio::task::spawn_local(accept::tcp(Rc::clone(&core), listener, ceiling, Door::Tls)));
        }
        if let Some(listener) = self.unix.take() {
            let listener = tokio::net::UnixListener::from_std(listener)?;
            accepting.push(tokio::task::spawn_local(accept::unix(Rc::clone(&core), listener, ceiling)));
        }
        let (mut shared, mut stop) = (self.shared.clone(), self.stop.clone());
        loop {
            tokio::select! {
                changed = shared.changed() => match changed {
                    Ok(()) => core.adopt(self.broker(&shared.borrow_and_update().clone(), &buffers, &recorder)),
                    Err(_) => break,
                },
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        for task in accepting {
            task.abort();
        }
        drain(&core).await;
        Ok(())
    }

    /// What requests are handled with on this core.
    fn broker(&self, shared: &Shared, buffers: &Rc<Buffers>, recorder: &crate::audit::Recorder) -> Rc<Broker> {
        let pool = Rc::new(Pool::new(shared.connector.clone(), &shared.config, Rc::clone(buffers)));
        tokio::task::spawn_local(Pool::tend(Rc::downgrade(&pool)));
        let config = &shared.config;
        Rc::new(Broker {
            authn: Authn::new(Arc::clone(&shared.directory), shared.jwts.clone(), Arc::clone(&shared.rules))
                .with_tls(Arc::clone(&shared.tls)),
            directory: Arc::clone(&shared.directory),
            pool,
            recorder: recorder.clone(),
            metrics: Arc::clone(&self.metrics),
            buffers: Rc::clone(buffers),
            bodies: Arc::clone(&shared.bodies),
            rates: Arc::clone(&shared.rates),
            tls: Arc::clone(&shared.tls),
            clock: self.clock.clone(),
            limits: config.limits.clone(),
            response_timeout: config.upstream.response_timeout,
            account: config.upstream.acting(Kind::Standard),
            master_account: config.upstream.acting(Kind::Master),
            ids: RequestIds::at_random(),
            complained: std::cell::Cell::default(),
        })
    }
}

/// Lets requests finish, for at most `limits.drain_timeout`.
async fn drain(core: &Rc<Core>) {
    const LOOK: Duration = Duration::from_millis(10);
    core.watchdog.drain();
    rest::end(core);
    let limit = core.broker().limits.drain_timeout;
    let finished = async {
        while core.open() > 0 {
            tokio::time::sleep(LOOK).await;
        }
    };
    if tokio::time::timeout(limit, finished).await.is_err() {
        tracing::warn!(connections = core.open(), "drain_timeout has passed: these connections are cut");
    }
}
