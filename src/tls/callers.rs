//! TLS towards callers as a whole: the listener's settings and the leaves, opened together and reloaded together.

use super::Error;
use super::identity::PeerCertificate;
use super::leaf::Leaves;
use super::server::ServerTls;
use super::watch::Reload;
use crate::clock::Clock;
use crate::config::{self, Config};
use std::sync::Arc;

/// What `[tls]` and `[intercept]` come to.
#[derive(Debug)]
pub struct CallerTls {
    listener: Option<Arc<ServerTls>>,
    leaves: Option<Arc<Leaves>>,
    /// What the configuration said: the same words keep what is open, with its sessions and leaves.
    words: (Option<config::Tls>, Option<config::Intercept>),
}

impl CallerTls {
    /// Opens what the configuration names; `before` is what was open until now. `known` says whether a lower-case name
    /// is a host of Twilio's that sidekey serves.
    ///
    /// # Errors
    /// Those of [`Leaves::open`] and [`ServerTls::open`].
    pub fn open(config: &Config, before: Option<&Self>, known: fn(&str) -> bool, clock: &Clock) -> Result<Self, Error> {
        let words = (config.listen.tls.and(config.tls.clone()), config.intercept.clone());
        let leaves = match (&words.1, before) {
            (None, _) => None,
            (Some(_), Some(before)) if before.words.1 == words.1 => before.leaves.clone(),
            (Some(intercept), _) => Some(Arc::new(Leaves::open(intercept, known, clock.clone())?)),
        };
        let listener = match (config.listen.tls, before) {
            (None, _) => None,
            (Some(_), Some(before)) if before.words == words => before.listener.clone(),
            (Some(_), _) => Some(Arc::new(ServerTls::open(words.0.as_ref(), leaves.clone())?)),
        };
        Ok(Self { listener, leaves, words })
    }

    /// Settings of `listen.tls`.
    pub fn listener(&self) -> Option<&ServerTls> {
        self.listener.as_deref()
    }

    /// Whether a client certificate is taken by the files as they are now. `now` is in seconds since the Unix epoch.
    pub fn takes(&self, peer: &PeerCertificate, now: u64) -> bool {
        self.listener.as_ref().is_some_and(|listener| listener.takes(peer, now))
    }

    /// Leaves for tunnels.
    pub fn leaves(&self) -> Option<&Leaves> {
        self.leaves.as_deref()
    }

    /// Whether a tunnel opens without a proof, so that each request inside must bring its own.
    pub fn proof_inside(&self) -> bool {
        self.words.1.as_ref().is_some_and(|intercept| intercept.proof_inside)
    }

    /// Reads files again that changed, and reports it. Blocks for as long as their disk does.
    pub fn poll(&self) {
        report("tls", self.listener.as_ref().map(|listener| listener.poll()));
        report("intercept", self.leaves.as_ref().map(|leaves| leaves.poll()));
    }
}

fn report(table: &str, reload: Option<Reload>) {
    match reload {
        None | Some(Reload::Unchanged) => {}
        Some(Reload::Replaced) => tracing::info!("the files of [{table}] were read again"),
        Some(Reload::Refused(fault)) => {
            tracing::error!(%fault, "the files of [{table}] can't be used; the old ones stay");
        }
    }
}
