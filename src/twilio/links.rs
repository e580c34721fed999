//! Links stay inside: absolute URLs of Twilio's in paging and link fields become addresses of the broker.
//!
//! SDKs follow `meta.next_page_url` as it stands, with the caller's credentials; left alone, page 2 would go to Twilio
//! directly. Only string values of link fields change; what a team stored itself (`voice_url`, `status_callback`,
//! message text) never does, and everything else stays byte for byte. Pure: chunks in, chunks out.

use super::address::API_VERSION;
use super::host::{Authority, Host, Product};
use std::ops::Range;

mod scan;
use scan::{Scanner, Step};

const HTTPS: &str = "https://";

/// The URL of Twilio's in `url` as an address of the broker at `base` (scheme and authority, perhaps a path, no
/// trailing `/`); `None` if it is no `https` URL of a host of Twilio's. For `Location` and for link fields.
pub fn inside(base: &str, url: &str) -> Option<String> {
    // In any case, as a browser takes it (RFC 3986, section 3.1).
    let (_, rest) = url.split_at_checked(HTTPS.len()).filter(|(scheme, _)| scheme.eq_ignore_ascii_case(HTTPS))?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let Authority::Twilio(Host { product, name }) = Authority::parse(authority) else { return None };
    // Studio's webhooks are addresses that Twilio itself calls, stored in many resources: no links.
    if product.name() == "webhooks" && path.starts_with("/v1/Accounts/") {
        return None;
    }
    let versioned = path.strip_prefix('/').and_then(|path| path.strip_prefix(API_VERSION));
    if name == Product::API.host() && versioned.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
    {
        return Some(format!("{base}{path}"));
    }
    Some(format!("{base}/{name}{path}"))
}

/// Whether the value of a member is a link, by its name and by what it stands in (OpenAPI 2.6.7, every field whose
/// example is a URL of one of Twilio's API hosts; and those of the 2010 API, which are paths as a rule).
fn is_link(name: &[u8], inside_links: bool, inside_meta: bool) -> bool {
    inside_links
        || matches!(
            name,
            b"url"
                | b"first_page_url"
                | b"next_page_url"
                | b"previous_page_url"
                | b"last_page_url"
                | b"actor_url"
                | b"resource_url"
                | b"inbound_resource_url"
                | b"outbound_resource_url"
                | b"media_url"
                | b"redirect_to"
                | b"uri"
                | b"first_page_uri"
                | b"next_page_uri"
                | b"previous_page_uri"
                | b"last_page_uri"
        )
        || inside_meta && name.ends_with(b"_url")
}

/// Whether everything below a member is links.
fn holds_links(name: &[u8]) -> bool {
    matches!(name, b"links" | b"resource_links" | b"subresource_uris")
}

/// Longest link that is rewritten, in bytes; a longer string passes unchanged. Page tokens stay far below.
const MAX_LINK: usize = 16 * 1024;

/// Rewrites the links of one JSON body as it streams by.
#[derive(Debug)]
pub struct LinkRewriter {
    base: String,
    scanner: Scanner,
    /// The bytes of a link that is not whole yet, from behind its opening quote.
    held: Vec<u8>,
}

impl LinkRewriter {
    /// A rewriter for one body; `base` as for [`inside`].
    pub fn new(base: &str) -> Self {
        Self { base: base.to_owned(), scanner: Scanner::default(), held: Vec::new() }
    }

    /// Takes the next bytes of the body and appends what can be said of them to `out`. At most one link is held back.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        // What passes is copied in one piece, up to the next link.
        let (mut from, mut at) = (0, 0);
        while at < chunk.len() {
            let step = self.scanner.step(&chunk[at..]);
            let bytes: Range<usize> = at..at + step.len();
            at = bytes.end;
            match step {
                Step::Pass(_) => {}
                Step::Link(_) => {
                    out.extend_from_slice(&chunk[from..bytes.start]);
                    self.hold(&chunk[bytes], out);
                    from = at;
                }
                Step::LinkEnd => {
                    out.extend_from_slice(&chunk[from..bytes.start]);
                    self.release(out);
                    from = bytes.start;
                }
            }
        }
        out.extend_from_slice(&chunk[from..]);
    }

    /// The end of the body: whatever is still held passes unchanged.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.held);
    }

    fn hold(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.held.extend_from_slice(bytes);
        if self.held.len() > MAX_LINK {
            self.scanner.forget_link();
            out.append(&mut self.held);
        }
    }

    fn release(&mut self, out: &mut Vec<u8>) {
        match self.rewritten() {
            Some(link) => out.extend_from_slice(link.as_bytes()),
            None => out.extend_from_slice(&self.held),
        }
        self.held.clear();
    }

    /// The held link's new text, without quotes, as JSON.
    fn rewritten(&self) -> Option<String> {
        let raw = std::str::from_utf8(&self.held).ok()?;
        if !raw.contains('\\') {
            return inside(&self.base, raw).map(|link| escaped(&link));
        }
        let text: String = serde_json::from_str(&format!("\"{raw}\"")).ok()?;
        inside(&self.base, &text).map(|link| escaped(&link))
    }
}

/// A JSON string's inside.
fn escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
mod tests;
