//! Messages and their media. Fields: OpenAPI 2.6.7; errors: Twilio docs.

use super::services::MESSAGING_SERVICES;
use crate::sandbox::address::Product;
use crate::sandbox::refusal::Refusal;
use crate::sandbox::resource::{
    Cell, Constant::Null, Constant::Text, Draft, Resource, Rules, Source, Test, Verbs, field, filter,
};

/// Longest body, in characters (Twilio docs, error 21617).
const MAX_BODY_CHARS: usize = 1600;

/// `/2010-04-01/Accounts/{AC}/Messages`
pub static MESSAGES: Resource = Resource {
    id: "api/Messages",
    product: Product::Api,
    version: "2010-04-01",
    path: &["Messages"],
    parent: None,
    children: &["api/Media"],
    key: "messages",
    tags: ("Messages", "Message"),
    prefix: "SM",
    more_prefixes: &["MM"],
    alias: None,
    permission: "messaging/messages",
    verbs: Verbs::ALL,
    fields: &[
        field("account_sid", Source::Account),
        field("api_version", Source::Fixed(Text("2010-04-01"))),
        field("body", Source::Kept(Text(""))),
        field("date_created", Source::Created),
        field("date_sent", Source::Kept(Null)),
        field("date_updated", Source::Updated),
        field("direction", Source::Fixed(Text("outbound-api"))),
        field("error_code", Source::Fixed(Null)),
        field("error_message", Source::Fixed(Null)),
        field("from", Source::Kept(Null)),
        field("messaging_service_sid", Source::Kept(Null)),
        field("num_media", Source::Kept(Text("0"))),
        field("num_segments", Source::Kept(Text("1"))),
        field("price", Source::Kept(Null)),
        field("price_unit", Source::Fixed(Text("USD"))),
        field("sid", Source::Sid),
        field("status", Source::Kept(Text("queued"))),
        field("subresource_uris", Source::Links(&[("media", "Media")])),
        field("to", Source::Kept(Null)),
        field("uri", Source::Link),
    ],
    required: &[],
    filters: &[
        filter("To", "to", Test::Same),
        filter("From", "from", Test::Same),
        filter("DateSent", "date_sent", Test::Time),
    ],
    views: &[],
    rules: Rules { create, update, settle, ..Rules::PLAIN },
};

/// `/2010-04-01/Accounts/{AC}/Messages/{MM}/Media`
pub static MEDIA: Resource = Resource {
    id: "api/Media",
    product: Product::Api,
    version: "2010-04-01",
    path: &["Messages", "*", "Media"],
    parent: Some(&MESSAGES),
    children: &[],
    key: "media_list",
    tags: ("MediaList", "Media"),
    prefix: "ME",
    more_prefixes: &[],
    alias: None,
    permission: "messaging/messages.media",
    verbs: Verbs { create: false, update: false, delete: true },
    fields: &[
        field("account_sid", Source::Account),
        field("content_type", Source::Kept(Text("image/jpeg"))),
        field("date_created", Source::Created),
        field("date_updated", Source::Updated),
        field("parent_sid", Source::Parent),
        field("sid", Source::Sid),
        field("uri", Source::Link),
    ],
    required: &[],
    filters: &[filter("DateCreated", "date_created", Test::Time)],
    views: &[],
    rules: Rules::PLAIN,
};

fn create(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let to = draft.given("To").ok_or(Refusal::bad(21604, "A 'To' phone number is required."))?;
    if !is_destination(to) {
        return Err(Refusal::bad(21211, format!("Invalid 'To' Phone Number: {to}")));
    }
    let (to, from) = (Cell::text(to), draft.given("From").map(Cell::text));
    let service = draft.given("MessagingServiceSid");
    if service.is_some_and(|sid| MESSAGING_SERVICES.sid(sid).is_none()) {
        return Err(Refusal::bad(21705, "The Messaging Service is invalid"));
    }
    let service = service.map(Cell::text);
    if from.is_none() && service.is_none() {
        return Err(Refusal::bad(21603, "A 'From' phone number is required."));
    }
    let media: Vec<&str> = draft.params.all("MediaUrl").filter(|url| !url.is_empty()).collect();
    let body = draft.given("Body");
    if body.is_none() && media.is_empty() && draft.given("ContentSid").is_none() {
        return Err(Refusal::bad(21602, "Message body is required."));
    }
    let body = body.unwrap_or_default();
    if body.chars().count() > MAX_BODY_CHARS {
        let message = "The concatenated message body exceeds the 1600 character limit.";
        return Err(Refusal::bad(21617, message));
    }
    if media.len() > 10 {
        return Err(Refusal::bad(21623, "Number of media files exceeds allowed limit"));
    }
    let status = match (draft.given("ScheduleType"), &service) {
        (Some("fixed"), _) => "scheduled",
        (_, Some(_)) => "accepted",
        _ => "queued",
    };
    let (segments, count) = (segments(body).to_string(), media.len());
    let body = Cell::text(body);
    draft.put("to", to);
    draft.put("from", from.unwrap_or(Cell::Constant(Null)));
    draft.put("messaging_service_sid", service.unwrap_or(Cell::Constant(Null)));
    draft.put("body", body);
    draft.put("status", Cell::Constant(Text(status)));
    draft.put("num_segments", Cell::text(segments));
    if count > 0 {
        draft.prefix = "MM";
        draft.put("num_media", Cell::text(count.to_string()));
        draft.children = vec![(&MEDIA, MEDIA.blank()); count];
    }
    Ok(())
}

