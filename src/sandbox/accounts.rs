//! Accounts and subaccounts: closed to Standard keys; every row carries its `auth_token` (OpenAPI 2.6.7).

use super::answer::Answer;
use super::engine::{Call, action};
use super::paging::{List, Window, bad_token};
use super::permission::Action;
use super::refusal::Refusal;
use super::sid::Sid;
use super::state::{Account, Status};
use super::time;
use serde_json::{Map, Value, json};

const PERMISSION: &str = "iam/accounts";
const TAGS: (&str, &str) = ("Accounts", "Account");

/// Longest `FriendlyName`, in characters.
const MAX_NAME: usize = 64;

const COLUMNS: [&str; 10] = [
    "auth_token",
    "date_created",
    "date_updated",
    "friendly_name",
    "owner_account_sid",
    "sid",
    "status",
    "subresource_uris",
    "type",
    "uri",
];

/// `/2010-04-01/Accounts`
pub fn collection(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    match managed(call, false)? {
        Action::Create => create(call),
        _ => list(call),
    }
}

/// `/2010-04-01/Accounts/{AC}`
pub fn instance(call: &mut Call<'_>, sid: Sid) -> Result<Answer, Refusal> {
    let action = managed(call, true)?;
    if action == Action::Delete {
        // Accounts are closed, not deleted (Twilio docs, error 20004).
        return Err(Refusal::method_not_allowed());
    }
    if !call.actor.reaches(call.state, sid) {
        return Err(call.not_found());
    }
    if action == Action::Update {
        update(call, sid)?;
    }
    let account = call.state.accounts.get(&sid).ok_or_else(|| call.not_found())?;
    Ok(Answer::instance(200, call.asked.format, TAGS.1, &fields(call, account)))
}

fn managed(call: &Call<'_>, one: bool) -> Result<Action, Refusal> {
    let action = action(&call.asked.method, one);
    // A Standard key hears "Authenticate" before it hears which methods there are.
    call.actor.manage(PERMISSION, *action.as_ref().unwrap_or(&Action::Read))?;
    action
}

fn create(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let owner = call.actor.account;
    if call.state.accounts.get(&owner).is_none_or(|account| !account.is_main()) {
        return Err(Refusal::bad(21101, "Subaccounts cannot contain subaccounts"));
    }
    let name = match name(call)? {
        Some(name) => name,
        None => format!("SubAccount Created at {}", time::iso8601(call.now)),
    };
    let sid = call.state.create_subaccount(owner, name, call.now);
    let too_many = || Refusal::bad(21480, "Reached maximum number of subaccounts");
    let account = sid.and_then(|sid| call.state.accounts.get(&sid)).ok_or_else(too_many)?;
    Ok(Answer::instance(201, call.asked.format, TAGS.1, &fields(call, account)))
}

fn name(call: &Call<'_>) -> Result<Option<String>, Refusal> {
    match call.asked.params.get("FriendlyName") {
        Some(name) if name.chars().count() > MAX_NAME => {
            Err(Refusal::bad(20001, "FriendlyName must be at most 64 characters"))
        }
        name => Ok(name.map(str::to_owned)),
    }
}

fn update(call: &mut Call<'_>, sid: Sid) -> Result<(), Refusal> {
    let name = name(call)?;
    let status = match call.asked.params.get("Status") {
        Some(text) => Some(Status::parse(text).ok_or_else(|| Refusal::invalid("Status"))?),
        None => None,
    };
    let now = call.now;
    let missing = call.not_found();
    let account = call.state.accounts.get_mut(&sid).ok_or(missing)?;
    if status.is_some() && account.is_main() {
        return Err(Refusal::bad(20001, "Status can only be updated for subaccounts"));
    }
    if status.is_some() && call.actor.account == sid {
        // Only the parent suspends and closes.
        return Err(Refusal::unauthenticated());
    }
    if status.is_some() && account.status == Status::Closed {
        return Err(Refusal::bad(21477, "Unable to update Status for subaccount, subaccount has been closed"));
    }
    account.status = status.unwrap_or(account.status);
    account.friendly_name = name.unwrap_or_else(|| std::mem::take(&mut account.friendly_name));
    account.updated = now;
    Ok(())
}

fn list(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let window = Window::read(&call.asked.query)?;
    let (asked, own) = (call.asked, call.actor.account);
    let (name, status) = (asked.query.get("FriendlyName"), asked.query.get("Status"));
    let wanted = |account: &Account| {
        (account.sid == own || account.owner == own)
            && name.is_none_or(|name| account.friendly_name == name)
            && status.is_none_or(|status| account.status.name() == status)
    };
    let (rows, more) = call.state.accounts.page(window.cursor, window.size, wanted).ok_or_else(bad_token)?;
    let ends = rows.first().zip(rows.last()).map(|(first, last)| (first.0, last.0));
    let values: Vec<Value> = rows.iter().map(|(_, account)| fields(call, account)).collect();
    let list = List { asked, window, key: "accounts", tags: TAGS, columns: COLUMNS.to_vec(), ends, more };
    Ok(list.answer(&values))
}

fn fields(call: &Call<'_>, account: &Account) -> Value {
    let below = ["available_phone_numbers", "calls", "incoming_phone_numbers", "keys", "messages", "signing_keys"];
    let (sid, suffix) = (account.sid, call.asked.link_suffix());
    let link = |name: &str| {
        let path = crate::twilio::render::pascal(name);
        (name.to_owned(), Value::from(format!("/2010-04-01/Accounts/{sid}/{path}{suffix}")))
    };
    let links: Map<String, Value> = below.into_iter().map(link).collect();
    json!({
        "auth_token": account.token.expose_str(),
        "date_created": time::rfc2822(account.created),
        "date_updated": time::rfc2822(account.updated),
        "friendly_name": account.friendly_name,
        "owner_account_sid": account.owner.as_str(),
        "sid": sid.as_str(),
        "status": account.status.name(),
        "subresource_uris": links,
        "type": "Full",
        "uri": format!("/2010-04-01/Accounts/{sid}{suffix}"),
    })
}
