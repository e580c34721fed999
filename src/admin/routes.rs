//! What the admin API offers: one table, from which the router and the OpenAPI document are made.

use super::schemas::Schema;
use http::Method;

/// What a route does. The handler matches on this without a wildcard, so that no route is without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Alive,
    Ready,
    Metrics,
    Document,
    ListTeams,
    CreateTeam,
    ShowTeam,
    ChangeTeam,
    DeleteTeam,
    ListTeamTokens,
    IssueToken,
    ListTokens,
    ShowToken,
    RevokeToken,
    ListTeamKeys,
    MakeKey,
    Rotate,
    ListKeys,
    ShowKey,
    RevokeKey,
    Reconcile,
    Audit,
}

/// One row of the table.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) method: Method,
    /// With at most one parameter in braces, which stands for a whole segment.
    pub(super) path: &'static str,
    pub(super) action: Action,
    /// Whether it needs no token.
    pub(super) open: bool,
    pub(super) summary: &'static str,
    /// What the body holds, if there is one.
    pub(super) input: Option<Schema>,
    /// The status of success.
    pub(super) status: u16,
    /// What the answer holds.
    pub(super) output: Output,
}

/// What an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    Nothing,
    Text(&'static str),
    One(Schema),
    Many(Schema),
    /// JSON of no fixed shape.
    Json,
}

const fn route(method: Method, path: &'static str, action: Action, status: u16, summary: &'static str) -> Route {
    Route { method, path, action, open: false, summary, input: None, status, output: Output::Nothing }
}

impl Route {
    const fn open(mut self) -> Self {
        self.open = true;
        self
    }

    const fn takes(mut self, input: Schema) -> Self {
        self.input = Some(input);
        self
    }

    const fn gives(mut self, output: Output) -> Self {
        self.output = output;
        self
    }
}

/// The table.
pub(super) const ROUTES: &[Route] = &{
    use Action as A;
    use Output::{Json, Many, One, Text};
    use Schema as S;
    const GET: Method = Method::GET;
    const POST: Method = Method::POST;
    const PATCH: Method = Method::PATCH;
    const DELETE: Method = Method::DELETE;
    [
        route(GET, "/healthz", A::Alive, 200, "Whether the process is alive").open().gives(Text("text/plain")),
        route(GET, "/readyz", A::Ready, 200, "Whether store, audit, keys and key sets are usable; 503 if not")
            .open()
            .gives(One(S::Readiness)),
        route(GET, "/metrics", A::Metrics, 200, "Counters in Prometheus' text format").open().gives(Text("text/plain")),
        route(GET, "/v1/openapi.json", A::Document, 200, "This document").gives(Json),
        route(GET, "/v1/teams", A::ListTeams, 200, "List teams").gives(Many(S::Team)),
        route(POST, "/v1/teams", A::CreateTeam, 201, "Create a team").takes(S::NewTeam).gives(One(S::Team)),
        route(GET, "/v1/teams/{name}", A::ShowTeam, 200, "Show a team").gives(One(S::Team)),
        route(PATCH, "/v1/teams/{name}", A::ChangeTeam, 200, "Change a team: disable or enable it, its settings")
            .takes(S::TeamChange)
            .gives(One(S::Team)),
        route(
            DELETE,
            "/v1/teams/{name}",
            A::DeleteTeam,
            204,
            "Delete a team, its tokens, and upstream the keys made for it",
        ),
        route(GET, "/v1/teams/{name}/tokens", A::ListTeamTokens, 200, "List a team's tokens").gives(Many(S::Token)),
        route(POST, "/v1/teams/{name}/tokens", A::IssueToken, 201, "Issue a token; the answer alone shows it")
            .takes(S::NewToken)
            .gives(One(S::IssuedToken)),
        route(GET, "/v1/tokens", A::ListTokens, 200, "List all tokens").gives(Many(S::Token)),
        route(GET, "/v1/tokens/{id}", A::ShowToken, 200, "Show a token").gives(One(S::Token)),
        route(DELETE, "/v1/tokens/{id}", A::RevokeToken, 200, "Revoke a token, at once and for good")
            .gives(One(S::Token)),
        route(GET, "/v1/teams/{name}/keys", A::ListTeamKeys, 200, "List a team's keys").gives(Many(S::Key)),
        route(
            POST,
            "/v1/teams/{name}/keys",
            A::MakeKey,
            201,
            "Create a key upstream; with `sid` and `secret`, import one",
        )
        .takes(S::NewKey)
        .gives(One(S::Key)),
        route(POST, "/v1/teams/{name}/rotate", A::Rotate, 200, "Replace a team's key without losing a request")
            .takes(S::Rotation)
            .gives(One(S::Key)),
        route(GET, "/v1/keys", A::ListKeys, 200, "List all keys").gives(Many(S::Key)),
        route(GET, "/v1/keys/{sid}", A::ShowKey, 200, "Show a key").gives(One(S::Key)),
        route(DELETE, "/v1/keys/{sid}", A::RevokeKey, 204, "Delete a key upstream and forget it"),
        route(POST, "/v1/reconcile", A::Reconcile, 200, "Compare the upstream's keys with the store")
            .takes(S::Reconciliation)
            .gives(One(S::Difference)),
        route(GET, "/v1/audit", A::Audit, 200, "Search the audit: team, since, until, denied, operation, limit")
            .gives(Many(S::AuditRecord)),
    ]
};

