//! What runs beside a broker that has a store: the feed into its directory, and the care of its keys.
//!
//! A thread and a runtime of its own, so that neither a slow disk nor a lost server is ever felt by a request.

use super::error::LifeError;
use super::feed::Feed;
use super::health::Health;
use super::life::{Life, UNRECORDED};
use crate::audit::Trail;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::directory::Directory;
use crate::ids::TeamId;
use crate::store::{Store, StoreError, Watch};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How often this replica says that it is alive. The store takes it for dead after six missed beats.
const BEAT: Duration = Duration::from_secs(5);

/// How often it is looked for old keys to delete and keys to rotate: the shortest rotation is a second.
const TEND: Duration = Duration::from_secs(1);

/// Longest wait for the last word to the store when the broker ends: a disk that hangs, or a server, holds nobody up.
const FAREWELL: Duration = Duration::from_secs(2);

/// Wait before the next try while the store does not answer.
const LOST: Duration = Duration::from_millis(300);

/// Wait before a rotation that failed is tried again: each try may make and delete a key upstream.
const AGAIN: Duration = Duration::from_mins(1);

/// Changes recorded one by one when many come at once, as with a bulk of tokens; the rest is counted.
const MAX_RECORDED: usize = 1_000;

/// Keeps a broker's directory up to date and its keys in life. Ends when it is dropped.
#[derive(Debug)]
pub struct Keeper {
    life: Arc<Life>,
    health: Arc<Health>,
    /// `store.rotate_every` in seconds; 0: none.
    rotate_every: Arc<AtomicU64>,
    configs: watch::Sender<Arc<Config>>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
    /// Disconnected when the thread has ended.
    ended: mpsc::Receiver<()>,
}

impl Keeper {
    /// Opens the store, loads all of it, and goes on in the background.
    ///
    /// # Errors
    /// The store can't be opened or read: a broker that knows nobody must not start.
    pub fn start(
        config: &Config,
        store: &config::Store,
        directory: Arc<Directory>,
        trail: Trail,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let (stop, stopped) = watch::channel(false);
        let (ready, started) = mpsc::channel();
        let rotate_every = Arc::new(AtomicU64::new(seconds(store.rotate_every)));
        let (configs, changed) = watch::channel(Arc::new(config.clone()));
        let setup = Setup { config: config.clone(), store: store.clone(), directory, trail, clock };
        let every = Arc::clone(&rotate_every);
        let (ending, ended) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(move || {
                let _ending: mpsc::Sender<()> = ending;
                run(setup, &every, (changed, stopped), &ready);
            })
            .map_err(|error| StoreError::Database(format!("no thread for the store: {error}")))?;
        let gone = || StoreError::Database("the store's thread ended at once".to_owned());
        let (life, health) = started.recv().map_err(|_| gone())??;
        Ok(Self { life, health, rotate_every, configs, stop, thread: Some(thread), ended })
    }

    /// Changes keys, for whoever asks for it at this broker.
    pub const fn life(&self) -> &Arc<Life> {
        &self.life
    }

    /// The store.
    pub fn store(&self) -> &Store {
        self.life.store()
    }

    /// How the feed does.
    pub const fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// The config was reloaded: the master credential, the time between rotations, how long a lost store is served and the
    /// teams of the file may be others.
    pub fn reload(&self, config: &Arc<Config>) {
        self.life.set_upstream(&config.upstream);
        let every = config.store.as_ref().and_then(|store| store.rotate_every);
        self.rotate_every.store(seconds(every), Ordering::Relaxed);
        self.configs.send_replace(Arc::clone(config));
    }
}

/// 0: none.
fn seconds(every: Option<Duration>) -> u64 {
    every.map_or(0, |every| every.as_secs())
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        let Some(thread) = self.thread.take() else { return };
        if self.ended.recv_timeout(FAREWELL) == Err(RecvTimeoutError::Timeout) {
            // Whatever it was in the midst of is journalled: the next process settles it.
            tracing::error!("the store does not answer: it is left without a last word");
        } else if thread.join().is_err() {
            tracing::error!("the store's thread panicked");
        }
    }
}

/// What the thread starts from.
struct Setup {
    config: Config,
    store: config::Store,
    directory: Arc<Directory>,
    trail: Trail,
    clock: Clock,
}

type Ready = mpsc::Sender<Result<(Arc<Life>, Arc<Health>), StoreError>>;

/// What the thread is told while it runs: configs that were reloaded, and when to end.
type Told = (watch::Receiver<Arc<Config>>, watch::Receiver<bool>);

fn run(setup: Setup, rotate_every: &AtomicU64, (changed, stopped): Told, ready: &Ready) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = ready.send(Err(StoreError::Database(format!("no runtime for the store: {error}"))));
            return;
        }
    };
    runtime.block_on(async {
        let clock = setup.clock.clone();
        match prepare(setup).await {
            Ok((feed, life, replica)) => {
                let health = Arc::clone(feed.health());
                let _ = ready.send(Ok((Arc::clone(&life), Arc::clone(&health))));
                let watch = life.store().watch();
                let (store, held) = (life.store().clone(), Arc::clone(&life));
                let follower = Follower { feed, store, life: held, replica, clock: clock.clone() };
                tokio::join!(
                    follower.follow(watch, (changed, stopped.clone())),
                    tend(&life, &health, rotate_every, &clock, stopped)
                );
            }
            Err(error) => {
                let _ = ready.send(Err(error));
            }
        }
    });
}

