//! Trailer fields: the ones that may cross, and the lines they cross as.
//!
//! Some readers merge trailers into the header, so nothing crosses as a trailer that would mean something there: how a
//! message is framed, routed or proved, how it is to be processed, or what its body is (RFC 9110 §6.5.1).

use super::{AnswerRule, RequestRule, inbound, outbound, tokens};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Most bytes of one message's trailers, as lines.
pub const MAX_BYTES: usize = 8 * 1024;

/// Most trailer fields of one message: a checksum or two is what they are for.
pub const MAX_FIELDS: usize = 32;

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From a caller to the upstream.
    Up,
    /// From the upstream to a caller.
    Down,
}

/// Names that no trailer may have, whichever way it goes.
const NEVER: &[&str] = &[
    "age",
    "authentication-info",
    "authorization",
    "cache-control",
    "cookie",
    "date",
    "expect",
    "expires",
    "host",
    "location",
    "max-forwards",
    "pragma",
    "range",
    "retry-after",
    "set-cookie",
    "set-cookie2",
    "trailer",
    "vary",
    "warning",
    "www-authenticate",
];

/// Beginnings of such names. `content-` holds digests too: a body may arrive unpacked, or with its links led back.
const NEVER_BEGIN: &[&str] = &["accept", "access-control-", "content-", "if-", "proxy-", "sidekey-", "x-sidekey-"];

/// Whether a trailer field of this name may cross.
pub fn passes(name: &str, way: Way) -> bool {
    let starts = |prefix: &&str| {
        name.as_bytes().get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    // The header's own rules hold in both directions: what must not be said in one place is not said in the other.
    let in_header = inbound(name) == RequestRule::Pass && (way == Way::Up || outbound(name) == AnswerRule::Pass);
    in_header && !NEVER.iter().any(|never| name.eq_ignore_ascii_case(never)) && !NEVER_BEGIN.iter().any(starts)
}

/// The fields of trailer lines, each checked for its form already; the spaces around a value are no part of it.
pub fn fields(lines: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    lines.split(|&b| b == b'\n').filter_map(|line| {
        let colon = line.iter().position(|&b| b == b':')?;
        Some((std::str::from_utf8(&line[..colon]).ok()?, line[colon + 1..].trim_ascii()))
    })
}

/// The lines that may cross, in their order. A value with a byte outside visible ASCII, space and tab stays behind.
pub fn crossing(lines: &[u8], way: Way) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields(lines) {
        if passes(name, way) && value.iter().all(|b| matches!(b, b'\t' | b' '..=b'~')) {
            put(&mut out, name, value);
        }
    }
    out
}

/// HTTP/2's trailers as lines; `None` beyond [`MAX_BYTES`] or [`MAX_FIELDS`].
pub fn of_map(map: &HeaderMap) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for (name, value) in map {
        put(&mut out, name.as_str(), value.as_bytes());
    }
    (out.len() <= MAX_BYTES && map.len() <= MAX_FIELDS).then_some(out)
}

/// Lines as HTTP/2's trailers.
pub fn to_map(lines: &[u8]) -> HeaderMap {
    let pair = |(name, value): (&str, &[u8])| {
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(value).ok()?))
    };
    // `collect` would let the last of several fields of one name win.
    let mut map = HeaderMap::new();
    for (name, value) in fields(lines).filter_map(pair) {
        map.append(name, value);
    }
    map
}

/// Appends one field as a line.
fn put(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// The names that a `Trailer` field announces and that may cross, as its value; empty if there is none.
pub fn announced(value: &[u8], way: Way) -> Vec<u8> {
    let name = |token: &&[u8]| std::str::from_utf8(token).is_ok_and(|name| passes(name, way));
    tokens(value).filter(name).collect::<Vec<_>>().join(&b", "[..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_mean_something_in_a_header_does_not_cross() {
        for name in [
            "Content-Length",
            "Content-Type",
            "Content-Encoding",
            "Content-Digest",
            "Transfer-Encoding",
            "Host",
            "Authorization",
            "Set-Cookie",
            "Cookie",
            "Connection",
            "Keep-Alive",
            "Trailer",
            "TE",
            "Upgrade",
            "Expect",
            "Range",
            "If-Match",
            "Cache-Control",
            "Location",
            "Retry-After",
            "Date",
            "Vary",
            "WWW-Authenticate",
            "Proxy-Authorization",
            "Proxy-Anything",
            "X-Forwarded-For",
            "X-HTTP-Method-Override",
            "I-Twilio-Auth-Account",
            "Sidekey-Error",
            "Content_Length",
            "Accept-Encoding",
        ] {
            for way in [Way::Up, Way::Down] {
                assert!(!passes(name, way) && !passes(&name.to_lowercase(), way), "{name} {way:?}");
            }
        }
        for name in ["X-Checksum", "Server-Timing", "ETag", "grpc-status", "Digest"] {
            assert!(passes(name, Way::Up) && passes(name, Way::Down), "{name}");
        }
    }

    #[test]
    fn lines_cross_in_one_form() {
        let lines = b"X-One:1\r\nHost: evil\r\nx-two: \t a b \r\nX-Odd: caf\xc3\xa9\r\nX-Empty:\r\n";
        assert_eq!(crossing(lines, Way::Up), b"X-One: 1\r\nx-two: a b\r\nX-Empty: \r\n");
        assert_eq!(crossing(b"", Way::Down), b"");
        let map = to_map(b"x-a: 1\r\nx-a: 2\r\n");
        assert_eq!(of_map(&map).expect("few"), b"x-a: 1\r\nx-a: 2\r\n");
        assert!(of_map(&to_map(&b"x: y\r\n".repeat(MAX_FIELDS + 1))).is_none());
        assert!(of_map(&to_map(format!("x: {}\r\n", "y".repeat(MAX_BYTES)).as_bytes())).is_none());
    }

    #[test]
    fn only_what_crosses_is_announced() {
        assert_eq!(announced(b"X-One, Authorization ,x-two,", Way::Down), b"X-One, x-two");
        assert_eq!(announced(b"Set-Cookie", Way::Down), b"");
    }
}
