//! Rules of a team's policy that can have no effect: a misspelt `deny` protects nothing, and nobody would notice.

use crate::config::TeamPolicy;
use crate::twilio::management::{Class, GRANTS, fits};
use crate::twilio::operations;

/// What to write instead.
pub(crate) const MEND: &str = "`sidekey explain TEAM METHOD URL` prints the names of operations";

/// What a permission of a Restricted key looks like.
pub(crate) const PERMISSION: &str = "write /twilio/PRODUCT/RESOURCE/ACTION, such as /twilio/messaging/messages/create; an action is create, read, update, \
     delete, list or *";

/// Whether a text has the shape of a Restricted key's permission (Twilio docs). Which there are, Twilio alone knows.
pub(crate) fn is_permission(text: &str) -> bool {
    let word = |part: &str| {
        (1..=100).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-*".contains(&b))
    };
    let parts: Vec<&str> = text.split('/').collect();
    let ["", "twilio", product, resource, action] = parts[..] else { return false };
    word(product) && word(resource) && ["create", "read", "update", "delete", "list", "*"].contains(&action)
}

/// A rule that can have no effect.
#[derive(Debug)]
pub(crate) struct Idle<'a> {
    /// As it is written.
    pub(crate) rule: &'a str,
    /// Which list it stands in.
    pub(crate) list: &'static str,
    /// Why it has none.
    pub(crate) why: &'static str,
}

/// Every rule of a policy that can have no effect.
pub(crate) fn idle(policy: &TeamPolicy) -> Vec<Idle<'_>> {
    let lists = [("open", &policy.open), ("allow", &policy.allow), ("deny", &policy.deny)];
    let rules = lists.into_iter().flat_map(|(list, rules)| rules.iter().map(move |rule| (list, rule.as_str())));
    let reason = |list, rule: &str| match (is_known(rule), list) {
        // `explain` has a name for making one, and a policy is asked about what is in it.
        (false, _) if rule.starts_with("sidekey:") => {
            Some("fits no operation: name a grant, as sidekey:AccessTokens:voice does")
        }
        (false, _) => Some("fits no operation"),
        (true, "open") if !can_open(rule) => Some("opens nothing: what it fits is for master teams alone"),
        (true, _) => None,
    };
    rules.filter_map(|(list, rule)| reason(list, rule).map(|why| Idle { rule, list, why })).collect()
}

/// Whether a pattern fits anything that a policy is asked about.
pub(crate) fn is_known(pattern: &str) -> bool {
    let minted = |grant| fits(pattern, &format!("sidekey:AccessTokens:{grant}"));
    operations::names().any(|name| fits(pattern, name)) || GRANTS.into_iter().any(minted)
}

/// Whether a pattern fits more than management resources, which no policy opens.
fn can_open(pattern: &str) -> bool {
    operations::all().any(|operation| operation.class() < Class::Core && fits(pattern, operation.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_without_effect_are_found() {
        let list = |rules: &[&str]| rules.iter().map(|rule| (*rule).to_owned()).collect();
        let policy = TeamPolicy {
            open: list(&["api:SIP.CredentialLists:*", "api:*", "api:Keys:create", "iam:*"]),
            allow: list(&["*", "api:Messages:*", "api:unknown", "api:Messages:unknown", "foo"]),
            deny: list(&[
                "api:Messages:delete",
                "sidekey:AccessTokens:voice",
                "sidekey:*",
                "api:Massages:delete",
                "api:Messages",
                "sidekey:AccessTokens:create",
            ]),
        };
        let found: Vec<(&str, &str)> = idle(&policy).iter().map(|idle| (idle.list, idle.rule)).collect();
        let wanted = [
            ("open", "api:Keys:create"),
            ("open", "iam:*"),
            ("allow", "foo"),
            ("deny", "api:Massages:delete"),
            ("deny", "api:Messages"),
            ("deny", "sidekey:AccessTokens:create"),
        ];
        assert_eq!(found, wanted);
    }
}
