//! `sidekey explain`: how a request would be decided.

use super::{Context, Failure, value};
use crate::config::{Config, Kind, Team};
use crate::ids::{AccountSid, TeamId};
use crate::policy::{self, Subject, Target};
use serde::Serialize;
use std::net::IpAddr;

/// `sidekey explain`
#[derive(clap::Args, Debug)]
pub(super) struct Arguments {
    /// Whose caller it would be
    #[arg(value_parser = value::team)]
    team: TeamId,
    /// HTTP method, such as GET or POST
    method: String,
    /// URL at Twilio, URL at the broker (an IP address or localhost), or a path at the broker
    #[arg(value_parser = place)]
    url: Place,
}

/// Prints the decision; denied is a failure.
pub(super) fn run(arguments: &Arguments, context: &Context) -> Result<(), Failure> {
    let config = context.load()?;
    let team = team(&config, &arguments.team, context)?;
    let accounts = accounts(&config, team);
    let subject = Subject { team: &team.name, kind: team.kind, accounts: &accounts, policy: &team.policy };
    let decision = decide(&subject, arguments);
    context.print(&decision, || decision.text())?;
    if decision.verdict == "allow" { Ok(()) } else { Err(Failure::Denied) }
}

/// The team, wherever it is declared.
fn team<'a>(config: &'a Config, name: &TeamId, context: &Context) -> Result<&'a Team, Failure> {
    config.teams.iter().find(|team| team.name == *name).ok_or_else(|| {
        let names: Vec<&str> = config.teams.iter().map(|team| team.name.as_str()).collect();
        Failure::failed(format!("no team `{name}` in {}; there are: {}", context.path().display(), names.join(", ")))
    })
}

/// The accounts a team of the file is pinned to.
fn accounts(config: &Config, team: &Team) -> Vec<AccountSid> {
    match team.kind {
        Kind::Standard if team.accounts.is_empty() => vec![config.upstream.account_sid],
        _ => team.accounts.clone(),
    }
}

/// What is printed.
#[derive(Serialize)]
struct Decision {
    #[serde(rename = "decision")]
    verdict: &'static str,
    reason: &'static str,
    rule: String,
    operation: Option<&'static str>,
}

impl Decision {
    fn text(&self) -> String {
        let operation = self.operation.unwrap_or("an operation that can't be told");
        format!("{} ({}): {}; {operation}\n", self.verdict, self.reason, self.rule)
    }
}

fn decide(subject: &Subject<'_>, arguments: &Arguments) -> Decision {
    let place = &arguments.url;
    let (path, query) = match place.path.split_once('?') {
        Some((path, query)) => (path, Some(query.as_bytes())),
        None => (place.path.as_str(), None),
    };
    let target = Target {
        method: arguments.method.as_bytes(),
        authority: place.authority.as_deref(),
        absolute: place.authority.is_some(),
        path: path.as_bytes(),
        query,
    };
    match policy::judge(subject, &target) {
        Ok(judged) => {
            let unread = judged.grant.needs_body_inspection();
            let more = if unread { ", unless its body names another account" } else { "" };
            let operation = Some(judged.grant.operation().name());
            Decision { verdict: "allow", reason: "granted", rule: format!("{}{more}", judged.grant.rule()), operation }
        }
        Err(denial) => {
            let operation = denial.operation.map(crate::twilio::Operation::name);
            Decision { verdict: "deny", reason: denial.reason.name(), rule: denial.rule.into_owned(), operation }
        }
    }
}

/// Where a request would go: a host named by the target itself, or a path at the broker.
#[derive(Clone, Debug)]
struct Place {
    authority: Option<String>,
    path: String,
}

/// Reads `https://api.twilio.com/…`, `http://127.0.0.1:8080/…` or `/…`. Nothing is decoded or tidied: the decision is
/// about the text as it would be sent.
fn place(text: &str) -> Result<Place, String> {
    if text.starts_with('/') {
        return Ok(Place { authority: None, path: text.to_owned() });
    }
    let mend = "write a URL (https://api.twilio.com/2010-04-01/…) or a path (/2010-04-01/…)";
    let (scheme, rest) = text.split_once("://").ok_or(mend)?;
    if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
        return Err(mend.to_owned());
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let authority = (!is_broker(authority)).then(|| authority.to_owned());
    Ok(Place { authority, path })
}

/// Whether an authority can only be the broker's own: an address or `localhost`.
fn is_broker(authority: &str) -> bool {
    let host = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((literal, _)) => literal,
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
}
