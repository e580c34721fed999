//! How records name a change of a team: by the team, and by the settings that were given, with their new values.

use crate::ids::TeamId;
use std::fmt::Write as _;

/// Bytes of a list that are shown: some ten operations. All lists together stay below what a record keeps of a text.
const LONGEST_LIST: usize = 300;

/// The subject of a record, as in `billing: open=[], deny=[api:Calls:*]`; the team alone where nothing is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings(String);

impl Settings {
    /// Of this team, nothing yet.
    pub fn of(team: &TeamId) -> Self {
        Self(team.to_string())
    }

    /// How the text of a subject with settings begins, for searches by team.
    pub(super) fn prefix(team: &TeamId) -> String {
        format!("{team}: ")
    }

    /// A setting and its new value.
    pub fn set(&mut self, name: &str, value: impl std::fmt::Display) {
        let before = if self.0.contains(": ") { ", " } else { ": " };
        // A String takes all that is written to it.
        let _ = write!(self.0, "{before}{name}={value}");
    }

    /// A setting that is a list. What is too long to be shown is counted.
    pub fn list(&mut self, name: &str, items: impl IntoIterator<Item = impl ToString>) {
        let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
        let mut length = 0;
        let fits = |item: &&String| {
            length += item.len() + 2;
            length <= LONGEST_LIST
        };
        let mut shown: Vec<String> = items.iter().take_while(fits).cloned().collect();
        if shown.len() < items.len() {
            shown.push(format!("{} more", items.len() - shown.len()));
        }
        self.set(name, format_args!("[{}]", shown.join(", ")));
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_named_and_long_lists_are_counted() {
        let mut said = Settings::of(&TeamId::parse("billing").expect("a name"));
        assert_eq!(said.as_str(), "billing");
        said.set("disabled", true);
        said.list("deny", ["api:Calls:*", "api:Messages:*"]);
        said.list("open", [""; 0]);
        assert_eq!(said.as_str(), "billing: disabled=true, deny=[api:Calls:*, api:Messages:*], open=[]");
        let mut long = Settings::of(&TeamId::parse("billing").expect("a name"));
        long.list("deny", ["x".repeat(98), "y".repeat(98), "z".repeat(198), "last".to_owned()]);
        assert!(long.as_str().ends_with("y, 2 more]") && long.as_str().len() < 320, "{long:?}");
    }
}
