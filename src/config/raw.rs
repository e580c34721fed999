//! The file as it is written: tables and values that remember their lines.
//!
//! A derived reader stops at the first wrong value. This one goes on, so that all faults are reported at once: a
//! [`Section`] hands each value to a reader, notes what the reader says is wrong, and at [`Section::finish`] every name
//! that nobody asked for is a fault too.

use super::environment::Environment;
use super::fault::{Fault, nearest};
use std::cell::RefCell;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// Why a value is refused, and what to write instead. Never repeats the value.
#[derive(Debug)]
pub(super) struct Wrong {
    pub what: String,
    pub mend: String,
}

impl Wrong {
    pub(super) fn new(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { what: what.into(), mend: mend.into() }
    }
}

/// What one reading of a file gathers.
pub(super) struct Gather<'a> {
    file: &'a Path,
    newlines: Vec<usize>,
    /// Where `env:` references are looked up.
    pub environment: &'a dyn Environment,
    /// Faults so far.
    pub faults: RefCell<Vec<Fault>>,
    /// Warnings so far.
    pub warnings: RefCell<Vec<Fault>>,
    /// Files read so far.
    pub sources: RefCell<Vec<PathBuf>>,
}

impl<'a> Gather<'a> {
    pub(super) fn new(text: &str, file: &'a Path, environment: &'a dyn Environment) -> Self {
        Self {
            file,
            newlines: memchr::memchr_iter(b'\n', text.as_bytes()).collect(),
            environment,
            faults: RefCell::default(),
            warnings: RefCell::default(),
            sources: RefCell::new(vec![file.to_owned()]),
        }
    }

    /// Notes a fault at a byte offset of the text.
    pub(super) fn fault(&self, at: &str, offset: Option<usize>, wrong: Wrong) {
        self.faults.borrow_mut().push(self.note(at, offset, wrong));
    }

    /// Notes something unwise.
    pub(super) fn warn(&self, at: &str, offset: Option<usize>, wrong: Wrong) {
        self.warnings.borrow_mut().push(self.note(at, offset, wrong));
    }

    fn note(&self, at: &str, offset: Option<usize>, Wrong { what, mend }: Wrong) -> Fault {
        let line = offset.map(|offset| self.newlines.partition_point(|newline| *newline < offset) + 1);
        Fault { file: self.file.to_owned(), line, at: at.to_owned(), what, mend }
    }

    /// A path as the file means it: relative to the file's own folder.
    pub(super) fn path(&self, text: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(text)
    }
}

/// One value with its name and place.
pub(super) struct Entry<'a, 'd> {
    pub gather: &'a Gather<'a>,
    pub at: String,
    pub value: &'a DeValue<'d>,
    pub span: Range<usize>,
}

impl<'a> Entry<'a, '_> {
    /// The value as text, or what is wrong with it.
    pub(super) fn text(&self, mend: &str) -> Result<&'a str, Wrong> {
        self.value.as_str().ok_or_else(|| Wrong::new(format!("is {}, not a string", a_kind(self.value)), mend))
    }

    pub(super) fn fault(&self, wrong: Wrong) {
        self.gather.fault(&self.at, Some(self.span.start), wrong);
    }

    pub(super) fn warn(&self, wrong: Wrong) {
        self.gather.warn(&self.at, Some(self.span.start), wrong);
    }
}

/// One table, and which of its names have been asked for.
pub(super) struct Section<'a, 'd> {
    pub gather: &'a Gather<'a>,
    pub at: String,
    pub offset: Option<usize>,
    table: &'a DeTable<'d>,
    known: Vec<&'static str>,
}

impl<'a, 'd> Section<'a, 'd> {
    pub(super) fn new(gather: &'a Gather<'a>, at: String, offset: Option<usize>, table: &'a DeTable<'d>) -> Self {
        Self { gather, at, offset, table, known: Vec::new() }
    }

