//! Which product a request is for, and what it asks of it: Host, or the path's first segment where Host says nothing.

use super::params::Params;
use crate::twilio::render::Format;
use http::Method;
use percent_encoding::percent_decode_str;

/// A Twilio host that the sandbox plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// `api.twilio.com`, the 2010 API.
    Api,
    /// `iam.twilio.com`
    Iam,
    /// `messaging.twilio.com`
    Messaging,
    /// `conversations.twilio.com`
    Conversations,
    /// `chat.twilio.com`
    Chat,
    /// `events.twilio.com`
    Events,
    /// A host where the sandbox has nothing: 404 to whoever is let in.
    Unknown,
}

impl Product {
    /// The first label of a `*.twilio.com` name; regional names keep their product first.
    fn of_label(label: &str) -> Self {
        match label {
            "api" => Self::Api,
            "iam" => Self::Iam,
            "messaging" => Self::Messaging,
            "conversations" => Self::Conversations,
            "chat" => Self::Chat,
            "events" => Self::Events,
            _ => Self::Unknown,
        }
    }

    /// The host's whole name, as absolute links have it.
    pub const fn host(self) -> &'static str {
        match self {
            Self::Api | Self::Unknown => "api.twilio.com",
            Self::Iam => "iam.twilio.com",
            Self::Messaging => "messaging.twilio.com",
            Self::Conversations => "conversations.twilio.com",
            Self::Chat => "chat.twilio.com",
            Self::Events => "events.twilio.com",
        }
    }
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// The sandbox's own switches: what follows `/_sandbox/`.
    Control(&'a str),
    /// A product, and the path on its host.
    Product(Product, &'a str),
}

impl<'a> Place<'a> {
    /// Reads Host (its port does not matter) and the raw path.
    pub fn of(host: &str, path: &'a str) -> Self {
        if let Some(product) = product_of_host(host) {
            return Self::Product(product, path);
        }
        if let Some(rest) = path.strip_prefix("/_sandbox/") {
            return Self::Control(rest);
        }
        let first = path.split('/').nth(1).unwrap_or_default();
        match product_of_host(first) {
            Some(product) => Self::Product(product, &path[1 + first.len()..]),
            None => Self::Product(product_of_path(path), path),
        }
    }
}

fn product_of_host(host: &str) -> Option<Product> {
    let name = host.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let labels = name.strip_suffix(".twilio.com")?;
    Some(Product::of_label(labels.split('.').next().unwrap_or_default()))
}

/// Base-URL mode. Only paths that no other host of Twilio's shares are served without a host: `/v1/Services`, for one,
/// exists on seven.
fn product_of_path(path: &str) -> Product {
    let under =
        |collection: &str| path.strip_prefix(collection).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if path.starts_with("/2010-04-01/") {
        Product::Api
    } else if under("/v1/Keys") {
        Product::Iam
    } else if under("/v1/Conversations") {
        Product::Conversations
    } else if under("/v1/Sinks") || under("/v1/Subscriptions") {
        Product::Events
    } else {
        Product::Unknown
    }
}

/// A request that is read whole.
#[derive(Debug)]
pub struct Asked {
    /// HEAD is read as GET: only the answer's body differs, and HTTP leaves that out.
    pub method: Method,
    /// Whose host.
    pub product: Product,
    /// The raw path on that host, as errors echo it.
    pub path: String,
    /// `2010-04-01`, `v1`, `v2`: the path's first segment.
    pub version: String,
    /// The other segments, decoded once. Doubled slashes make empty ones, which match nothing (captures: Twilio does
    /// not collapse them).
    pub segments: Vec<String>,
    /// What the answer is written in.
    pub format: Format,
    /// Whether the path itself chose the format by a suffix.
    pub suffixed: bool,
    /// The query.
    pub query: Params,
    /// The body, then the query.
    pub params: Params,
}

impl Asked {
    /// Reads the parts. `body` is what [`Params::of_body`] made.
    pub fn new(method: &Method, product: Product, path: &str, query: Params, body: Params) -> Self {
        let (stem, format) = if product == Product::Api { Format::of_path(path) } else { (path, Format::Json) };
        let mut parts = stem.split('/').skip(1).map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned());
        Self {
            method: if method == Method::HEAD { Method::GET } else { method.clone() },
            product,
            path: path.to_owned(),
            version: parts.next().unwrap_or_default(),
            segments: parts.collect(),
            format,
            suffixed: stem.len() < path.len(),
            params: body.or(&query),
            query,
        }
    }

    /// The path as Twilio echoes it in "was not found": product APIs leave their version out.
    pub fn echo(&self) -> &str {
        let versioned = self.version.strip_prefix('v').is_some_and(|number| number.parse::<u8>().is_ok());
        match (self.product, self.path.match_indices('/').nth(1)) {
            (Product::Api | Product::Unknown, _) | (_, None) => &self.path,
            (_, Some((at, _))) => &self.path[if versioned { at } else { 0 }..],
        }
    }

    /// `.json`, where links in the answer carry it.
    pub fn link_suffix(&self) -> &'static str {
        match (self.product, self.format) {
            (Product::Api, Format::Json) => ".json",
            (Product::Api, Format::Csv) => ".csv",
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_path_is_read(host in "[a-z.:\\[\\]]{0,20}|iam.twilio.com", path in "(/[^?#]{0,12}){0,5}|[^?#]{0,9}") {
            let path: &str = &path;
            if let Place::Product(product, rest) = Place::of(&host, path) {
                let asked = Asked::new(&Method::GET, product, rest, Params::default(), Params::default());
                prop_assert!(path.ends_with(asked.echo()));
            }
        }
    }

    #[test]
    fn host_decides_then_the_first_segment_then_the_path() {
        let is = |host, path, product, rest| assert_eq!(Place::of(host, path), Place::Product(product, rest));
        is("iam.twilio.com", "/v1/Keys", Product::Iam, "/v1/Keys");
        is("IAM.twilio.com:8443", "/v1/Keys", Product::Iam, "/v1/Keys");
        is("api.dublin.ie1.twilio.com", "/2010-04-01/Accounts", Product::Api, "/2010-04-01/Accounts");
        is("127.0.0.1:4010", "/chat.twilio.com/v2/Services", Product::Chat, "/v2/Services");
        is("127.0.0.1:4010", "/chat.twilio.com", Product::Chat, "");
        is("127.0.0.1:4010", "/2010-04-01/Accounts.json", Product::Api, "/2010-04-01/Accounts.json");
        is("localhost", "/v1/Keys/SK1", Product::Iam, "/v1/Keys/SK1");
        is("localhost", "/v1/KeysX", Product::Unknown, "/v1/KeysX");
        is("localhost", "/v1/Services", Product::Unknown, "/v1/Services");
        is("twilio.com.evil.test", "/v1/Services", Product::Unknown, "/v1/Services");
        is("localhost", "", Product::Unknown, "");
    }

    #[test]
    fn switches_answer_only_where_no_twilio_host_is_named() {
        assert_eq!(Place::of("127.0.0.1:1", "/_sandbox/requests"), Place::Control("requests"));
        let named = Place::of("api.twilio.com", "/_sandbox/requests");
        assert_eq!(named, Place::Product(Product::Api, "/_sandbox/requests"));
        let prefixed = Place::of("127.0.0.1:1", "/api.twilio.com/_sandbox/requests");
        assert_eq!(prefixed, Place::Product(Product::Api, "/_sandbox/requests"));
    }

    #[test]
    fn only_a_version_is_left_out_of_the_echo() {
        for (path, echo) in [
            ("/v2/Services/IS1", "/Services/IS1"),
            ("/Services", "/Services"),
            ("/Services/IS1", "/Services/IS1"),
            ("/v2", "/v2"),
        ] {
            let asked = Asked::new(&Method::GET, Product::Chat, path, Params::default(), Params::default());
            assert_eq!(asked.echo(), echo);
        }
    }

    #[test]
    fn doubled_slashes_stay() {
        let path = "/2010-04-01/Accounts//Messages.json";
        let asked = Asked::new(&Method::GET, Product::Api, path, Params::default(), Params::default());
        assert_eq!(asked.segments, ["Accounts", "", "Messages"]);
        assert_eq!(asked.echo(), path);
    }
}
