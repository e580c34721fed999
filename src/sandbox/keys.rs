//! API keys, at both of their addresses: `Keys` with its alias `SigningKeys` on api, and `/v1/Keys` on iam.
//!
//! Twilio docs: closed to Standard keys; the secret is shown once; a list is sorted by `DateUpdated`; PUT is not
//! supported. Live tests: `SigningKeys` lists the same keys, and api ignores `KeyType` and `Policy`.

use super::address::Product;
use super::answer::Answer;
use super::engine::{Call, action};
use super::paging::{List, Window, bad_token};
use super::permission::{Action, Policy};
use super::refusal::Refusal;
use super::sid::Sid;
use super::state::{Key, Power};
use super::time;
use crate::twilio::render::Format;
use serde_json::{Map, Value, json};
use std::sync::Arc;

const PERMISSION: &str = "iam/api-keys";
const TAGS: (&str, &str) = ("Keys", "Key");

/// Longest `FriendlyName`, in characters.
const MAX_NAME: usize = 64;

/// Most keys of one account. Twilio has a number and does not tell it; ours only bounds the memory.
const MAX_KEYS: usize = 50_000;

/// `/2010-04-01/Accounts/{AC}/Keys[/{SK}]` and `/SigningKeys[/{SK}]`.
pub fn on_api(call: &mut Call<'_>, collection: &str, item: Option<&str>) -> Result<Answer, Refusal> {
    let action = managed(call, item.is_some())?;
    let (key, tags) = match collection {
        "SigningKeys" => ("signing_keys", ("SigningKeys", "SigningKey")),
        _ => ("keys", TAGS),
    };
    match (item, action) {
        (Some(item), _) => one(call, action, item, tags.1),
        (None, Action::Create) => {
            let made = create(call, Power::Standard)?;
            Ok(Answer::instance(201, call.asked.format, tags.1, &shown(call, &made, true)))
        }
        (None, _) => list(call, key, tags),
    }
}

/// iam `/v1/Keys[/{SK}]`, where Restricted keys are made.
pub fn on_iam(call: &mut Call<'_>, item: Option<&str>) -> Result<Answer, Refusal> {
    let action = managed(call, item.is_some())?;
    if let Some(item) = item {
        return one(call, action, item, TAGS.1);
    }
    let account = call.asked.params.get("AccountSid").filter(|text| !text.is_empty());
    let account = account.ok_or_else(|| Refusal::bad(20001, "Required parameter \"AccountSid\" is missing"))?;
    let account = Sid::parse(account, "AC").ok_or_else(|| Refusal::invalid_account_sid(account))?;
    if account != call.actor.account {
        // Product hosts want the account's own credentials, the parent's will not do (Twilio docs, error 20003).
        return Err(Refusal::unauthenticated());
    }
    if action != Action::Create {
        return list(call, "keys", TAGS);
    }
    let power = match call.asked.params.get("KeyType") {
        None | Some("") => Power::Standard,
        Some("restricted") => Power::Restricted(Arc::new(policy(call)?.unwrap_or_default())),
        Some(_) => return Err(Refusal::invalid("KeyType")),
    };
    let key = create(call, power)?;
    Ok(Answer::instance(201, Format::Json, TAGS.1, &shown(call, &key, true)))
}

fn managed(call: &Call<'_>, one: bool) -> Result<Action, Refusal> {
    let action = action(&call.asked.method, one);
    // A Standard key hears "Authenticate" before it hears which methods there are.
    call.actor.manage(PERMISSION, *action.as_ref().unwrap_or(&Action::Read))?;
    action
}

fn one(call: &mut Call<'_>, action: Action, item: &str, tag: &str) -> Result<Answer, Refusal> {
    let sid = Sid::parse(item, "SK").ok_or_else(Refusal::invalid_key_sid)?;
    let account = call.account;
    if call.state.key(&sid).is_none_or(|(owner, _)| owner.sid != account) {
        return Err(call.not_found());
    }
    match action {
        Action::Delete => {
            call.state.delete_key(&account, &sid);
            return Ok(Answer::empty());
        }
        Action::Update => update(call, sid)?,
        _ => {}
    }
    let (_, key) = call.state.key(&sid).ok_or_else(|| call.not_found())?;
    Ok(Answer::instance(200, call.asked.format, tag, &shown(call, key, false)))
}

