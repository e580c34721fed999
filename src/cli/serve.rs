//! `sidekey serve`: the broker, until SIGTERM or SIGINT.

use super::{Context, Failure};
use crate::clock::Clock;
use crate::config::Watch;
use crate::server::Server;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let config = context.load()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _entered = runtime.enter();
    let server = Server::start(config.clone(), &Clock::system()).map_err(|e| Failure::failed(e.to_string()))?;
    announce(&server);
    let server = Arc::new(Mutex::new(server));
    let reloaded = Arc::clone(&server);
    let watch = Watch::start(context.path(), &config, move |changed| match changed {
        Ok(config) => match reloaded.lock().unwrap_or_else(PoisonError::into_inner).reload(config) {
            Ok(()) => tracing::info!("the config was reloaded"),
            Err(error) => tracing::error!(%error, "the config was not reloaded; the old one stays"),
        },
        Err(faults) => tracing::error!("the config was not reloaded; the old one stays\n{faults}"),
    })?;
    runtime.block_on(stop_signal())?;
    drop(watch);
    tracing::info!("stopping: requests under way may finish");
    if let Some(server) = Arc::into_inner(server) {
        server.into_inner().unwrap_or_else(PoisonError::into_inner).stop();
    }
    Ok(())
}

/// Says where it listens, one line each, for people and for whoever started it on port 0.
fn announce(server: &Server) {
    let addresses = server.addresses();
    let mut stderr = std::io::stderr().lock();
    let lines = [
        addresses.proxy.map(|at| format!("listening proxy={at}")),
        addresses.unix.as_ref().map(|at| format!("listening unix={}", at.display())),
    ];
    for line in lines.into_iter().flatten() {
        // Nobody reads stderr: nobody is to be told.
        let _ = writeln!(stderr, "{line}");
    }
}

/// Resolves with SIGTERM or SIGINT.
async fn stop_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
