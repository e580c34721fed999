//! Teams and their keys, as requests see them.

use crate::config::{Kind, TeamPolicy};
use crate::ids::{AccountSid, KeySid, TeamId};
use crate::secret::{Secret, Spellings};
use arc_swap::{ArcSwap, Guard};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use zeroize::Zeroizing;

/// A key that requests are sent with: SID and secret as one value, so that no request mixes two keys.
///
/// A request holds the `Arc` of its key until its answer has ended: the strong count tells a rotation when the last
/// request with the old key is done.
#[derive(Debug)]
pub struct Key {
    /// What goes into logs and the audit: `SK…`, or `AC…` for a master credential of account and auth token.
    pub sid: Box<str>,
    parsed: Option<KeySid>,
    /// The key's secret, for signing Access Tokens and for scrubbing answers.
    secret: Secret,
    /// `Basic …`, computed once.
    authorization: Secret,
    /// Whether the key may sign Access Tokens (a Restricted key may not; Twilio docs, API keys).
    pub signs: bool,
    /// Unix second of the first refusal by the upstream since it took the key last; 0: it takes it.
    rejected: AtomicU64,
    /// Unix second of the last use.
    last_use: AtomicU64,
    /// What answers are searched for; made at the first use, since most keys of a large directory are idle.
    spellings: OnceLock<Spellings>,
}

impl Key {
    /// A key from its parts. `username` is what Basic auth takes: a key SID, or an account SID with its auth token.
    pub fn new(username: &str, secret: Secret, signs: bool) -> Self {
        let mut pair = Zeroizing::new(Vec::with_capacity(username.len() + 1 + secret.expose().len()));
        pair.extend_from_slice(username.as_bytes());
        pair.push(b':');
        pair.extend_from_slice(secret.expose());
        let mut value = Zeroizing::new("Basic ".to_owned());
        STANDARD.encode_string(&pair, &mut value);
        let authorization = Secret::new(value.as_bytes());
        Self {
            sid: username.into(),
            parsed: KeySid::parse(username),
            secret,
            authorization,
            signs,
            rejected: AtomicU64::new(0),
            last_use: AtomicU64::new(0),
            spellings: OnceLock::new(),
        }
    }

    /// The key's SID; `None` for a master credential of account and auth token.
    pub const fn key_sid(&self) -> Option<KeySid> {
        self.parsed
    }

    /// The secret itself.
    pub const fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The `Authorization` value that carries the key.
    pub const fn authorization(&self) -> &Secret {
        &self.authorization
    }

    /// What an answer must not contain.
    pub fn spellings(&self) -> &Spellings {
        self.spellings.get_or_init(|| Spellings::of(&self.sid, &self.secret))
    }

    /// Has the processor fetch what a request is sent with, and does not wait for it.
    fn fetch(&self) {
        let value = self.authorization.expose();
        std::hint::black_box(value.first().copied());
        std::hint::black_box(value.last().copied());
    }

    /// Notes that the upstream refused this key at this Unix second; `true` the first time.
    pub fn reject(&self, at: u64) -> bool {
        self.rejected.compare_exchange(0, at.max(1), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Notes that the upstream takes this key (again).
    pub fn accept(&self) {
        if self.is_rejected() {
            self.rejected.store(0, Ordering::Relaxed);
        }
    }

    /// Whether the upstream has refused this key.
    pub fn is_rejected(&self) -> bool {
        self.rejected_at().is_some()
    }

    /// Since which Unix second the upstream refuses this key; `None`: it takes it.
    pub fn rejected_at(&self) -> Option<u64> {
        Some(self.rejected.load(Ordering::Relaxed)).filter(|second| *second != 0)
    }

    /// Notes a use; written once a second at most, so that cores do not fight for the cache line.
    pub fn touch(&self, now: u64) {
        if self.last_use.load(Ordering::Relaxed) != now {
            self.last_use.store(now, Ordering::Relaxed);
        }
    }

    /// Unix second of the last use; 0: not since this broker started.
    pub fn last_use(&self) -> u64 {
        self.last_use.load(Ordering::Relaxed)
    }
}

/// The accounts of a team. Nearly every team has one, which then lies in the team itself and not in one more place.
pub type Accounts = SmallVec<[AccountSid; 1]>;

/// A team, as a whole value.
#[derive(Clone, Debug)]
pub struct TeamState {
    /// Its name.
    pub id: TeamId,
    /// Standard or master.
    pub kind: Kind,
    /// The accounts it is pinned to; empty only for a master team without a pin.
    pub accounts: Accounts,
    /// Whether all its proofs are refused.
    pub disabled: bool,
    /// Its own policy.
    pub policy: Arc<TeamPolicy>,
    /// Grants that its Access Tokens may carry; `None`: all.
    pub grants: Option<Arc<[String]>>,
    /// Its key; a master team acts with the master credential.
    pub key: Option<Arc<Key>>,
}

impl TeamState {
    /// Has the key on its way from memory while the request is judged. Of many teams' keys no cache holds all, and three
    /// places one after the other are what a key is away.
    pub fn fetch_key(&self) {
        if let Some(key) = &self.key {
            key.fetch();
        }
    }
}

/// Where a team's state is found: tokens point here, so a change of the team leaves them alone.
#[derive(Debug)]
pub struct TeamCell {
    id: TeamId,
    state: ArcSwap<TeamState>,
}

impl TeamCell {
    /// A cell for this team.
    pub fn new(state: TeamState) -> Self {
        Self { id: state.id.clone(), state: ArcSwap::from_pointee(state) }
    }

    /// The team's name.
    pub const fn id(&self) -> &TeamId {
        &self.id
    }

    /// The state now; a request loads it once and uses it to the end.
    pub fn load(&self) -> Guard<Arc<TeamState>> {
        self.state.load()
    }

    /// Replaces the state.
    pub fn set(&self, state: TeamState) {
        self.state.store(Arc::new(state));
    }

    /// Changes a copy of the state and puts it in place, also against another writer.
    pub fn update(&self, change: impl Fn(&mut TeamState)) {
        self.state.rcu(|state| {
            let mut state = TeamState::clone(state);
            change(&mut state);
            state
        });
    }
}
