//! `[store]` and `[audit]`: what is kept, and where.

use crate::config::defaults;
use crate::config::origin::Origin;
use crate::config::raw::{Entry, Section, Wrong};
use crate::config::reference::{self, Reference};
use crate::config::types::{Audit, AuditMode, Durability, RootKey, Ship, ShipTo, Store, StoreUrl};
use crate::config::value;
use crate::secret::Secret;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

const URL: &str = "write \"sqlite:sidekey.db\", \"postgres://HOST/DATABASE\", or a reference: \"env:DATABASE_URL\"";
const DAY: Duration = Duration::from_hours(24);

/// `[store]`
pub(super) fn store(root: &mut Section<'_, '_>) -> Option<Store> {
    let mut table = root.section("store")?;
    let url = table.need("url", URL, url);
    let root_key = table.need("root_key", "write root_key = \"file:sidekey.key\" or \"env:NAME\"", root_key);
    let staleness = value::duration_in(Duration::from_secs(1)..=DAY * 30);
    let max_staleness = table.or("max_staleness", defaults::MAX_STALENESS, staleness);
    // Below a second, a rotation could not finish before the next one began.
    let rotate_every = table.get("rotate_every", value::duration_in(Duration::from_secs(1)..=DAY * 3650));
    table.finish();
    Some(Store { url: url?, root_key: root_key?, max_staleness, rotate_every })
}

fn url(entry: &Entry<'_, '_>) -> Result<StoreUrl, Wrong> {
    let text = entry.text(URL)?;
    if let Some(file) = text.strip_prefix("sqlite:") {
        return sqlite(entry, file);
    }
    if is_postgres(text) {
        if has_password(text) {
            let mend = "write url = \"env:NAME\" or \"file:PATH\", and replace the password";
            return Err(Wrong::new("holds a literal password", mend));
        }
        postgres(entry, text)?;
        return Ok(StoreUrl::Postgres(Secret::from(text.to_owned())));
    }
    // Any other scheme is a mistake about databases, not a secret in the wrong place.
    if text.contains("://") {
        return Err(Wrong::new("is a kind of store that sidekey does not know", URL));
    }
    let url = reference::text(entry)?;
    match url.strip_prefix("sqlite:") {
        Some(file) => sqlite(entry, file),
        None if is_postgres(&url) => {
            postgres(entry, &url)?;
            Ok(StoreUrl::Postgres(reference::boxed(&url)))
        }
        _ => Err(Wrong::new("what it refers to is neither sqlite: nor postgres://", URL)),
    }
}

fn sqlite(entry: &Entry<'_, '_>, file: &str) -> Result<StoreUrl, Wrong> {
    let file = file.strip_prefix("//").unwrap_or(file);
    if file.is_empty() || file.starts_with(':') || file.contains(['\0', '?']) {
        return Err(Wrong::new(
            "does not name a file",
            "write \"sqlite:PATH\"; a store in memory would forget its keys",
        ));
    }
    Ok(StoreUrl::Sqlite(entry.gather.path(file)))
}

fn is_postgres(text: &str) -> bool {
    text.starts_with("postgres://") || text.starts_with("postgresql://")
}

/// Says what of a PostgreSQL URL is unwise, or can't be meant. It may be a secret, so nothing of it is repeated.
fn postgres(entry: &Entry<'_, '_>, url: &str) -> Result<(), Wrong> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let parameters: Vec<_> = form_urlencoded::parse(parameters.as_bytes()).collect();
    let values =
        |wanted: &'static str| parameters.iter().filter(move |(name, _)| name == wanted).map(|(_, value)| value);
    if values("sslmode").count() > 1 {
        return Err(Wrong::new("has `sslmode` twice", "leave one of them"));
    }
    let authority = place.split('/').next().unwrap_or_default();
    let hosts = authority.rsplit('@').next().unwrap_or_default();
    let named = hosts.split(',').map(host);
    let all_near = named.chain(values("host").chain(values("hostaddr")).map(|host| &**host)).all(is_near);
    let in_clear = values("sslmode").next().is_none_or(|mode| mode == "allow" || mode == "prefer");
    if in_clear && !all_near {
        let mend = "add sslmode=verify-full, or sslmode=disable where nobody can listen";
        entry.warn(Wrong::new("goes to the database without TLS, the teams' data and the password in clear", mend));
    }
    Ok(())
}

