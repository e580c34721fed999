//! Which of Twilio's hosts a request is for, and which part of its path that host sees.
//!
//! Three ways to say it (origin-form): `/2010-04-01/…` to the broker's own name goes to api.twilio.com; a first segment
//! that is a host of Twilio's names it; a `Host` of Twilio's is itself. An absolute-form target or a tunnel names its
//! host and nothing else.

use super::host::{Authority, Host, Product, contains_domain};
use super::path::{CanonicalPath, Segment};
use crate::error::Reason;
use std::borrow::Cow;

/// How the caller named the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `/2010-04-01/…` at the broker's own address: api.twilio.com.
    BaseUrl,
    /// `/messaging.twilio.com/v1/…` at the broker's own address.
    HostPrefix,
    /// The host itself: `Host`, an absolute-form target, or a tunnel.
    Host,
}

/// Why a request has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressFault {
    /// The authority is none: user info, a bad port, a byte no host name has.
    Authority,
    /// A host-prefix path at a host of Twilio's: two hosts are named.
    TwoHosts,
    /// A host prefix with nothing behind it.
    NoPath,
    /// Not a host of Twilio's that sidekey knows.
    UnknownHost,
    /// A path at the broker's own address that begins neither with `/2010-04-01/` nor with a host.
    NotServed,
    /// Another version of the 2010 API.
    Version,
}

impl AddressFault {
    /// The reason in the contract's table.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Authority | Self::TwoHosts | Self::NoPath => Reason::MalformedRequest,
            Self::UnknownHost | Self::NotServed | Self::Version => Reason::HostNotAllowed,
        }
    }

    /// What is wrong, for `explain`.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Authority => "the host is not a host name with an optional port",
            Self::TwoHosts => "both Host and the path name a Twilio host",
            Self::NoPath => "nothing stands behind the host in the path",
            Self::UnknownHost => "not a Twilio host that sidekey knows",
            Self::NotServed => "the path begins neither with /2010-04-01/ nor with a Twilio host",
            Self::Version => "only version 2010-04-01 of api.twilio.com is served",
        }
    }
}

/// The host a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address<'a> {
    product: Product,
    host: Cow<'a, str>,
    mode: Mode,
}

impl<'a> Address<'a> {
    /// The address of an origin-form target (`GET /path`); `host` is the `Host` header, if there is one.
    pub fn origin_form(host: Option<&'a str>, path: &CanonicalPath<'a>) -> Result<Self, AddressFault> {
        match host.map_or(Authority::Other, Authority::parse) {
            Authority::Twilio(host) => Self::of_host(host, Mode::Host, path),
            Authority::Lookalike => Err(AddressFault::UnknownHost),
            Authority::Malformed => Err(AddressFault::Authority),
            Authority::Other => Self::of_broker(path),
        }
    }

    /// The address of an absolute-form target (`GET http://authority/path`), or of a request inside a tunnel to
    /// `authority`: a host of Twilio's or nothing.
    pub fn absolute_form(authority: &'a str, path: &CanonicalPath<'a>) -> Result<Self, AddressFault> {
        match Authority::parse(authority) {
            Authority::Twilio(host) => Self::of_host(host, Mode::Host, path),
            Authority::Malformed => Err(AddressFault::Authority),
            Authority::Lookalike | Authority::Other => Err(AddressFault::UnknownHost),
        }
    }

    /// Whose host it is.
    pub const fn product(&self) -> Product {
        self.product
    }

    /// The host's full lower-case name, without port: what `Host` says upstream.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// How the caller named it.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The part of `path` that the host sees.
    pub fn path(&self, path: &CanonicalPath<'a>) -> &'a str {
        path.from_segment(self.skip())
    }

    /// The segments that the host sees.
    pub fn segments<'p>(&self, path: &'p CanonicalPath<'a>) -> impl Iterator<Item = Segment<'a>> + 'p {
        path.segments().skip(self.skip())
    }

    /// How many leading segments the host does not see.
    pub(crate) const fn skip(&self) -> usize {
        matches!(self.mode, Mode::HostPrefix) as usize
    }

    /// The broker's own address: the path names the host.
    fn of_broker(path: &CanonicalPath<'a>) -> Result<Self, AddressFault> {
        let first = path.segment(0).map_or("", |segment| segment.raw());
        if first == API_VERSION {
            return Ok(Self { product: Product::API, host: Cow::Borrowed(Product::API.host()), mode: Mode::BaseUrl });
        }
        if let Some(host) = Host::parse(first) {
            return if path.len() > 1 {
                Self::of_host(host, Mode::HostPrefix, path)
            } else {
                Err(AddressFault::NoPath)
            };
        }
        Err(if names_a_host(path, 0) { AddressFault::UnknownHost } else { AddressFault::NotServed })
    }

    fn of_host(host: Host<'a>, mode: Mode, path: &CanonicalPath<'a>) -> Result<Self, AddressFault> {
        let address = Self { product: host.product, host: host.name, mode };
        if names_a_host(path, address.skip()) {
            return Err(AddressFault::TwoHosts);
        }
        let first = path.segment(address.skip()).map_or("", |segment| segment.raw());
        if address.product == Product::API && first != API_VERSION {
            return Err(AddressFault::Version);
        }
        Ok(address)
    }
}

