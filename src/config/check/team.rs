//! `[[team]]`: teams declared in the file.

use super::Placed;
use crate::config::raw::{Entry, Section, Wrong};
use crate::config::types::{Kind, Team, TeamKey, TeamPolicy};
use crate::config::{reference, value};
use crate::ids::TeamId;
use std::collections::{HashMap, HashSet};

/// Every `[[team]]`.
pub(super) fn teams(root: &mut Section<'_, '_>) -> Vec<Placed<Team>> {
    root.sections("team").into_iter().filter_map(team).collect()
}

fn team(mut table: Section<'_, '_>) -> Option<Placed<Team>> {
    let name = table.need("name", TeamId::RULE, value::team);
    let kind =
        table.or("kind", Kind::Standard, value::one_of(&[("standard", Kind::Standard), ("master", Kind::Master)]));
    let accounts = table.list("accounts", "write accounts = [\"AC…\"]", value::account);
    let token_sha256 = table.list("token_sha256", "write token_sha256 = [\"…64 hex digits…\"]", value::sha256);
    let key = key(&mut table);
    let policy = policy(&mut table);
    match (kind, table.has("key")) {
        (Kind::Standard, false) => {
            let mend = "write key = { sid = \"SK…\", secret = \"env:NAME\" }";
            table.fault(Wrong::new("`key` is missing: a standard team acts with a key of its own", mend));
        }
        (Kind::Master, true) => {
            table.warn(Wrong::new("`key` is not used: a master team acts with [upstream.master]", "remove it"));
        }
        _ => {}
    }
    if accounts.iter().collect::<HashSet<_>>().len() < accounts.len() {
        table.fault(Wrong::new("`accounts` names an account twice", "keep one of them"));
    }
    let offset = table.offset;
    table.finish();
    Some(Placed { value: Team { name: name?, kind, accounts, token_sha256, key, policy }, offset })
}

fn key(team: &mut Section<'_, '_>) -> Option<TeamKey> {
    let mut table = team.section("key")?;
    let sid = table.need("sid", "write sid = \"SK…\"", value::key_sid);
    let secret = table.need("secret", "write secret = \"env:NAME\" or \"file:PATH\"", reference::secret);
    table.finish();
    Some(TeamKey { sid: sid?, secret: secret? })
}

fn policy(team: &mut Section<'_, '_>) -> TeamPolicy {
    let Some(mut table) = team.section("policy") else { return TeamPolicy::default() };
    let mut operations = |name| table.list(name, "write a list such as [\"api:Messages:create\"]", operation);
    let policy = TeamPolicy { open: operations("open"), allow: operations("allow"), deny: operations("deny") };
    table.finish();
    policy
}

/// An operation's name, with one `*` at its end if any.
fn operation(entry: &Entry<'_, '_>) -> Result<String, Wrong> {
    let mend = "write names as `sidekey explain` prints them: \"api:Messages:create\", or \"api:Messages:*\"";
    let text = entry.text(mend)?;
    let stem = text.strip_suffix('*').unwrap_or(text);
    let plain = stem.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b':' | b'_' | b'-' | b'.' | b'/'));
    (plain && !text.is_empty()).then(|| text.to_owned()).ok_or_else(|| Wrong::new("is not an operation's name", mend))
}

/// What teams demand of each other and of the other tables.
pub(super) fn across(root: &Section<'_, '_>, teams: &[Placed<Team>]) {
    if !root.has("store") && !root.has("team") {
        root.fault(Wrong::new(
            "names no team: neither [store] nor [[team]]",
            "add [store] with `url` and `root_key`, or a [[team]] for each team",
        ));
    }
    let (mut names, mut tokens) = (HashSet::new(), HashMap::new());
    let other_proofs = ["certificate", "jwt"].iter().any(|name| root.has(name)) || root.has_in("listen", "unix");
    for Placed { value: team, offset } in teams {
        let fault = |what: String, mend: &str| root.gather.fault("team", *offset, Wrong::new(what, mend));
        if !names.insert(&team.name) {
            fault(format!("`{}` is declared twice", team.name), "give each team its own name, or join the two");
        }
        for digest in &team.token_sha256 {
            if let Some(earlier) = tokens.insert(digest, &team.name) {
                fault(
                    format!("a token of `{}` is also one of `{earlier}`", team.name),
                    "give each token to one team, once",
                );
            }
        }
        if team.kind == Kind::Master && !root.has_in("upstream", "master") {
            fault(
                format!("`{}` is a master team, and there is no credential for it", team.name),
                "add [upstream.master]",
            );
        }
        if team.token_sha256.is_empty() && !other_proofs {
            let what = format!("`{}` has no token, so no caller can act for it", team.name);
            let mend = "add token_sha256 = [\"…\"]; `sidekey token generate` makes one";
            root.gather.warn("team", *offset, Wrong::new(what, mend));
        }
    }
}
