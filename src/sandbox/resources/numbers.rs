//! Phone numbers that an account has. Fields: OpenAPI 2.6.7; errors: Twilio docs.

use crate::sandbox::address::Product;
use crate::sandbox::refusal::Refusal;
use crate::sandbox::resource::{
    Cell, Constant::Flag, Constant::Json, Constant::Null, Constant::Text, Draft, Kind, Resource, Rules, Source, Test,
    Verbs, field, filter,
};

/// Longest URL that Twilio keeps, in characters.
const URL: Kind = Kind::Text(2048);

/// `/2010-04-01/Accounts/{AC}/IncomingPhoneNumbers`
pub static NUMBERS: Resource = Resource {
    id: "api/IncomingPhoneNumbers",
    product: Product::Api,
    version: "2010-04-01",
    path: &["IncomingPhoneNumbers"],
    parent: None,
    children: &[],
    key: "incoming_phone_numbers",
    tags: ("IncomingPhoneNumbers", "IncomingPhoneNumber"),
    prefix: "PN",
    more_prefixes: &[],
    alias: None,
    permission: "phone-numbers/active-numbers",
    verbs: Verbs::ALL,
    fields: &[
        field("sid", Source::Sid),
        field("account_sid", Source::Account),
        field("friendly_name", Source::Given("FriendlyName", Kind::Text(64), Null)),
        field("phone_number", Source::Kept(Null)),
        field("type", Source::Kept(Text("local"))),
        field("voice_url", Source::Given("VoiceUrl", URL, Text(""))),
        field("voice_method", Source::Given("VoiceMethod", Kind::Text(8), Text("POST"))),
        field("voice_fallback_url", Source::Given("VoiceFallbackUrl", URL, Text(""))),
        field("voice_fallback_method", Source::Given("VoiceFallbackMethod", Kind::Text(8), Text("POST"))),
        field("voice_caller_id_lookup", Source::Given("VoiceCallerIdLookup", Kind::Flag, Flag(false))),
        field("voice_application_sid", Source::Given("VoiceApplicationSid", Kind::Text(34), Null)),
        field("voice_receive_mode", Source::Given("VoiceReceiveMode", Kind::Text(16), Text("voice"))),
        field("date_created", Source::Created),
        field("date_updated", Source::Updated),
        field("sms_url", Source::Given("SmsUrl", URL, Text(""))),
        field("sms_method", Source::Given("SmsMethod", Kind::Text(8), Text("POST"))),
        field("sms_fallback_url", Source::Given("SmsFallbackUrl", URL, Text(""))),
        field("sms_fallback_method", Source::Given("SmsFallbackMethod", Kind::Text(8), Text("POST"))),
        field("sms_application_sid", Source::Given("SmsApplicationSid", Kind::Text(34), Text(""))),
        field("status_callback", Source::Given("StatusCallback", URL, Text(""))),
        field("status_callback_method", Source::Given("StatusCallbackMethod", Kind::Text(8), Text("POST"))),
        field("capabilities", Source::Fixed(Json(r#"{"voice": true, "sms": true, "mms": true, "fax": false}"#))),
        field("address_requirements", Source::Fixed(Text("none"))),
        field("address_sid", Source::Given("AddressSid", Kind::Text(34), Null)),
        field("identity_sid", Source::Given("IdentitySid", Kind::Text(34), Null)),
        field("bundle_sid", Source::Given("BundleSid", Kind::Text(34), Null)),
        field("trunk_sid", Source::Given("TrunkSid", Kind::Text(34), Null)),
        field("emergency_status", Source::Given("EmergencyStatus", Kind::Text(16), Text("Active"))),
        field("emergency_address_sid", Source::Given("EmergencyAddressSid", Kind::Text(34), Null)),
        field("emergency_address_status", Source::Fixed(Text("unregistered"))),
        field("beta", Source::Fixed(Flag(false))),
        field("origin", Source::Fixed(Text("twilio"))),
        field("status", Source::Fixed(Text("in-use"))),
        field("api_version", Source::Fixed(Text("2010-04-01"))),
        field("uri", Source::Link),
        field("subresource_uris", Source::Links(&[("assigned_add_ons", "AssignedAddOns")])),
    ],
    required: &[],
    filters: &[
        filter("PhoneNumber", "phone_number", Test::Number),
        filter("FriendlyName", "friendly_name", Test::Same),
        filter("Origin", "origin", Test::Same),
    ],
    views: &[("Local", "type", "local"), ("Mobile", "type", "mobile"), ("TollFree", "type", "toll-free")],
    rules: Rules { create, ..Rules::PLAIN },
};

fn create(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let number = match (draft.given("PhoneNumber"), draft.given("AreaCode")) {
        (Some(number), _) if is_e164(number) => number.to_owned(),
        (Some(number), _) => return Err(Refusal::bad(21421, format!("PhoneNumber is invalid: {number}"))),
        (None, Some(area)) if area.len() == 3 && area.bytes().all(|b| b.is_ascii_digit()) => {
            format!("+1{area}555{:04}", draft.now.unsigned_abs() % 10_000)
        }
        (None, Some(area)) => return Err(Refusal::bad(21451, format!("Invalid area code: {area}"))),
        (None, None) => return Err(Refusal::bad(21402, "PhoneNumber or AreaCode is required")),
    };
    draft.put("type", Cell::Constant(Text(type_of(&number))));
    if draft.peek("friendly_name").is_none() {
        draft.put("friendly_name", Cell::text(number.clone()));
    }
    draft.put("phone_number", Cell::text(number));
    Ok(())
}

fn is_e164(number: &str) -> bool {
    number
        .strip_prefix('+')
        .is_some_and(|digits| (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// Toll-free area codes of the North American plan.
fn type_of(number: &str) -> &'static str {
    let free = ["+1800", "+1833", "+1844", "+1855", "+1866", "+1877", "+1888"];
    if free.iter().any(|prefix| number.starts_with(prefix)) { "toll-free" } else { "local" }
}
