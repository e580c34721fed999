//! Selectors in `multipart/form-data` (RFC 7578), read strictly: one shape of part, and nothing outside the parts.
//!
//! Own code, because the body is in memory already and every well-kept reader is made for streams and lenient; here a
//! part that could be read in two ways must be refused.

use super::{MAX_FIELDS, Selectors, Unreadable};
use crate::twilio::accounts::Kind;
use crate::twilio::path::is_method_override;
use memchr::memmem;

/// Whether a boundary is what RFC 2046 allows, without the bytes that would need quoting.
pub(super) fn is_boundary(boundary: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'\'' | b'+');
    matches!(boundary.len(), 1..=70) && boundary.bytes().all(legal)
}

/// Reads every part: `--boundary`, headers, an empty line, a value.
pub(super) fn selectors(boundary: &str, body: &[u8]) -> Result<Selectors, Unreadable> {
    let delimiter = format!("\r\n--{boundary}");
    let mut found = Vec::new();
    let mut rest = body.strip_prefix(&delimiter.as_bytes()[2..]).ok_or(Unreadable::Syntax)?;
    let finder = memmem::Finder::new(delimiter.as_bytes());
    for _ in 0..=MAX_FIELDS {
        if let Some(end) = rest.strip_prefix(b"--") {
            return if matches!(end, b"" | b"\r\n") { Ok(Selectors(found)) } else { Err(Unreadable::Syntax) };
        }
        let part = rest.strip_prefix(b"\r\n").ok_or(Unreadable::Syntax)?;
        let end = finder.find(part).ok_or(Unreadable::Syntax)?;
        // Some readers take a boundary behind a bare CR or LF for one.
        if memmem::find(&part[..end], &delimiter.as_bytes()[2..]).is_some() {
            return Err(Unreadable::Syntax);
        }
        let name = name_and_value(&part[..end])?;
        if is_method_override(name.0.as_bytes()) {
            return Err(Unreadable::MethodOverride);
        }
        if let Some(kind) = Kind::of(name.0.bytes()) {
            found.extend(kind.reach(&String::from_utf8_lossy(name.1)));
        }
        rest = &part[end + delimiter.len()..];
    }
    Err(Unreadable::TooMuch)
}

/// A part's field name and value.
fn name_and_value(part: &[u8]) -> Result<(&str, &[u8]), Unreadable> {
    let end = memmem::find(part, b"\r\n\r\n").ok_or(Unreadable::Syntax)?;
    let head = std::str::from_utf8(&part[..end]).map_err(|_| Unreadable::Syntax)?;
    let mut name = None;
    for line in head.split("\r\n") {
        let (header, value) = line.split_once(':').ok_or(Unreadable::Syntax)?;
        let value = value.trim_matches([' ', '\t']);
        if !value.chars().all(|c| c == '\t' || !c.is_control()) {
            return Err(Unreadable::Syntax);
        }
        match &*header.to_ascii_lowercase() {
            "content-disposition" if name.is_none() => name = Some(field_name(value)?),
            "content-type" if !value.to_ascii_lowercase().starts_with("multipart") => {}
            "content-length" => {}
            "content-transfer-encoding" if is_verbatim(value) => {}
            _ => return Err(Unreadable::Syntax),
        }
    }
    Ok((name.ok_or(Unreadable::Syntax)?, &part[end + 4..]))
}

fn is_verbatim(encoding: &str) -> bool {
    ["7bit", "8bit", "binary"].iter().any(|known| encoding.eq_ignore_ascii_case(known))
}

/// `form-data; name="…"` and perhaps `; filename="…"`; no escapes, no other spelling.
fn field_name(disposition: &str) -> Result<&str, Unreadable> {
    let rest = disposition.strip_prefix("form-data; name=\"").ok_or(Unreadable::Syntax)?;
    let (name, rest) = rest.split_once('"').ok_or(Unreadable::Syntax)?;
    let file = rest.is_empty()
        || rest
            .strip_prefix("; filename=\"")
            .and_then(|rest| rest.strip_suffix('"'))
            .is_some_and(|file| !file.contains(['"', '\\']));
    if file && !name.contains(['\\', '%']) { Ok(name) } else { Err(Unreadable::Syntax) }
}
