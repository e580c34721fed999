//! Every operation that Twilio publishes, through the real binary.

use super::fixture::{Fixture, OPERATIONS, OURS, agree};

/// Hosts on which everything is a management resource.
const HOSTS: [&str; 5] = ["accounts", "iam", "oauth", "preview-iam", "scim"];

/// Resources of the 2010 API that are management resources, by the beginning of what stands behind the account.
const CORE: [&str; 5] = ["/Keys", "/SigningKeys", "/ConnectApps", "/AuthorizedConnectApps", "/Tokens"];

/// Operations that mint, reveal or move a credential: host, a part of the path, methods (none: all of them).
const CLOSED: &[(&str, &str, &str)] = &[
    ("api", "/SIP/CredentialLists", ""),
    ("api", "CredentialListMappings", ""),
    ("trunking", "/CredentialLists", ""),
    ("chat", "/Credentials", ""),
    ("ip-messaging", "/Credentials", ""),
    ("conversations", "/Credentials", ""),
    ("notify", "/Credentials", ""),
    ("verify", "/AccessTokens", ""),
    ("flex-api", "/Insights/Session", ""),
    ("flex-api", "/Insights/UserRoles", ""),
    ("serverless", "/v1/Services ", "POST"),
    ("serverless", "/v1/Services/{Sid} ", "POST"),
    ("serverless", "/Variables", ""),
    ("serverless", "/Builds", ""),
    ("serverless", "/Deployments", ""),
    ("trusthub", "/ComplianceInquiries/", ""),
    ("trusthub", "/A2PBrandRegistrations", ""),
    ("trusthub", "/A2PCampaignRegistrations", ""),
    ("numbers", "/SenderIdRegistrations", ""),
];

/// Whether a standard caller must be refused, from the contract and the table of Twilio's credentials.
fn is_management(product: &str, method: &str, path: &str) -> bool {
    let below = path.strip_prefix("/2010-04-01/Accounts").map(|rest| rest.trim_end_matches(".json"));
    let own = below.is_some_and(|rest| match rest.split_once('}') {
        None => rest.is_empty(),
        Some((_, rest)) => rest.is_empty() || CORE.iter().any(|core| rest.starts_with(core)),
    });
    let ended = format!("{path} ");
    let closed = |(host, part, methods): &(&str, &str, &str)| {
        *host == product && ended.contains(part) && (methods.is_empty() || *methods == method)
    };
    HOSTS.contains(&product) || own || CLOSED.iter().any(closed)
}

/// The template with an account of ours and with names that need escapes.
fn filled(template: &str) -> String {
    let mut path = template.replace("{AccountSid}", OURS);
    if let Some(rest) = path.strip_prefix("/2010-04-01/Accounts/{Sid}") {
        path = format!("/2010-04-01/Accounts/{OURS}{rest}");
    }
    while let (Some(from), Some(to)) = (path.find('{'), path.find('}')) {
        path.replace_range(from..=to, "a%20b~%C3%A9%2B");
    }
    path
}

#[test]
fn exactly_the_management_ones_are_refused() {
    let fixture = Fixture::start(agree);
    let mut talk = fixture.talk();
    let (mut allowed, mut refused, mut wrong) = (0, 0, Vec::new());
    for (n, line) in OPERATIONS.lines().enumerate() {
        let mut columns = line.split('\t');
        let mut column = || columns.next().expect("four columns");
        let (host, method, template) = (column(), column(), column());
        let product = host.strip_suffix(".twilio.com").expect("a host of Twilio's");
        let own = format!("{}?Q=a%20b%2Fc&x=~{n}", filled(template));
        let prefix = if host == "api.twilio.com" { String::new() } else { format!("/{host}") };
        // Each operation in one of the three ways to name its host.
        let (target, named) = match n % 3 {
            0 => (format!("{prefix}{own}"), "broker"),
            1 => (own.clone(), host),
            _ => (format!("http://{host}{own}"), host),
        };
        talk.send(format!("{method} {target} HTTP/1.1\r\nHost: {named}\r\n{}\r\n", fixture.proof()));
        let answer = talk.answer_to(method).expect("an answer");
        fixture.note(&answer);
        let closed = is_management(product, method, template);
        let reached = fixture.wire.count() > allowed;
        let (want, reason) = if closed { (403, Some("management_resource")) } else { (200, None) };
        if (answer.status, answer.header("sidekey-error"), reached) != (want, reason, !closed) {
            wrong.push(format!("{method} {target}: {} {:?}", answer.status, answer.header("sidekey-error")));
        }
        if reached {
            let heard = fixture.wire.last();
            assert_eq!((heard.line(), heard.value("host")), (&*format!("{method} {own}"), host));
        }
        allowed += usize::from(reached);
        refused += usize::from(!reached);
    }
    assert_eq!(wrong, Vec::<String>::new(), "{} of {}", wrong.len(), allowed + refused);
    assert!(allowed > 1200 && refused > 90, "{allowed} allowed, {refused} refused");
    let (records, _) = fixture.end();
    let named = records.iter().filter(|record| record["phase"] == "outcome");
    assert!(named.clone().all(|record| record["operation"].is_string()), "an operation without name");
    assert!(named.count() >= allowed + refused);
}
