//! `/readyz` and what the metrics say of store, audit, keys and key sets.

use super::Parts;
use super::answer::Answer;
use crate::audit::Trouble;
use crate::config::AuditMode;
use crate::log;
use crate::metrics::metric;
use serde::Serialize;

/// Keys named in an answer at most: enough to begin with, and no list of the whole company.
const MAX_NAMED: usize = 20;

/// What `/readyz` says.
#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    stopping: bool,
    store: StoreCheck,
    audit: AuditCheck,
    keys: KeysCheck,
    key_sets: KeySetsCheck,
}

#[derive(Debug, Serialize)]
struct StoreCheck {
    /// Whether requests are still served from what is known.
    usable: bool,
    state: &'static str,
    lost_seconds: Option<u64>,
    /// Whether it takes what is written; `None` without a store.
    writable: Option<bool>,
}

#[derive(Debug, Serialize)]
struct AuditCheck {
    usable: bool,
    trouble: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct KeysCheck {
    /// Whether at least one key is taken by the upstream, if there are any.
    usable: bool,
    rejected: Vec<String>,
    /// When the last of them was refused first, in seconds since the Unix epoch.
    #[serde(skip)]
    last: u64,
}

#[derive(Debug, Serialize)]
struct KeySetsCheck {
    /// Whether every `[[jwt]]` has had its first key set.
    usable: bool,
    /// Issuers whose tokens are refused for want of a key set that is young enough.
    without: Vec<String>,
}

/// Whether requests can be served: new ones are not while the broker stops.
///
/// A lost store alone is said and does not count: what is known is served on until it is too old, or a key that it knows is
/// gone. Neither does one refused key, of one team, or a key set that grew too old: taking the broker out would take all the
/// others along. A broker that has not had its first key sets yet refuses callers that another would serve, so it waits.
pub(super) fn ready(parts: &Parts) -> Answer {
    let (store, audit, keys, key_sets) = (store(parts), audit(parts), keys(parts), key_sets(parts));
    // A key that the upstream refuses since the store is lost: it was replaced, and this broker has not heard of the new one.
    let lost_since = parts.health.as_ref().and_then(|health| health.lost_since());
    let deaf = lost_since.is_some_and(|since| keys.last >= since);
    let stopping = *parts.stopping.borrow();
    let ready = store.usable && audit.usable && keys.usable && key_sets.usable && !deaf && !stopping;
    Answer::json(if ready { 200 } else { 503 }, &Readiness { ready, stopping, store, audit, keys, key_sets })
}

fn store(parts: &Parts) -> StoreCheck {
    let now = parts.clock.unix_seconds();
    let usable = parts.directory.fresh(now);
    let lost = parts.health.as_ref().and_then(|health| health.lost_since());
    let state = match (&parts.health, lost) {
        (None, _) => "none",
        (Some(_), _) if !usable => "stale",
        (Some(_), Some(_)) => "lost",
        (Some(_), None) => "ok",
    };
    let writable = parts.health.as_ref().map(|health| health.is_writable());
    StoreCheck { usable, state, lost_seconds: lost.map(|since| now.saturating_sub(since)), writable }
}

fn audit(parts: &Parts) -> AuditCheck {
    let trouble = parts.trail.trouble();
    let usable = trouble.is_none() || parts.audit.mode == AuditMode::BestEffort;
    AuditCheck { usable, trouble: trouble.map(Trouble::name) }
}

fn keys(parts: &Parts) -> KeysCheck {
    let (mut held, mut last, mut rejected) = (0_usize, 0, Vec::new());
    let teams = parts.directory.teams();
    let keys = teams.iter().filter_map(|team| team.load().key.clone()).chain(parts.directory.master());
    for key in keys {
        held += 1;
        if let Some(at) = key.rejected_at() {
            last = last.max(at);
            rejected.push(key.sid.to_string());
        }
    }
    let usable = held == 0 || rejected.len() < held;
    rejected.sort();
    rejected.truncate(MAX_NAMED);
    KeysCheck { usable, rejected, last }
}

fn key_sets(parts: &Parts) -> KeySetsCheck {
    let Some(jwts) = &parts.jwts else { return KeySetsCheck { usable: true, without: Vec::new() } };
    let mut without = jwts.without_keys(parts.clock.unix_seconds());
    without.truncate(MAX_NAMED);
    KeySetsCheck { usable: jwts.loaded(), without: without.into_iter().map(str::to_owned).collect() }
}

/// The broker's counters, and gauges of store, audit and keys.
pub(super) fn metrics(parts: &Parts) -> Answer {
    let mut text = parts.metrics.render();
    let teams = parts.directory.teams();
    let keys: Vec<_> = teams.iter().filter_map(|team| team.load().key.clone()).collect();
    let rejected = keys.iter().filter(|key| key.is_rejected()).count();
    metric(&mut text, "sidekey_teams", "Teams known to this broker.", teams.len() as u64);
    metric(&mut text, "sidekey_tokens", "Tokens known to this broker.", parts.directory.token_count() as u64);
    metric(&mut text, "sidekey_keys", "Keys that teams hold.", keys.len() as u64);
    metric(&mut text, "sidekey_keys_rejected", "Keys that the upstream refuses.", rejected as u64);
    if let Some(health) = &parts.health {
        let age = parts.clock.unix_seconds().saturating_sub(health.heard());
        metric(&mut text, "sidekey_store_up", "Whether the store answers.", u64::from(health.lost_since().is_none()));
        metric(&mut text, "sidekey_store_writable", "Whether the store takes writes.", u64::from(health.is_writable()));
        metric(&mut text, "sidekey_store_age_seconds", "Seconds since the store's last answer.", age);
        metric(&mut text, "sidekey_store_changes_total", "Changes applied from the store.", health.applied());
        let left = health.backlog();
        let undeleted = "Keys out of use that the upstream has not deleted yet.";
        metric(&mut text, "sidekey_keys_undeleted", undeleted, left.undeleted);
        let unsettled = "Changes of keys under way, or interrupted and not settled yet.";
        metric(&mut text, "sidekey_key_changes_unsettled", unsettled, left.unsettled);
    }
    let counts = parts.trail.counts();
    metric(&mut text, "sidekey_audit_up", "Whether records can be kept.", u64::from(parts.trail.healthy()));
    let counters = [
        ("sidekey_audit_records_total", "Audit lines written.", counts.records),
        ("sidekey_audit_refused_total", "Requests refused because they could not be recorded.", counts.refused),
        ("sidekey_audit_unrecorded_total", "Requests that passed unrecorded (best_effort).", counts.unrecorded),
        ("sidekey_audit_lost_total", "Audit lines given up.", counts.lost),
        ("sidekey_log_lost_total", "Lines of the log that stderr did not take.", log::lost()),
    ];
    let refused = "Requests to the admin API without a valid token.";
    metric(&mut text, "sidekey_admin_refused_total", refused, parts.refusals.total());
    for (name, help, value) in counters {
        metric(&mut text, name, help, value);
    }
    Answer::text(200, "text/plain; version=0.0.4", text)
}
