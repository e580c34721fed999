use super::*;

mod spellings;

const OURS: &str = "AC0123456789abcdef0123456789abcdef";
const THEIRS: &str = "ACffffffffffffffffffffffffffffffff";

/// A team for one test.
struct Team {
    name: TeamId,
    kind: Kind,
    accounts: Vec<AccountSid>,
    acting: AccountSid,
    policy: TeamPolicy,
}

impl Team {
    fn standard() -> Self {
        let accounts = vec![AccountSid::parse(OURS).expect("a SID")];
        Self {
            name: TeamId::parse("billing").expect("a name"),
            kind: Kind::Standard,
            acting: accounts[0],
            accounts,
            policy: TeamPolicy::default(),
        }
    }

    fn master() -> Self {
        Self { kind: Kind::Master, accounts: Vec::new(), ..Self::standard() }
    }

    fn with(open: &[&str], allow: &[&str], deny: &[&str]) -> Self {
        let list = |patterns: &[&str]| patterns.iter().map(ToString::to_string).collect();
        Self { policy: TeamPolicy { open: list(open), allow: list(allow), deny: list(deny) }, ..Self::standard() }
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            team: &self.name,
            kind: self.kind,
            accounts: &self.accounts,
            acting: &self.acting,
            policy: &self.policy,
        }
    }

    /// Asks at the broker's own address, as SDKs with a base URL do.
    fn asks(&self, method: &str, url: &str) -> Result<Grant, Denial> {
        self.asks_at("broker:8080", method, url)
    }

    fn asks_at(&self, host: &str, method: &str, url: &str) -> Result<Grant, Denial> {
        let (path, query) = url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query.as_bytes())));
        let (method, path) = (method.as_bytes(), path.as_bytes());
        let target = Target { method, authority: Some(host), absolute: false, path, query };
        judge(&self.subject(), &target).map(|judged| judged.grant)
    }

    fn reason(&self, method: &str, url: &str) -> Option<Reason> {
        self.asks(method, url).err().map(|denial| denial.reason)
    }
}

/// A plausible URL of an operation at the broker's own address.
fn url(operation: &Operation, account: &str, name: &str) -> String {
    let api = operation.product() == crate::twilio::Product::API;
    let mut url = if api { String::new() } else { format!("/{}", operation.product().host()) };
    for segment in operation.template().split('/').skip(1) {
        let at_account = url.ends_with("/Accounts");
        url.push('/');
        match segment.strip_prefix('{').and_then(|segment| segment.split_once('}')) {
            None => url.push_str(segment),
            Some((_, suffix)) => url.extend([if api && at_account { account } else { name }, suffix]),
        }
    }
    url
}

const SID: &str = "SM0123456789abcdef0123456789abcdef";

#[test]
fn exactly_the_management_operations_are_refused() {
    let (standard, master) = (Team::standard(), Team::master());
    let (mut granted, mut refused) = (0, 0);
    for operation in operations::all() {
        let method = operation.method().expect("a listed operation has a method").as_str();
        let url = url(operation, OURS, SID);
        let grant = master.asks(method, &url).expect("a master team may do everything");
        assert!(std::ptr::eq(grant.operation(), operation) && !grant.needs_body_inspection(), "{url}");
        match (operation.class(), standard.asks(method, &url)) {
            (Class::Open, Ok(grant)) => {
                granted += 1;
                assert!(std::ptr::eq(grant.operation(), operation), "{url}");
                assert_eq!(grant.needs_body_inspection(), operation.body_selector(), "{url}");
            }
            (Class::Closed | Class::Core, Err(denial)) => {
                refused += 1;
                assert_eq!(denial.reason, Reason::ManagementResource, "{url}");
                assert!(denial.rule.starts_with("management: "), "{url}: {}", denial.rule);
            }
            (class, answer) => panic!("{method} {url} is {class:?} and got {answer:?}"),
        }
    }
    assert_eq!((granted, refused), (1460, 164));
}

#[test]
fn names_that_read_like_credentials_are_only_names() {
    // Friendly names stand in paths, with escapes and beyond ASCII.
    let team = Team::standard();
    for name in ["keys", "Tokens.json", "accounts", "a%7Cb%26c%20d%2Be", "%E3%81%82", "1.2.3", "%25", "(x)", "a%3Fb"] {
        for operation in operations::all().filter(|operation| operation.class() == Class::Open) {
            let method = operation.method().expect("a listed operation has a method").as_str();
            let url = url(operation, OURS, name);
            // Some names are literals of the table themselves: another operation, but not a refused one.
            assert!(team.asks(method, &url).is_ok(), "{method} {url}");
        }
    }
}

#[test]
fn non_ascii_is_malformed_where_no_name_stands() {
    let team = Team::standard();
    for url in [
        format!("/2010-04-01/Accounts/{OURS}/%E2%84%AAeys.json"),
        format!("/2010-04-01/Accounts/{OURS}/%E3%81%82/x.json"),
        "/conversations.twilio.com/v1/%E3%81%82".to_owned(),
        "/%E3%81%82".to_owned(),
        "/v1/%E3%81%82".to_owned(),
    ] {
        assert_eq!(team.reason("GET", &url), Some(Reason::MalformedRequest), "{url}");
    }
    assert_eq!(team.reason("GET", "/conversations.twilio.com/v1/Conversations/%E3%81%82"), None);
}

