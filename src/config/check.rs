//! The whole file: its tables in the contract's order, and what one table demands of another.

mod listen;
mod proofs;
mod store;
mod team;
mod upstream;

use super::defaults;
use super::environment::Environment;
use super::fault::{Fault, Faults};
use super::raw::{Gather, Section, Wrong};
use super::types::{Config, Limits, Named};
use super::value::{count_in, duration_in, size_in};
use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;
use toml::de::DeTable;

/// Checks the text of a config file and gathers every fault, then those that `look` finds in the files that it names.
pub(super) fn check(
    text: &str,
    file: &Path,
    environment: &dyn Environment,
    look: impl FnOnce(&Named<'_>) -> Vec<Fault>,
) -> Result<Config, Faults> {
    let gather = Gather::new(text, file, environment);
    let (root, broken) = DeTable::parse_recoverable(text);
    for error in &broken {
        // Only the message: the error's own display shows the line itself, and a secret may stand in it.
        let what = format!("is not TOML: {}", error.message());
        gather.fault("", error.span().map(|span| span.start), Wrong::new(what, "see toml.io for the syntax"));
    }
    let mut found = Vec::new();
    let config = if broken.is_empty() { tables(&gather, root.get_ref(), |named| found = look(named)) } else { None };
    let (warnings, sources) = (gather.warnings.take(), gather.sources.take());
    match (Faults::gathered(gather.faults.take(), found), config) {
        (Some(faults), _) => Err(faults),
        (None, Some(config)) => Ok(Config { warnings, sources, ..config }),
        (None, None) => Err(Faults::one(Fault {
            file: file.to_owned(),
            line: None,
            at: String::new(),
            what: "can't be used, and the check did not say why".to_owned(),
            mend: "report this as a bug of sidekey".to_owned(),
        })),
    }
}

/// Reads every table, then compares them. A table that is absent and one that is wrong are both `None` here: the wrong
/// one has noted its fault, so no [`Config`] comes of it.
fn tables(gather: &Gather<'_>, root: &DeTable<'_>, look: impl FnOnce(&Named<'_>)) -> Option<Config> {
    let mut root = Section::new(gather, String::new(), None, root);
    let listen = listen::listen(&mut root);
    let (tls, tls_is_sound) = sound(gather, || listen::tls(&mut root));
    let (intercept, intercept_is_sound) = sound(gather, || listen::intercept(&mut root));
    let upstream = upstream::upstream(&mut root);
    let store = store::store(&mut root);
    let admin = listen::admin(&mut root);
    let audit = store::audit(&mut root);
    let limits = limits(&mut root);
    let (jwt, jwt_is_sound) = sound(gather, || proofs::jwts(&mut root));
    let certificates = proofs::certificates(&mut root);
    let peers = proofs::peers(&mut root);
    let teams = team::teams(&mut root);
    listen::across(&root);
    team::across(&root, &teams);
    proofs::across(&root, &jwt, &certificates, &teams);
    proofs::across_peers(&root, &peers, &teams);
    root.finish();
    let jwt: Vec<_> = jwt.into_iter().map(|jwt| jwt.value).collect();
    look(&Named {
        tls: tls.as_ref().filter(|_| tls_is_sound),
        intercept: intercept.as_ref().filter(|_| intercept_is_sound),
        upstream_ca: upstream.as_ref().and_then(|upstream| upstream.ca.as_deref()),
        jwt: if jwt_is_sound { &jwt } else { &[] },
    });
    Some(Config {
        listen,
        tls,
        intercept,
        upstream: upstream?,
        store,
        admin,
        audit,
        limits,
        jwt,
        certificates: certificates.into_iter().map(|certificate| certificate.value).collect(),
        peers: peers.into_iter().map(|peer| peer.value).collect(),
        teams: teams.into_iter().map(|team| team.value).collect(),
        warnings: Vec::new(),
        sources: Vec::new(),
    })
}

/// What a table comes to, and whether it has no fault.
fn sound<T>(gather: &Gather<'_>, read: impl FnOnce() -> T) -> (T, bool) {
    let before = gather.faults.borrow().len();
    let value = read();
    (value, gather.faults.borrow().len() == before)
}

/// A value and where it stands, for faults found when tables are compared.
struct Placed<T> {
    value: T,
    offset: Option<usize>,
}

/// `[limits]`
fn limits(root: &mut Section<'_, '_>) -> Limits {
    let mut limits = Limits {
        max_body: defaults::MAX_BODY,
        max_body_memory: defaults::MAX_BODY_MEMORY,
        max_head: defaults::MAX_HEAD,
        max_connections: defaults::MAX_CONNECTIONS,
        head_timeout: defaults::HEAD_TIMEOUT,
        idle_timeout: defaults::IDLE_TIMEOUT,
        body_timeout: defaults::BODY_TIMEOUT,
        upstream_idle: defaults::UPSTREAM_IDLE,
        upstream_idle_timeout: defaults::UPSTREAM_IDLE_TIMEOUT,
        drain_timeout: defaults::DRAIN_TIMEOUT,
        team_rate: NonZeroU32::new(defaults::TEAM_RATE),
        cores: defaults::CORES,
    };
    let Some(mut table) = root.section("limits") else { return limits };
    // A wait of less than 100 ms breaks callers on a busy machine; one of more than an hour is no ceiling.
    let wait = || duration_in(Duration::from_millis(100)..=Duration::from_hours(1));
    limits.max_body = table.or("max_body", limits.max_body, size_in(1..=1 << 40));
    limits.max_body_memory = table.or("max_body_memory", limits.max_body_memory.max(limits.max_body), |entry| {
        let mend = format!("write at least what one body may have, {} bytes", limits.max_body);
        let bytes = size_in(1..=1 << 40)(entry)?;
        if bytes < limits.max_body { Err(Wrong::new("is less than max_body", mend)) } else { Ok(bytes) }
    });
    let head = table.get("max_head", size_in(4 << 10..=1 << 20));
    limits.max_head = head.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(limits.max_head);
    limits.max_connections = table.or("max_connections", limits.max_connections, count_in(1..=1 << 20));
    limits.head_timeout = table.or("head_timeout", limits.head_timeout, wait());
    limits.idle_timeout = table.or("idle_timeout", limits.idle_timeout, wait());
    limits.body_timeout = table.or("body_timeout", limits.body_timeout, wait());
    limits.upstream_idle = table.or("upstream_idle", limits.upstream_idle, count_in(0..=1 << 16));
    limits.upstream_idle_timeout = table.or("upstream_idle_timeout", limits.upstream_idle_timeout, wait());
    let drain = duration_in(Duration::ZERO..=Duration::from_hours(1));
    limits.drain_timeout = table.or("drain_timeout", limits.drain_timeout, drain);
    let rate = table.get("team_rate", count_in(0..=1_000_000)).and_then(|rate| u32::try_from(rate).ok());
    limits.team_rate = rate.map_or(limits.team_rate, NonZeroU32::new);
    limits.cores = table.or("cores", limits.cores, count_in(0..=1024));
    table.finish();
    limits
}
