//! From a request that is read whole to its answer: who asks, where to, what for.

use super::address::{Asked, Product};
use super::answer::Answer;
use super::auth::{Actor, Credential};
use super::engine::Call;
use super::refusal::Refusal;
use super::resources;
use super::sid::Sid;
use super::state::State;
use super::{accounts, available, keys};

/// Answers. 401 outranks 404: nobody learns what exists without a credential.
pub fn answer(state: &mut State, asked: &Asked, credential: Option<&Credential>, now: i64) -> Result<Answer, Refusal> {
    let actor = Actor::authenticate(state, credential)?;
    let mut call = Call { state, asked, actor: &actor, account: actor.account, now };
    match asked.product {
        Product::Api => api(&mut call),
        Product::Iam => match &asked.segments[..] {
            [keys] if asked.version == "v1" && keys == "Keys" => keys::on_iam(&mut call, None),
            [keys, item] if asked.version == "v1" && keys == "Keys" && !item.is_empty() => {
                keys::on_iam(&mut call, Some(item))
            }
            _ => Err(call.not_found()),
        },
        _ => table(&mut call, &asked.segments),
    }
}

fn api(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let asked = call.asked;
    let [accounts, rest @ ..] = &asked.segments[..] else { return Err(call.not_found()) };
    if asked.version != "2010-04-01" || accounts != "Accounts" {
        return Err(call.not_found());
    }
    let [account, rest @ ..] = rest else { return accounts::collection(call) };
    if account.is_empty() {
        return Err(call.not_found());
    }
    let account = Sid::parse(account, "AC").ok_or_else(|| Refusal::invalid_account_sid(account))?;
    if rest.is_empty() {
        return accounts::instance(call, account);
    }
    if !call.actor.reaches(call.state, account) {
        return Err(Refusal::unauthenticated());
    }
    if call.state.accounts.get(&account).is_none_or(|account| !call.state.is_active(account)) {
        return Err(Refusal::account_not_active());
    }
    call.account = account;
    match rest {
        [name] if is_keys(name) => keys::on_api(call, name, None),
        [name, item] if is_keys(name) && !item.is_empty() => keys::on_api(call, name, Some(item)),
        [name, rest @ ..] if name == "AvailablePhoneNumbers" => available::run(call, rest),
        _ => table(call, rest),
    }
}

fn is_keys(name: &str) -> bool {
    name == "Keys" || name == "SigningKeys"
}

fn table(call: &mut Call<'_>, segments: &[String]) -> Result<Answer, Refusal> {
    match resources::find(call.asked, segments) {
        Some(target) => call.run(&target),
        None => Err(call.not_found()),
    }
}
