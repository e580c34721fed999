//! The admin API: health and metrics for machines, `/v1/…` for operators.
//!
//! What the commands do, as JSON. One table ([`routes`]) says what there is; the router and the OpenAPI document are both
//! made from it. Every change is recorded in the audit before it is made, and what came of it after; where records are
//! required and can't be kept, it is refused.

mod answer;
mod audit;
mod dispatch;
mod health;
mod input;
mod keys;
mod listen;
mod openapi;
mod patient;
mod problem;
mod refusals;
mod routes;
mod schemas;
mod teams;
mod tokens;

pub use listen::{Admin, AdminHandle, AdminSocket};
pub use refusals::Refusals;

use crate::audit::Trail;
use crate::authn::jwt::Jwts;
use crate::clock::Clock;
use crate::config::{self, AuditMode};
use crate::directory::Directory;
use crate::ids::TeamId;
use crate::keys::{Health, Life};
use crate::metrics::Metrics;
use crate::secret::Secret;
use problem::Problem;
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
    /// Requests without a valid token, counted through all reloads.
    pub refusals: Arc<Refusals>,
    /// The time.
    pub clock: Clock,
}

impl Parts {
    /// Refuses a change of the store's team that would have no effect, since the config file declares the team too.
    fn must_have_effect(&self, name: &TeamId) -> Result<(), Problem> {
        if !self.declared.contains(name) {
            return Ok(());
        }
        let told = "is declared in the config file, which is heard before the store: change it there";
        Err(Problem::new(409, "declared", format!("team \"{name}\" {told}")))
    }

    /// Does it, recorded before and after: that it was asked for, and what came of it.
    ///
    /// # Errors
    /// That of `work`; or it can't be recorded, `audit.mode` is `required`, and it was not done.
    async fn recorded<T, E: ToString + Into<Problem>>(
        &self,
        action: &str,
        subject: &str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Problem> {
        let asked = self.trail.admin_record("admin", action, subject, "asked").await;
        if asked.is_err() && self.audit.mode == AuditMode::Required {
            return Err(Problem::audit_unavailable());
        }
        let outcome = work.await;
        let result = outcome.as_ref().map_or_else(ToString::to_string, |_| "done".to_owned());
        // It has happened, recorded or not.
        let _ = self.trail.admin_record("admin", action, subject, &result).await;
        outcome.map_err(Into::into)
    }
}
