//! What a head asks for, before anything is judged: its target, its `Host` and what it expects.

use super::Connection;
use super::stop::Stop;
use crate::audit::Facts;
use crate::error::Reason;
use crate::headers;
use crate::http1::RequestHead;
use crate::policy::{self, Asked, Target};

/// What is wrong with a target in no form that is served.
pub(super) const NO_TARGET: &str = "the target is neither a path nor a URL";

/// The parts of a request target.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    /// The authority of an absolute-form target.
    pub(super) authority: Option<&'a str>,
}

/// What a head asks for.
pub(super) fn asked<'b>(
    head: &RequestHead<'_, 'b>,
    connection: &Connection,
    parts: Option<Parts<'b>>,
    host: HostField<'b>,
) -> Result<Asked<'b>, Stop> {
    let malformed = |what: &str| Stop::because(Reason::MalformedRequest, what);
    let parts = parts.ok_or_else(|| malformed(NO_TARGET))?;
    let host = host.map_err(malformed)?;
    let target = Target {
        method: head.method.as_bytes(),
        authority: parts.authority.or(host),
        absolute: parts.authority.is_some() || connection.only_host.is_some(),
        path: parts.path.as_bytes(),
        query: parts.query.map(str::as_bytes),
    };
    Ok(policy::read(&target)?)
}

/// What a head says before anything is judged.
pub(super) fn read<'b>(head: &RequestHead<'_, 'b>, host: HostField<'b>) -> (Option<Parts<'b>>, Facts<'b>) {
    let parts = split(head.target);
    let path = parts.map_or(head.target, |parts| parts.path);
    let host = parts.and_then(|parts| parts.authority).or_else(|| host.ok().flatten()).unwrap_or("");
    let facts =
        Facts { method: head.method.as_bytes(), host: host.as_bytes(), path: path.as_bytes(), ..Facts::default() };
    (parts, facts)
}

/// Splits a target in origin or absolute form; `None` for anything else. A fragment stays in the path or query, where
/// it is refused.
fn split(target: &str) -> Option<Parts<'_>> {
    let (authority, rest) = if target.starts_with('/') {
        (None, target)
    } else {
        let rest = ["http://", "https://"].iter().find_map(|scheme| {
            target.get(..scheme.len())?.eq_ignore_ascii_case(scheme).then(|| &target[scheme.len()..])
        })?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        (Some(&rest[..end]), &rest[end..])
    };
    if !rest.starts_with('/') {
        return None;
    }
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    Some(Parts { path, query, authority })
}

/// What `Host` says, or what is wrong with it.
pub(super) type HostField<'b> = Result<Option<&'b str>, &'static str>;

/// The one `Host` field. HTTP/1.1 demands it (RFC 9112 §3.2).
pub(super) fn host_field<'b>(head: &RequestHead<'_, 'b>) -> HostField<'b> {
    let mut hosts = head.fields.iter().filter(|field| headers::is(field.name, b"host"));
    match (hosts.next(), hosts.next(), head.minor) {
        (Some(_), Some(_), _) => Err("more than one Host"),
        (None, _, 1) => Err("no Host"),
        (None, _, _) => Ok(None),
        (Some(field), None, _) => match std::str::from_utf8(field.value) {
            Ok("") | Err(_) => Err("an empty Host"),
            Ok(host) => Ok(Some(host)),
        },
    }
}

/// Whether an authority (with or without port) names this host.
pub(super) fn names_host(authority: &str, host: &str) -> bool {
    let name = authority.split_once(':').map_or(authority, |(name, _)| name);
    name.eq_ignore_ascii_case(host)
}

/// `Expect` may say one thing only (RFC 9110 §10.1.1); anything else would be read in two ways.
pub(super) fn expectation(head: &RequestHead<'_, '_>) -> Result<(), &'static str> {
    let mut expects = head.fields.iter().filter(|field| headers::is(field.name, b"expect"));
    match (expects.next(), expects.next()) {
        (None, _) => Ok(()),
        (Some(field), None) if field.value.eq_ignore_ascii_case(b"100-continue") => Ok(()),
        _ => Err("Expect other than 100-continue"),
    }
}
