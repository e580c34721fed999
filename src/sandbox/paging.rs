//! Lists: the page that is asked for, and the links to its neighbours.
//!
//! Twilio docs and captures: 50 rows by default and at most 1000; tokens are `PA` and the last row's name; the 2010 API
//! links by relative URIs, product APIs by absolute URLs.

use super::address::{Asked, Product};
use super::answer::Answer;
use super::params::Params;
use super::refusal::Refusal;
use super::shelf::Cursor;
use super::sid::Sid;
use crate::twilio::render::{self, Format};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

const DEFAULT_SIZE: usize = 50;
const MAX_SIZE: usize = 1000;

/// Which page.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Its number, from 0.
    pub page: usize,
    /// Most rows on it.
    pub size: usize,
    /// Where it begins.
    pub cursor: Cursor,
}

impl Window {
    /// Reads `PageSize`, `Page` and `PageToken`.
    pub fn read(query: &Params) -> Result<Self, Refusal> {
        let number = |name: &str, fallback: usize| query.get(name).map_or(Ok(fallback), str::parse);
        let Ok(size @ 1..=MAX_SIZE) = number("PageSize", DEFAULT_SIZE) else {
            return Err(Refusal::bad(20007, "Page size must be between 1 and 1000"));
        };
        let page = number("Page", 0).map_err(|_| Refusal::bad(20006, "Page number is invalid"))?;
        let cursor = match query.get("PageToken").filter(|token| !token.is_empty()) {
            None => Cursor::Skip(page.saturating_mul(size)),
            Some(token) => cursor(token).ok_or_else(bad_token)?,
        };
        Ok(Self { page, size, cursor })
    }
}

/// The refusal of a token that no page gave out.
pub fn bad_token() -> Refusal {
    Refusal::bad(21481, "Invalid PageToken")
}

fn cursor(token: &str) -> Option<Cursor> {
    let (kind, sid) = token.split_at_checked(2)?;
    let sid = Sid::parse(sid, sid.get(..2)?)?;
    match kind {
        "PA" => Some(Cursor::After(sid)),
        "PB" => Some(Cursor::Before(sid)),
        _ => None,
    }
}

/// What a list says beside its rows.
#[derive(Debug)]
pub struct List<'a> {
    /// The request.
    pub asked: &'a Asked,
    /// The page.
    pub window: Window,
    /// The key of the rows in JSON.
    pub key: &'static str,
    /// The XML elements of list and row.
    pub tags: (&'static str, &'static str),
    /// CSV's header row.
    pub columns: Vec<&'a str>,
    /// The names of the first and last row.
    pub ends: Option<(Sid, Sid)>,
    /// Whether a next page is there.
    pub more: bool,
}

impl List<'_> {
    /// The answer with these rows.
    pub fn answer<R: Serialize>(&self, rows: &[R]) -> Answer {
        let values = || rows.iter().map(|row| serde_json::to_value(row).unwrap_or_default()).collect::<Vec<Value>>();
        let body = match self.asked.format {
            Format::Json => render::json(&Envelope { list: self, rows }),
            Format::Xml => render::xml_list(self.tags.0, self.tags.1, &self.attributes(), &values()),
            Format::Csv => render::csv(&self.columns, &values()),
        };
        Answer::new(200, self.asked.format, body)
    }

    fn attributes(&self) -> [(&'static str, String); 6] {
        [
            ("page", self.window.page.to_string()),
            ("pagesize", self.window.size.to_string()),
            ("uri", self.here()),
            ("firstpageuri", self.link(0, None)),
            ("previouspageuri", self.previous().unwrap_or_default()),
            ("nextpageuri", self.next().unwrap_or_default()),
        ]
    }

    fn next(&self) -> Option<String> {
        let (_, last) = self.ends?;
        self.more.then(|| self.link(self.window.page + 1, Some(&format!("PA{last}"))))
    }

    fn previous(&self) -> Option<String> {
        let page = self.window.page.checked_sub(1)?;
        let token = self.ends.map(|(first, _)| format!("PB{first}"));
        Some(self.link(page, token.as_deref()))
    }

    /// This page. Documents show it without a query in XML.
    fn here(&self) -> String {
        if self.asked.format == Format::Xml && self.asked.query.pairs().next().is_none() {
            return self.base();
        }
        self.link(self.window.page, self.asked.query.get("PageToken"))
    }

    fn base(&self) -> String {
        let path = &self.asked.path;
        match self.asked.product {
            Product::Api | Product::Unknown => {
                let (stem, _) = Format::of_path(path);
                format!("{stem}{}", self.asked.link_suffix())
            }
            product => format!("https://{}{path}", product.host()),
        }
    }

    fn link(&self, page: usize, token: Option<&str>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let paging = |name: &str| matches!(name, "Page" | "PageSize" | "PageToken");
        query.extend_pairs(self.asked.query.pairs().filter(|(name, _)| !paging(name)));
        let mut numbers = [("PageSize", self.window.size), ("Page", page)];
        if self.asked.format == Format::Xml {
            numbers.reverse(); // as the documents show it
        }
        query.extend_pairs(numbers.iter().map(|(name, number)| (name, number.to_string())));
        query.extend_pairs(token.iter().map(|token| ("PageToken", token)));
        format!("{}?{}", self.base(), query.finish())
    }
}

