use super::*;
use std::collections::BTreeMap;
use std::fmt::Write;

/// A plausible path for a template: SIDs where parameters stand.
pub(crate) fn example(template: &str, account: &str) -> String {
    let mut path = String::new();
    for segment in template.split('/').skip(1) {
        path.push('/');
        let (name, suffix) = segment.split_once('}').unwrap_or((segment, ""));
        match name.strip_prefix('{') {
            None => path.push_str(segment),
            Some(_) if path.ends_with("/Accounts/") => path.extend([account, suffix]),
            Some(name) => path.extend([value(name), suffix]),
        }
    }
    path
}

fn value(name: &str) -> &'static str {
    match name {
        "PhoneNumber" | "Number" | "DestinationNumber" => "+14155550100",
        "CountryCode" | "IsoCountry" | "IsoCode" | "Country" => "US",
        "Identity" | "Key" => "alice%7Cbob",
        "Field" => "caller_name",
        "Day" | "Date" => "2026-01-31",
        "ResourceType" => "Messages",
        _ => "SM0123456789abcdef0123456789abcdef",
    }
}

fn find(host: &str, method: &str, path: &str) -> Match {
    let path = CanonicalPath::parse(path.as_bytes(), None).expect("a canonical path");
    let address = Address::origin_form(Some(host), &path).expect("a known host");
    lookup(&address, Method::parse(method.as_bytes()).expect("a method"), &path)
}

fn name(host: &str, method: &str, path: &str) -> &'static str {
    find(&format!("{host}.twilio.com"), method, path).operation.name()
}

const AC: &str = "AC0123456789abcdef0123456789abcdef";

#[test]
fn every_operation_is_found_by_its_own_path() {
    assert_eq!(include_str!("../operations.tsv").lines().count(), 1447);
    for operation in all() {
        let method = operation.method().expect("a listed operation has a method");
        let path = example(operation.template(), AC);
        let found = find(operation.product().host(), method.as_str(), &path);
        assert!(std::ptr::eq(found.operation, operation), "{path}: {found:?} is not {operation:?}");
        assert_eq!((found.class, found.body_selector), (operation.class(), operation.body_selector()), "{path}");
    }
}

#[test]
fn names_are_product_literals_and_verb() {
    let below = |rest: &str| format!("/2010-04-01/Accounts/{AC}{rest}");
    assert_eq!(name("api", "POST", &below("/Messages.json")), "api:Messages:create");
    assert_eq!(name("api", "GET", &below("/Messages")), "api:Messages:list");
    assert_eq!(name("api", "HEAD", &below("/Messages.xml")), "api:Messages:list");
    assert_eq!(name("api", "GET", &below("/Messages/SM1/Media.csv")), "api:Messages.Media:list");
    assert_eq!(name("api", "GET", &below("/Recordings/RE1.mp3")), "api:Recordings:fetch");
    assert_eq!(name("api", "GET", &below(".json")), "api:Accounts:fetch");
    assert_eq!(name("api", "GET", "/2010-04-01/Accounts"), "api:Accounts:list");
    assert_eq!(name("iam", "DELETE", "/v1/Keys/SK1"), "iam:Keys:delete");
    assert_eq!(name("messaging", "GET", "/v1/Services/Usecases"), "messaging:Services.Usecases:fetch");
    assert_eq!(name("messaging", "GET", "/v1/Services/MG1"), "messaging:Services:fetch");
    assert_eq!(name("messaging", "POST", "/v3/Indicators/Typing.json"), "messaging:Indicators.Typing:create");
    assert_eq!(name("preview", "POST", "/wireless/Sims/HS1"), "preview:wireless.Sims:update");
    assert_eq!(name("webhooks", "POST", "/v1/Webhooks/SharedKeys"), "webhooks:Webhooks.SharedKeys:create");
}

#[test]
fn other_methods_and_unknown_paths_have_names_too() {
    let below = |rest: &str| format!("/2010-04-01/Accounts/{AC}{rest}");
    assert_eq!(name("api", "PUT", &below("/Messages.json")), "api:Messages:unknown");
    assert_eq!(name("api", "OPTIONS", &below("/Messages.json")), "api:Messages:unknown");
    assert_eq!(name("api", "GET", &below("/messages.json")), "api:unknown");
    assert_eq!(name("api", "GET", &below("/SIP.json")), "api:unknown");
    assert_eq!(name("api", "GET", "/2010-04-01"), "api:unknown");
    assert_eq!(name("memory", "GET", "/"), "memory:unknown");
    assert_eq!(find("api.twilio.com", "PUT", &below("/Keys.json")).class, Class::Core);
    assert_eq!(find("serverless.twilio.com", "PUT", "/v1/Services").class, Class::Closed);
    assert!(find("supersim.twilio.com", "PUT", "/v1/Sims/HS1").body_selector);
    assert!(!find("supersim.twilio.com", "GET", "/v1/Sims/HS1").body_selector);
}

#[test]
fn no_closed_name_stands_beside_a_parameter() {
    // Where a closed literal and a parameter share a place, a reader that folds case could take one for the other.
    for operation in all().filter(|operation| operation.class() != Class::Open) {
        let segments: Vec<&str> = operation.template().split('/').skip(1).collect();
        for (at, literal) in segments.iter().enumerate().filter(|(_, segment)| !segment.starts_with('{')) {
            let beside = |other: &&Operation| {
                let others: Vec<&str> = other.template().split('/').skip(1).collect();
                other.product() == operation.product()
                    && others.len() == segments.len()
                    && others[..at] == segments[..at]
                    && others[at].starts_with('{')
                    && other.class() < operation.class()
            };
            let other = all().find(beside);
            assert!(other.is_none(), "{operation:?}: {literal} stands beside {other:?}");
        }
    }
}

#[test]
fn every_pattern_closes_something() {
    let names: Vec<&str> = all().map(Operation::name).collect();
    for pattern in management::patterns() {
        assert!(names.iter().any(|name| management::fits(pattern, name)), "{pattern} fits no operation");
    }
    for selector in management::BODY_SELECTORS {
        assert!(names.contains(&selector), "{selector} is no operation");
    }
}

#[test]
fn the_closed_operations_are_the_reviewed_ones() {
    let mut counts = BTreeMap::<String, usize>::new();
    let mut list = String::new();
    for operation in all() {
        *counts.entry(format!("{:?}", operation.class())).or_default() += 1;
        let method = operation.method().expect("a listed operation has a method").as_str();
        if operation.class() != Class::Open {
            let (name, template) = (operation.name(), operation.template());
            writeln!(list, "{:?} {name} {method} {template}", operation.class()).expect("a String takes all");
        }
    }
    let mut golden = String::new();
    for (class, count) in counts {
        writeln!(golden, "{class} {count}").expect("a String takes all");
    }
    golden.push_str(&list);
    let written = include_str!("../operations_closed.golden");
    assert!(golden == written, "operations_closed.golden should read:\n{golden}");
}
