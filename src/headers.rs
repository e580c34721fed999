//! Pure rules for header fields: which ones end at this hop, which ones only sidekey may write.

pub mod trailer;

/// Whether a field's name is this one, in any case. `known` is in lower case, letters, digits and hyphens only.
///
/// Every head is asked this some fifty times, so all bytes are compared at once: of all that a name may be made of (RFC 9110
/// §5.6.2), only a letter's capital differs from it in the one bit that is left out, and hyphens and digits have it set.
#[inline]
pub fn is<const N: usize>(name: &str, known: &[u8; N]) -> bool {
    let same =
        |name: &[u8; N]| name.iter().zip(known).fold(0, |other, (byte, known)| other | (byte | 0x20) ^ known) == 0;
    name.as_bytes().try_into().is_ok_and(same)
}

/// What becomes of a caller's header field on its way upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestRule {
    /// It is passed on as it is.
    Pass,
    /// It ends here: hop-by-hop, a proof, framing that is written anew, forged identity.
    Drop,
    /// `Connection`: its value names more fields that end here.
    Connection,
    /// `Accept-Encoding`: passed only with what the answer can be read in.
    AcceptEncoding,
    /// `Trailer`: passed only for what may cross as one.
    Trailer,
    /// `TE`: written anew where it asks for trailers, for some servers send none unasked.
    Te,
}

/// The rule for a caller's field. Names are compared without case.
///
/// A name with an underscore is dropped: some servers read it as its twin with a hyphen (CVE-2025-64484).
pub fn inbound(name: &str) -> RequestRule {
    let starts = |prefix: &str| {
        name.as_bytes().get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    if has_underscore(name.as_bytes()) {
        return RequestRule::Drop;
    }
    let dropped = match name.as_bytes().first().map(u8::to_ascii_lowercase) {
        Some(b'a') if is(name, b"accept-encoding") => return RequestRule::AcceptEncoding,
        Some(b'a') => is(name, b"authorization"),
        Some(b'c') if is(name, b"connection") => return RequestRule::Connection,
        Some(b'c') => is(name, b"content-length") || is(name, b"cookie"),
        Some(b'e') => is(name, b"expect"),
        Some(b'f') => is(name, b"forwarded"),
        Some(b'h') => is(name, b"host") || is(name, b"http2-settings"),
        Some(b'i') => starts("i-twilio-"),
        Some(b'k') => is(name, b"keep-alive"),
        Some(b'm') => is(name, b"max-forwards"),
        Some(b'p') => starts("proxy-"),
        Some(b's') => starts("sidekey-"),
        Some(b't') if is(name, b"te") => return RequestRule::Te,
        Some(b't') if is(name, b"trailer") => return RequestRule::Trailer,
        Some(b't') => is(name, b"transfer-encoding"),
        Some(b'u') => is(name, b"upgrade"),
        Some(b'v') => is(name, b"via"),
        Some(b'x') => match name.as_bytes().get(2).map(u8::to_ascii_lowercase) {
            Some(b'f') => starts("x-forwarded-"),
            Some(b'h') => starts("x-http-method"),
            Some(b'm') => starts("x-method-override"),
            Some(b'o') => starts("x-original-"),
            Some(b'r') => starts("x-real-ip") || starts("x-rewrite-"),
            _ => false,
        },
        _ => false,
    };
    if dropped { RequestRule::Drop } else { RequestRule::Pass }
}

/// Looks at eight bytes at a time: this is asked of every field of every request.
fn has_underscore(name: &[u8]) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let within = |eight: &[u8; 8]| {
        // A byte of zeros is where an underscore was, and only a zero borrows from its highest bit (Hacker's Delight, 6-1).
        let zero = u64::from_le_bytes(*eight) ^ (EACH * u64::from(b'_'));
        zero.wrapping_sub(EACH) & !zero & (EACH << 7) != 0
    };
    match name.last_chunk() {
        Some(last) => name.as_chunks().0.iter().any(within) || within(last),
        None => name.contains(&b'_'),
    }
}

/// What becomes of an upstream's header field on its way to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerRule {
    /// It is passed on (after a look for the key's secret).
    Pass,
    /// It ends here: hop-by-hop, or framing that is written anew.
    Drop,
    /// `Connection`: its value names more fields that end here.
    Connection,
    /// `Content-Length`: kept where the body stays as long as it is.
    ContentLength,
    /// `Content-Encoding`: dropped where the body is decoded.
    ContentEncoding,
    /// `Location`: may point at a host that is reached through the broker.
    Location,
    /// `Content-Type`: decides whether the body may hold links.
    ContentType,
    /// `Trailer`: passed only for what may cross as one.
    Trailer,
}

