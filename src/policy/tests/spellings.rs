//! No spelling of a path gets a standard caller to a management resource.

use super::*;
use proptest::prelude::*;

/// Spellings of what stands behind the account that are read as keys, accounts and the like.
const MANAGEMENT: &str = "
    /Keys /Keys.json /Keys.xml /Keys.csv /Keys.html /keys.json /KEYS.JSON /%4Beys /K%65ys.json /Keys%20 /%20Keys.json
    /Keys~ /~Keys /Keys%3Bv=1 /Keys%3Fa=b /Keys%23x /Keys,x /Keys:x /Keys@x /Keys=x /Keys/SK1 /Keys/SK1/x /Keys.json/SK1
    /keys/SK1.json /Signing-Keys /signingkeys.json /ConnectApps/CN1 /authorizedconnectapps /tokens.json /Tokens
    .json .xml .JSON %2Ejson %20 ~ /.json /.anything /%2EJSON /%20.json /~.json /Accounts /Subaccounts.json /Messages/SM1/Keys /x/Keys /ApiKeys";

/// Spellings that can be read in two ways.
const MALFORMED: &str = "
    /Keys;v=1 /Keys/ //Keys /./Keys /Messages/../Keys.json /%2e%2e/Keys /Messages%2F..%2FKeys /Keys%00 /Keys%2F
    /Messages%5C..%5CKeys /%254Beys /Keys# /%E2%84%AAeys /Keys%E3%81%82";

#[test]
fn every_listed_spelling_is_refused() {
    let team = Team::standard();
    for (spellings, reason) in [(MANAGEMENT, Reason::ManagementResource), (MALFORMED, Reason::MalformedRequest)] {
        for spelling in spellings.split_whitespace() {
            let url = format!("/2010-04-01/Accounts/{OURS}{spelling}");
            assert_eq!(team.reason("GET", &url), Some(reason), "{url}");
            assert_eq!(team.reason("PUT", &url), Some(reason), "{url}");
        }
    }
    let bare = format!("/2010-04-01/Accounts/{OURS}");
    for url in [
        &bare,
        "/2010-04-01/accounts",
        "/2010-04-01/ACCOUNTS.JSON",
        "/2010-04-01/%41ccounts",
        "/2010-04-01/Accounts/~/keys/SK1",
        "/2010-04-01/accounts/x/keys",
    ] {
        assert_eq!(team.reason("GET", url), Some(Reason::ManagementResource), "{url}");
    }
}

/// One way to spell a byte or a segment.
#[derive(Clone, Debug)]
enum Twist {
    Case,
    Escape,
    Suffix(&'static str),
    Prefix(&'static str),
    Before(&'static str),
}

fn twists() -> impl Strategy<Value = Vec<(usize, usize, Twist)>> {
    let twist = prop_oneof![
        Just(Twist::Case),
        Just(Twist::Escape),
        prop_oneof![
            Just(".json"),
            Just(".xml"),
            Just(".csv"),
            Just(".JSON"),
            Just("~"),
            Just("%20"),
            Just("%3Bv=1"),
            Just(";v=1"),
            Just("%00"),
            Just("%2F"),
            Just("/"),
            Just("%3F"),
            Just("%23"),
            Just("."),
            Just(",x"),
            Just("%E3%81%82"),
        ]
        .prop_map(Twist::Suffix),
        prop_oneof![Just("%20"), Just("."), Just("~"), Just("_"), Just("-"), Just("%25")].prop_map(Twist::Prefix),
        prop_oneof![Just("/"), Just("./"), Just("x/../"), Just("%2e/"), Just("%2E%2e/")].prop_map(Twist::Before),
    ];
    proptest::collection::vec((any::<usize>(), any::<usize>(), twist), 0..4)
}

/// Applies twists to the segments behind the version (and the account): what names the resource.
fn twisted(url: &str, twists: &[(usize, usize, Twist)]) -> String {
    let mut segments: Vec<String> = url.split('/').skip(1).map(String::from).collect();
    for (segment, byte, twist) in twists {
        let at = segment % segments.len();
        let text = segments[at].clone();
        let byte = byte % text.len().max(1);
        let whole = text.is_char_boundary(byte) && text.is_ascii() && !text.is_empty() && !text.contains('%');
        segments[at] = match twist {
            // Split already: a twist of the new part would name another resource.
            _ if text.contains('/') => text,
            Twist::Case if whole => {
                text.chars().enumerate().map(|(i, c)| if i == byte { swap(c) } else { c }).collect()
            }
            Twist::Escape if whole => format!("{}%{:02X}{}", &text[..byte], text.as_bytes()[byte], &text[byte + 1..]),
            Twist::Case | Twist::Escape => text,
            Twist::Suffix(suffix) => text + suffix,
            Twist::Prefix(prefix) => format!("{prefix}{text}"),
            Twist::Before(before) => format!("{before}{text}"),
        };
    }
    format!("/{}", segments.join("/"))
}

fn swap(c: char) -> char {
    if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_spelling_gets_a_standard_caller_to_management(pick in any::<prop::sample::Index>(), twists in twists(), host in 0..3_u8) {
        let closed: Vec<_> = operations::all().filter(|operation| operation.class() != Class::Open).collect();
        let operation = closed[pick.index(closed.len())];
        let method = operation.method().expect("a listed operation has a method");
        let url = url(operation, OURS, SID);
        // Host prefix and base URL as they are; Host mode and absolute form without the prefix.
        let own = operation.product().host();
        let bare = url.strip_prefix(&format!("/{own}")).unwrap_or(&url);
        let path = twisted(if host == 0 { &url } else { bare }, &twists);
        let (authority, absolute) = if host == 0 { ("broker", false) } else { (own, host == 2) };
        let method = method.as_str().as_bytes();
        let target = Target { method, authority: Some(authority), absolute, path: path.as_bytes(), query: None };
        let judged = judge(&Team::standard().subject(), &target);
        prop_assert!(judged.is_err(), "{path} at {authority} was granted: {judged:?}");
    }

    #[test]
    fn arbitrary_targets_never_panic(
        method in prop_oneof![Just(b"GET".to_vec()), Just(b"POST".to_vec()), proptest::collection::vec(any::<u8>(), 0..6)],
        authority in prop_oneof![Just("broker".to_owned()), Just("api.twilio.com".to_owned()), any::<String>()],
        path in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..60),
            "(/2010-04-01|/v1|/[a-z]{2,9}.twilio.com)?(/([A-Za-z0-9.~%-]{1,6}|Accounts|Keys|%4B|AC[0-9a-f]{32})){0,9}".prop_map(String::into_bytes),
        ],
        query in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..60)),
        absolute in any::<bool>(),
    ) {
        let target = Target { method: &method, authority: Some(&authority), absolute, path: &path, query: query.as_deref() };
        for team in [Team::standard(), Team::master()] {
            if let Ok(judged) = judge(&team.subject(), &target) {
                // What is sent is the end of what was judged, byte for byte.
                prop_assert!(path.ends_with(judged.address.path(&judged.path).as_bytes()));
                prop_assert!(judged.address.host().ends_with(".twilio.com"));
            }
        }
    }
}
