//! How Twilio spells its answers: JSON with Python's separators, XML, CSV.
//!
//! Sources: captures of the real API for JSON's `", "` and `": "`, for the XML declaration in single quotes and for
//! self-closing nulls; Twilio docs ("Twilio's response") for the suffixes and CSV's header row.

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};
use std::io;

/// What an answer is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `.json`, and every product API.
    Json,
    /// `.xml`, and no suffix at all on `/2010-04-01`.
    Xml,
    /// `.csv`.
    Csv,
}

impl Format {
    /// Splits the suffix off a path of the 2010 API. No suffix is XML (Twilio docs).
    pub fn of_path(path: &str) -> (&str, Self) {
        let formats = [(".json", Self::Json), (".xml", Self::Xml), (".csv", Self::Csv)];
        let known = formats.iter().find_map(|(suffix, format)| Some((path.strip_suffix(suffix)?, *format)));
        known.unwrap_or((path, Self::Xml))
    }

    /// The value of `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Xml => "application/xml",
            Self::Csv => "text/csv",
        }
    }
}

/// JSON with `", "` and `": "` between its parts.
pub fn json(value: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    // A Vec takes every byte, and our values have text keys: nothing here can fail.
    let written = value.serialize(&mut Serializer::with_formatter(&mut out, PythonStyle));
    debug_assert!(written.is_ok(), "values have text keys only");
    out
}

struct PythonStyle;

impl Formatter for PythonStyle {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}

const XML_HEAD: &str = "<?xml version='1.0' encoding='UTF-8'?>\n<TwilioResponse>";
const XML_TAIL: &str = "</TwilioResponse>";

/// One resource: `<TwilioResponse><Message>…</Message></TwilioResponse>`.
pub fn xml_instance(tag: &str, fields: &Value) -> Vec<u8> {
    let mut out = String::with_capacity(1024);
    out.push_str(XML_HEAD);
    xml_element(&mut out, tag, fields);
    out.push_str(XML_TAIL);
    out.into_bytes()
}

/// A list: the paging facts are attributes of the element around the rows.
pub fn xml_list(tag: &str, item: &str, attributes: &[(&str, String)], rows: &[Value]) -> Vec<u8> {
    let mut out = String::with_capacity(1024 * (rows.len() + 1));
    out.push_str(XML_HEAD);
    out.push('<');
    out.push_str(tag);
    for (name, value) in attributes {
        out.push(' ');
        out.push_str(name);
        out.push_str("=\"");
        xml_text(&mut out, value);
        out.push('"');
    }
    if rows.is_empty() {
        out.push_str("/>");
    } else {
        out.push('>');
        for row in rows {
            xml_element(&mut out, item, row);
        }
        xml_close(&mut out, tag);
    }
    out.push_str(XML_TAIL);
    out.into_bytes()
}

fn xml_element(out: &mut String, tag: &str, value: &Value) {
    out.push('<');
    out.push_str(tag);
    if value.is_null() {
        out.push_str("/>");
        return;
    }
    out.push('>');
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                xml_element(out, &pascal(name), field);
            }
        }
        Value::Array(items) => {
            let item = tag.strip_suffix('s').unwrap_or("Item");
            for value in items {
                xml_element(out, item, value);
            }
        }
        Value::String(text) => xml_text(out, text),
        other => out.push_str(&other.to_string()),
    }
    xml_close(out, tag);
}

fn xml_close(out: &mut String, tag: &str) {
    out.push_str("</");
    out.push_str(tag);
    out.push('>');
}

/// Escapes for text and for attributes alike. Characters that XML 1.0 can't hold are left out: one of them would make
/// the whole answer unreadable.
fn xml_text(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' => out.push(c),
            '\r' => out.push_str("&#13;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => out.push(c),
        }
    }
}

