//! Every spelling of a management resource, by every way to name its host.

use super::fixture::{Fixture, OURS, THEIRS, agree};
use crate::support::talk::Talk;
use std::collections::BTreeSet;

/// Core management resources: host, path before the twisted segment, the segment, the rest.
pub(super) const CORE: &[(&str, &str, &str, &str)] = &[
    ("api", "/2010-04-01/", "Accounts", ""),
    ("api", "/2010-04-01/Accounts/", "AC00000000000000000000000000000001", ""),
    ("api", "/2010-04-01/Accounts/AC00000000000000000000000000000001/", "Keys", ""),
    ("api", "/2010-04-01/Accounts/AC00000000000000000000000000000001/", "Keys", "/SK00000000000000000000000000000009"),
    ("api", "/2010-04-01/Accounts/AC00000000000000000000000000000001/", "SigningKeys", ""),
    ("api", "/2010-04-01/Accounts/AC00000000000000000000000000000001/", "ConnectApps", "/CN0"),
    ("api", "/2010-04-01/Accounts/AC00000000000000000000000000000001/", "AuthorizedConnectApps", ""),
    ("api", "/2010-04-01/Accounts/AC00000000000000000000000000000001/", "Tokens", ""),
    ("accounts", "/v1/AuthTokens/", "Promote", ""),
    ("accounts", "/v1/Credentials/", "AWS", ""),
    ("iam", "/v1/", "Keys", ""),
    ("iam", "/v1/", "token", ""),
    ("oauth", "/v2/", "token", ""),
    ("preview-iam", "/v1/", "authorize", ""),
    ("scim", "/v2/", "Users", ""),
];

/// Twists of a segment `{}`; each is refused, whichever reason it gets.
pub(super) const TWISTS: &[&str] = &[
    "{}",
    "{}.json",
    "{}.xml",
    "{}.csv",
    "{}.html",
    "{}.JSON",
    "{}.",
    "{}.json.json",
    "{}%2Ejson",
    "{}%2ejson",
    "{}/",
    "{}//",
    "/{}",
    "./{}",
    "x/../{}",
    "Messages/../{}",
    "Messages/..%2F{}",
    "%2e/{}",
    "%2E%2E/{}",
    ".%2e/{}",
    "..;/{}",
    "Messages%2F..%2F{}",
    "Messages%5C..%5C{}",
    "Messages\\..\\{}",
    "{};v=1",
    ";v=1/{}",
    "{}%3Bv=1",
    "{}%3Fa=b",
    "{}%23x",
    "{}%00",
    "{}%00.json",
    "{}%0a",
    "{}%0d%0a",
    "{}%20",
    "%20{}",
    "{}%09",
    "{}+",
    "+{}",
    "{}~",
    "~{}",
    "{},",
    "{}:x",
    "{}@x",
    "{}=",
    "{}&x",
    "{}'",
    "{}*",
    "{}(x)",
    "{}!",
    "{}$",
    "{}_",
    "-{}",
    "{}%2F",
    "{}%2f",
    "%2F{}",
    "{}%5C",
    "{}%c0%af",
    "{}%c0%ae",
    "{}%E2%80%A8",
    "{}%ef%bb%bf",
    "%ef%bb%bf{}",
    "{}%252F",
    "{}?",
    "{}?x=/Messages.json",
    "{}.json?x=1",
    "{}#/../Messages.json",
    "{}%23/../Messages.json",
];

/// Ways to twist the letters.
pub(super) fn cased(segment: &str) -> BTreeSet<String> {
    let first = segment.as_bytes()[0];
    let swapped: String = segment
        .chars()
        .map(|c| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
        .collect();
    let mut all = BTreeSet::from([segment.to_owned(), swapped]);
    all.insert(segment.to_ascii_lowercase());
    all.insert(segment.to_ascii_uppercase());
    all.insert(format!("%{first:02X}{}", &segment[1..]));
    all.insert(format!("%{first:02x}{}", &segment[1..]));
    all.insert(format!("%25{first:02X}{}", &segment[1..]));
    all.insert(format!("%2525{first:02X}{}", &segment[1..]));
    all.insert(format!("%u00{first:02X}{}", &segment[1..]));
    all.insert(segment.bytes().map(|byte| format!("%{byte:02X}")).collect());
    // The Kelvin sign, a fullwidth letter, a dotless i.
    all.insert(segment.replace(['K', 'k'], "%E2%84%AA"));
    all.insert(format!("%EF%BC%{:02X}{}", 0xA1 + (first.to_ascii_uppercase() - b'A') % 26, &segment[1..]));
    all
}

/// Sends on one connection as long as it lasts.
struct Sender<'f> {
    fixture: &'f Fixture,
    talk: Talk,
}

impl Sender<'_> {
    /// Holds that the request is refused and that nothing of it goes upstream.
    #[track_caller]
    fn refused(&mut self, method: &str, target: &str, host: &str) {
        let text = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{}\r\n", self.fixture.proof());
        let before = self.fixture.wire.count();
        self.talk.send(&text);
        let answer = self.talk.answer_to(method).unwrap_or_else(|| panic!("no answer: {text}"));
        self.fixture.note(&answer);
        assert!(matches!(answer.status, 400 | 403), "{text}{answer:?}");
        assert!(answer.header("sidekey-error").is_some(), "{text}{answer:?}");
        assert_eq!(self.fixture.wire.count(), before, "{text}");
        if answer.header("connection") == Some("close") {
            self.talk = self.fixture.talk();
        }
    }
}

