//! What a running broker can't change: each is said by name, so that nobody waits for it.

use crate::config::{Config, Store, StoreUrl};

/// The new configuration with what stays as it was.
///
/// # Errors
/// Another store, or none where there was one: what it means for the teams in use can't be told.
pub fn keep(before: &Config, after: &Config) -> Result<Config, String> {
    if !same_store(before.store.as_ref(), after.store.as_ref()) {
        return Err("store.url: another store can't be taken while the broker runs; restart it".to_owned());
    }
    for name in changed(before, after) {
        tracing::warn!("{name} has changed: it takes effect when the broker is restarted");
    }
    let (listen, audit) = (before.listen.clone(), before.audit.clone());
    let mut limits = after.limits.clone();
    limits.cores = before.limits.cores;
    Ok(Config { listen, audit, limits, ..after.kept() })
}

fn same_store(before: Option<&Store>, after: Option<&Store>) -> bool {
    match (before.map(|store| &store.url), after.map(|store| &store.url)) {
        (None, None) => true,
        (Some(StoreUrl::Sqlite(before)), Some(StoreUrl::Sqlite(after))) => before == after,
        (Some(StoreUrl::Postgres(before)), Some(StoreUrl::Postgres(after))) => before == after,
        _ => false,
    }
}

/// The names of what has changed and stays as it was.
fn changed(before: &Config, after: &Config) -> Vec<&'static str> {
    let (was, is) = (&before.listen, &after.listen);
    let (kept, told) = (&before.audit, &after.audit);
    let ships = |audit: &crate::config::Audit| {
        audit.ship.iter().map(|ship| (ship.to.clone(), ship.ca.clone(), ship.authorization.clone())).collect::<Vec<_>>()
    };
    let all = [
        ("listen.proxy", was.proxy != is.proxy),
        ("listen.tls", was.tls != is.tls),
        ("listen.unix", was.unix != is.unix),
        ("listen.admin", was.admin != is.admin),
        ("listen.admin_unix", was.admin_unix != is.admin_unix),
        ("limits.cores", before.limits.cores != after.limits.cores),
        ("audit.file", kept.file != told.file),
        ("audit.mode", kept.mode != told.mode),
        ("audit.durability", kept.durability != told.durability),
        ("audit.signing_key", kept.signing_key != told.signing_key),
        ("audit.hash_key", kept.hash_key != told.hash_key),
        ("audit.max_size", kept.max_size != told.max_size),
        ("audit.max_age", kept.max_age != told.max_age),
        ("audit.retention", kept.retention != told.retention),
        ("audit.ship", ships(kept) != ships(told)),
    ];
    all.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect()
}
