//! Calls. Fields: OpenAPI 2.6.7; errors: Twilio docs.

use crate::sandbox::address::Product;
use crate::sandbox::refusal::Refusal;
use crate::sandbox::resource::{
    Cell, Constant::Null, Constant::Text, Draft, Resource, Rules, Source, Test, Verbs, field, filter,
};

/// `/2010-04-01/Accounts/{AC}/Calls`
pub static CALLS: Resource = Resource {
    id: "api/Calls",
    product: Product::Api,
    version: "2010-04-01",
    path: &["Calls"],
    parent: None,
    children: &[],
    key: "calls",
    tags: ("Calls", "Call"),
    prefix: "CA",
    more_prefixes: &[],
    alias: None,
    permission: "voice/calls",
    verbs: Verbs::ALL,
    fields: &[
        field("sid", Source::Sid),
        field("date_created", Source::Created),
        field("date_updated", Source::Updated),
        field("parent_call_sid", Source::Fixed(Null)),
        field("account_sid", Source::Account),
        field("to", Source::Kept(Null)),
        field("to_formatted", Source::Kept(Null)),
        field("from", Source::Kept(Null)),
        field("from_formatted", Source::Kept(Null)),
        field("phone_number_sid", Source::Fixed(Null)),
        field("status", Source::Kept(Text("queued"))),
        field("start_time", Source::Kept(Null)),
        field("end_time", Source::Kept(Null)),
        field("duration", Source::Kept(Null)),
        field("price", Source::Fixed(Null)),
        field("price_unit", Source::Fixed(Text("USD"))),
        field("direction", Source::Fixed(Text("outbound-api"))),
        field("answered_by", Source::Fixed(Null)),
        field("api_version", Source::Fixed(Text("2010-04-01"))),
        field("forwarded_from", Source::Fixed(Null)),
        field("group_sid", Source::Fixed(Null)),
        field("caller_name", Source::Fixed(Null)),
        field("queue_time", Source::Fixed(Text("0"))),
        field("trunk_sid", Source::Fixed(Null)),
        field("uri", Source::Link),
        field(
            "subresource_uris",
            Source::Links(&[
                ("notifications", "Notifications"),
                ("recordings", "Recordings"),
                ("payments", "Payments"),
                ("events", "Events"),
                ("siprec", "Siprec"),
                ("streams", "Streams"),
                ("transcriptions", "Transcriptions"),
                ("user_defined_message_subscriptions", "UserDefinedMessageSubscriptions"),
                ("user_defined_messages", "UserDefinedMessages"),
            ]),
        ),
    ],
    required: &[],
    filters: &[
        filter("To", "to", Test::Same),
        filter("From", "from", Test::Same),
        filter("Status", "status", Test::Same),
        filter("StartTime", "start_time", Test::Time),
        filter("EndTime", "end_time", Test::Time),
    ],
    views: &[],
    rules: Rules { create, update, ..Rules::PLAIN },
};

fn create(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let to = draft.given("To").ok_or(Refusal::bad(21201, "No 'To' number is specified"))?.to_owned();
    let from = draft.given("From").ok_or(Refusal::bad(21213, "No 'From' number is specified"))?.to_owned();
    if !["Url", "Twiml", "ApplicationSid"].iter().any(|param| draft.given(param).is_some()) {
        return Err(Refusal::bad(21205, "Url parameter is required."));
    }
    if let Some(url) = draft.given("Url").filter(|url| !is_absolute(url)) {
        return Err(Refusal::bad(21205, format!("Url is not a valid URL: {url}")));
    }
    draft.put("to_formatted", Cell::text(formatted(&to)));
    draft.put("from_formatted", Cell::text(formatted(&from)));
    draft.put("to", Cell::text(to));
    draft.put("from", Cell::text(from));
    Ok(())
}

/// `canceled` ends what has not begun, `completed` what has (Twilio docs, "Update a Call").
fn update(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let over = matches!(draft.peek("status"), Some("canceled" | "completed"));
    match draft.given("Status") {
        Some(_) if over => return Err(Refusal::bad(21220, "Call is not in-progress. Cannot redirect.")),
        Some("canceled") => draft.put("status", Cell::Constant(Text("canceled"))),
        Some("completed") => {
            draft.put("status", Cell::Constant(Text("completed")));
            draft.put("start_time", Cell::Time(draft.now));
            draft.put("end_time", Cell::Time(draft.now));
            draft.put("duration", Cell::Constant(Text("0")));
        }
        Some(_) => return Err(Refusal::bad(21218, "Invalid call Status")),
        None => {}
    }
    Ok(())
}

/// Whether the text is a URL that could be fetched. Twilio refuses `localhost` as well; here it is where the others are.
fn is_absolute(url: &str) -> bool {
    let url = url.parse::<http::Uri>().ok();
    url.is_some_and(|url| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some())
}

/// `+14155551212` → `(415) 555-1212`; other numbers stay.
fn formatted(number: &str) -> String {
    match number.strip_prefix("+1") {
        Some(digits) if digits.len() == 10 && digits.bytes().all(|b| b.is_ascii_digit()) => {
            format!("({}) {}-{}", &digits[..3], &digits[3..6], &digits[6..])
        }
        _ => number.to_owned(),
    }
}