async fn prepare(setup: Setup) -> Result<(Feed, Arc<Life>, String), StoreError> {
    let Setup { config, store: settings, directory, trail, clock } = setup;
    let store = Store::open(&settings, clock.clone()).await?;
    let life = Arc::new(Life::new(store.clone(), &config.upstream, clock.clone(), Some(trail)));
    let replica = life.owner.clone();
    // Before the load: a key that is swapped meanwhile must wait for this replica too.
    store.beat(&replica, 0).await?;
    let mut feed = Feed::new(store, directory, &config, clock);
    feed.load().await?;
    Ok((feed, life, replica))
}

/// Follows the store's changes.
struct Follower {
    feed: Feed,
    store: Store,
    life: Arc<Life>,
    replica: String,
    clock: Clock,
}

impl Follower {
    async fn follow(mut self, mut watch: Watch, (mut changed, mut stopped): Told) {
        let mut beaten: Option<(Instant, i64)> = None;
        loop {
            let heard = tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => break,
                Ok(()) = changed.changed() => {
                    self.feed.adopt(&changed.borrow_and_update().clone());
                    Ok(true)
                }
                heard = watch.changed(self.feed.position()) => heard,
            };
            let outcome = match heard {
                Ok(_) => self.step(&mut beaten).await,
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                if self.feed.health().lost_since().is_none() {
                    tracing::error!(%error, "the store is lost; what is known is served on until it is too old");
                }
                self.feed.lost();
                tokio::time::sleep(LOST).await;
            }
        }
        if let Err(error) = self.store.leave(&self.replica).await {
            tracing::warn!(%error, "old keys wait for this replica for a while");
        }
    }

    async fn step(&mut self, beaten: &mut Option<(Instant, i64)>) -> Result<(), StoreError> {
        let was_lost = self.feed.health().lost_since().is_some();
        let news = self.feed.follow().await?;
        self.record(news).await;
        if was_lost {
            tracing::info!("the store is back");
        }
        // What can be read goes on without: a standby that was not promoted yet, a full disk.
        match self.tell(beaten).await {
            Err(error @ StoreError::Unreachable(_)) => return Err(error),
            Ok(true) if self.feed.health().wrote(true) => tracing::info!("the store takes writes again"),
            Err(error) if self.feed.health().wrote(false) => {
                tracing::error!(%error, "nothing can be written to the store; its changes are still heard");
            }
            Ok(_) | Err(_) => {}
        }
        Ok(())
    }

    /// Tells the store what it should know of this replica and its keys, if it is time; whether it was. A failure is tried
    /// again at the next beat.
    async fn tell(&mut self, beaten: &mut Option<(Instant, i64)>) -> Result<bool, StoreError> {
        let now = self.clock.instant();
        let drained = self.feed.drained();
        let due = beaten.is_none_or(|(at, _)| now - at >= BEAT);
        if !due && beaten.is_some_and(|(_, told)| told == drained) {
            return Ok(false);
        }
        *beaten = Some((now, drained));
        if due {
            for (sid, state) in self.feed.report().await? {
                tracing::warn!(%sid, state = state.name(), "the upstream's view of a key changed");
                self.life.record("key.mark", sid.as_str(), state.name()).await;
            }
        }
        self.store.beat(&self.replica, drained).await?;
        Ok(true)
    }

    /// Writes what other processes changed into the audit: commands have no trail of their own. The change is in force
    /// by now, and an audit that hangs must not hold up the next one.
    async fn record(&self, news: Vec<(&'static str, String)>) {
        let rest = news.len().saturating_sub(MAX_RECORDED);
        for (action, subject) in news.into_iter().take(MAX_RECORDED) {
            if !self.life.record(action, &subject, "applied").await {
                return;
            }
        }
        if rest > 0 {
            self.life.record("store.changes", &format!("{rest} more"), "applied").await;
        }
    }
}

/// Deletes old keys when their time has come, rotates keys that are due, settles what dead processes left behind.
async fn tend(
    life: &Life,
    health: &Health,
    rotate_every: &AtomicU64,
    clock: &Clock,
    mut stopped: watch::Receiver<bool>,
) {
    let mut failed: HashMap<TeamId, Instant> = HashMap::new();
    let mut told = String::new();
    loop {
        let error =
            tend_once(life, health, rotate_every, clock, &mut failed).await.err().map(|error| error.to_string());
        let error = error.unwrap_or_default();
        // Once, not each second.
        if !error.is_empty() && error != told {
            tracing::warn!(error, "the care of keys goes on in a moment");
        }
        told = error;
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            () = tokio::time::sleep(TEND) => {}
        }
    }
}

async fn tend_once(
    life: &Life,
    health: &Health,
    rotate_every: &AtomicU64,
    clock: &Clock,
    failed: &mut HashMap<TeamId, Instant>,
) -> Result<(), LifeError> {
    let entries = life.store().unfinished_entries().await?;
    health.left(life.backlog(&entries));
    if life.is_forbidden() {
        return Err(LifeError::Failed(UNRECORDED.to_owned()));
    }
    if life.is_unsettled(&entries)
        && let Some(lock) = life.store().try_keys_lock().await?
    {
        life.recover(&lock, false).await?;
    }
    life.retire_due().await?;
    let every = Some(rotate_every.load(Ordering::Relaxed)).filter(|every| *every > 0).map(Duration::from_secs);
    for (team, grace) in life.rotations_due(every).await? {
        let now = clock.instant();
        if failed.get(&team).is_some_and(|at| now < *at + AGAIN) {
            continue;
        }
        match life.rotate_due(&team, grace, every).await {
            Ok(key) => {
                failed.remove(&team);
                if let Some(key) = key {
                    tracing::info!(%team, key = %key.sid, "rotated as scheduled");
                }
            }
            Err(error) => {
                tracing::error!(%team, %error, "the scheduled rotation failed; the key in use stays");
                failed.insert(team, now);
            }
        }
    }
    Ok(())
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").field("replica", &self.replica).finish_non_exhaustive()
    }
}