    /// The value of `name` as `read` understands it; `None` if it is absent or was noted as a fault.
    pub(super) fn get<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Entry<'a, 'd>) -> Result<T, Wrong>,
    ) -> Option<T> {
        let entry = self.entry(name)?;
        read(&entry).map_err(|wrong| entry.fault(wrong)).ok()
    }

    /// Like [`Section::get`], with a value for a name that is absent.
    pub(super) fn or<T>(
        &mut self,
        name: &'static str,
        absent: T,
        read: impl FnOnce(&Entry<'a, 'd>) -> Result<T, Wrong>,
    ) -> T {
        self.get(name, read).unwrap_or(absent)
    }

    /// Like [`Section::get`]; an absent name is a fault too.
    pub(super) fn need<T>(
        &mut self,
        name: &'static str,
        mend: &str,
        read: impl FnOnce(&Entry<'a, 'd>) -> Result<T, Wrong>,
    ) -> Option<T> {
        if self.has(name) {
            return self.get(name, read);
        }
        self.known.push(name);
        self.fault(Wrong::new(format!("`{name}` is missing"), mend));
        None
    }

    /// The items of the array `name`, each with its own fault; empty if it is absent.
    pub(super) fn list<T>(
        &mut self,
        name: &'static str,
        mend: &str,
        read: impl Fn(&Entry<'a, 'd>) -> Result<T, Wrong>,
    ) -> Vec<T> {
        let Some(entry) = self.entry(name) else { return Vec::new() };
        let Some(items) = entry.value.as_array() else {
            entry.fault(Wrong::new(format!("is {}, not an array", a_kind(entry.value)), mend));
            return Vec::new();
        };
        let item = |value: &'a toml::Spanned<DeValue<'d>>| {
            let entry = Entry { gather: self.gather, at: entry.at.clone(), value: value.get_ref(), span: value.span() };
            read(&entry).map_err(|wrong| entry.fault(wrong)).ok()
        };
        items.iter().filter_map(item).collect()
    }

    /// The table `name`, if it is there.
    pub(super) fn section(&mut self, name: &'static str) -> Option<Section<'a, 'd>> {
        let entry = self.entry(name)?;
        let Some(table) = entry.value.as_table() else {
            let mend = format!("write it as a table: [{}]", entry.at);
            entry.fault(Wrong::new(format!("is {}, not a table", a_kind(entry.value)), mend));
            return None;
        };
        Some(Section::new(self.gather, entry.at, Some(entry.span.start), table))
    }

    /// The tables of the array `name`, in the file's order.
    pub(super) fn sections(&mut self, name: &'static str) -> Vec<Section<'a, 'd>> {
        let Some(entry) = self.entry(name) else { return Vec::new() };
        let mend = format!("write each as a table: [[{}]]", entry.at);
        let Some(items) = entry.value.as_array() else {
            entry.fault(Wrong::new(format!("is {}, not an array of tables", a_kind(entry.value)), mend));
            return Vec::new();
        };
        let mut sections = Vec::new();
        for item in items {
            match item.get_ref().as_table() {
                Some(table) => {
                    let offset = Some(item.span().start);
                    sections.push(Section::new(self.gather, entry.at.clone(), offset, table));
                }
                None => entry.fault(Wrong::new("holds something that is not a table", mend.clone())),
            }
        }
        sections
    }

    /// Every name and value, for tables whose names are the operator's.
    pub(super) fn entries(&self) -> Vec<(&'a str, Entry<'a, 'd>)> {
        let entry = |(key, value): (&'a toml::Spanned<toml::de::DeString<'d>>, &'a toml::Spanned<DeValue<'d>>)| {
            let at = self.at.clone();
            let entry = Entry { gather: self.gather, at, value: value.get_ref(), span: value.span() };
            (key.get_ref().as_ref(), entry)
        };
        self.table.iter().map(entry).collect()
    }

    /// Whether the file gives `name`, right or wrong.
    pub(super) fn has(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    /// Notes a fault of the table as a whole.
    pub(super) fn fault(&self, wrong: Wrong) {
        self.gather.fault(&self.at, self.offset, wrong);
    }

    /// Notes something unwise about the table as a whole.
    pub(super) fn warn(&self, wrong: Wrong) {
        self.gather.warn(&self.at, self.offset, wrong);
    }

    /// Whether the file gives `name` as an empty array.
    pub(super) fn has_empty(&self, name: &str) -> bool {
        let array = self.table.get(name).and_then(|value| value.get_ref().as_array());
        array.is_some_and(|array| array.is_empty())
    }

    /// Whether the file gives `name` in the table `inner`, right or wrong.
    pub(super) fn has_in(&self, inner: &str, name: &str) -> bool {
        let table = self.table.get(inner).and_then(|value| value.get_ref().as_table());
        table.is_some_and(|table| table.contains_key(name))
    }

    /// Notes a fault of the table `inner` as a whole.
    pub(super) fn fault_at(&self, inner: &str, what: &str, mend: &str) {
        self.gather.fault(inner, self.offset_of(inner), Wrong::new(what, mend));
    }

    /// Notes something unwise about the table `inner` as a whole.
    pub(super) fn warn_at(&self, inner: &str, what: &str, mend: &str) {
        self.gather.warn(inner, self.offset_of(inner), Wrong::new(what, mend));
    }

    fn offset_of(&self, inner: &str) -> Option<usize> {
        self.table.get(inner).map(|value| value.span().start)
    }

    /// Notes every name that nobody asked for.
    pub(super) fn finish(self) {
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if self.known.contains(&name) {
                continue;
            }
            let mend = match nearest(name, self.known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", self.known.join(", ")),
            };
            let wrong = Wrong::new(format!("unknown name `{}`", name.escape_debug()), mend);
            self.gather.fault(&self.at, Some(key.span().start), wrong);
        }
    }

    fn entry(&mut self, name: &'static str) -> Option<Entry<'a, 'd>> {
        self.known.push(name);
        let value = self.table.get(name)?;
        let at = if self.at.is_empty() { name.to_owned() } else { format!("{}.{name}", self.at) };
        Some(Entry { gather: self.gather, at, value: value.get_ref(), span: value.span() })
    }
}

/// The kind of a value in words.
fn a_kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
