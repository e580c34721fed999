//! Where a key set comes from, and how it stays fresh.

use super::fetch::{Fetch, HttpFetch};
use super::{KeySet, MAX_SET};
use crate::clock::Clock;
use crate::tls::watch::{Reload, Watched};
use crate::{config, tls};
use arc_swap::ArcSwapOption;
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// Ceiling on one fetch, in wall time.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// Time between two refreshes that unknown key ids ask for, in seconds and in the long run: whoever makes up key ids costs
/// the key server two requests a minute. A key id that a refresh did not bring is not asked for again for as long.
const ASK_EVERY: u64 = 30;

/// Refreshes that different key ids may ask for at once, so that a new key need not wait for the one after a stray token.
const ASKS_AT_ONCE: u64 = 4;

/// Key ids remembered as asked for.
const REMEMBERED: usize = 64;

/// How often files are looked at and due refreshes begun.
const TICK: Duration = Duration::from_secs(1);

/// Longest wait between refreshes, in seconds, whatever the maximum age: so that a withdrawn key is soon gone.
const REFRESH_AT_MOST: u64 = 300;

/// Longest wait after failures, in seconds.
const RETRY_AT_MOST: u64 = 60;

/// One provider's keys.
pub(in crate::authn) struct Keys {
    source: Source,
    /// What the configuration said: keys of the same words are the same keys.
    words: config::Jwt,
}

enum Source {
    File(Watched<KeySet>),
    Url(Remote, HttpFetch),
}

impl Keys {
    /// Opens the source: a file is read now, a URL by the first [`Keys::tend`].
    pub(in crate::authn) fn open(jwt: &config::Jwt) -> Result<Self, tls::Error> {
        let source = match &jwt.jwks {
            config::Jwks::Url(url) => Source::Url(Remote::new(url, jwt.max_age), HttpFetch::new(jwt)?),
            config::Jwks::File(path) => {
                let file = path.clone();
                Source::File(Watched::open(vec![path.clone()], move || read_file(&file))?)
            }
        };
        Ok(Self { source, words: jwt.clone() })
    }

    /// Whether `jwt` names this very key set.
    pub(in crate::authn) fn is_of(&self, jwt: &config::Jwt) -> bool {
        let words = |jwt: &config::Jwt| {
            (jwt.jwks.clone(), jwt.jwks_ca.clone(), jwt.jwks_token_file.clone(), jwt.max_age, jwt.issuer.clone())
        };
        words(&self.words) == words(jwt)
    }

    /// The set in force; `None` before the first, and once the last one is past its maximum age. Two sets that are the
    /// same [`Arc`] are the same set.
    pub(in crate::authn) fn current(&self, now: u64) -> Option<Arc<KeySet>> {
        match &self.source {
            Source::File(watched) => Some(watched.current()),
            Source::Url(remote, _) => remote.current(now),
        }
    }

    /// Whether there has been a set at all.
    pub(in crate::authn) fn loaded(&self) -> bool {
        match &self.source {
            Source::File(_) => true,
            Source::Url(remote, _) => remote.held.load().is_some(),
        }
    }

    /// Asks for a refresh because a token named a key that this set lacks. Gives something to wait for if one is coming:
    /// some for different key ids, after that one each 30 s, and never one for the same key id twice in that time.
    pub(in crate::authn) fn ask(&self, key_id: &str, now: u64) -> Option<watch::Receiver<u64>> {
        match &self.source {
            Source::File(_) => None,
            Source::Url(remote, _) => remote.ask(key_id, now),
        }
    }

    /// Keeps the set fresh for ever. One task a provider runs this, so nothing is ever fetched twice at once. `name` is
    /// for the log.
    pub(in crate::authn) async fn tend(&self, name: &str, clock: &Clock) {
        match &self.source {
            Source::File(watched) => loop {
                report(name, watched.poll());
                tokio::time::sleep(TICK).await;
            },
            Source::Url(remote, fetch) => remote.tend(name, fetch, clock).await,
        }
    }

    /// Looks at the file now, as [`Keys::tend`] does every second.
    #[cfg(test)]
    pub(in crate::authn) fn poll(&self) -> Reload {
        match &self.source {
            Source::File(watched) => watched.poll(),
            Source::Url(..) => Reload::Unchanged,
        }
    }
}

fn read_file(path: &Path) -> Result<KeySet, tls::Error> {
    let text = std::fs::read(path).map_err(|e| tls::Error::of(path, format!("can't be read: {e}")))?;
    KeySet::parse(&text).map_err(|problem| tls::Error::of(path, problem))
}

fn report(name: &str, reload: Reload) {
    match reload {
        Reload::Unchanged => {}
        Reload::Replaced => tracing::info!(issuer = name, "key set read again"),
        Reload::Refused(fault) => tracing::warn!(issuer = name, %fault, "key set not taken; the old one stays"),
    }
}

/// A set behind a URL.
struct Remote {
    url: String,
    /// Seconds.
    max_age: u64,
    held: ArcSwapOption<Held>,
    plan: Mutex<Plan>,
    asked: Notify,
    /// Held during a fetch.
    running: tokio::sync::Mutex<()>,
    /// Counts attempts; each send wakes who waits for one.
    attempts: watch::Sender<u64>,
}

struct Held {
    set: Arc<KeySet>,
    /// SHA-256 of its text: an unchanged set keeps its place, and with it the tokens remembered under it.
    digest: [u8; 32],
    /// When it was last fetched whole, in seconds since the Unix epoch.
    fetched: AtomicU64,
}