/// A body can only be emptied, and only what is scheduled can be cancelled (Twilio docs, "Update a Message").
fn update(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    match (draft.params.get("Body"), draft.params.get("Status")) {
        (Some(""), None) => draft.put("body", Cell::Constant(Text(""))),
        (Some(_), _) => return Err(Refusal::bad(20001, "Body can only be set to an empty string")),
        (None, Some("canceled")) if draft.peek("status") == Some("scheduled") => {
            draft.put("status", Cell::Constant(Text("canceled")));
        }
        (None, Some("canceled")) => return Err(Refusal::bad(30409, "Message cannot be canceled")),
        (None, Some(_)) => return Err(Refusal::invalid("Status")),
        (None, None) => {}
    }
    Ok(())
}

/// A message is `queued` in the answer to its creation, and sent when anybody looks again.
fn settle(draft: &mut Draft<'_>) {
    if draft.peek("status") != Some("scheduled") {
        draft.put("status", Cell::Constant(Text("sent")));
        draft.put("date_sent", Cell::Time(draft.now));
        draft.put("price", Cell::Constant(Text("-0.00750")));
    }
}

/// A phone number, a short code, or an address on a channel such as `whatsapp:`.
fn is_destination(to: &str) -> bool {
    let (channel, number) = to.split_once(':').map_or((None, to), |(channel, rest)| (Some(channel), rest));
    let digits = number.strip_prefix('+').unwrap_or(number);
    match channel {
        Some(channel) if channel != "whatsapp" && channel != "rcs" => !number.is_empty(),
        _ => (5..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()),
    }
}

/// GSM 03.38: what takes one septet.
const GSM7: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
                    ¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";

/// And what takes two: an escape and a character of the extension table.
const GSM7_EXTENSION: &str = "\u{c}^{}\\[~]|€";

/// How many SMS carry the body: in septets where GSM-7 has all of it, else in UTF-16. No character is split.
fn segments(body: &str) -> usize {
    let septets = |c| if GSM7.contains(c) { Some(1) } else { GSM7_EXTENSION.contains(c).then_some(2) };
    let (one, each, sizes) = match body.chars().map(septets).collect::<Option<Vec<usize>>>() {
        Some(sizes) => (160, 153, sizes),
        None => (70, 67, body.chars().map(char::len_utf16).collect()),
    };
    if sizes.iter().sum::<usize>() <= one {
        return 1;
    }
    let put = |(parts, left): (usize, usize), size: usize| {
        if size > left { (parts + 1, each - size) } else { (parts, left - size) }
    };
    sizes.into_iter().fold((1, each), put).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations() {
        for good in ["+15558675310", "15558675310", "12345", "whatsapp:+15558675310", "messenger:abc", "+442071838750"]
        {
            assert!(is_destination(good), "{good}");
        }
        for bad in ["", "+", "abc", "+1555abc", "whatsapp:abc", "+1234567890123456"] {
            assert!(!is_destination(bad), "{bad}");
        }
    }

    #[test]
    fn long_bodies_take_more_segments() {
        assert_eq!(segments(""), 1);
        assert_eq!(segments(&"a".repeat(160)), 1);
        assert_eq!(segments(&"a".repeat(161)), 2);
        assert_eq!(GSM7.chars().count(), 127, "all of the table but the escape");
        assert_eq!((segments(&"é".repeat(160)), segments(&"é".repeat(161)), segments(&"é".repeat(307))), (1, 2, 3));
        assert_eq!((segments(&"€".repeat(80)), segments(&"€".repeat(81))), (1, 2));
        assert_eq!(segments(&"€".repeat(153)), 3, "76 in each, and none is split");
        assert_eq!((segments(&"`".repeat(70)), segments(&"`".repeat(71))), (1, 2), "not in GSM-7");
        assert_eq!((segments(&"😀".repeat(35)), segments(&"😀".repeat(36)), segments(&"😀".repeat(67))), (1, 2, 3));
    }
}