/// `date_created` → `DateCreated`.
pub fn pascal(name: &str) -> String {
    let words = name.split('_').map(|word| {
        let mut chars = word.chars();
        chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
    });
    words.collect()
}

/// The names of an object's fields: the header row of its CSV.
pub fn columns(row: &Value) -> Vec<String> {
    row.as_object().map(|fields| fields.keys().cloned().collect()).unwrap_or_default()
}

/// CSV: a header row of `PascalCase` names, then a line for each row; nested values as JSON.
///
/// # Panics
/// A row has more or fewer fields than there are columns.
pub fn csv(columns: &[impl AsRef<str>], rows: &[Value]) -> Vec<u8> {
    const WRITTEN: &str = "a Vec takes every byte, and one description makes the columns and every row";
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record(columns.iter().map(|name| pascal(name.as_ref()))).expect(WRITTEN);
    for row in rows.iter().filter_map(Value::as_object) {
        out.write_record(row.values().map(csv_cell)).expect(WRITTEN);
    }
    out.into_inner().expect(WRITTEN)
}

fn csv_cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        nested @ (Value::Object(_) | Value::Array(_)) => String::from_utf8_lossy(&json(nested)).into_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).expect("renders UTF-8")
    }

    #[test]
    fn json_has_pythons_separators() {
        let value = json!({"a": 1, "b": [null, "x"], "c": {}});
        assert_eq!(text(super::json(&value)), r#"{"a": 1, "b": [null, "x"], "c": {}}"#);
    }

    #[test]
    fn xml_follows_the_captures() {
        let value =
            json!({"sid": "SM1", "date_sent": null, "body": "a<b & \"c\"", "subresource_uris": {"media": "/M"}});
        assert_eq!(
            text(xml_instance("Message", &value)),
            "<?xml version='1.0' encoding='UTF-8'?>\n<TwilioResponse><Message><Sid>SM1</Sid><DateSent/>\
             <Body>a&lt;b &amp; &quot;c&quot;</Body><SubresourceUris><Media>/M</Media></SubresourceUris></Message>\
             </TwilioResponse>"
        );
    }

    #[test]
    fn a_list_carries_its_paging_in_attributes() {
        let attributes = [("page", "0".to_owned()), ("nextpageuri", "/K?Page=1&PageSize=2".to_owned())];
        let rows = [json!({"sid": "SK1"})];
        assert_eq!(
            text(xml_list("Keys", "Key", &attributes, &rows)),
            "<?xml version='1.0' encoding='UTF-8'?>\n<TwilioResponse><Keys page=\"0\" \
             nextpageuri=\"/K?Page=1&amp;PageSize=2\"><Key><Sid>SK1</Sid></Key></Keys></TwilioResponse>"
        );
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        let rows = [json!({"sid": "SM1", "body": "a, \"b\"", "error_code": null})];
        assert_eq!(text(csv(&columns(&rows[0]), &rows)), "Sid,Body,ErrorCode\nSM1,\"a, \"\"b\"\"\",\n");
    }

    #[test]
    fn the_suffix_chooses() {
        assert_eq!(Format::of_path("/Keys.json"), ("/Keys", Format::Json));
        assert_eq!(Format::of_path("/Keys.csv"), ("/Keys", Format::Csv));
        assert_eq!(Format::of_path("/Keys"), ("/Keys", Format::Xml));
        assert_eq!(Format::of_path("/Keys.JSON"), ("/Keys.JSON", Format::Xml));
    }

    proptest! {
        #[test]
        fn no_text_breaks_out_of_its_element(body in any::<String>()) {
            let xml = text(xml_instance("M", &json!({"b": body})));
            let inner = xml.split("<B>").nth(1).and_then(|rest| rest.split("</B>").next()).unwrap_or_default();
            prop_assert!(!inner.contains('<') && !inner.contains('>'));
            prop_assert!(inner.chars().all(|c| !c.is_control() || matches!(c, '\t' | '\n')));
        }
    }
}
