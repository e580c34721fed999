//! How a resource is described: one table each, read by one engine.

use super::address::Product;
use super::params::Params;
use super::refusal::Refusal;
use super::sid::Sid;
use serde_json::Value;

/// One kind of thing that Twilio keeps: its address, its fields, and what may be done to it.
#[derive(Debug)]
pub struct Resource {
    /// Names the collection in the state: `api/Messages`.
    pub id: &'static str,
    /// The host.
    pub product: Product,
    /// The path's first segment: `2010-04-01`, `v1`.
    pub version: &'static str,
    /// The segments from the version (on api: from the account) to the collection; `*` stands for the parent.
    pub path: &'static [&'static str],
    /// What `*` stands for.
    pub parent: Option<&'static Resource>,
    /// The ids of the collections below its rows.
    pub children: &'static [&'static str],
    /// The rows' key in a JSON list.
    pub key: &'static str,
    /// The XML elements of a list and of a row.
    pub tags: (&'static str, &'static str),
    /// The two letters of its names.
    pub prefix: &'static str,
    /// Other prefixes that its names may have.
    pub more_prefixes: &'static [&'static str],
    /// A field by which a row can be addressed as well, and the code and message for a second row of the same.
    pub alias: Option<Alias>,
    /// A Restricted key needs `/twilio/` + this + the action.
    pub permission: &'static str,
    /// What may be done.
    pub verbs: Verbs,
    /// In the order of the answer.
    pub fields: &'static [Field],
    /// Parameters without which there is no creation.
    pub required: &'static [&'static str],
    /// Query parameters of the list.
    pub filters: &'static [Filter],
    /// Segments after the collection that narrow it: segment, field, value.
    pub views: &'static [(&'static str, &'static str, &'static str)],
    /// Rules of its own.
    pub rules: Rules,
}

/// A second name for rows.
#[derive(Debug)]
pub struct Alias {
    /// The field that holds it.
    pub field: &'static str,
    /// The error code of a second row of this name: 409.
    pub taken: u32,
    /// And its message.
    pub message: &'static str,
}

/// What may be done to a resource; everything else is 405.
#[derive(Clone, Copy, Debug)]
pub struct Verbs {
    /// POST to the collection.
    pub create: bool,
    /// POST to one.
    pub update: bool,
    /// DELETE of one.
    pub delete: bool,
}

impl Verbs {
    /// List, fetch, create, update and delete.
    pub const ALL: Self = Self { create: true, update: true, delete: true };
}

