//! Numbers that could be bought: made up on the spot, from the ranges that are kept for fiction (555-01xx).

use super::answer::Answer;
use super::engine::Call;
use super::paging::{List, Window};
use super::permission::Action;
use super::refusal::Refusal;
use crate::twilio::render;
use http::Method;
use serde_json::{Value, json};

/// Numbers offered at a time (Twilio docs: at most 30 for the US).
const OFFERED: usize = 30;

/// Path segment, the list's XML element, and area code of each kind.
const KINDS: [(&str, &str, &str); 3] =
    [("Local", "local", "415"), ("TollFree", "toll_free", "800"), ("Mobile", "mobile", "628")];

/// `/2010-04-01/Accounts/{AC}/AvailablePhoneNumbers[/{country}[/{kind}]]`
pub fn run(call: &Call<'_>, rest: &[String]) -> Result<Answer, Refusal> {
    if call.asked.method != Method::GET {
        return Err(Refusal::method_not_allowed());
    }
    let action = if rest.len() == 1 { Action::Read } else { Action::List };
    call.actor.act("phone-numbers/available-numbers", action)?;
    match rest.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => list(call, "countries", ("Countries", "Country"), &country(call), vec![country(call)]),
        ["US"] => Ok(Answer::instance(200, call.asked.format, "Country", &country(call))),
        ["US", kind] => {
            let known = KINDS.iter().find(|(segment, ..)| *segment == kind);
            let (.., area) = known.ok_or_else(|| call.not_found())?;
            let tags = ("AvailablePhoneNumbers", "AvailablePhoneNumber");
            list(call, "available_phone_numbers", tags, &offer(area, 0, ""), numbers(call, area))
        }
        _ => Err(call.not_found()),
    }
}

/// `sample` has the fields of every row, also where there is none.
fn list(
    call: &Call<'_>,
    key: &'static str,
    tags: (&'static str, &'static str),
    sample: &Value,
    mut rows: Vec<Value>,
) -> Result<Answer, Refusal> {
    let window = Window::read(&call.asked.query)?;
    rows.truncate(window.size);
    let columns = render::columns(sample);
    let columns = columns.iter().map(String::as_str).collect();
    let list = List { asked: call.asked, window, key, tags, columns, ends: None, more: false };
    Ok(list.answer(&rows))
}

fn country(call: &Call<'_>) -> Value {
    let (suffix, account) = (call.asked.link_suffix(), call.account);
    let base = format!("/2010-04-01/Accounts/{account}/AvailablePhoneNumbers/US");
    let links: serde_json::Map<String, Value> = KINDS
        .iter()
        .map(|(segment, name, _)| ((*name).to_owned(), format!("{base}/{segment}{suffix}").into()))
        .collect();
    json!({
        "country_code": "US",
        "country": "United States",
        "uri": format!("{base}{suffix}"),
        "beta": false,
        "subresource_uris": links,
    })
}

fn numbers(call: &Call<'_>, area: &str) -> Vec<Value> {
    let query = &call.asked.query;
    let area = query
        .get("AreaCode")
        .filter(|code| code.len() == 3 && code.bytes().all(|b| b.is_ascii_digit()))
        .unwrap_or(area);
    let contains: String = query.get("Contains").unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
    let all = (0..100).map(|last| (last, format!("+1{area}55501{last:02}")));
    let some = all.filter(|(_, number)| number.contains(&contains)).take(OFFERED);
    some.map(|(last, number)| offer(area, last, &number)).collect()
}

fn offer(area: &str, last: u32, number: &str) -> Value {
    json!({
        "friendly_name": format!("({area}) 555-01{last:02}"),
        "phone_number": number,
        "lata": "722",
        "locality": "San Francisco",
        "rate_center": "SNFC CNTRL",
        "latitude": "37.780000",
        "longitude": "-122.420000",
        "region": "CA",
        "postal_code": "94103",
        "iso_country": "US",
        "address_requirements": "none",
        "beta": false,
        "capabilities": {"voice": true, "SMS": true, "MMS": true},
    })
}
