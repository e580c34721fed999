//! The tables: every resource that needs no code but its own rules.

mod calls;
mod conversations;
mod events;
mod messages;
mod numbers;
mod services;

pub use numbers::NUMBERS;

use super::address::Asked;
use super::resource::Resource;

/// Every table.
static ALL: [&Resource; 12] = [
    &messages::MESSAGES,
    &messages::MEDIA,
    &calls::CALLS,
    &numbers::NUMBERS,
    &services::MESSAGING_SERVICES,
    &services::CHAT_SERVICES,
    &services::CHAT_USERS,
    &conversations::CONVERSATIONS,
    &conversations::PARTICIPANTS,
    &events::SINKS,
    &events::SUBSCRIPTIONS,
    &events::SUBSCRIBED_EVENTS,
];

/// What a path points at.
#[derive(Debug)]
pub struct Target<'a> {
    /// The table.
    pub resource: &'static Resource,
    /// The segment of the parent.
    pub parent: Option<&'a str>,
    /// The segment after the collection.
    pub item: Option<&'a str>,
}

/// Finds the table for a path; `segments` begins after the version, on api after the account.
pub fn find<'a>(asked: &Asked, segments: &'a [String]) -> Option<Target<'a>> {
    let fits = |resource: &&'static Resource| {
        resource.product == asked.product
            && resource.version == asked.version
            && (segments.len() == resource.path.len() || segments.len() == resource.path.len() + 1)
            && resource.path.iter().zip(segments).all(|(part, segment)| *part == "*" || part == segment)
    };
    let resource = ALL.iter().copied().find(fits)?;
    let parent = resource.path.iter().position(|part| *part == "*").map(|at| segments[at].as_str());
    let item = segments.get(resource.path.len()).map(String::as_str);
    (parent != Some("") && item != Some("")).then_some(Target { resource, parent, item })
}