#[test]
fn a_policy_opens_closed_operations_and_never_a_core_one() {
    let team = Team::with(&["conversations:Credentials:list", "verify:*", "api:*", "iam:*"], &[], &[]);
    assert_eq!(team.reason("GET", "/conversations.twilio.com/v1/Credentials"), None);
    let opened = team.asks("POST", "/verify.twilio.com/v2/Services/VA1/AccessTokens").expect("opened");
    assert_eq!(opened.rule(), "opened by the team's policy");
    for (method, url) in [
        ("POST", "/conversations.twilio.com/v1/Credentials"),
        ("OPTIONS", "/verify.twilio.com/v2/Services/VA1/AccessTokens"),
        ("GET", "/verify.twilio.com/v9/AccessTokens"),
        ("GET", "/iam.twilio.com/v1/Keys"),
        ("GET", "/2010-04-01/Accounts.json"),
    ] {
        assert_eq!(team.reason(method, url), Some(Reason::ManagementResource), "{method} {url}");
    }
    let keys = team.asks("GET", &format!("/2010-04-01/Accounts/{OURS}/Keys.json")).expect_err("core");
    assert_eq!((keys.reason, &*keys.rule), (Reason::ManagementResource, "management: api:Keys:*"));
}

#[test]
fn a_policy_denies_and_allows_by_name() {
    let messages = format!("/2010-04-01/Accounts/{OURS}/Messages.json");
    let only = Team::with(&[], &["api:Messages:*"], &["api:Messages:list"]);
    assert_eq!(only.reason("POST", &messages), None);
    let denied = only.asks("GET", &messages).expect_err("denied");
    assert_eq!((denied.reason, &*denied.rule), (Reason::PolicyDenied, "policy: deny api:Messages:list"));
    let other = only.asks("GET", "/messaging.twilio.com/v1/Services").expect_err("not allowed");
    assert_eq!((other.reason, &*other.rule), (Reason::PolicyDenied, "policy: not in allow"));
    let master = Team { policy: only.policy.clone(), ..Team::master() };
    assert_eq!(master.reason("GET", &messages), Some(Reason::PolicyDenied));
}

#[test]
fn teams_are_pinned_to_their_accounts() {
    let messages = |account: &str| format!("/2010-04-01/Accounts/{account}/Messages.json");
    let team = Team::standard();
    let grant = team.asks("POST", &messages(OURS)).expect("its own");
    assert_eq!(grant.account().map(|account| account.to_string()).as_deref(), Some(OURS));
    let denied = team.asks("POST", &messages(THEIRS)).expect_err("another's");
    assert_eq!((denied.reason, &*denied.rule), (Reason::AccountNotAllowed, "account: the account in the path"));
    assert_eq!(denied.account.map(|account| account.to_string()).as_deref(), Some(THEIRS));
    for query in
        [format!("AccountSid={THEIRS}"), "IncludeSubaccounts=true".to_owned(), format!("a=b&%61ccount_sid={THEIRS}")]
    {
        let url = format!("{}?{query}", messages(OURS));
        assert_eq!(team.reason("GET", &url), Some(Reason::AccountNotAllowed), "{url}");
        let url = format!("/numbers.twilio.com/v2/ShortCodes/Applications?{query}");
        assert_eq!(team.reason("GET", &url), Some(Reason::AccountNotAllowed), "{url}");
        assert_eq!(Team::master().reason("GET", &url), None, "{url}");
    }
    assert_eq!(team.reason("GET", &format!("{}?AccountSid={OURS}", messages(OURS))), None);
    let nowhere = Team { accounts: Vec::new(), ..Team::standard() };
    assert_eq!(nowhere.reason("GET", &messages(OURS)), Some(Reason::AccountNotAllowed));
    let pinned = Team { kind: Kind::Master, ..Team::standard() };
    assert_eq!(pinned.reason("GET", &messages(THEIRS)), Some(Reason::AccountNotAllowed));
    assert_eq!(pinned.reason("GET", &format!("/2010-04-01/Accounts/{THEIRS}.json")), Some(Reason::AccountNotAllowed));
    assert_eq!(pinned.reason("GET", &format!("/2010-04-01/Accounts/{OURS}/Keys.json")), None);
}