/// The host of `HOST:PORT`, `[V6]:PORT` or a host alone.
fn host(text: &str) -> &str {
    match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((literal, _)) => literal,
        None => text.split(':').next().unwrap_or_default(),
    }
}

/// Whether what goes to this host stays on this machine: none is the default socket, a path another's folder.
fn is_near(host: &str) -> bool {
    let is_socket = host.is_empty()
        || host.starts_with('/')
        || host.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("%2f"));
    is_socket || host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether a PostgreSQL URL holds a password, in the user info or as a parameter.
fn has_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (authority, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let info = authority.rsplit_once('@').map_or("", |(info, _)| info);
    let parameter = form_urlencoded::parse(parameters.as_bytes()).any(|(name, _)| name.contains("password"));
    info.contains(':') || parameter
}

fn root_key(entry: &Entry<'_, '_>) -> Result<RootKey, Wrong> {
    match reference::reference(entry)? {
        // Not read here: a new SQLite store makes it.
        Reference::File(path, _) => Ok(RootKey::File(path)),
        Reference::Env(_) => {
            let text = reference::text(entry)?;
            reference::decode_key(&text)?;
            Ok(RootKey::Value(reference::boxed(&text)))
        }
    }
}

/// `[audit]`
pub(super) fn audit(root: &mut Section<'_, '_>) -> Audit {
    let mut audit = Audit {
        file: Some(root.gather.path(defaults::AUDIT_FILE)),
        mode: AuditMode::Required,
        durability: Durability::Write,
        signing_key: None,
        hash_key: None,
        max_size: defaults::AUDIT_MAX_SIZE,
        max_age: defaults::AUDIT_MAX_AGE,
        retention: None,
        ship: Vec::new(),
    };
    let Some(mut table) = root.section("audit") else { return audit };
    audit.file = table.or("file", audit.file, file);
    let modes = &[("required", AuditMode::Required), ("best_effort", AuditMode::BestEffort)];
    audit.mode = table.or("mode", audit.mode, value::one_of(modes));
    let durabilities =
        &[("write", Durability::Write), ("fsync", Durability::Fsync), ("buffered", Durability::Buffered)];
    audit.durability = table.or("durability", audit.durability, value::one_of(durabilities));
    audit.signing_key = table.get("signing_key", reference::key_bytes);
    audit.hash_key = table.get("hash_key", reference::key_bytes);
    audit.max_size = table.or("max_size", audit.max_size, value::size_in(4 << 10..=1 << 40));
    audit.max_age = table.or("max_age", audit.max_age, value::duration_in(Duration::from_secs(1)..=DAY * 3650));
    audit.retention = table.get("retention", value::duration_in(Duration::from_secs(1)..=DAY * 36_500));
    // Where no file is, no key can be kept beside it.
    let is_stream = |file: &Option<PathBuf>| match file {
        None => true,
        Some(path) => std::fs::metadata(path).is_ok_and(|found| !found.is_file()),
    };
    if is_stream(&audit.file) && !table.has("hash_key") {
        let mend = "write hash_key = \"env:NAME\" or \"file:PATH\": what `openssl rand -base64 32` prints";
        let what = "is a stream without `hash_key`: each start makes a new key for phone numbers, so that `audit query \
                    --phone` finds none";
        table.warn(Wrong::new(what, mend));
    }
    audit.ship = table.sections("ship").into_iter().filter_map(|section| ship(section, audit.file.is_some())).collect();
    table.finish();
    audit
}

