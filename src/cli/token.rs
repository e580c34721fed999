//! `sidekey token`: the tokens that teams present.

use super::stored::{Change, table, with_record, with_store};
use super::{Context, Failure, value};
use crate::authn::Token;
use crate::authn::token::named;
use crate::clock::Clock;
use crate::ids::TeamId;
use crate::keys::view::{IssuedView, TokenView, moment};
use crate::store::NewToken;
use clap::Subcommand;
use serde::Serialize;
use std::time::Duration;

/// `sidekey token …`
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Issue a token to a team and show it, once
    Issue {
        /// The team
        #[arg(value_parser = value::team)]
        team: TeamId,
        /// What the token is for, for lists and the audit
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
        /// How long the token is good for, such as 90d; without it, until it is revoked
        #[arg(long, value_name = "DURATION", value_parser = value::whole_seconds)]
        expires: Option<Duration>,
    },
    /// List tokens, of one team or of all; secrets are never shown again
    List {
        /// Only this team's
        #[arg(value_parser = value::team)]
        team: Option<TeamId>,
    },
    /// Revoke a token, at once and for good
    Revoke {
        /// The token's id, as `token list` shows it, or the token itself
        #[arg(value_name = "TOKEN_ID")]
        id: String,
    },
    /// Make tokens for teams that are declared in the config file; touches no store
    Generate {
        /// How many
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        count: u32,
    },
}

pub(super) fn run(command: &Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Generate { count } => generate(*count, context),
        Command::Issue { team, name, expires } => issue(team, name.as_deref(), *expires, context),
        Command::List { team } => list(team.as_ref(), context),
        Command::Revoke { id } => revoke(id, context),
    }
}

fn issue(team: &TeamId, name: Option<&str>, expires: Option<Duration>, context: &Context) -> Result<(), Failure> {
    let name = name.filter(|name| !name.is_empty());
    let made = Token::generate();
    let (id, team_, name_) = (made.id(), team.clone(), name.unwrap_or_default().to_owned());
    let subject = format!("{id} of {team}");
    let rows = with_record(context, Change::new("token.issue", &subject).of(team), async |store, _| {
        let expires_at = expires.map(|expires| store.now().saturating_add(expires.as_secs()));
        store.add_tokens(vec![NewToken { id, team: team_, sha256: made.digest(), name: name_, expires_at }]).await
    })?;
    let expires_at = rows.first().and_then(|row| row.expires_at);
    let issued = IssuedView {
        id: made.id().to_string(),
        team: team.to_string(),
        name: name.map(str::to_owned),
        token: made.show(),
        expires_at: expires_at.map(moment),
    };
    context.print(&issued, || {
        let end = issued.expires_at.as_deref().map_or_else(String::new, |end| format!("expires {end}\n"));
        format!("id      {}\ntoken   {}\n{end}the token is not shown again\n", issued.id, issued.token)
    })
}

fn row(token: &TokenView) -> Vec<String> {
    let name = token.name.clone().unwrap_or_default();
    let expires = token.expires_at.clone().unwrap_or_else(|| "never".to_owned());
    vec![token.id.clone(), token.team.clone(), token.state.to_owned(), token.created_at.clone(), expires, name]
}

fn list(team: Option<&TeamId>, context: &Context) -> Result<(), Failure> {
    let rows = with_store(context, async |store| Ok(store.tokens(team).await?))?;
    let now = Clock::system().unix_seconds();
    let all: Vec<TokenView> = rows.iter().map(|row| TokenView::at(row, now)).collect();
    let head = ["TOKEN_ID", "TEAM", "STATE", "CREATED", "EXPIRES", "NAME"];
    context.print(&all, || table(&head, &all.iter().map(row).collect::<Vec<_>>()))
}

/// Takes an id, or the token itself: whoever finds a leaked token has no id at hand.
fn revoke(text: &str, context: &Context) -> Result<(), Failure> {
    let neither = "no such token: this is neither an id, as `token list` shows it, nor a whole token";
    let id = named(text).ok_or_else(|| Failure::failed(neither))?;
    let row =
        with_record(context, Change::new("token.revoke", id.as_str()), async |store, _| store.revoke_token(&id).await)?;
    let now = Clock::system().unix_seconds();
    context.print(&TokenView::at(&row, now), || format!("revoked token {} of team {}\n", row.id, row.team))
}

/// A token and what to write into the config file for it.
#[derive(Serialize)]
struct Generated {
    token: String,
    sha256: String,
}

fn generate(count: u32, context: &Context) -> Result<(), Failure> {
    let one = |_| {
        let made = Token::generate();
        Generated { token: made.show().to_owned(), sha256: hex::encode(made.digest()) }
    };
    let all: Vec<Generated> = (0..count).map(one).collect();
    let lines = || all.iter().flat_map(|made| ["token  ", &made.token, "\nsha256 ", &made.sha256, "\n"]).collect();
    context.print(&all, lines)
}
