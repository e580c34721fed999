//! The admin API: health and metrics for machines, `/v1/…` for operators.
//!
//! What the commands do, as JSON. One table ([`routes`]) says what there is; the router and the OpenAPI document are both
//! made from it. Every change is recorded in the audit before it is made; where records are required and can't be kept,
//! it is refused.

mod answer;
mod audit;
mod dispatch;
mod health;
mod input;
mod keys;
mod listen;
mod openapi;
mod problem;
mod routes;
mod schemas;
mod teams;
mod tokens;

pub use listen::{Admin, AdminHandle, AdminSocket};

use crate::audit::Trail;
use crate::authn::jwt::Jwts;
use crate::clock::Clock;
use crate::config::{self, AuditMode};
use crate::directory::Directory;
use crate::ids::TeamId;
use crate::keys::{Health, Life};
use crate::metrics::Metrics;
use crate::secret::Secret;
use std::sync::Arc;
use tokio::sync::watch;

/// What the admin API works on; replaced whole when the config is reloaded.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The bearer token of `/v1/…`; `None`: all of it is refused.
    pub token: Option<Secret>,
    /// What requests are judged by.
    pub directory: Arc<Directory>,
    /// The broker's counters.
    pub metrics: Arc<Metrics>,
    /// The audit.
    pub trail: Trail,
    /// Where the audit is read.
    pub audit: config::Audit,
    /// Keys and the store; `None` without `[store]`.
    pub life: Option<Arc<Life>>,
    /// Teams that the config file declares: it is heard before the store.
    pub declared: Vec<TeamId>,
    /// How the feed from the store does; `None` without `[store]`.
    pub health: Option<Arc<Health>>,
    /// What checks JWTs; `None` without `[[jwt]]`.
    pub jwts: Option<Arc<Jwts>>,
    /// Whether the broker is stopping: it takes no new connections, and lets requests finish.
    pub stopping: watch::Receiver<bool>,
    /// The time.
    pub clock: Clock,
}

impl Parts {
    /// Writes what is about to be done, or what came of it, into the audit.
    ///
    /// # Errors
    /// It can't be kept, and `audit.mode` is `required`.
    async fn record(&self, action: &str, subject: &str, result: &str) -> Result<(), problem::Problem> {
        match self.trail.admin_record("admin", action, subject, result).await {
            Ok(()) => Ok(()),
            Err(_) if self.audit.mode == AuditMode::BestEffort => Ok(()),
            Err(_) => Err(problem::Problem::audit_unavailable()),
        }
    }
}
