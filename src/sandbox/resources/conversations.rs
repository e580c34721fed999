//! Conversations and their participants. Fields: OpenAPI 2.6.7; errors 50353 and 50433: Twilio docs.

use crate::sandbox::address::Product;
use crate::sandbox::refusal::Refusal;
use crate::sandbox::resource::{
    Alias, Cell, Constant::Json, Constant::Null, Constant::Text, Draft, Kind, Resource, Rules, Source, Test, Verbs,
    field, filter,
};
use serde_json::{Map, Value};

/// The service that every account has without making one.
const DEFAULT_SERVICE: &str = "IS00000000000000000000000000000001";

/// conversations `/v1/Conversations`; a conversation goes by its unique name as well.
pub static CONVERSATIONS: Resource = Resource {
    id: "conversations/Conversations",
    product: Product::Conversations,
    version: "v1",
    path: &["Conversations"],
    parent: None,
    children: &["conversations/Participants"],
    key: "conversations",
    tags: ("Conversations", "Conversation"),
    prefix: "CH",
    more_prefixes: &[],
    alias: Some(Alias {
        field: "unique_name",
        taken: 50353,
        message: "Conversation with provided unique name already exists",
    }),
    permission: "conversations/conversations",
    verbs: Verbs::ALL,
    fields: &[
        field("sid", Source::Sid),
        field("account_sid", Source::Account),
        field("chat_service_sid", Source::Fixed(Text(DEFAULT_SERVICE))),
        field("messaging_service_sid", Source::Given("MessagingServiceSid", Kind::Text(34), Null)),
        field("friendly_name", Source::Given("FriendlyName", Kind::Text(256), Null)),
        field("unique_name", Source::Given("UniqueName", Kind::Text(256), Null)),
        field("attributes", Source::Given("Attributes", Kind::Text(16384), Text("{}"))),
        field("date_created", Source::Created),
        field("date_updated", Source::Updated),
        field("state", Source::Given("State", Kind::Text(16), Text("active"))),
        field("timers", Source::Fixed(Json("{}"))),
        field("bindings", Source::Fixed(Json("{}"))),
        field("url", Source::Link),
        field(
            "links",
            Source::Links(&[
                ("participants", "Participants"),
                ("messages", "Messages"),
                ("webhooks", "Webhooks"),
                ("export", "Export"),
            ]),
        ),
    ],
    required: &[],
    filters: &[filter("State", "state", Test::Same)],
    views: &[],
    rules: Rules { create: check_state, update: check_state, ..Rules::PLAIN },
};

fn check_state(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    match draft.peek("state") {
        Some("active" | "inactive" | "closed") => Ok(()),
        _ => Err(Refusal::invalid("State")),
    }
}

/// conversations `/v1/Conversations/{CH}/Participants`
pub static PARTICIPANTS: Resource = Resource {
    id: "conversations/Participants",
    product: Product::Conversations,
    version: "v1",
    path: &["Conversations", "*", "Participants"],
    parent: Some(&CONVERSATIONS),
    children: &[],
    key: "participants",
    tags: ("Participants", "Participant"),
    prefix: "MB",
    more_prefixes: &[],
    alias: Some(Alias { field: "identity", taken: 50433, message: "Participant already exists" }),
    permission: "conversations/conversations.participants",
    verbs: Verbs::ALL,
    fields: &[
        field("sid", Source::Sid),
        field("account_sid", Source::Account),
        field("conversation_sid", Source::Parent),
        field("identity", Source::Given("Identity", Kind::Text(256), Null)),
        field("attributes", Source::Given("Attributes", Kind::Text(4096), Text("{}"))),
        field("messaging_binding", Source::Kept(Null)),
        field("role_sid", Source::Given("RoleSid", Kind::Text(34), Text("RL00000000000000000000000000000002"))),
        field("date_created", Source::Created),
        field("date_updated", Source::Updated),
        field("last_read_message_index", Source::Given("LastReadMessageIndex", Kind::Number, Null)),
        field("last_read_timestamp", Source::Given("LastReadTimestamp", Kind::Text(64), Null)),
        field("url", Source::Link),
    ],
    required: &[],
    filters: &[],
    views: &[],
    rules: Rules { create: bind, ..Rules::PLAIN },
};

/// A participant is a chat identity or an address of a channel.
fn bind(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let parts = [
        ("address", "MessagingBinding.Address"),
        ("proxy_address", "MessagingBinding.ProxyAddress"),
        ("projected_address", "MessagingBinding.ProjectedAddress"),
    ];
    let named = |(name, param): (&str, &str)| Some((name.to_owned(), Value::from(draft.given(param)?)));
    let mut binding: Map<String, Value> = parts.into_iter().filter_map(named).collect();
    if binding.is_empty() {
        return match draft.given("Identity") {
            Some(_) => Ok(()),
            None => Err(Refusal::bad(50407, "Identity or MessagingBinding.Address is required")),
        };
    }
    binding.insert("type".to_owned(), "sms".into());
    draft.put("messaging_binding", Cell::Json(Box::new(Value::Object(binding))));
    Ok(())
}
