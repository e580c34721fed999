//! A row as its table shows it, written field by field into any format.

use super::address::Product;
use super::resource::{Cell, Constant, Resource, Row, Source};
use super::sid::Sid;
use super::state::ShelfId;
use super::time;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

/// A row as its table shows it.
pub struct View<'a> {
    /// The table.
    pub resource: &'static Resource,
    /// Whose it is.
    pub id: ShelfId,
    /// The row.
    pub row: &'a Row,
    /// The collection's address, without a suffix.
    pub base: &'a str,
    /// What links end in.
    pub suffix: &'static str,
}

impl Serialize for View<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut cells = self.row.cells.iter();
        let mut map = serializer.serialize_map(Some(self.resource.fields.len()))?;
        for field in self.resource.fields {
            let name = field.name;
            match &field.source {
                Source::Sid => map.serialize_entry(name, self.row.sid.as_str())?,
                Source::Account => map.serialize_entry(name, self.id.account.as_str())?,
                Source::Parent => map.serialize_entry(name, &self.id.parent.as_ref().map(Sid::as_str))?,
                Source::Created => map.serialize_entry(name, &self.date(self.row.created))?,
                Source::Updated => map.serialize_entry(name, &self.date(self.row.updated))?,
                Source::Link => {
                    map.serialize_entry(name, &format!("{}/{}{}", self.base, self.row.sid, self.suffix))?;
                }
                Source::Links(links) => map.serialize_entry(name, &Links { view: self, links })?,
                Source::Fixed(constant) => map.serialize_entry(name, constant)?,
                Source::Given(..) | Source::Kept(_) => match cells.next() {
                    Some(Cell::Text(text)) => map.serialize_entry(name, text)?,
                    Some(Cell::Number(number)) => map.serialize_entry(name, number)?,
                    Some(Cell::Flag(flag)) => map.serialize_entry(name, flag)?,
                    Some(Cell::Time(time)) => map.serialize_entry(name, &self.date(*time))?,
                    Some(Cell::Json(value)) => map.serialize_entry(name, value)?,
                    Some(Cell::Constant(constant)) => map.serialize_entry(name, constant)?,
                    None => map.serialize_entry(name, &())?,
                },
            }
        }
        map.end()
    }
}

impl View<'_> {
    fn date(&self, seconds: i64) -> String {
        if self.resource.product == Product::Api { time::rfc2822(seconds) } else { time::iso8601(seconds) }
    }
}

struct Links<'a> {
    view: &'a View<'a>,
    links: &'static [(&'static str, &'static str)],
}

impl Serialize for Links<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let View { base, row, suffix, .. } = self.view;
        let links = self.links.iter().map(|(name, path)| (name, format!("{base}/{}/{path}{suffix}", row.sid)));
        serializer.collect_map(links)
    }
}

impl Serialize for Constant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.serialize_i64(*number),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            // The tables' JSON is checked by a test.
            Self::Json(text) => serde_json::from_str::<Value>(text).unwrap_or_default().serialize(serializer),
        }
    }
}