struct Envelope<'a, R> {
    list: &'a List<'a>,
    rows: &'a [R],
}

impl<R: Serialize> Serialize for Envelope<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { list, rows } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(list.key, rows)?;
        if matches!(list.asked.product, Product::Api | Product::Unknown) {
            let start = list.window.page.saturating_mul(list.window.size);
            map.serialize_entry("first_page_uri", &list.link(0, None))?;
            map.serialize_entry("end", &(start + rows.len().saturating_sub(1)))?;
            map.serialize_entry("previous_page_uri", &list.previous())?;
            map.serialize_entry("uri", &list.here())?;
            map.serialize_entry("page_size", &list.window.size)?;
            map.serialize_entry("start", &start)?;
            map.serialize_entry("next_page_uri", &list.next())?;
            map.serialize_entry("page", &list.window.page)?;
        } else {
            map.serialize_entry("meta", &Meta(list))?;
        }
        map.end()
    }
}

struct Meta<'a>(&'a List<'a>);

impl Serialize for Meta<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(list) = self;
        let mut map = serializer.serialize_map(Some(7))?;
        map.serialize_entry("key", list.key)?;
        map.serialize_entry("page", &list.window.page)?;
        map.serialize_entry("page_size", &list.window.size)?;
        map.serialize_entry("url", &list.here())?;
        map.serialize_entry("first_page_url", &list.link(0, None))?;
        map.serialize_entry("previous_page_url", &list.previous())?;
        map.serialize_entry("next_page_url", &list.next())?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(query: &str) -> Result<Window, u32> {
        Window::read(&Params::of_form(query.as_bytes())).map_err(|refusal| refusal.code)
    }

    #[test]
    fn limits_hold_exactly() {
        assert_eq!(window("").map(|w| (w.page, w.size)), Ok((0, 50)));
        assert_eq!(window("PageSize=1000&Page=2").map(|w| (w.page, w.size)), Ok((2, 1000)));
        for bad in ["PageSize=1001", "PageSize=0", "PageSize=-1", "PageSize=x", "PageSize="] {
            assert_eq!(window(bad).map(|w| w.size), Err(20007), "{bad}");
        }
        assert_eq!(window("Page=-1").map(|w| w.size), Err(20006));
    }

    #[test]
    fn tokens_are_names() {
        let sid = Sid::fresh("SM");
        assert_eq!(window(&format!("PageToken=PA{sid}")).map(|w| w.cursor), Ok(Cursor::After(sid)));
        assert_eq!(window(&format!("PageToken=PB{sid}")).map(|w| w.cursor), Ok(Cursor::Before(sid)));
        for bad in ["x", "PA", "PASM1", "PCSM00000000000000000000000000000000", "P\u{e9}"] {
            assert_eq!(window(&format!("PageToken={bad}")).map(|w| w.size), Err(21481), "{bad}");
        }
    }
}