/// When the next refresh is due; seconds since the Unix epoch.
#[derive(Default)]
struct Plan {
    next: u64,
    /// What unknown key ids asked for.
    asks: Asks,
    failures: u32,
    /// Whether one is under way or about to be.
    coming: bool,
}

/// Refreshes that unknown key ids asked for.
#[derive(Default)]
struct Asks {
    /// When all that were granted would be through, one each [`ASK_EVERY`].
    spent_until: u64,
    /// Key ids as hashes, and when each asked; oldest first.
    seen: VecDeque<(u64, u64)>,
    hasher: RandomState,
}

impl Asks {
    /// Whether this key id is new; it is not from now on.
    fn is_new(&mut self, key_id: &str, now: u64) -> bool {
        let hash = self.hasher.hash_one(key_id);
        self.seen.retain(|(_, asked)| asked.abs_diff(now) < ASK_EVERY);
        if self.seen.iter().any(|(seen, _)| *seen == hash) {
            return false;
        }
        if self.seen.len() == REMEMBERED {
            self.seen.pop_front();
        }
        self.seen.push_back((hash, now));
        true
    }

    /// Grants one more refresh, if there is one left.
    fn grant(&mut self, now: u64) -> bool {
        // A clock that was set back must not close the door until it is there again.
        let spent = if self.spent_until.saturating_sub(now) > ASKS_AT_ONCE * ASK_EVERY { 0 } else { self.spent_until };
        let until = spent.max(now) + ASK_EVERY;
        let granted = until - now <= ASKS_AT_ONCE * ASK_EVERY;
        if granted {
            self.spent_until = until;
        }
        granted
    }
}

impl Remote {
    fn new(url: &str, max_age: Duration) -> Self {
        Self {
            url: url.to_owned(),
            max_age: max_age.as_secs(),
            held: ArcSwapOption::empty(),
            plan: Mutex::new(Plan { coming: true, ..Plan::default() }),
            asked: Notify::new(),
            running: tokio::sync::Mutex::default(),
            attempts: watch::Sender::new(0),
        }
    }

    fn current(&self, now: u64) -> Option<Arc<KeySet>> {
        let held = self.held.load();
        let held = held.as_ref()?;
        // A wall clock that was set back must not make a set young again for ever: any distance counts.
        (held.fetched.load(Ordering::Relaxed).abs_diff(now) <= self.max_age).then(|| Arc::clone(&held.set))
    }

    fn plan(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn due(&self, now: u64) -> bool {
        let plan = self.plan();
        // The second half: the clock was set back, and `next` is far off now.
        now >= plan.next || plan.next - now > REFRESH_AT_MOST
    }

    fn ask(&self, key_id: &str, now: u64) -> Option<watch::Receiver<u64>> {
        let done = self.attempts.subscribe();
        let mut plan = self.plan();
        let new = plan.asks.is_new(key_id, now);
        if plan.coming {
            return Some(done);
        }
        if !new || !plan.asks.grant(now) {
            return None;
        }
        plan.next = now;
        plan.coming = true;
        drop(plan);
        self.asked.notify_one();
        Some(done)
    }

    async fn tend(&self, name: &str, fetch: &dyn Fetch, clock: &Clock) {
        loop {
            if self.due(clock.unix_seconds()) {
                self.refresh(name, fetch, clock).await;
            }
            tokio::select! {
                () = tokio::time::sleep(TICK) => {}
                () = self.asked.notified() => {}
            }
        }
    }

    async fn refresh(&self, name: &str, fetch: &dyn Fetch, clock: &Clock) {
        // A reload's new tending may meet the old one's last fetch. Freed even where a task is dropped in the middle.
        let Ok(_alone) = self.running.try_lock() else { return };
        self.plan().coming = true;
        let answer = tokio::time::timeout(FETCH_TIMEOUT, fetch.get(&self.url, MAX_SET)).await;
        let text = answer.unwrap_or_else(|_| Err(format!("no answer within {} s", FETCH_TIMEOUT.as_secs())));
        let now = clock.unix_seconds();
        let taken = text.and_then(|text| self.take(&text, now));
        if let Err(problem) = &taken {
            tracing::warn!(issuer = name, problem, "key set not refreshed; the last one serves until its maximum age");
        }
        self.reschedule(taken.is_ok(), now);
        self.attempts.send_modify(|count| *count += 1);
    }

    fn take(&self, text: &[u8], now: u64) -> Result<(), String> {
        let set = KeySet::parse(text)?;
        let mut digest = [0; 32];
        digest.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text).as_ref());
        match self.held.load().as_ref().filter(|held| held.digest == digest) {
            Some(held) => held.fetched.store(now, Ordering::Relaxed),
            None => self.held.store(Some(Arc::new(Held { set: Arc::new(set), digest, fetched: AtomicU64::new(now) }))),
        }
        Ok(())
    }

    /// A quarter of the maximum age after a success, so that three failures in a row lose nothing; 1, 2, 4 … seconds
    /// after failures.
    fn reschedule(&self, ok: bool, now: u64) {
        let mut plan = self.plan();
        plan.coming = false;
        plan.failures = if ok { 0 } else { plan.failures.saturating_add(1) };
        let wait = match plan.failures {
            0 => (self.max_age / 4).clamp(1, REFRESH_AT_MOST),
            failures => (1 << (failures - 1).min(6)).min(RETRY_AT_MOST),
        };
        plan.next = now.saturating_add(wait);
    }
}

#[cfg(test)]
mod tests;
