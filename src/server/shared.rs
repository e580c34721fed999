//! What all cores share.

use super::start_error::StartError;
use crate::admission::{Budget, Rates};
use crate::authn::ConnectionRules;
use crate::authn::jwks::Tending;
use crate::authn::jwt::Jwts;
use crate::clock::Clock;
use crate::config::Config;
use crate::directory::Directory;
use crate::tls::callers::CallerTls;
use crate::twilio::host::Host;
use crate::upstream::Connector;
use std::sync::Arc;

/// What a request is handled with, as all cores share it; a reload publishes a new one.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The configuration.
    pub config: Arc<Config>,
    /// What requests are judged by.
    pub directory: Arc<Directory>,
    /// Checks JWTs.
    pub jwts: Option<Arc<Jwts>>,
    /// TLS towards callers.
    pub tls: Arc<CallerTls>,
    /// Whose certificates and peers are whose.
    pub rules: Arc<ConnectionRules>,
    /// What bodies that are read before they are sent take.
    pub bodies: Arc<Budget>,
    /// What teams have used of their rates.
    pub rates: Arc<Rates>,
    /// Keeps their key sets fresh as long as this is what requests are handled with.
    _tending: Option<Arc<Tending>>,
    /// Opens upstream connections.
    pub connector: Connector,
}

impl Shared {
    /// What all cores share from now on; what they shared `before` is kept as far as it fits.
    ///
    /// # Errors
    /// What could not be set up.
    pub fn open(
        config: Config,
        directory: Arc<Directory>,
        before: Option<&Self>,
        clock: &Clock,
    ) -> Result<Self, StartError> {
        let (mut jwts, mut tending) = (None, None);
        if !config.jwt.is_empty() {
            let opened = Jwts::open(&config.jwt, before.and_then(|before| before.jwts.as_deref()))
                .map_err(|e| StartError::of("jwt", e))?;
            tending = Some(Arc::new(opened.tend(clock).map_err(|e| StartError::of("a thread for key sets", e))?));
            jwts = Some(Arc::new(opened));
        }
        let known = |name: &str| Host::parse(name).is_some();
        let tls = CallerTls::open(&config, before.map(|before| &*before.tls), known, clock);
        let tls = Arc::new(tls.map_err(|e| StartError::of("TLS towards callers", e))?);
        let rules = Arc::new(ConnectionRules::new(&config).map_err(StartError)?);
        let connector = Connector::new(&config.upstream).map_err(|e| StartError::of("upstream.ca", e))?;
        crate::twilio::operations::prepare();
        // What requests of the old configuration still hold counts.
        let bodies = before.map(|before| Arc::clone(&before.bodies)).unwrap_or_default();
        let rates = before.map_or_else(|| Arc::new(Rates::new(clock.instant())), |before| Arc::clone(&before.rates));
        Ok(Self { config: Arc::new(config), directory, jwts, tls, rules, bodies, rates, _tending: tending, connector })
    }
}
