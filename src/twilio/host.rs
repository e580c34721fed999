//! Twilio's hosts: a closed set, and nothing that merely looks like one.
//!
//! A name that is not in the set is no host of Twilio's, so no key ever goes there. Regional names
//! (`api.dublin.ie1.twilio.com`, Twilio docs "Global infrastructure") belong to their product and keep their full name.

use std::borrow::Cow;
use std::fmt;

/// One product: the first label of its host. A small number, so that tables can be indexed by it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Product(u8);

/// Name and host of every product, sorted by name. 38 from OpenAPI 2.6.7; `memory` and `webhooks` from newer SDKs
/// (twilio-python 9.13); `scim` is named in Twilio's organisation docs.
const PRODUCTS: [(&str, &str); 41] = [
    ("accounts", "accounts.twilio.com"),
    ("api", "api.twilio.com"),
    ("assistants", "assistants.twilio.com"),
    ("bulkexports", "bulkexports.twilio.com"),
    ("chat", "chat.twilio.com"),
    ("content", "content.twilio.com"),
    ("conversations", "conversations.twilio.com"),
    ("events", "events.twilio.com"),
    ("flex-api", "flex-api.twilio.com"),
    ("frontline-api", "frontline-api.twilio.com"),
    ("iam", "iam.twilio.com"),
    ("insights", "insights.twilio.com"),
    ("intelligence", "intelligence.twilio.com"),
    ("ip-messaging", "ip-messaging.twilio.com"),
    ("knowledge", "knowledge.twilio.com"),
    ("lookups", "lookups.twilio.com"),
    ("marketplace", "marketplace.twilio.com"),
    ("memory", "memory.twilio.com"),
    ("messaging", "messaging.twilio.com"),
    ("monitor", "monitor.twilio.com"),
    ("notify", "notify.twilio.com"),
    ("numbers", "numbers.twilio.com"),
    ("oauth", "oauth.twilio.com"),
    ("preview", "preview.twilio.com"),
    ("preview-iam", "preview-iam.twilio.com"),
    ("pricing", "pricing.twilio.com"),
    ("proxy", "proxy.twilio.com"),
    ("routes", "routes.twilio.com"),
    ("scim", "scim.twilio.com"),
    ("serverless", "serverless.twilio.com"),
    ("studio", "studio.twilio.com"),
    ("supersim", "supersim.twilio.com"),
    ("sync", "sync.twilio.com"),
    ("taskrouter", "taskrouter.twilio.com"),
    ("trunking", "trunking.twilio.com"),
    ("trusthub", "trusthub.twilio.com"),
    ("verify", "verify.twilio.com"),
    ("video", "video.twilio.com"),
    ("voice", "voice.twilio.com"),
    ("webhooks", "webhooks.twilio.com"),
    ("wireless", "wireless.twilio.com"),
];

/// What every host of Twilio's ends in.
const DOMAIN: &str = ".twilio.com";

impl Product {
    /// How many products there are.
    pub const COUNT: usize = PRODUCTS.len();

    /// `api.twilio.com`, the 2010 API.
    pub const API: Self = Self(1);

    /// Every product, sorted by name.
    pub fn all() -> impl Iterator<Item = Self> {
        // Fewer than 256 products.
        (0..u8::MAX).take(Self::COUNT).map(Self)
    }

    /// The product of that name (`messaging`), lower-case.
    pub fn by_name(name: &str) -> Option<Self> {
        let index = PRODUCTS.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
        u8::try_from(index).ok().map(Self)
    }

    /// Its name, as operations begin with: `messaging`.
    pub const fn name(self) -> &'static str {
        PRODUCTS[self.0 as usize].0
    }

    /// Its host without region: `messaging.twilio.com`.
    pub const fn host(self) -> &'static str {
        PRODUCTS[self.0 as usize].1
    }

    /// Its place in tables, below [`Product::COUNT`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A host of Twilio's: its product and its full lower-case name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host<'a> {
    /// Whose host it is.
    pub product: Product,
    /// The full name, lower-case, without port.
    pub name: Cow<'a, str>,
}

impl<'a> Host<'a> {
    /// Reads a host name without port, in any case. `None` for everything that is not exactly a host of Twilio's.
    pub fn parse(text: &'a str) -> Option<Self> {
        let lower = if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(text.to_ascii_lowercase())
        } else {
            Cow::Borrowed(text)
        };
        let labels = lower.strip_suffix(DOMAIN)?;
        if let Some(product) = Product::by_name(labels) {
            return Some(Self { product, name: Cow::Borrowed(product.host()) });
        }
        let (first, rest) = labels.split_once('.')?;
        let product = Product::by_name(first)?;
        let regional = match rest.split_once('.') {
            Some((edge, region)) => is_edge(edge) && is_region(region),
            None => is_region(rest),
        };
        regional.then_some(Self { product, name: lower })
    }
}

