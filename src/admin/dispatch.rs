//! One request: who asks, what for, and what is answered.

use super::answer::Answer;
use super::problem::Problem;
use super::routes::{Action, Found, ROUTES, find};
use super::{Parts, audit, health, input, keys, openapi, teams, tokens};
use crate::secret::Secret;
use http::Method;
use http::header::{AUTHORIZATION, HeaderMap};

/// What is known of a request before its body is read.
#[derive(Debug)]
pub(super) struct Asked {
    route: usize,
    parameter: String,
    query: String,
}

/// Finds the route and checks the token, unless the connection has `proven` who asks: a body is read only for whoever
/// may send one.
pub(super) fn admit(parts: &Parts, head: &http::request::Parts, proven: bool) -> Result<Asked, Problem> {
    let (method, uri, headers): (&Method, _, _) = (&head.method, &head.uri, &head.headers);
    let found = find(method, uri.path());
    let open = match &found {
        Found::Route(at, _) => ROUTES[*at].open,
        Found::OtherMethod { open, .. } => *open,
        Found::Nothing => false,
    };
    if !open && !proven {
        authorize(parts, headers)?;
    }
    match found {
        Found::Route(route, parameter) => {
            Ok(Asked { route, parameter: parameter.to_owned(), query: uri.query().unwrap_or_default().to_owned() })
        }
        Found::OtherMethod { methods, .. } => Err(Problem::other_method(methods)),
        Found::Nothing => Err(Problem::not_found()),
    }
}

/// Without a valid token nobody learns what exists. The comparison takes the same time wherever the token differs.
fn authorize(parts: &Parts, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(token) = &parts.token else {
        return Err(Problem::new(401, "unauthorized", "the admin API is off: the config has no [admin] token"));
    };
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(Problem::unauthorized()) };
    let given = value.as_bytes().split_at_checked(7).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "));
    let given = given.map(|(_, given)| Secret::new(given.trim_ascii()));
    if given.is_some_and(|given| given == *token) { Ok(()) } else { Err(Problem::unauthorized()) }
}

/// Does what is asked.
pub(super) async fn answer(parts: &Parts, asked: &Asked, body: &[u8]) -> Result<Answer, Problem> {
    let route = &ROUTES[asked.route];
    if route.input.is_none() && !body.is_empty() {
        return Err(Problem::invalid("this request takes no body"));
    }
    // Open routes are for probes and scrapers, which may add what they like.
    if !route.open && route.action != Action::Audit && !asked.query.is_empty() {
        return Err(Problem::invalid(
            "this request takes nothing after `?`: what can be set goes into its body, as JSON",
        ));
    }
    let life = || parts.life.as_deref().ok_or_else(Problem::no_store);
    let named = asked.parameter.as_str();
    match route.action {
        Action::Alive => Ok(Answer::text(200, "text/plain; charset=utf-8", "ok\n".to_owned())),
        Action::Ready => Ok(health::ready(parts)),
        Action::Metrics => Ok(health::metrics(parts)),
        Action::Document => Ok(Answer::json(200, &openapi::document())),
        Action::Audit => audit::find(parts, &asked.query).await,
        Action::ListTeams => teams::list(life()?).await,
        Action::CreateTeam => teams::create(parts, life()?, body).await,
        Action::ShowTeam => teams::show(life()?, named).await,
        Action::ChangeTeam => teams::change(parts, life()?, named, body).await,
        Action::DeleteTeam => teams::delete(parts, life()?, named).await,
        Action::ListTeamTokens => tokens::list(parts, life()?, Some(&input::team(named)?)).await,
        Action::IssueToken => tokens::issue(parts, life()?, named, body).await,
        Action::ListTokens => tokens::list(parts, life()?, None).await,
        Action::ShowToken => tokens::show(parts, life()?, named).await,
        Action::RevokeToken => tokens::revoke(parts, life()?, named).await,
        Action::ListTeamKeys => keys::list(parts, life()?, Some(&input::team(named)?)).await,
        Action::MakeKey => keys::make(parts, life()?, named, body).await,
        Action::Rotate => keys::rotate(parts, life()?, named, body).await,
        Action::ListKeys => keys::list(parts, life()?, None).await,
        Action::ShowKey => keys::show(parts, life()?, named).await,
        Action::RevokeKey => keys::revoke(parts, life()?, named).await,
        Action::Reconcile => keys::reconcile(parts, life()?, body).await,
    }
}