/// The rule for an upstream's field. Names are compared without case.
pub fn outbound(name: &str) -> AnswerRule {
    let dropped = match name.as_bytes().first().map(u8::to_ascii_lowercase) {
        Some(b'c') if is(name, b"connection") => return AnswerRule::Connection,
        Some(b'c') if is(name, b"content-type") => return AnswerRule::ContentType,
        Some(b'c') if is(name, b"content-length") => return AnswerRule::ContentLength,
        Some(b'c') if is(name, b"content-encoding") => return AnswerRule::ContentEncoding,
        Some(b'l') if is(name, b"location") => return AnswerRule::Location,
        Some(b'k') => is(name, b"keep-alive"),
        Some(b'p') => {
            is(name, b"proxy-connection") || is(name, b"proxy-authenticate") || is(name, b"proxy-authentication-info")
        }
        Some(b's') => is(name, b"sidekey-error") || is(name, b"sidekey-request-id"),
        Some(b't') if is(name, b"trailer") => return AnswerRule::Trailer,
        Some(b't') => is(name, b"te") || is(name, b"transfer-encoding"),
        Some(b'u') => is(name, b"upgrade"),
        _ => false,
    };
    if dropped { AnswerRule::Drop } else { AnswerRule::Pass }
}

/// Whether a `Connection` value names this field. An empty value names none.
pub fn names(connection: &[u8], name: &str) -> bool {
    tokens(connection).any(|token| token.eq_ignore_ascii_case(name.as_bytes()))
}

/// The tokens of a comma-separated value, without the spaces around them.
pub fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_must_not_cross_does_not() {
        for name in [
            "Authorization",
            "Proxy-Authorization",
            "Proxy-Connection",
            "Cookie",
            "Keep-Alive",
            "Upgrade",
            "HTTP2-Settings",
            "Expect",
            "Max-Forwards",
            "X-Original-URL",
            "X-Rewrite-URL",
            "X-HTTP-Method-Override",
            "X-HTTP-Method",
            "X-Method-Override",
            "I-Twilio-Auth-Account",
            "X-Forwarded-For",
            "X-Forwarded-Prefix",
            "Forwarded",
            "Via",
            "X-Real-IP",
            "Content_Length",
            "X-Auth_User",
            "Sidekey-Request-Id",
            "Transfer-Encoding",
            "Content-Length",
            "Host",
        ] {
            assert_eq!(inbound(name), RequestRule::Drop, "{name}");
            assert_eq!(inbound(&name.to_lowercase()), RequestRule::Drop, "{name}");
        }
        for name in ["Accept", "User-Agent", "Content-Type", "If-Match", "X-Twilio-Client", "Idempotency-Key"] {
            assert_eq!(inbound(name), RequestRule::Pass, "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_compared_without_case(name in "[!#$%&'*+.^_`|~0-9A-Za-z-]{0,20}", place: prop::sample::Index, put in "[!-~]") {
            const KNOWN: &[u8; 14] = b"http2-settings";
            let mut near = "HTTP2-Settings".to_owned();
            let at = place.index(near.len());
            near.replace_range(at..=at, &put);
            for name in [&name, &near] {
                prop_assert_eq!(is(name, KNOWN), name.as_bytes().eq_ignore_ascii_case(KNOWN), "{}", name);
            }
        }
    }

    #[test]
    fn an_underscore_is_found_wherever_it_stands() {
        for length in 0..40 {
            // Neighbours of the underscore among the bytes, and what a borrow could make of them.
            for filler in ['^', '`', 'a', '\u{7f}', '-'] {
                let name = String::from(filler).repeat(length);
                assert!(!has_underscore(name.as_bytes()), "{name:?}");
                for place in 0..length {
                    let mut name = name.clone();
                    name.replace_range(place..=place, "_");
                    assert!(has_underscore(name.as_bytes()), "{name:?}");
                }
            }
        }
    }

    #[test]
    fn connection_names_fields() {
        assert!(names(b"close, X-Secret ,", "x-secret"));
        assert!(!names(b"close", "clos"));
    }
}
