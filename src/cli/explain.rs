//! `sidekey explain`: how a request would be decided.

use super::{Context, Failure, process, value};
use crate::broker::local;
use crate::clock::Clock;
use crate::config::{Config, Kind, TeamPolicy};
use crate::error::Reason;
use crate::ids::{AccountSid, TeamId};
use crate::policy::{self, Subject, Target, own_policy};
use crate::store::{Store, TeamRow};
use crate::twilio::management::GRANTS;
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
    let team = match declared(&config, &arguments.team) {
        Some(team) => team,
        None => stored(&config, &arguments.team, context)?,
    };
    let decision = if team.disabled { Decision::disabled() } else { decide(&team, arguments) };
    context.print(&decision, || decision.text())?;
    if decision.verdict == "allow" { Ok(()) } else { Err(Failure::Denied) }
}

/// What a decision needs to know of a team, wherever it is kept.
struct Asker {
    team: TeamId,
    kind: Kind,
    accounts: Vec<AccountSid>,
    /// The account that its credential belongs to.
    acting: AccountSid,
    policy: TeamPolicy,
    /// Grants that its Access Tokens may carry; `None`: all.
    grants: Option<Vec<String>>,
    disabled: bool,
}

impl Asker {
    /// A standard team without accounts is pinned to the broker's own.
    fn pinned(mut self, config: &Config) -> Self {
        if self.kind == Kind::Standard && self.accounts.is_empty() {
            self.accounts.push(config.upstream.account_sid);
        }
        self
    }

    /// The grants that an Access Token of this team may carry.
    fn grantable(&self) -> Vec<&'static str> {
        let is_given = |grant: &&str| self.grants.as_ref().is_none_or(|given| given.iter().any(|name| name == grant));
        let is_open = |grant: &&str| own_policy(&self.policy, &format!("sidekey:AccessTokens:{grant}")).is_ok();
        GRANTS.into_iter().filter(is_given).filter(is_open).collect()
    }
}

/// A team of the config file.
fn declared(config: &Config, name: &TeamId) -> Option<Asker> {
    let team = config.teams.iter().find(|team| team.name == *name)?.clone();
    let asker = Asker {
        team: team.name,
        kind: team.kind,
        accounts: team.accounts,
        acting: config.upstream.acting(team.kind),
        policy: team.policy,
        grants: None,
        disabled: false,
    };
    Some(asker.pinned(config))
}

/// A team of the store.
fn stored(config: &Config, name: &TeamId, context: &Context) -> Result<Asker, Failure> {
    let Some(store) = &config.store else {
        let names: Vec<&str> = config.teams.iter().map(|team| team.name.as_str()).collect();
        let file = context.path().display();
        return Err(Failure::failed(format!("no team `{name}` in {file}; there are: {}", names.join(", "))));
    };
    let runtime = process::runtime()?;
    let found = runtime.block_on(async { Store::open(store, Clock::system()).await?.team(name).await });
    let team = found.map_err(|error| Failure::failed(error.to_string()))?;
    let TeamRow { name: team, kind, accounts, policy, grants, disabled, .. } = team;
    Ok(Asker { team, kind, accounts, acting: config.upstream.acting(kind), policy, grants, disabled }.pinned(config))
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
    /// Whatever it asks for, a disabled team's proof is none.
    fn disabled() -> Self {
        let rule = "the team is disabled".to_owned();
        Self { verdict: "deny", reason: Reason::InvalidProof.name(), rule, operation: None }
    }

    fn text(&self) -> String {
        let operation = self.operation.unwrap_or("an operation that can't be told");
        format!("{} ({}): {}; {operation}\n", self.verdict, self.reason, self.rule)
    }
}

fn decide(asker: &Asker, arguments: &Arguments) -> Decision {
    let Asker { team, kind, accounts, acting, policy, .. } = asker;
    let subject = Subject { team, kind: *kind, accounts, acting, policy };
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
    if place.authority.is_none() && path.starts_with(local::PREFIX) {
        return own(asker, &arguments.method, path);
    }
    match policy::judge(&subject, &target) {
        Ok(judged) => {
            let more = match (judged.grant.needs_body_inspection(), judged.grant.unnamed()) {
                (true, true) => ", if its body names one of the team's accounts",
                (true, false) => ", unless its body names another account",
                (false, _) => "",
            };
            let operation = Some(judged.grant.operation().name());
            Decision { verdict: "allow", reason: "granted", rule: format!("{}{more}", judged.grant.rule()), operation }
        }
        Err(denial) => {
            let operation = denial.operation.map(crate::twilio::Operation::name);
            Decision { verdict: "deny", reason: denial.reason.name(), rule: denial.rule.into_owned(), operation }
        }
    }
}

/// A request for sidekey's own path.
fn own(asker: &Asker, method: &str, path: &str) -> Decision {
    match local::operation(method, path) {
        Ok(local::MINT) if asker.grantable().is_empty() => Decision {
            verdict: "deny",
            reason: Reason::PolicyDenied.name(),
            rule: "the team may give an Access Token none of the grants that there are".to_owned(),
            operation: Some(local::MINT),
        },
        Ok(operation) => Decision {
            verdict: "allow",
            reason: "granted",
            rule: match asker.grantable() {
                some if operation == local::MINT && some.len() < GRANTS.len() => {
                    format!("sidekey's own, which it answers itself, with these grants alone: {}", some.join(", "))
                }
                _ => "sidekey's own, which it answers itself".to_owned(),
            },
            operation: Some(operation),
        },
        Err(what) => Decision {
            verdict: "deny",
            reason: Reason::MalformedRequest.name(),
            rule: what.to_owned(),
            operation: None,
        },
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
