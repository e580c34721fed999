use super::*;

const OURS: &str = "AC0123456789abcdef0123456789abcdef";
const THEIRS: &str = "ACffffffffffffffffffffffffffffffff";

fn sid(text: &str) -> AccountSid {
    AccountSid::parse(text).expect("a SID")
}

fn path_reach(host: &str, text: &str) -> Option<Reach> {
    let path = CanonicalPath::parse(text.as_bytes(), None).expect("a canonical path");
    let address = Address::origin_form(Some(host), &path).expect("a known host");
    path_leaves(&address, &path, of_path(&address, &path), |account| *account == sid(OURS))
}

#[test]
fn the_account_of_the_path_is_the_2010_apis() {
    let of = |host: &str, text: &str| {
        let path = CanonicalPath::parse(text.as_bytes(), None).expect("a canonical path");
        let address = Address::origin_form(Some(host), &path).expect("a known host");
        of_path(&address, &path)
    };
    assert_eq!(of("broker", &format!("/2010-04-01/Accounts/{OURS}/Messages.json")), Some(sid(OURS)));
    assert_eq!(of("broker", &format!("/api.twilio.com/2010-04-01/Accounts/{OURS}.json")), Some(sid(OURS)));
    assert_eq!(of("broker", "/2010-04-01/Accounts/AC1/Messages.json"), None);
    assert_eq!(of("messaging.twilio.com", &format!("/v1/Services/{OURS}")), None);
}

#[test]
fn paths_leave_by_any_other_account() {
    let below = |account: &str| path_reach("broker", &format!("/2010-04-01/Accounts/{account}/Messages.json"));
    assert_eq!(below(OURS), None);
    assert_eq!(below(THEIRS), Some(Reach::Account(sid(THEIRS))));
    for odd in [
        "AC1",
        "me",
        &format!("{OURS}.json"),
        &format!("{OURS}%20"),
        &format!("%41{}", &OURS[1..]),
        &OURS.to_lowercase(),
    ] {
        assert_eq!(below(odd), Some(Reach::Others), "{odd}");
    }
    let deep = format!("/2010-04-01/Accounts/{OURS}/Messages/{THEIRS}.json");
    assert_eq!(path_reach("broker", &deep), Some(Reach::Account(sid(THEIRS))));
    let product = |text: &str| path_reach("messaging.twilio.com", text);
    assert_eq!(product(&format!("/v1/Services/{OURS}")), None);
    assert_eq!(product(&format!("/v1/Services/{THEIRS}.json")), Some(Reach::Account(sid(THEIRS))));
    assert_eq!(product(&format!("/v1/Services/%20{THEIRS}")), Some(Reach::Account(sid(THEIRS))));
    assert_eq!(product(&format!("/v1/Services/{}", THEIRS.to_lowercase())), Some(Reach::Others));
    assert_eq!(product("/v1/Services/MGffffffffffffffffffffffffffffffff"), None);
}

#[test]
fn queries_leave_by_selectors_in_any_spelling() {
    let leaves = |query: &str| query_leaves(query, |account| *account == sid(OURS)).map(|(_, reach)| reach);
    let theirs = Some(Reach::Account(sid(THEIRS)));
    for name in [
        "AccountSid",
        "accountsid",
        "account_sid",
        "accountSid",
        "ACCOUNT-SID",
        "TargetAccountSid",
        "Subaccount",
        "SubaccountSid",
        "SubAccountSid",
        "%41ccountSid",
        "Account%53id",
        "AccountSid[]",
        "AccountSid[0]",
        "AccountSid[a]",
        "AccountSid.value",
        "filter[AccountSid][eq]",
        "AccountSid%00",
        "+AccountSid",
        "AccountSid%5B%5D",
        "Account%2553id",
        "Account%C5%BFid",
        "filter.AccountSid",
    ] {
        assert_eq!(leaves(&format!("PageSize=2&{name}={THEIRS}")), theirs, "{name}");
        assert_eq!(leaves(&format!("{name}={OURS}&{name}={THEIRS}")), theirs, "{name} repeated");
        assert_eq!(leaves(&format!("{name}={OURS}")), None, "{name} ours");
        assert_eq!(leaves(&format!("{name}=x")), Some(Reach::Others), "{name} odd");
        assert_eq!(leaves(&format!("{name}=")), None, "{name} empty");
    }
    for query in
        ["IncludeSubaccounts=true", "IncludeSubAccounts=True", "includesubaccounts=1", "include_subaccounts=yes"]
    {
        assert_eq!(leaves(query), Some(Reach::Others), "{query}");
    }
    let long = format!("{}AccountSid={THEIRS}", "x".repeat(500));
    assert_eq!(leaves(&long), theirs);
    assert_eq!(leaves(&format!("a=b;AccountSid={THEIRS}")), theirs);
    assert_eq!(leaves("Page%25252525252541=x"), Some(Reach::Others));
}

#[test]
fn other_names_select_nothing() {
    let leaves = |query: &str| query_leaves(query, |_| false).map(|(_, reach)| reach);
    for query in [
        "",
        "PageSize=50&Page=1&PageToken=PASM1",
        "DateSent%3E=2020-01-02T03%3A04%3A05Z",
        "IncludeSubaccounts=false",
        "IncludeSubAccounts=0",
        "IncludeSubaccounts",
        "From=AccountSid",
        "AccountType=full",
        "StartTime>=2020-01-01",
        "FriendlyName=Subaccount",
        "IncludeUsersWithAccount=true",
    ] {
        assert_eq!(leaves(query), None, "{query}");
    }
}
