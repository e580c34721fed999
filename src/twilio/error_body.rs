//! Bodies of answers that sidekey makes itself, in Twilio's own spelling, so that SDKs raise their own exception.
//!
//! Spelling: JSON keys in alphabetical order with `", "` and `": "`; XML with a single-quoted declaration and one line
//! (captures of api.twilio.com).

use super::address::API_VERSION;
use super::host::{Host, Product};
use crate::error::Row;
use std::fmt::Write;

/// The format of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `application/json`
    Json,
    /// `application/xml`
    Xml,
}

impl Format {
    /// The format that a raw path (before `?`) asks for: by suffix; without one, XML on the 2010 API and JSON
    /// elsewhere. Takes any bytes, since malformed requests are answered too.
    pub fn of(path: &[u8]) -> Self {
        let mut segments = path.split(|byte| *byte == b'/').skip(1).peekable();
        let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        if last.ends_with(b".json") {
            return Self::Json;
        }
        let is_api = |first: &&[u8]| {
            std::str::from_utf8(first).ok().and_then(Host::parse).is_some_and(|host| host.product == Product::API)
        };
        segments.next_if(is_api);
        if last.ends_with(b".xml") || segments.next() == Some(API_VERSION.as_bytes()) { Self::Xml } else { Self::Json }
    }

    /// The media type, as Twilio sends it.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Xml => "application/xml",
        }
    }
}

/// Content type and body of a refused request: the row's status and code, with a message of its own.
pub fn error_body(row: Row, message: &str, format: Format) -> (&'static str, String) {
    let body = ErrorBody { status: row.status, code: row.code, message, detail: None };
    (format.content_type(), body.render(format))
}

/// An error in Twilio's shape.
#[derive(Clone, Copy, Debug)]
pub struct ErrorBody<'a> {
    /// The HTTP status.
    pub status: u16,
    /// Twilio's code.
    pub code: u32,
    /// What went wrong.
    pub message: &'a str,
    /// More about it: Twilio adds one to its 401s.
    pub detail: Option<&'a str>,
}

impl ErrorBody<'_> {
    /// The body's text.
    pub fn render(&self, format: Format) -> String {
        let mut out = String::with_capacity(256);
        // A String takes all that is written to it.
        let _ = match format {
            Format::Json => self.json(&mut out),
            Format::Xml => self.xml(&mut out),
        };
        out
    }

    fn json(&self, out: &mut String) -> std::fmt::Result {
        let Self { status, code, message, detail } = self;
        write!(out, "{{\"code\": {code}, ")?;
        if let Some(detail) = detail {
            write!(out, "\"detail\": {}, ", json_string(detail))?;
        }
        write!(out, "\"message\": {}, \"more_info\": \"{DOCS}{code}\", \"status\": {status}}}", json_string(message))
    }

    fn xml(&self, out: &mut String) -> std::fmt::Result {
        let Self { status, code, message, detail } = self;
        out.push_str("<?xml version='1.0' encoding='UTF-8'?>\n<TwilioResponse><RestException>");
        write!(out, "<Code>{code}</Code>")?;
        if let Some(detail) = detail {
            write!(out, "<Detail>{}</Detail>", xml_text(detail))?;
        }
        write!(out, "<Message>{}</Message><MoreInfo>{DOCS}{code}</MoreInfo>", xml_text(message))?;
        write!(out, "<Status>{status}</Status></RestException></TwilioResponse>")
    }
}

/// Where Twilio explains its codes.
const DOCS: &str = "https://www.twilio.com/docs/errors/";

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn xml_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // Not characters of XML 1.0 at all.
            c if c.is_control() && !matches!(c, '\t' | '\n') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Reason;

    #[test]
    fn the_suffix_and_the_version_choose_the_format() {
        for path in [
            "/2010-04-01/Accounts/AC1/Keys.json",
            "/v1/Services",
            "/",
            "",
            "*",
            "/messaging.twilio.com/v1/Services",
            "/x.csv",
        ] {
            assert_eq!(Format::of(path.as_bytes()), Format::Json, "{path}");
        }
        for path in [
            "/2010-04-01/Accounts/AC1/Keys",
            "/2010-04-01/Accounts/AC1/Keys.xml",
            "/2010-04-01/Accounts/AC1/Keys.csv",
            "/2010-04-01",
            "/api.twilio.com/2010-04-01/Accounts",
            "/api.dublin.ie1.twilio.com/2010-04-01/Accounts",
            "/2010-04-01//../x",
            "/x.xml",
        ] {
            assert_eq!(Format::of(path.as_bytes()), Format::Xml, "{path}");
        }
        assert_eq!(Format::of(b"/2010-04-01/\xff"), Format::Xml);
    }

    #[test]
    fn bodies_are_spelled_as_twilio_spells_them() {
        let row = Reason::ManagementResource.row();
        assert_eq!(
            error_body(row, "No \"keys\"\n", Format::Json),
            (
                "application/json",
                r#"{"code": 20403, "message": "No \"keys\"\n", "more_info": "https://www.twilio.com/docs/errors/20403", "status": 403}"#
                    .to_owned()
            )
        );
        let (kind, xml) = error_body(row, "a < b & c\u{1}", Format::Xml);
        assert_eq!(kind, "application/xml");
        assert_eq!(
            xml,
            "<?xml version='1.0' encoding='UTF-8'?>\n<TwilioResponse><RestException><Code>20403</Code><Message>a &lt; b &amp; \
             c\u{fffd}</Message><MoreInfo>https://www.twilio.com/docs/errors/20403</MoreInfo><Status>403</Status></RestException>\
             </TwilioResponse>"
        );
        let refused = ErrorBody { status: 401, code: 20003, message: "Authenticate", detail: Some("d") };
        assert!(
            refused.render(Format::Json).starts_with(r#"{"code": 20003, "detail": "d", "message": "Authenticate", "#)
        );
        assert!(
            refused.render(Format::Xml).contains("<Code>20003</Code><Detail>d</Detail><Message>Authenticate</Message>")
        );
    }
}
