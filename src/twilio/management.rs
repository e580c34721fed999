//! Which operations are closed to a standard caller: accounts, keys, credentials.
//!
//! Two lists, both reviewed by hand against Twilio's docs and OpenAPI 2.6.7, and a careful guess for paths that are in
//! no table: there, a segment that merely reads like a credential's name closes the path. The unsafe mistake is to
//! call something open, so doubt closes.

use super::host::Product;

/// Who may use an operation. Ordered: a later one is more closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Every caller.
    Open,
    /// Mints, reveals or moves a credential: a master caller, or a team whose policy opens it by name.
    Closed,
    /// A management resource: a master caller only, whatever a policy says.
    Core,
}

/// Grants of Access Tokens, as they stand in one (twilio-python and twilio-node, `grants`). Sync's is `data_sync`.
pub const GRANTS: [&str; 7] = ["chat", "data_sync", "ip_messaging", "player", "task_router", "video", "voice"];

/// Hosts on which everything is a management resource.
const CORE_PRODUCTS: [&str; 5] = ["accounts", "iam", "oauth", "preview-iam", "scim"];

/// Management resources of the 2010 API. `SigningKeys` is an alias of `Keys`; `Tokens` mints TURN passwords;
/// connect apps delegate the account to others.
const CORE: [&str; 6] = [
    "api:Accounts:*",
    "api:Keys:*",
    "api:SigningKeys:*",
    "api:ConnectApps:*",
    "api:AuthorizedConnectApps:*",
    "api:Tokens:*",
];

/// Operations that mint, reveal or move a credential, with what they yield.
const CLOSED: [&str; 30] = [
    // SIP user names and passwords, and where they are valid. Lists of IP addresses are no credential and stay open.
    "api:SIP.CredentialLists:*",
    "api:SIP.CredentialLists.Credentials:*",
    "api:SIP.Domains.CredentialListMappings:*",
    "api:SIP.Domains.Auth.Calls.CredentialListMappings:*",
    "api:SIP.Domains.Auth.Registrations.CredentialListMappings:*",
    "trunking:Trunks.CredentialLists:*",
    // Push secrets of APN and FCM.
    "chat:Credentials:*",
    "conversations:Credentials:*",
    "ip-messaging:Credentials:*",
    "notify:Credentials:*",
    // JWTs for factors.
    "verify:Services.AccessTokens:*",
    // Session ids, and whose role they carry.
    "flex-api:Insights.Session:*",
    "flex-api:Insights.UserRoles:*",
    // `IncludeCredentials` defaults to true: the account's auth token is put into the functions' context, and who can
    // deploy can read it. Variables hold secrets as a rule.
    "serverless:Services:create",
    "serverless:Services:update",
    "serverless:Services.Builds:*",
    "serverless:Services.Builds.Status:*",
    "serverless:Services.Environments.Deployments:*",
    "serverless:Services.Environments.Variables:*",
    // Tokens of embedded sessions.
    "numbers:SenderIdRegistrations:*",
    "numbers:SenderIdRegistrations.EmbeddedSessions:*",
    "trusthub:A2PBrandRegistrations:*",
    "trusthub:A2PBrandRegistrations.EmbeddedSessions:*",
    "trusthub:A2PCampaignRegistrations:*",
    "trusthub:A2PCampaignRegistrations.EmbeddedSessions:*",
    "trusthub:ComplianceInquiries.Customers.Initialize:*",
    "trusthub:ComplianceInquiries.Registration.RegulatoryCompliance.GB.Initialize:*",
    "trusthub:ComplianceInquiries.Tollfree.Initialize:*",
    // Signing secrets of webhooks (twilio-python 9.13).
    "webhooks:Webhooks.SharedKeys:*",
    "webhooks:Webhooks.AuthProfiles:*",
];

/// Operations whose body can name another account (OpenAPI 2.6.7, every request body with an account SID in it; the
/// bulk order takes orders of any shape). Those of closed hosts are listed for master callers that are pinned.
pub(super) const BODY_SELECTORS: [&str; 15] = [
    "accounts:Credentials.AWS:create",
    "accounts:Credentials.PublicKeys:create",
    "api:IncomingPhoneNumbers:update",
    "iam:Keys:create",
    "insights:Voice.Settings:update",
    "messaging:Tollfree.Verifications:create",
    "messaging:Tollfree.Verifications:update",
    "numbers:HostedNumber.Orders:create",
    "numbers:HostedNumber.Orders.Bulk:create",
    "numbers:HostedNumbers.HostedNumberOrders:create",
    "numbers:Porting.PortIn:create",
    "numbers:RegulatoryCompliance.Bundles.Clones:create",
    "preview:HostedNumbers.HostedNumberOrders:create",
    "supersim:Sims:update",
    "wireless:Sims:update",
];

