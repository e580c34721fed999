//! `sidekey serve`: the broker.

use super::aside::aside;
use super::context::warn;
use super::{Context, Failure, check, process, signals};
use crate::admin::{Admin, AdminHandle, AdminSocket, Parts};
use crate::clock::Clock;
use crate::config::{Config, Faults, Watch};
use crate::log;
use crate::net::{FILE_DENIED, PORT_DENIED, with_mend};
use crate::server::{Addresses, Plan, Server};
use crate::store::{Store, StoreError};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// Serves until SIGTERM or SIGINT, then drains; a second signal ends it at once.
pub(super) fn run(context: &Context) -> Result<(), Failure> {
    log::start()?;
    // The file as it was read is larger than what a broker keeps of it.
    let (plan, sources) = aside(
        || Ok(check::load(context.path())?),
        |config| {
            warn(config);
            (Plan::of(config), config.sources.clone())
        },
    )?;
    let (changed, changes) = watch::channel(None);
    // Before the listeners: from the first connection on, SIGHUP means reload.
    let watch = Watch::start(context.path(), sources, check::load, move |outcome| heard(&changed, outcome))?;
    let runtime = process::runtime()?;
    let _entered = runtime.enter();
    let server = Server::start(plan, &Clock::system()).map_err(|error| Failure::failed(error.to_string()))?;
    let admin = admin(&server)?;
    // Who reads that it listens may tell it to stop.
    let signals = signals::Stop::listen()?;
    announce(server.addresses(), admin.as_ref());
    let outcome = runtime.block_on(serve(server, admin.map(|place| place.handle), changes, signals));
    drop(watch);
    // The drain that a second signal cut short is not waited for.
    runtime.shutdown_background();
    outcome
}

/// Where the admin API listens, and what replaces its parts.
struct AdminPlace {
    tcp: Option<SocketAddr>,
    unix: Option<PathBuf>,
    handle: AdminHandle,
}

/// Starts the admin API, if the config has one.
fn admin(server: &Server) -> Result<Option<AdminPlace>, Failure> {
    let config = server.config();
    let (tcp, unix) = (config.listen.admin, config.listen.admin_unix.clone());
    if tcp.is_none() && unix.is_none() {
        return Ok(None);
    }
    let handle = AdminHandle::new(parts(server, &config));
    let mut place = AdminPlace { tcp: None, unix: None, handle: handle.clone() };
    if let Some(at) = tcp {
        let fault =
            |error: std::io::Error| Failure::failed(format!("listen.admin {at}: {}", with_mend(&error, PORT_DENIED)));
        let admin = Admin::bind(at, handle.clone()).map_err(fault)?;
        place.tcp = Some(admin.address().map_err(fault)?);
        tokio::spawn(admin.serve());
    }
    if let Some(path) = unix {
        let fault = |error: std::io::Error| {
            Failure::failed(format!("listen.admin_unix {}: {}", path.display(), with_mend(&error, FILE_DENIED)))
        };
        tokio::spawn(AdminSocket::bind(&path, handle).map_err(fault)?.serve());
        place.unix = Some(path);
    }
    Ok(Some(place))
}

/// What the admin API works on.
fn parts(server: &Server, config: &Config) -> Parts {
    Parts {
        token: config.admin.as_ref().map(|admin| admin.token.clone()),
        directory: Arc::clone(server.directory()),
        metrics: Arc::clone(server.metrics()),
        trail: server.trail().clone(),
        audit: config.audit.clone(),
        life: server.keeper().map(|keeper| Arc::clone(keeper.life())),
        declared: config.teams.iter().map(|team| team.name.clone()).collect(),
        health: server.keeper().map(|keeper| Arc::clone(keeper.health())),
        jwts: server.jwts(),
        stopping: server.stopping(),
        refusals: Arc::default(),
        clock: Clock::system(),
    }
}

async fn serve(
    mut server: Server,
    admin: Option<AdminHandle>,
    mut changes: watch::Receiver<Option<Arc<Config>>>,
    mut signals: signals::Stop,
) -> Result<(), Failure> {
    loop {
        tokio::select! {
            () = signals.asked() => break,
            changed = changes.changed() => {
                let config = changes.borrow_and_update().clone();
                match (changed, config) {
                    (Ok(()), Some(config)) => adopt(&mut server, admin.as_ref(), &config).await,
                    (Ok(()), None) => {}
                    (Err(_), _) => return Err(Failure::failed("the watch over the config ended early")),
                }
            }
        }
    }
    tracing::info!("stopping: requests under way may finish");
    let drained = tokio::task::spawn_blocking(move || server.stop());
    tokio::select! {
        _ = drained => Ok(()),
        () = signals.asked() => Err(Failure::failed("stopped before all requests had ended")),
    }
}

/// What the watch heard: a new config to adopt, or faults to report.
fn heard(changed: &watch::Sender<Option<Arc<Config>>>, outcome: Result<Config, Faults>) {
    match outcome {
        Ok(config) => {
            changed.send_replace(Some(Arc::new(config)));
        }
        Err(faults) => {
            for fault in &faults {
                tracing::error!("{fault}");
            }
            tracing::error!("the config can't be used; the running one stays");
        }
    }
}

async fn adopt(server: &mut Server, admin: Option<&AdminHandle>, config: &Config) {
    warn(config);
    // The next start would fail with it: better to hear of that now.
    if let Some(settings) = &config.store
        && let Err(error @ StoreError::RootKey(_)) = Store::check(settings).await
    {
        tracing::error!(%error, "the config can't be used; the running one stays");
        return;
    }
    match server.reload(config) {
        Ok(config) => {
            if let Some(admin) = admin {
                admin.adopt(parts(server, &config));
            }
            tracing::info!("the config was reloaded");
        }
        Err(error) => tracing::error!(%error, "the config can't be used; the running one stays"),
    }
}

/// Says where it listens, one line each, for people and for whoever started it on port 0.
fn announce(addresses: &Addresses, admin: Option<&AdminPlace>) {
    let lines = [
        addresses.proxy.map(|at| format!("listening proxy={at}")),
        addresses.tls.map(|at| format!("listening tls={at}")),
        addresses.unix.as_ref().map(|at| format!("listening unix={}", at.display())),
        admin.and_then(|place| place.tcp).map(|at| format!("listening admin={at}")),
        admin.and_then(|place| place.unix.as_ref()).map(|at| format!("listening admin_unix={}", at.display())),
    ];
    for line in lines.into_iter().flatten() {
        log::say(&format!("{line}\n"));
    }
}