fn create(call: &mut Call<'_>, power: Power) -> Result<Key, Refusal> {
    let name = name(call)?;
    let account = call.account;
    if call.state.accounts.get(&account).is_some_and(|account| account.keys.len() >= MAX_KEYS) {
        return Err(Refusal::bad(70151, "Maximum Number Of API Keys Exceeded"));
    }
    Ok(call.state.create_key(account, name, power, call.now))
}

fn update(call: &mut Call<'_>, sid: Sid) -> Result<(), Refusal> {
    let (account, now, name) = (call.account, call.now, name(call)?);
    let policy = if call.asked.product == Product::Iam { policy(call)? } else { None };
    let restricted = call.state.key(&sid).is_some_and(|(_, key)| matches!(key.power, Power::Restricted(_)));
    if policy.is_some() && !restricted {
        return Err(Refusal::bad(70002, "Only a Restricted key has a Policy"));
    }
    call.state.update_key(&account, &sid, now, |key| {
        key.friendly_name = name.or(key.friendly_name.take());
        if let Some(policy) = policy {
            key.power = Power::Restricted(Arc::new(policy));
        }
    });
    Ok(())
}

fn name(call: &Call<'_>) -> Result<Option<String>, Refusal> {
    match call.asked.params.get("FriendlyName") {
        Some(name) if name.chars().count() > MAX_NAME => Err(Refusal::constraint_violations()),
        name => Ok(name.map(str::to_owned)),
    }
}

fn policy(call: &Call<'_>) -> Result<Option<Policy>, Refusal> {
    call.asked.params.get("Policy").map(Policy::parse).transpose()
}

fn list(call: &mut Call<'_>, key: &'static str, tags: (&'static str, &'static str)) -> Result<Answer, Refusal> {
    let window = Window::read(&call.asked.query)?;
    let asked = call.asked;
    let account = call.state.accounts.get(&call.account).ok_or_else(|| call.not_found())?;
    let (rows, more) = account.keys.page(window.cursor, window.size, |_| true).ok_or_else(bad_token)?;
    let ends = rows.first().zip(rows.last()).map(|(first, last)| (first.0, last.0));
    let iam = asked.product == Product::Iam;
    let row = |key: &Key| if iam { flagged(key) } else { shown(call, key, false) };
    let values: Vec<Value> = rows.iter().map(|(_, key)| row(key)).collect();
    let columns = vec!["sid", "friendly_name", "date_created", "date_updated"];
    let answer = List { asked, window, key, tags, columns, ends, more }.answer(&values);
    if let (Some((first, last)), Some(account)) = (ends, call.state.accounts.get_mut(&call.account)) {
        account.keys.issue_token(first);
        account.keys.issue_token(last);
    }
    Ok(answer)
}

/// A key as its address and format show it. JSON has the secret last and RFC 2822 dates, XML has it first and ISO 8601
/// dates (samples in Twilio docs).
fn shown(call: &Call<'_>, key: &Key, with_secret: bool) -> Value {
    let xml = call.asked.format == Format::Xml;
    let secret = || ("secret".to_owned(), Value::from(key.secret.expose_str()));
    let mut fields: Map<String, Value> = Map::new();
    fields.extend((with_secret && xml).then(secret));
    fields.extend(common(key, if xml { time::iso8601 } else { time::rfc2822 }));
    fields.extend((with_secret && !xml).then(secret));
    if call.asked.product == Product::Iam {
        let policy = if let Power::Restricted(policy) = &key.power { policy.to_json() } else { Value::Null };
        fields.insert("policy".to_owned(), policy);
    }
    Value::Object(fields)
}

fn common(key: &Key, date: fn(i64) -> String) -> [(String, Value); 4] {
    [
        ("sid".to_owned(), key.sid.as_str().into()),
        ("friendly_name".to_owned(), key.friendly_name.clone().into()),
        ("date_created".to_owned(), date(key.created).into()),
        ("date_updated".to_owned(), date(key.updated).into()),
    ]
}

/// A row of iam's list: flags, and no policy. Only a Standard key's flags are known; those of the others are unverified.
fn flagged(key: &Key) -> Value {
    let mut fields: Map<String, Value> = common(key, time::rfc2822).into_iter().collect();
    let flags = match key.power {
        Power::Main => json!(["rest_api", "signing", "manage_accounts", "manage_keys"]),
        Power::Standard => json!(["rest_api", "signing"]),
        Power::Restricted(_) => json!(["rest_api", "restricted"]),
    };
    fields.insert("flags".to_owned(), flags);
    Value::Object(fields)
}
