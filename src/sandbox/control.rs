//! The sandbox's own switches under `/_sandbox/`: what arrived, what shall fail, keys that only Twilio's console makes,
//! and the judge of Access Tokens. No credential is asked for: the sandbox holds nothing that is worth one.

use super::Shared;
use super::address::Product;
use super::answer::{Answer, AnswerBody};
use super::params::Params;
use super::permission::Policy;
use super::refusal::Refusal;
use super::sid::Sid;
use super::state::Power;
use super::tokens;
use crate::twilio::render::{self, Format};
use http::header::{HeaderName, HeaderValue};
use http::{Method, Response};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Answers one switch. `name` is what follows `/_sandbox/`.
pub fn answer(shared: &Shared, method: &Method, name: &str, query: &Params, form: &Params) -> Response<AnswerBody> {
    let answer = match (method.as_str(), name) {
        ("GET", "requests") => match limit(query) {
            Ok(limit) => return requests(shared, limit),
            Err(refusal) => Err(refusal),
        },
        ("DELETE", "requests") => {
            shared.log.clear();
            Ok(Answer::empty())
        }
        ("POST", "fail") => shared.faults.add(form).map(|()| Answer::empty()),
        ("DELETE", "fail") => {
            shared.faults.clear();
            Ok(Answer::empty())
        }
        ("POST", "keys") => create_key(shared, form),
        ("POST", "access-tokens/validate") => validate(shared, form),
        (_, "requests" | "fail" | "keys" | "access-tokens/validate") => Err(Refusal::method_not_allowed()),
        _ => Err(Refusal::not_found(&format!("/_sandbox/{name}"))),
    };
    let answer = answer.unwrap_or_else(|refusal| Answer::refusal(&refusal, Format::Json));
    answer.into_response(Product::Unknown, Duration::ZERO)
}

/// `GET /_sandbox/requests[?limit=N]`: an array, the oldest first; `Sandbox-Request-Count` counts the forgotten too.
fn requests(shared: &Shared, limit: usize) -> Response<AnswerBody> {
    let (count, seen) = shared.log.newest(limit);
    let answer = Answer::new(200, Format::Json, render::json(&seen));
    let mut response = answer.into_response(Product::Unknown, Duration::ZERO);
    response.headers_mut().insert(HeaderName::from_static("sandbox-request-count"), HeaderValue::from(count));
    response
}

fn limit(query: &Params) -> Result<usize, Refusal> {
    query.get("limit").map_or(Ok(usize::MAX), |text| text.parse().map_err(|_| Refusal::invalid("limit")))
}

/// `POST /_sandbox/keys`: `kind` is `main`, `standard` or `restricted` (then `policy`), `account_sid` the main account
/// unless given.
fn create_key(shared: &Shared, form: &Params) -> Result<Answer, Refusal> {
    let kind = form.get("kind").unwrap_or("standard");
    let power = match kind {
        "main" => Power::Main,
        "standard" => Power::Standard,
        "restricted" => {
            Power::Restricted(Arc::new(form.get("policy").map(Policy::parse).transpose()?.unwrap_or_default()))
        }
        _ => return Err(Refusal::bad(20001, "kind must be main, standard or restricted")),
    };
    let account = form.get("account_sid").unwrap_or(shared.account_sid.as_str());
    let account = Sid::parse(account, "AC").ok_or_else(|| Refusal::invalid_account_sid(account))?;
    let mut state = shared.state();
    if state.accounts.get(&account).is_none() {
        return Err(Refusal::not_found(&format!("/Accounts/{account}")));
    }
    let name = form.get("friendly_name").map(str::to_owned);
    let key = state.create_key(account, name, power, shared.now());
    let fields = json!({
        "sid": key.sid.as_str(),
        "secret": key.secret.expose_str(),
        "kind": kind,
        "account_sid": account.as_str(),
        "friendly_name": key.friendly_name,
    });
    Ok(Answer::instance(201, Format::Json, "Key", &fields))
}

fn validate(shared: &Shared, form: &Params) -> Result<Answer, Refusal> {
    let token = form.get("token").ok_or_else(|| Refusal::missing("token"))?;
    let claims = tokens::validate(&shared.state(), token, shared.now())?;
    Ok(Answer::instance(200, Format::Json, "Claims", &claims))
}
