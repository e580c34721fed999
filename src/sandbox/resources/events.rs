//! Event streams: sinks, subscriptions, and the events they name. Fields: OpenAPI 2.6.7; error 91001: Twilio docs.

use crate::sandbox::address::Product;
use crate::sandbox::refusal::Refusal;
use crate::sandbox::resource::{
    Alias, Cell, Constant::Json, Constant::Null, Constant::Number, Constant::Text, Draft, Kind, Reference, Resource,
    Rules, Source, Test, Verbs, field, filter,
};
use serde_json::Value;

/// events `/v1/Sinks`
pub static SINKS: Resource = Resource {
    id: "events/Sinks",
    product: Product::Events,
    version: "v1",
    path: &["Sinks"],
    parent: None,
    children: &[],
    key: "sinks",
    tags: ("Sinks", "Sink"),
    prefix: "DG",
    more_prefixes: &[],
    alias: None,
    permission: "event-streams/sink",
    verbs: Verbs::ALL,
    fields: &[
        field("status", Source::Fixed(Text("initialized"))),
        field("sink_configuration", Source::Given("SinkConfiguration", Kind::Json, Json("{}"))),
        field("description", Source::Given("Description", Kind::Text(255), Null)),
        field("sid", Source::Sid),
        field("date_created", Source::Created),
        field("sink_type", Source::Given("SinkType", Kind::Text(16), Null)),
        field("date_updated", Source::Updated),
        field("url", Source::Link),
        field("links", Source::Links(&[("sink_test", "Test"), ("sink_validate", "Validate")])),
    ],
    required: &["Description", "SinkConfiguration", "SinkType"],
    filters: &[filter("Status", "status", Test::Same)],
    views: &[],
    rules: Rules { create: check_type, ..Rules::PLAIN },
};

fn check_type(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    match draft.peek("sink_type") {
        Some("kinesis" | "webhook" | "segment" | "email") => Ok(()),
        _ => Err(Refusal::invalid("SinkType")),
    }
}

/// events `/v1/Subscriptions`
pub static SUBSCRIPTIONS: Resource = Resource {
    id: "events/Subscriptions",
    product: Product::Events,
    version: "v1",
    path: &["Subscriptions"],
    parent: None,
    children: &["events/SubscribedEvents"],
    key: "subscriptions",
    tags: ("Subscriptions", "Subscription"),
    prefix: "DF",
    more_prefixes: &[],
    alias: None,
    permission: "event-streams/subscription",
    verbs: Verbs::ALL,
    fields: &[
        field("account_sid", Source::Account),
        field("sid", Source::Sid),
        field("sink_sid", Source::Given("SinkSid", Kind::Text(34), Null)),
        field("description", Source::Given("Description", Kind::Text(255), Null)),
        field("url", Source::Link),
        field("date_created", Source::Created),
        field("date_updated", Source::Updated),
        field("links", Source::Links(&[("subscribed_events", "SubscribedEvents")])),
    ],
    required: &["Description", "SinkSid", "Types"],
    filters: &[filter("SinkSid", "sink_sid", Test::Same)],
    views: &[],
    rules: Rules {
        create: subscribe,
        refers: Some(Reference { param: "SinkSid", to: &SINKS, missing: 91001, message: "Sink could not be found" }),
        ..Rules::PLAIN
    },
};

/// Each `Types` is `{"type": "com.twilio…", "schema_version": 2}` as JSON text; each becomes a row below.
fn subscribe(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let mut children = Vec::new();
    for text in draft.params.all("Types") {
        let wanted: Value = serde_json::from_str(text).map_err(|_| Refusal::invalid("Types"))?;
        let name = wanted.get("type").and_then(Value::as_str).ok_or_else(|| Refusal::invalid("Types"))?;
        let version = wanted.get("schema_version").and_then(Value::as_i64);
        let mut cells = SUBSCRIBED_EVENTS.blank();
        cells[0] = Cell::text(name);
        cells[1] = Cell::Number(version.unwrap_or(1));
        children.push((&SUBSCRIBED_EVENTS, cells));
    }
    draft.children.extend(children);
    Ok(())
}

/// events `/v1/Subscriptions/{DF}/SubscribedEvents`, read only: the sandbox streams no events.
pub static SUBSCRIBED_EVENTS: Resource = Resource {
    id: "events/SubscribedEvents",
    product: Product::Events,
    version: "v1",
    path: &["Subscriptions", "*", "SubscribedEvents"],
    parent: Some(&SUBSCRIPTIONS),
    children: &[],
    key: "types",
    tags: ("Types", "Type"),
    prefix: "ET",
    more_prefixes: &[],
    alias: Some(Alias { field: "type", taken: 20409, message: "Already subscribed" }),
    permission: "event-streams/subscription.subscribed-event",
    verbs: Verbs { create: false, update: false, delete: false },
    fields: &[
        field("account_sid", Source::Account),
        field("subscription_sid", Source::Parent),
        field("type", Source::Kept(Null)),
        field("schema_version", Source::Kept(Number(1))),
        field("url", Source::Link),
    ],
    required: &[],
    filters: &[],
    views: &[],
    rules: Rules::PLAIN,
};