/// Every pattern of the two lists.
#[cfg(test)]
pub(super) fn patterns() -> impl Iterator<Item = &'static str> {
    CORE.into_iter().chain(CLOSED)
}

impl Product {
    /// Whether everything on its hosts is a management resource.
    pub fn is_core(self) -> bool {
        CORE_PRODUCTS.contains(&self.name())
    }
}

/// The class of an operation of the table, by its name.
pub(super) fn class(product: Product, name: &str) -> Class {
    if product.is_core() || CORE.iter().any(|pattern| fits(pattern, name)) {
        Class::Core
    } else if CLOSED.iter().any(|pattern| fits(pattern, name)) {
        Class::Closed
    } else {
        Class::Open
    }
}

/// Whether an operation's name fits a pattern: equal, or up to the pattern's trailing `*`.
pub fn fits(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

/// Whether a path that is in no table must be taken for a management resource. `stems` are its segments' stems.
pub(super) fn unknown_is_core(product: Product, stems: &[String]) -> bool {
    if product.is_core() {
        return true;
    }
    let under_account = product == Product::API && stems.get(1).is_some_and(|stem| stem == "accounts");
    // `Accounts` itself leads every path of the 2010 API.
    stems.iter().skip(if under_account { 2 } else { 0 }).any(|stem| names_a_credential(stem))
}

/// Whether a stem reads like the name of an account, key or credential resource.
fn names_a_credential(stem: &str) -> bool {
    const WORDS: [&str; 20] = [
        "account",
        "accounts",
        "authorizedconnectapp",
        "authorizedconnectapps",
        "authprofile",
        "authprofiles",
        "authorize",
        "connectapp",
        "connectapps",
        "initialize",
        "key",
        "roleassignments",
        "scim",
        "secret",
        "subaccount",
        "subaccounts",
        "token",
        "userroles",
        "aws",
        "oauth",
    ];
    const PARTS: [&str; 9] = [
        "accesstoken",
        "apikey",
        "authtoken",
        "credential",
        "oauthapp",
        "password",
        "secret",
        "signingkey",
        "sharedkey",
    ];
    const ENDS: [&str; 2] = ["keys", "tokens"];
    WORDS.contains(&stem)
        || PARTS.iter().any(|part| stem.contains(part))
        || ENDS.iter().any(|end| stem.ends_with(end)) && stem != "passkeys"
}

/// What a careless reader could take a decoded segment for: what stands before it and behind it is dropped (suffixes,
/// parameters, blanks), case and separators too. `%20Keys.json`, `KEYS;v=1` and `Keys~` all have the stem `keys`.
pub(super) fn stem(decoded: &str) -> String {
    decoded
        .trim_start_matches(|c: char| !c.is_ascii_alphanumeric())
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

/// Whether nothing stands before a decoded segment's first dot that a careless reader could take for a name.
pub(super) fn is_suffix(decoded: &str) -> bool {
    decoded.split('.').next().is_some_and(|name| name.len() < decoded.len() && stem(name).is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_has_one_stem() {
        for text in [
            "Keys",
            "keys.json",
            "KEYS.JSON",
            "Keys;v=1",
            "Keys ",
            "Keys~",
            " Keys.json",
            "..Keys",
            "Keys?x",
            "keys_",
            "-keys",
        ] {
            assert_eq!(stem(text), "keys", "{text}");
        }
        assert_eq!(stem("signing-keys.xml"), "signingkeys");
        assert_eq!(stem("~"), "");
    }

    #[test]
    fn a_suffix_has_no_name_before_it() {
        for (text, suffix) in [(".json", true), (" .json", true), ("~.", true), ("Keys.json", false), ("~", false)] {
            assert_eq!(is_suffix(text), suffix, "{text}");
        }
    }

    #[test]
    fn classes_are_ordered_from_open_to_core() {
        assert!(Class::Open < Class::Closed && Class::Closed < Class::Core);
    }

    #[test]
    fn patterns_end_in_a_star_or_are_whole() {
        assert!(fits("api:Keys:*", "api:Keys:list"));
        assert!(!fits("api:Keys:*", "api:Keys.More:list"));
        assert!(fits("api:*", "api:Keys.More:list"));
        assert!(!fits("api:Keys", "api:Keys:list"));
        assert!(fits("*", "x"));
    }
}
