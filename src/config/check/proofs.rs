//! `[[jwt]]`, `[[certificate]]` and `[[peer]]`: proofs besides tokens.

use super::Placed;
use crate::config::origin::Origin;
use crate::config::raw::{Entry, Section, Wrong};
use crate::config::types::{Certificate, Jwks, Jwt, Peer, Team};
use crate::config::{defaults, value};
use crate::ids::TeamId;
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

/// Algorithms a `[[jwt]]` may accept: asymmetric ones that the crypto provider verifies.
const ALGORITHMS: [&str; 9] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

/// Every `[[jwt]]`.
pub(super) fn jwts(root: &mut Section<'_, '_>) -> Vec<Placed<Jwt>> {
    root.sections("jwt").into_iter().filter_map(jwt).collect()
}

fn jwt(mut table: Section<'_, '_>) -> Option<Placed<Jwt>> {
    let issuer = table.need("issuer", "write the `iss` of the tokens, exactly", value::plain_text);
    let audience = table.need("audience", "write the `aud` that means sidekey, such as \"sidekey\"", value::plain_text);
    let jwks = jwks(&mut table);
    let (jwks_ca, jwks_token_file) = (behind_url(&mut table, "jwks_ca"), behind_url(&mut table, "jwks_token_file"));
    let mut algorithms = table.list("algorithms", "write algorithms = [\"RS256\", \"ES256\", \"EdDSA\"]", algorithm);
    if !table.has("algorithms") {
        algorithms = defaults::JWT_ALGORITHMS.map(str::to_owned).to_vec();
    } else if table.has_empty("algorithms") {
        table.fault(Wrong::new("`algorithms` accepts nothing", format!("name some of {}", ALGORITHMS.join(", "))));
    }
    let team_claim = table.get("team_claim", value::plain_text);
    let subjects = subjects(&mut table);
    if table.has("team_claim") == table.has("subjects") {
        let mend = "write either team_claim = \"CLAIM\" or a table [jwt.subjects] of \"SUBJECT\" = \"TEAM\"";
        table.fault(Wrong::new("must say how a token names its team, in one way", mend));
    }
    // RFC 7519 §4.1.4 speaks of "usually no more than a few minutes".
    let leeway = table.or("leeway", defaults::JWT_LEEWAY, value::duration_in(Duration::ZERO..=Duration::from_mins(5)));
    let age = value::duration_in(Duration::from_secs(10)..=Duration::from_hours(7 * 24));
    let max_age = table.or("max_age", defaults::JWT_MAX_AGE, age);
    let offset = table.offset;
    table.finish();
    let (issuer, audience, jwks) = (issuer?, audience?, jwks?);
    let jwt =
        Jwt { issuer, audience, jwks, jwks_ca, jwks_token_file, algorithms, team_claim, subjects, leeway, max_age };
    Some(Placed { value: jwt, offset })
}

/// Exactly one of `jwks_url` and `jwks_file`.
fn jwks(table: &mut Section<'_, '_>) -> Option<Jwks> {
    let url = table.get("jwks_url", jwks_url);
    let file = table.get("jwks_file", value::readable);
    if table.has("jwks_url") == table.has("jwks_file") {
        let mend = "write either jwks_url = \"https://…\" or jwks_file = \"PATH\"";
        table.fault(Wrong::new("must say where the key set is, in one way", mend));
    }
    url.map(Jwks::Url).or(file.map(Jwks::File))
}

/// A file that only a fetch needs.
fn behind_url(table: &mut Section<'_, '_>, name: &'static str) -> Option<PathBuf> {
    let path = table.get(name, value::readable);
    if table.has(name) && !table.has("jwks_url") {
        table.fault(Wrong::new(format!("`{name}` needs `jwks_url`"), "write jwks_url = \"https://…\""));
    }
    path
}

/// HTTPS, or HTTP to this machine: whoever can change the key set on its way can sign as anybody.
fn jwks_url(entry: &Entry<'_, '_>) -> Result<String, Wrong> {
    let mend = "write an https:// URL without user info and fragment";
    let text = entry.text(mend)?;
    let wrong = || Wrong::new("is not a URL of a key set", mend);
    let scheme = text.find("://").ok_or_else(wrong)? + 3;
    let end = text[scheme..].find(['/', '?', '#']).map_or(text.len(), |at| scheme + at);
    let origin = Origin::parse(&text[..end]).ok_or_else(wrong)?;
    if !text.bytes().all(|b| b.is_ascii_graphic()) || text.contains(['#', '\\']) {
        return Err(wrong());
    }
    if !origin.tls && !origin.is_loopback() {
        return Err(Wrong::new("fetches keys without TLS: whoever is on the way could sign as anybody", mend));
    }
    Ok(text.to_owned())
}

fn algorithm(entry: &Entry<'_, '_>) -> Result<String, Wrong> {
    let mend = format!("name some of {}", ALGORITHMS.join(", "));
    let text = entry.text(&mend)?;
    if ALGORITHMS.contains(&text) {
        return Ok(text.to_owned());
    }
    if text.eq_ignore_ascii_case("none") {
        return Err(Wrong::new("accepts tokens that nobody signed", mend));
    }
    if text.to_ascii_uppercase().starts_with("HS") {
        return Err(Wrong::new("is symmetric: whoever can verify could also sign", mend));
    }
    Err(Wrong::new("is not an algorithm known here", mend))
}