/// Where the rules of one resource differ from the table's.
#[derive(Debug)]
pub struct Rules {
    /// Checks and completes a new row.
    pub create: fn(&mut Draft<'_>) -> Result<(), Refusal>,
    /// Checks and completes a change.
    pub update: fn(&mut Draft<'_>) -> Result<(), Refusal>,
    /// What has happened to a new row by the time that anybody asks again.
    pub settle: fn(&mut Draft<'_>),
    /// What a row can't be without.
    pub refers: Option<Reference>,
}

/// A parameter that must name a row of another table.
#[derive(Debug)]
pub struct Reference {
    /// Its name.
    pub param: &'static str,
    /// The table: one without a parent.
    pub to: &'static Resource,
    /// The error code where there is no such row: 400.
    pub missing: u32,
    /// And its message.
    pub message: &'static str,
}

impl Rules {
    /// None but the table's.
    pub const PLAIN: Self = Self { create: |_| Ok(()), update: |_| Ok(()), settle: |_| {}, refers: None };
}

/// A field of the answer.
#[derive(Debug)]
pub struct Field {
    /// `snake_case`, as in JSON.
    pub name: &'static str,
    /// Where its value comes from.
    pub source: Source,
}

/// Shorthand for the tables.
pub const fn field(name: &'static str, source: Source) -> Field {
    Field { name, source }
}

/// Where a field's value comes from.
#[derive(Debug)]
pub enum Source {
    /// The row's own name.
    Sid,
    /// The account's.
    Account,
    /// The parent's.
    Parent,
    /// When it was made.
    Created,
    /// When it was last changed.
    Updated,
    /// Its address: relative on api, absolute elsewhere.
    Link,
    /// Addresses below its own: name and segment.
    Links(&'static [(&'static str, &'static str)]),
    /// Always this.
    Fixed(Constant),
    /// A parameter of create and update, and its value when none came.
    Given(&'static str, Kind, Constant),
    /// Set by the resource's rules; until then this.
    Kept(Constant),
}

impl Source {
    const fn is_kept(&self) -> bool {
        matches!(self, Self::Given(..) | Self::Kept(_))
    }
}

/// How a parameter is read.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Text of at most so many characters.
    Text(usize),
    /// A whole number.
    Number,
    /// `true` or `false`, in any case.
    Flag,
    /// JSON.
    Json,
}

/// A value that a table can hold.
#[derive(Clone, Copy, Debug)]
pub enum Constant {
    /// `null`
    Null,
    /// Text.
    Text(&'static str),
    /// A number.
    Number(i64),
    /// `true` or `false`.
    Flag(bool),
    /// Anything, as JSON text.
    Json(&'static str),
}

/// A query parameter of a list.
#[derive(Debug)]
pub struct Filter {
    /// Its name.
    pub param: &'static str,
    /// What it looks at.
    pub field: &'static str,
    /// How.
    pub test: Test,
}

/// Shorthand for the tables.
pub const fn filter(param: &'static str, field: &'static str, test: Test) -> Filter {
    Filter { param, field, test }
}

/// How a filter looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// The same text.
    Same,
    /// A phone number's part, `*` for any digit.
    Number,
    /// A time; `Param<` and `Param>` are queries too.
    Time,
}

/// One value of a row.
#[derive(Clone, Debug)]
pub enum Cell {
    /// From the table.
    Constant(Constant),
    /// Text.
    Text(Box<str>),
    /// A number.
    Number(i64),
    /// `true` or `false`.
    Flag(bool),
    /// Unix seconds, written as the product writes dates.
    Time(i64),
    /// Anything else.
    Json(Box<Value>),
}

impl Cell {
    /// A cell of text.
    pub fn text(text: impl Into<Box<str>>) -> Self {
        Self::Text(text.into())
    }

    /// Its text, where it is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Constant(Constant::Text(text)) => Some(text),
            _ => None,
        }
    }
}

/// A row: the cells of the fields that are kept, in the table's order.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name.
    pub sid: Sid,
    /// Unix seconds.
    pub created: i64,
    /// Unix seconds.
    pub updated: i64,
    /// One for each [`Source::Given`] and [`Source::Kept`].
    pub cells: Box<[Cell]>,
}

impl Resource {
    /// Which cell holds this field.
    pub fn slot(&self, name: &str) -> Option<usize> {
        self.fields.iter().filter(|field| field.source.is_kept()).position(|field| field.name == name)
    }

    /// Whether the text is a name that its rows could have.
    pub fn sid(&self, text: &str) -> Option<Sid> {
        let prefixes = std::iter::once(&self.prefix).chain(self.more_prefixes);
        prefixes.into_iter().find_map(|prefix| Sid::parse(text, prefix))
    }

    /// The cells of a row to which nothing was given.
    pub fn blank(&self) -> Box<[Cell]> {
        let constants = self.fields.iter().filter_map(|field| match field.source {
            Source::Given(_, _, constant) | Source::Kept(constant) => Some(Cell::Constant(constant)),
            _ => None,
        });
        constants.collect()
    }
}

/// A row being made or changed, as the rules see it.
#[derive(Debug)]
pub struct Draft<'a> {
    /// What it is.
    pub resource: &'static Resource,
    /// What came with the request.
    pub params: &'a Params,
    /// Unix seconds.
    pub now: i64,
    /// The two letters of its name.
    pub prefix: &'static str,
    /// Its cells.
    pub cells: Box<[Cell]>,
    /// Rows to put below it.
    pub children: Vec<(&'static Resource, Box<[Cell]>)>,
}

impl Draft<'_> {
    /// Sets a field. The tables name it, so an unknown name is a mistake of ours.
    pub fn put(&mut self, name: &str, cell: Cell) {
        let slot = self.resource.slot(name);
        debug_assert!(slot.is_some(), "{} keeps no field {name}", self.resource.id);
        if let Some(slot) = slot {
            self.cells[slot] = cell;
        }
    }

    /// A field's text.
    pub fn peek(&self, name: &str) -> Option<&str> {
        self.cells[self.resource.slot(name)?].as_text()
    }

    /// A parameter that is there and not empty.
    pub fn given(&self, param: &str) -> Option<&str> {
        self.params.get(param).filter(|value| !value.is_empty())
    }

    /// Takes the parameters that the table names.
    pub fn take_given(&mut self) -> Result<(), Refusal> {
        let mut slot = 0;
        for field in self.resource.fields {
            if let Source::Given(param, kind, _) = field.source
                && let Some(text) = self.params.get(param)
            {
                self.cells[slot] = kind.read(param, text)?;
            }
            slot += usize::from(field.source.is_kept());
        }
        Ok(())
    }
}

impl Kind {
    fn read(self, param: &str, text: &str) -> Result<Cell, Refusal> {
        let invalid = || Refusal::invalid(param);
        match self {
            Self::Text(most) if text.chars().count() > most => {
                Err(Refusal::bad(20001, format!("{param} must be at most {most} characters")))
            }
            Self::Text(_) => Ok(Cell::text(text)),
            Self::Number => text.parse().map(Cell::Number).map_err(|_| invalid()),
            Self::Flag if text.eq_ignore_ascii_case("true") => Ok(Cell::Flag(true)),
            Self::Flag if text.eq_ignore_ascii_case("false") => Ok(Cell::Flag(false)),
            Self::Flag => Err(invalid()),
            Self::Json => serde_json::from_str(text).map(|value| Cell::Json(Box::new(value))).map_err(|_| invalid()),
        }
    }
}