#[test]
fn what_names_no_account_is_about_the_keys_own() {
    let team = Team::standard();
    let away = Team { acting: AccountSid::parse(THEIRS).expect("a SID"), ..Team::standard() };
    let (services, sim) = ("/messaging.twilio.com/v1/Services", "/supersim.twilio.com/v1/Sims/HS1");
    assert_eq!(team.reason("GET", services), None);
    let denied = away.asks("GET", services).expect_err("the key's own account is another's");
    assert_eq!((denied.reason, &*denied.rule), (Reason::AccountNotAllowed, ACTING));
    assert_eq!(away.reason("GET", &format!("/2010-04-01/Accounts/{OURS}/Messages.json")), None, "one is named");
    // What the upstream passes over, or takes for something else, names nothing.
    let (mentioned, document) =
        (format!("AccountSid={OURS}"), format!("/sync.twilio.com/v1/Services/IS1/Documents/{OURS}"));
    for url in [format!("{services}?{mentioned}"), format!("{services}?z{mentioned}"), document] {
        assert_eq!(away.reason("GET", &url), Some(Reason::AccountNotAllowed), "{url}");
    }
    assert_eq!(away.reason("POST", sim), Some(Reason::AccountNotAllowed), "its body could move the SIM, not more");
    assert!(team.asks("POST", sim).expect("its own").bodiless().is_ok());
    // A master that was given accounts is pinned as well.
    let master = Team { kind: Kind::Master, ..Team { acting: away.acting, ..Team::standard() } };
    let (accounts_list, keys) = ("/2010-04-01/Accounts.json", "/iam.twilio.com/v1/Keys");
    for url in
        [accounts_list, keys, services, &format!("{accounts_list}?{mentioned}"), &format!("{keys}/SK1?{mentioned}")]
    {
        assert_eq!(master.reason("GET", url), Some(Reason::AccountNotAllowed), "{url}");
    }
    assert_eq!(master.reason("GET", &format!("{keys}?{mentioned}")), None, "what iam requires");
    // There the body may name it.
    let grant = master.asks("POST", keys).expect("granted, but for its body");
    let body = |text: &str| accounts::inspect_body(Some("application/x-www-form-urlencoded"), None, text.as_bytes());
    for (text, named) in [("", false), ("FriendlyName=x", false), (&*mentioned, true)] {
        assert_eq!(grant.inspected(&master.subject(), body(text)).is_ok(), named, "{text}");
    }
    assert!(grant.unnamed() && grant.bodiless().is_err());
    assert_eq!(Team::master().reason("GET", services), None);
}

#[test]
fn bodies_are_judged_where_they_can_name_an_account() {
    let team = Team::standard();
    let number = format!("/2010-04-01/Accounts/{OURS}/IncomingPhoneNumbers/PN1.json");
    let grant = team.asks("POST", &number).expect("granted, but for its body");
    assert!(grant.needs_body_inspection());
    let body = |text: &str| accounts::inspect_body(Some("application/x-www-form-urlencoded"), None, text.as_bytes());
    let ours = grant.inspected(&team.subject(), body(&format!("AccountSid={OURS}"))).expect("its own");
    assert!(!ours.needs_body_inspection());
    let theirs = grant.inspected(&team.subject(), body(&format!("AccountSid={THEIRS}"))).expect_err("another's");
    assert_eq!(theirs.reason, Reason::AccountNotAllowed);
    let unread = grant.inspected(&team.subject(), Err(Unreadable::Encoding)).expect_err("unreadable");
    assert_eq!(unread.reason, Reason::MalformedRequest);
    // A path that Twilio might take for the same one counts as the same one.
    for url in [
        "/supersim.twilio.com/v1/sims/HS1",
        "/supersim.twilio.com/V1/Sims/HS1.json",
        "/wireless.twilio.com/v2/Sims/HS1",
    ] {
        assert!(team.asks("POST", url).expect("unknown, and open").needs_body_inspection(), "{url}");
    }
    assert!(!team.asks("GET", &number).expect("no body").needs_body_inspection());
    assert!(!Team::master().asks("POST", &number).expect("not pinned").needs_body_inspection());
}

#[test]
fn refusals_come_in_the_contracts_order() {
    let team = Team::with(&[], &["none"], &[]);
    let keys = |account: &str| format!("/2010-04-01/Accounts/{account}/Keys.json");
    for (host, method, url, reason) in [
        ("evil.twilio.com", "TRACE", keys(THEIRS), Reason::MalformedRequest),
        ("evil.twilio.com", "GET", keys(THEIRS) + "/", Reason::MalformedRequest),
        ("evil.twilio.com", "GET", keys(THEIRS), Reason::HostNotAllowed),
        ("broker", "GET", keys(THEIRS), Reason::ManagementResource),
        ("broker", "GET", format!("/2010-04-01/Accounts/{THEIRS}/Calls.json"), Reason::AccountNotAllowed),
        ("broker", "GET", format!("/2010-04-01/Accounts/{OURS}/Calls.json"), Reason::PolicyDenied),
        ("broker", "get", format!("/2010-04-01/Accounts/{OURS}/Calls.json"), Reason::MalformedRequest),
    ] {
        let denial = team.asks_at(host, method, &url).expect_err("refused");
        assert_eq!(denial.reason, reason, "{host} {method} {url}: {}", denial.rule);
    }
    let target = Target {
        method: b"GET",
        authority: Some("broker"),
        absolute: true,
        path: b"/2010-04-01/Accounts",
        query: None,
    };
    let denial = judge(&team.subject(), &target).expect_err("an absolute form of somebody else's");
    assert_eq!(denial.reason, Reason::HostNotAllowed);
}