const SHIP: &str = "write \"stdout\", \"syslog+udp://HOST:514\", \"syslog+tcp://HOST:601\", \"syslog+tls://HOST:6514\", \
                    \"syslog+unix:/dev/log\" or \"https://HOST:4318/v1/logs\"";

/// `[[audit.ship]]`
fn ship(mut table: Section<'_, '_>, has_file: bool) -> Option<Ship> {
    if !has_file {
        let mend = "name a file in [audit]: what is shipped is read from it";
        table.fault(Wrong::new("nothing is shipped from a trail on stdout", mend));
    }
    let to = table.need("to", SHIP, |entry| {
        let text = entry.text(SHIP)?;
        ship_to(text).map(|to| (text.to_owned(), to)).ok_or_else(|| Wrong::new("is no place to ship to", SHIP))
    });
    let ca = table.get("ca", value::readable);
    let authorization = table.get("authorization", reference::secret);
    table.finish();
    let (name, to) = to?;
    Some(Ship { name, to, ca, authorization })
}

fn ship_to(text: &str) -> Option<ShipTo> {
    if text == "stdout" {
        return Some(ShipTo::Stdout);
    }
    if let Some(path) = text.strip_prefix("syslog+unix:") {
        return path.starts_with('/').then(|| ShipTo::SyslogUnix(path.into()));
    }
    if let Some((scheme, authority)) = text.strip_prefix("syslog+").and_then(|rest| rest.split_once("://")) {
        let (default, tls) = match scheme {
            "udp" => (514, None),
            "tcp" => (601, Some(false)),
            "tls" => (6514, Some(true)),
            _ => return None,
        };
        // Host and port follow an origin's rules; the scheme only gives the default port there.
        let origin = Origin::parse(&format!("http://{authority}"))?;
        let port = if authority.ends_with(&format!(":{}", origin.port)) { origin.port } else { default };
        return Some(match tls {
            None => ShipTo::SyslogUdp(origin.host, port),
            Some(tls) => ShipTo::SyslogTcp(origin.host, port, tls),
        });
    }
    let after = text.find("://")? + 3;
    let path = text[after..].find('/').map_or(text.len(), |at| after + at);
    let origin = Origin::parse(&text[..path])?;
    let path = if text.len() > path + 1 { &text[path..] } else { "/v1/logs" };
    path.bytes().all(|b| b.is_ascii_graphic()).then(|| ShipTo::Otlp(origin, path.to_owned()))
}

fn file(entry: &Entry<'_, '_>) -> Result<Option<PathBuf>, Wrong> {
    if entry.value.as_str() == Some("-") {
        return Ok(None);
    }
    value::path(entry).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_to_ship_to() {
        let origin = |text: &str| Origin::parse(text).expect("an origin");
        for (text, want) in [
            ("stdout", Some(ShipTo::Stdout)),
            ("syslog+unix:/dev/log", Some(ShipTo::SyslogUnix("/dev/log".into()))),
            ("syslog+udp://logs", Some(ShipTo::SyslogUdp("logs".into(), 514))),
            ("syslog+tcp://127.0.0.1:80", Some(ShipTo::SyslogTcp("127.0.0.1".into(), 80, false))),
            ("syslog+tls://logs:7000", Some(ShipTo::SyslogTcp("logs".into(), 7000, true))),
            ("http://127.0.0.1:4318", Some(ShipTo::Otlp(origin("http://127.0.0.1:4318"), "/v1/logs".into()))),
            ("https://c/otlp/v1/logs", Some(ShipTo::Otlp(origin("https://c"), "/otlp/v1/logs".into()))),
            ("syslog+ftp://logs", None),
            ("syslog+unix:relative", None),
            ("http://c/a b", None),
            ("nowhere", None),
        ] {
            assert_eq!(ship_to(text), want, "{text}");
        }
    }
}