#[test]
fn no_spelling_reaches_a_management_resource() {
    let fixture = Fixture::start(agree);
    let mut sender = Sender { talk: fixture.talk(), fixture: &fixture };
    let mut count = 0;
    for (product, before, segment, rest) in CORE {
        let own = format!("{product}.twilio.com");
        let plain = TWISTS.iter().map(|twist| twist.replace("{}", segment));
        let twisted = cased(segment).into_iter().flat_map(|segment| [segment.clone(), segment + ".json"]);
        for (n, spelled) in plain.chain(twisted).enumerate() {
            let path = format!("{before}{spelled}{rest}");
            let method = ["GET", "POST", "DELETE", "PUT", "HEAD", "PATCH", "OPTIONS"][n % 7];
            if *product == "api" {
                sender.refused(method, &path, "broker");
            }
            sender.refused(method, &format!("/{own}{path}"), "broker");
            sender.refused(method, &path, &own);
            sender.refused(method, &format!("http://{own}{path}"), &own);
            count += 1;
        }
    }
    assert!(count > 1000, "{count} spellings");
    fixture.end();
}

#[test]
fn no_host_but_twilios_is_dialled() {
    let fixture = Fixture::start(agree);
    let mut sender = Sender { talk: fixture.talk(), fixture: &fixture };
    let path = format!("/2010-04-01/Accounts/{OURS}/Messages.json");
    for host in [
        "api.twilio.com.",
        "API.TWILIO.COM.",
        "api.twilio.com.evil",
        "evilapi.twilio.com",
        "twilio.com",
        "www.twilio.com",
        "api..twilio.com",
        ".twilio.com",
        "api.twilio.com:443:443",
        "api_twilio.com.twilio.com",
        "api.-x.us1.twilio.com",
        "api.evil.twilio.com",
        "us1.api.twilio.com",
        "api.a.b.c.us1.twilio.com",
        "api.us1.twilio.com.evil.com",
    ] {
        sender.refused("GET", &path, host);
        sender.refused("GET", &format!("/{host}{path}"), "broker");
        sender.refused("GET", &format!("http://{host}{path}"), host);
    }
    for host in ["[::1]", "0x7f.1", "127.1", "2130706433", "localhost", "169.254.169.254", "evil"] {
        sender.refused("GET", &format!("/{host}{path}"), "broker");
        sender.refused("GET", &format!("http://{host}{path}"), host);
    }
    for (target, host) in [
        (format!("/messaging.twilio.com{path}"), "api.twilio.com"),
        ("/api.twilio.com/2008-08-01/Accounts".to_owned(), "broker"),
        ("/2008-08-01/Accounts".to_owned(), "broker"),
        ("/2010-04-01/".to_owned(), "broker"),
        ("/2010%2D04-01/Accounts".to_owned(), "broker"),
        (format!("/2010-04-01%2fAccounts/{OURS}/Messages.json"), "broker"),
        (format!("/twilio../2010-04-01/Accounts/{OURS}/Keys.json"), "broker"),
        (format!("/.sidekey/..{path}"), "broker"),
        (format!("/healthz/..{path}"), "broker"),
        ("/healthz".to_owned(), "broker"),
        ("/metrics".to_owned(), "broker"),
        ("/v1/teams".to_owned(), "broker"),
        ("/.sidekey/".to_owned(), "broker"),
        (format!("http://api.twilio.com{path}"), "messaging.twilio.com"),
    ] {
        sender.refused("GET", &target, host);
    }
    fixture.end();
}

#[test]
fn no_account_but_the_teams_is_reached() {
    let fixture = Fixture::start(agree);
    let mut sender = Sender { talk: fixture.talk(), fixture: &fixture };
    let lower = OURS.to_ascii_lowercase();
    for account in
        [THEIRS, "ac00000000000000000000000000000002", "AC0", "~", "me", "%41C00000000000000000000000000000002"]
    {
        sender.refused("GET", &format!("/2010-04-01/Accounts/{account}/Messages.json"), "broker");
    }
    for odd in [
        &*lower,
        &format!("{OURS}.json"),
        &format!("{OURS}%20"),
        &format!("%41{}", &OURS[1..]),
        &format!("{OURS}{THEIRS}"),
    ] {
        sender.refused("GET", &format!("/2010-04-01/Accounts/{odd}/Messages.json"), "broker");
    }
    let path = format!("/2010-04-01/Accounts/{OURS}/Messages.json");
    for query in [
        "AccountSid=*",
        "accountsid=*",
        "ACCOUNT_SID=*",
        "Account%53id=*",
        "%41ccountSid=*",
        "AccountSid[]=*",
        "AccountSid%5B%5D=*",
        "account-sid=*",
        "TargetAccountSid=*",
        "Subaccount=*",
        "SubaccountSid=*",
        "a=b&AccountSid=*",
        "a=b;AccountSid=*",
        "AccountSid=^&AccountSid=*",
        "AccountSid=*&AccountSid=^",
        "Account%2553id=*",
        "IncludeSubaccounts=true",
        "includesubaccounts=TRUE",
        "IncludeSubaccounts=1",
        "IncludeSubAccounts=true",
        "Account+Sid=*",
        "AccountSid%00=*",
        "AccountSid=^%00*",
        "AccountSid=^,*",
        "_method=DELETE",
        "%5Fmethod=DELETE",
        "X-HTTP-Method-Override=DELETE",
    ] {
        let query = query.replace('*', THEIRS).replace('^', OURS);
        sender.refused("GET", &format!("{path}?{query}"), "broker");
        sender.refused("GET", &format!("/messaging.twilio.com/v1/Services?{query}"), "broker");
    }
    fixture.end();
}