/// Two letters and a digit or two: `us1`, `ie1`, `au1` (Twilio docs).
fn is_region(label: &str) -> bool {
    let bytes = label.as_bytes();
    matches!(bytes.len(), 3 | 4)
        && bytes[..2].iter().all(u8::is_ascii_lowercase)
        && bytes[2..].iter().all(u8::is_ascii_digit)
}

/// A DNS label of letters, digits and inner hyphens: `dublin`, `sao-paulo`, `ashburn-ix` (Twilio docs).
fn is_edge(label: &str) -> bool {
    let bytes = label.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    bytes.len() <= 63
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.last() != Some(&b'-')
        && bytes.iter().all(inner)
}

/// What a `Host` header or an authority names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authority<'a> {
    /// A host of Twilio's, with or without port.
    Twilio(Host<'a>),
    /// Some other name or address: the broker's own, for all that can be known here.
    Other,
    /// Passes for Twilio's without being it: an unknown product, a lookalike, a trailing dot.
    Lookalike,
    /// No authority at all: user info, a bad port, a byte no host name has.
    Malformed,
}

impl<'a> Authority<'a> {
    /// Reads the text of a `Host` header or of an absolute-form authority: a host and, perhaps, a port.
    pub fn parse(text: &'a str) -> Self {
        let Some(name) = without_port(text) else { return Self::Malformed };
        if let Some(host) = Host::parse(name) {
            return Self::Twilio(host);
        }
        if contains_domain(name) { Self::Lookalike } else { Self::Other }
    }
}

/// Whether Twilio's domain stands anywhere in the text, in any case.
pub(super) fn contains_domain(text: &str) -> bool {
    let domain = &DOMAIN.as_bytes()[1..];
    text.as_bytes().windows(domain.len()).any(|part| part.eq_ignore_ascii_case(domain))
}

/// The host part, if what stands there is a host name or IP literal with an optional port and nothing else.
fn without_port(text: &str) -> Option<&str> {
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inner, port)) => {
            let address = inner.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
            (address.then_some(inner)?, port)
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let host_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':');
    let port_fits = port.strip_prefix(':').map_or(port.is_empty(), |digits| {
        matches!(digits.len(), 1..=5) && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    (!name.is_empty() && name.bytes().all(host_byte) && port_fits).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(text: &str) -> Option<&'static str> {
        match Authority::parse(text) {
            Authority::Twilio(host) => Some(host.product.name()),
            _ => None,
        }
    }

    #[test]
    fn the_set_is_sorted_and_names_its_hosts() {
        assert!(PRODUCTS.is_sorted());
        for product in Product::all() {
            assert_eq!(product.host(), format!("{}{DOMAIN}", product.name()));
            assert_eq!(Product::by_name(product.name()), Some(product));
        }
        assert_eq!(Product::all().count(), 41);
        assert_eq!(Product::API.name(), "api");
    }

    #[test]
    fn hosts_are_read_in_any_case_with_or_without_port() {
        assert_eq!(product("api.twilio.com"), Some("api"));
        assert_eq!(product("API.Twilio.COM:443"), Some("api"));
        assert_eq!(product("preview-iam.twilio.com:8080"), Some("preview-iam"));
    }

    #[test]
    fn regional_hosts_keep_their_name() {
        let host = Host::parse("Api.Dublin.IE1.twilio.com").expect("regional");
        assert_eq!((host.product.name(), &*host.name), ("api", "api.dublin.ie1.twilio.com"));
        assert_eq!(product("messaging.ie1.twilio.com"), Some("messaging"));
        assert_eq!(product("api.sao-paulo.br1.twilio.com"), Some("api"));
    }

    #[test]
    fn lookalikes_are_no_hosts() {
        for text in [
            "api.twilio.com.",
            "api.twilio.com.evil",
            "evilapi.twilio.com",
            "api.twilio.com.evil.com:443",
            "api..twilio.com",
            ".twilio.com",
            "twilio.com",
            "www.twilio.com",
            "api.evil.twilio.com",
            "api.a.b.us1.twilio.com",
            "api.-x.us1.twilio.com",
            "us1.api.twilio.com",
            "xtwilio.com",
        ] {
            assert_eq!(Authority::parse(text), Authority::Lookalike, "{text}");
        }
    }

    #[test]
    fn what_is_no_authority_is_malformed() {
        for text in [
            "",
            ":80",
            "u@api.twilio.com",
            "api.twilio.com@evil",
            "api.twilio.com:",
            "api.twilio.com:x",
            "api.twilio.com:123456",
            "api.twilio.com/x",
            "api.twilio.com ",
            "[api.twilio.com]",
            "[::1",
            "[::1]x",
            "api.twilio.com\0",
            "äpi.twilio.com",
            "api.twilio.com:80:80",
        ] {
            assert_eq!(Authority::parse(text), Authority::Malformed, "{text}");
        }
        for text in ["127.0.0.1:8080", "[::1]:8080", "localhost", "sidekey.internal:80", "0x7f.1", "127.1"] {
            assert_eq!(Authority::parse(text), Authority::Other, "{text}");
        }
    }
}
