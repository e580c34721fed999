//! Errors of the admin API, as RFC 9457 describes them.

use crate::keys::{KeysError, LifeError};
use crate::store::StoreError;
use serde_json::{Value, json};
use std::fmt;

/// One error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The HTTP status.
    pub(super) status: u16,
    /// One stable word for programs.
    pub(super) reason: &'static str,
    /// What happened and what to do, for people. Never a secret.
    pub(super) detail: String,
    /// What `Allow` says, which a 405 must (RFC 9110 §15.5.6).
    pub(super) allow: Option<String>,
}

impl Problem {
    pub(super) fn new(status: u16, reason: &'static str, detail: impl Into<String>) -> Self {
        Self { status, reason, detail: detail.into(), allow: None }
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(400, "invalid", detail)
    }

    pub(super) fn not_found() -> Self {
        Self::new(404, "not_found", "no such resource; /v1/openapi.json lists what there is")
    }

    pub(super) fn other_method(methods: String) -> Self {
        let detail = format!("this path takes {methods}");
        Self { allow: Some(methods), ..Self::new(405, "method_not_allowed", detail) }
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(401, "unauthorized", "send the admin token of the config: Authorization: Bearer TOKEN")
    }

    pub(super) fn no_store() -> Self {
        Self::new(409, "no_store", "this broker has no [store]: teams are declared in its config file")
    }

    pub(super) fn audit_unavailable() -> Self {
        Self::new(503, "audit_unavailable", "this can't be recorded, so it was not done")
    }

    /// The body, of type `application/problem+json`.
    pub(super) fn body(&self) -> Value {
        json!({
            "type": "about:blank",
            "title": title(self.status),
            "status": self.status,
            "detail": self.detail,
            "reason": self.reason,
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

/// RFC 9457, §4.2.1: with `about:blank`, the title is the status' own phrase.
fn title(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error")
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let (status, reason) = match &error {
            StoreError::Unknown { .. } => (404, "unknown"),
            StoreError::Duplicate { .. } => (409, "duplicate"),
            StoreError::Refused(_) => (409, "refused"),
            error if error.is_lost() => (503, "store_unavailable"),
            _ => (500, "store_failed"),
        };
        Self::new(status, reason, error.to_string())
    }
}

impl From<LifeError> for Problem {
    fn from(error: LifeError) -> Self {
        match error {
            LifeError::Store(error) => error.into(),
            LifeError::Upstream(KeysError::NoMaster) => Self::new(409, "no_master", error.to_string()),
            LifeError::Busy => Self::new(503, "busy", error.to_string()),
            LifeError::Upstream(_) | LifeError::Failed(_) => Self::new(502, "upstream", error.to_string()),
        }
    }
}