/// The one version of api.twilio.com that is served.
pub const API_VERSION: &str = "2010-04-01";

/// Whether the segment at `index` reads like a host of Twilio's, in any case or encoding.
fn names_a_host(path: &CanonicalPath<'_>, index: usize) -> bool {
    path.segment(index).is_some_and(|segment| contains_domain(&segment.decoded()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> CanonicalPath<'_> {
        CanonicalPath::parse(text.as_bytes(), None).expect("a canonical path")
    }

    fn origin<'a>(host: &'a str, text: &'a str) -> Result<(&'static str, Mode, &'a str), AddressFault> {
        let path = path(text);
        let address = Address::origin_form(Some(host), &path)?;
        Ok((address.product().host(), address.mode(), address.path(&path)))
    }

    #[test]
    fn the_three_modes() {
        let (api, messaging) = ("api.twilio.com", "messaging.twilio.com");
        let base = "/2010-04-01/Accounts";
        assert_eq!(origin("127.0.0.1:8080", base), Ok((api, Mode::BaseUrl, base)));
        assert_eq!(origin("[::1]:8080", base), Ok((api, Mode::BaseUrl, base)));
        let prefixed = "/messaging.twilio.com/v1/Services";
        assert_eq!(origin("broker", prefixed), Ok((messaging, Mode::HostPrefix, "/v1/Services")));
        assert_eq!(origin("Messaging.twilio.com:443", "/v1/Services"), Ok((messaging, Mode::Host, "/v1/Services")));
        assert_eq!(origin("api.twilio.com", base), Ok((api, Mode::Host, base)));
        let none = path(base);
        assert_eq!(Address::origin_form(None, &none).map(|address| address.mode()), Ok(Mode::BaseUrl));
    }

    #[test]
    fn a_regional_host_keeps_its_name() {
        let path = path("/api.dublin.ie1.twilio.com/2010-04-01/Accounts");
        let address = Address::origin_form(Some("broker"), &path).expect("regional");
        assert_eq!((address.host(), address.path(&path)), ("api.dublin.ie1.twilio.com", "/2010-04-01/Accounts"));
    }

    #[test]
    fn two_hosts_are_malformed() {
        for first in ["messaging.twilio.com", "Messaging.Twilio.COM", "messaging%2Etwilio.com", "x.twilio.com"] {
            let text = format!("/{first}/v1/Services");
            assert_eq!(origin("messaging.twilio.com", &text), Err(AddressFault::TwoHosts), "{text}");
        }
        let twice = "/api.twilio.com/messaging.twilio.com/v1/Services";
        assert_eq!(origin("broker", twice), Err(AddressFault::TwoHosts));
    }

    #[test]
    fn what_is_not_served_is_refused() {
        use AddressFault::{Authority, NoPath, NotServed, UnknownHost, Version};
        for (host, text, fault) in [
            ("broker", "/", NotServed),
            ("broker", "/v1/Services", NotServed),
            ("broker", "/2008-08-01/Accounts", NotServed),
            ("broker", "/2010-04-01.json", NotServed),
            ("broker", "/2010%2D04-01/Accounts", NotServed),
            ("broker", "/api.twilio.com/2008-08-01/Accounts", Version),
            ("api.twilio.com", "/2008-08-01/Accounts", Version),
            ("api.twilio.com", "/", Version),
            ("broker", "/messaging.twilio.com", NoPath),
            ("broker", "/evil.twilio.com/v1", UnknownHost),
            ("broker", "/api.twilio.com.evil/2010-04-01/Accounts", UnknownHost),
            ("broker", "/api.twilio.com:443/2010-04-01/Accounts", UnknownHost),
            ("broker", "/api.twilio.com@evil/2010-04-01/Accounts", UnknownHost),
            ("broker", "/api%2Etwilio.com/2010-04-01/Accounts", UnknownHost),
            ("api.twilio.com.", "/2010-04-01/Accounts", UnknownHost),
            ("api.twilio.com.evil", "/2010-04-01/Accounts", UnknownHost),
            ("x@api.twilio.com", "/2010-04-01/Accounts", Authority),
        ] {
            assert_eq!(origin(host, text), Err(fault), "{host} {text}");
        }
    }

    #[test]
    fn an_absolute_form_names_a_host_of_twilios() {
        let path = path("/2010-04-01/Accounts");
        let ok = Address::absolute_form("API.twilio.com:80", &path).expect("a host");
        assert_eq!((ok.host(), ok.mode()), ("api.twilio.com", Mode::Host));
        for authority in ["evil", "127.0.0.1", "api.twilio.com.evil", "broker:8080"] {
            assert_eq!(Address::absolute_form(authority, &path), Err(AddressFault::UnknownHost), "{authority}");
        }
        assert_eq!(Address::absolute_form("api.twilio.com@evil", &path), Err(AddressFault::Authority));
    }
}
