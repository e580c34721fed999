//! The methods that may go upstream.

/// A method that sidekey forwards. TRACE, CONNECT, and everything else are refused as malformed, in any spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Reads.
    Get,
    /// Reads the head only; judged as GET.
    Head,
    /// Creates, and on most of Twilio's resources updates.
    Post,
    /// Replaces (11 operations of OpenAPI 2.6.7).
    Put,
    /// Updates (2 operations).
    Patch,
    /// Deletes.
    Delete,
    /// Asks what is allowed; an operation of no resource.
    Options,
}

impl Method {
    /// Reads a method as it stands on the wire. Methods are case-sensitive (RFC 9110): `get` is none.
    pub const fn parse(text: &[u8]) -> Option<Self> {
        match text {
            b"GET" => Some(Self::Get),
            b"HEAD" => Some(Self::Head),
            b"POST" => Some(Self::Post),
            b"PUT" => Some(Self::Put),
            b"PATCH" => Some(Self::Patch),
            b"DELETE" => Some(Self::Delete),
            b"OPTIONS" => Some(Self::Options),
            _ => None,
        }
    }

    /// The method as it stands on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_listed_spellings_are_methods() {
        for text in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            assert_eq!(Method::parse(text.as_bytes()).map(Method::as_str), Some(text));
        }
        for text in ["", "get", "Get", "TRACE", "CONNECT", "GET ", "GETT", "PROPFIND", "PRI"] {
            assert_eq!(Method::parse(text.as_bytes()), None, "{text}");
        }
    }
}