fn subjects(jwt: &mut Section<'_, '_>) -> BTreeMap<String, TeamId> {
    let mut subjects = BTreeMap::new();
    let Some(table) = jwt.section("subjects") else { return subjects };
    for (subject, entry) in table.entries() {
        if subject.is_empty() || subject.chars().any(char::is_control) {
            entry.fault(Wrong::new("is no subject", "write the `sub` of the tokens, exactly"));
            continue;
        }
        match value::team(&entry) {
            Ok(team) => {
                subjects.insert(subject.to_owned(), team);
            }
            Err(wrong) => entry.fault(wrong),
        }
    }
    if table.entries().is_empty() {
        table.fault(Wrong::new("names no subject", "write \"SUBJECT\" = \"TEAM\""));
    }
    subjects
}

/// Every `[[certificate]]`.
pub(super) fn certificates(root: &mut Section<'_, '_>) -> Vec<Placed<Certificate>> {
    let certificate = |mut table: Section<'_, '_>| {
        let san = table.need("san", SAN, san);
        let team = table.need("team", TeamId::RULE, value::team);
        let offset = table.offset;
        table.finish();
        Some(Placed { value: Certificate { san: san?, team: team? }, offset })
    };
    root.sections("certificate").into_iter().filter_map(certificate).collect()
}

const SAN: &str = "write a URI or a DNS name: \"spiffe://corp/ns/billing/*\" or \"billing.internal\"";

/// A URI or DNS name with at most one `*`, at its end. A star right after the scheme would match anybody.
fn san(entry: &Entry<'_, '_>) -> Result<String, Wrong> {
    let text = entry.text(SAN)?;
    let stem = text.strip_suffix('*').unwrap_or(text);
    if stem.contains('*') {
        return Err(Wrong::new("has a `*` that is not at its end", SAN));
    }
    if stem.is_empty() || !stem.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Wrong::new("is neither a URI nor a DNS name", SAN));
    }
    let starred = stem.len() < text.len();
    match stem.split_once("://") {
        Some((_, rest)) if starred && !rest.contains('/') => {
            Err(Wrong::new("would take any trust domain that begins so", SAN))
        }
        None if starred && !stem.contains(':') => {
            Err(Wrong::new("ends a DNS name with `*`: anybody's domain could follow", SAN))
        }
        _ => {
            if starred && !stem.ends_with(['/', ':']) {
                entry.warn(Wrong::new("also takes names that only begin so", "end it with `/*`"));
            }
            Ok(text.to_owned())
        }
    }
}

/// Every `[[peer]]`.
pub(super) fn peers(root: &mut Section<'_, '_>) -> Vec<Placed<Peer>> {
    let peer = |mut table: Section<'_, '_>| {
        let uid = table.need("uid", "write uid = 1000: the user id that the process runs as", |entry| {
            value::count_in(0..=u32::MAX as usize - 1)(entry)
        });
        let team = table.need("team", TeamId::RULE, value::team);
        let offset = table.offset;
        table.finish();
        Some(Placed { value: Peer { uid: u32::try_from(uid?).ok()?, team: team? }, offset })
    };
    root.sections("peer").into_iter().filter_map(peer).collect()
}

/// What peers demand of the other tables.
pub(super) fn across_peers(root: &Section<'_, '_>, peers: &[Placed<Peer>], teams: &[Placed<Team>]) {
    if !peers.is_empty() && !root.has_in("listen", "unix") {
        root.fault_at("peer", "no listener knows its peers", "add unix = \"PATH\" to [listen]");
    }
    let mut uids = HashSet::new();
    for Placed { value: peer, offset } in peers {
        if !uids.insert(peer.uid) {
            root.gather.fault("peer", *offset, Wrong::new("repeats an earlier `uid`", "keep one of them"));
        }
        declared(root, "peer", *offset, &peer.team, teams);
    }
}

/// What proofs demand of the other tables.
pub(super) fn across(
    root: &Section<'_, '_>,
    jwts: &[Placed<Jwt>],
    certificates: &[Placed<Certificate>],
    teams: &[Placed<Team>],
) {
    if !certificates.is_empty() && !root.has_in("tls", "client_ca") {
        root.fault_at("certificate", "no listener asks for certificates", "add client_ca = \"PATH\" to [tls]");
    }
    let (mut pairs, mut sans) = (HashSet::new(), HashSet::new());
    for Placed { value: jwt, offset } in jwts {
        if !pairs.insert((&jwt.issuer, &jwt.audience)) {
            let wrong = Wrong::new("repeats an earlier pair of issuer and audience", "join the two");
            root.gather.fault("jwt", *offset, wrong);
        }
        for team in jwt.subjects.values() {
            declared(root, "jwt", *offset, team, teams);
        }
    }
    for Placed { value: certificate, offset } in certificates {
        if !sans.insert(&certificate.san) {
            root.gather.fault("certificate", *offset, Wrong::new("repeats an earlier `san`", "keep one of them"));
        }
        declared(root, "certificate", *offset, &certificate.team, teams);
    }
}

/// Without a store, a team that the file does not declare can't exist.
fn declared(root: &Section<'_, '_>, at: &str, offset: Option<usize>, team: &TeamId, teams: &[Placed<Team>]) {
    if root.has("store") || teams.iter().any(|other| other.value.name == *team) {
        return;
    }
    let names = teams.iter().map(|team| team.value.name.as_str());
    let mend = match crate::config::fault::nearest(team.as_str(), names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "declare it in a [[team]], or add a [store]".to_owned(),
    };
    root.gather.fault(at, offset, Wrong::new(format!("`{team}` is not a team of this file"), mend));
}