/// What a request's line leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A route, and what stands for its parameter.
    Route(usize, &'a str),
    /// The path exists; these methods do. `open`: whoever asks may know.
    OtherMethod { methods: String, open: bool },
    /// No such path.
    Nothing,
}

/// Finds the route of a request. HEAD is GET whose body is not sent (RFC 9110 §9.3.2).
pub(super) fn find<'a>(method: &Method, path: &'a str) -> Found<'a> {
    let wanted = if *method == Method::HEAD { &Method::GET } else { method };
    let (mut others, mut open) = (Vec::new(), false);
    for (at, route) in ROUTES.iter().enumerate() {
        let Some(parameter) = fits(route.path, path) else { continue };
        if route.method == *wanted {
            return Found::Route(at, parameter);
        }
        others.push(route.method.as_str());
        if route.method == Method::GET {
            others.push("HEAD");
        }
        open |= route.open;
    }
    if others.is_empty() { Found::Nothing } else { Found::OtherMethod { methods: others.join(", "), open } }
}

/// What stands for the template's parameter, or nothing for a template without one; `None` if the path doesn't fit.
fn fits<'a>(template: &str, path: &'a str) -> Option<&'a str> {
    let (mut parameter, mut wanted, mut given) = ("", template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(parameter),
            (Some(name), Some(segment)) if name.starts_with('{') && !segment.is_empty() => parameter = segment,
            (Some(name), Some(segment)) if name == segment => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(method: &Method, path: &str) -> Option<(Action, String)> {
        match find(method, path) {
            Found::Route(at, parameter) => Some((ROUTES[at].action, parameter.to_owned())),
            _ => None,
        }
    }

    #[test]
    fn paths_lead_to_their_routes() {
        assert_eq!(action(&Method::GET, "/v1/teams"), Some((Action::ListTeams, String::new())));
        assert_eq!(action(&Method::GET, "/v1/teams/billing"), Some((Action::ShowTeam, "billing".to_owned())));
        assert_eq!(action(&Method::POST, "/v1/teams/billing/rotate"), Some((Action::Rotate, "billing".to_owned())));
        for path in ["/", "/v1", "/v1/teams/", "/v1/teams//tokens", "/v1/teams/a/b/c", "/v1/teams/a/tokens/"] {
            assert_eq!(find(&Method::GET, path), Found::Nothing, "{path}");
        }
        assert_eq!(
            find(&Method::PUT, "/v1/teams"),
            Found::OtherMethod { methods: "GET, HEAD, POST".to_owned(), open: false }
        );
        assert_eq!(find(&Method::HEAD, "/healthz"), find(&Method::GET, "/healthz"));
    }

    #[test]
    fn no_two_rows_are_the_same() {
        for (at, route) in ROUTES.iter().enumerate() {
            for other in &ROUTES[at + 1..] {
                assert!(route.action != other.action, "{:?}", route.action);
                assert!(route.path != other.path || route.method != other.method, "{}", route.path);
            }
        }
    }
}
