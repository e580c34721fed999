//! Filters: what a list's query asks for.

use super::address::Asked;
use super::refusal::Refusal;
use super::resource::{Cell, Constant, Filter, Resource, Row, Source, Test};
use super::time;

/// What a list's query asks for.
pub struct Wanted<'a> {
    resource: &'static Resource,
    tests: Vec<(&'static Filter, Bound, &'a str)>,
    view: Option<(&'static str, &'static str)>,
}

#[derive(Clone, Copy)]
enum Bound {
    At,
    Before(i64),
    After(i64),
    Within(i64, i64),
}

impl<'a> Wanted<'a> {
    /// Reads the query. `view` is a field and the value that it must have.
    pub fn read(
        resource: &'static Resource,
        asked: &'a Asked,
        view: Option<(&'static str, &'static str)>,
    ) -> Result<Self, Refusal> {
        let mut tests = Vec::new();
        for filter in resource.filters {
            for (name, value) in asked.query.pairs().filter(|(_, value)| !value.is_empty()) {
                let Some(relation) = name.strip_prefix(filter.param) else { continue };
                let bound = match (filter.test, relation) {
                    (Test::Same | Test::Number, "") => Bound::At,
                    (Test::Time, "" | "<" | ">") => {
                        let (from, to) = time::span(value).ok_or_else(|| Refusal::invalid(name))?;
                        match relation {
                            "<" => Bound::Before(to),
                            ">" => Bound::After(from),
                            _ => Bound::Within(from, to),
                        }
                    }
                    _ => continue,
                };
                tests.push((filter, bound, value));
            }
        }
        Ok(Self { resource, tests, view })
    }

    /// Whether the list has this row.
    pub fn keeps(&self, row: &Row) -> bool {
        let field = |name: &str| self.resource.fields.iter().find(|field| field.name == name);
        let text = |name: &str| match (self.resource.slot(name), field(name).map(|field| &field.source)) {
            (Some(slot), _) => row.cells[slot].as_text(),
            (None, Some(Source::Fixed(Constant::Text(text)))) => Some(*text),
            _ => None,
        };
        let time = |name: &str| match (self.resource.slot(name), field(name).map(|field| &field.source)) {
            (Some(slot), _) => {
                if let Cell::Time(time) = row.cells[slot] {
                    Some(time)
                } else {
                    None
                }
            }
            (None, Some(Source::Created)) => Some(row.created),
            _ => None,
        };
        let passes = |(filter, bound, value): &(&Filter, Bound, &str)| match *bound {
            Bound::At if filter.test == Test::Number => text(filter.field).is_some_and(|number| dials(number, value)),
            Bound::At => text(filter.field) == Some(*value),
            Bound::Before(to) => time(filter.field).is_some_and(|at| at <= to),
            Bound::After(from) => time(filter.field).is_some_and(|at| at >= from),
            Bound::Within(from, to) => time(filter.field).is_some_and(|at| (from..=to).contains(&at)),
        };
        self.tests.iter().all(passes) && self.view.is_none_or(|(name, value)| text(name) == Some(value))
    }
}

/// Whether the number has the pattern in it; `*` is any digit.
fn dials(number: &str, pattern: &str) -> bool {
    let digits = |text: &str| text.bytes().filter(|b| b.is_ascii_digit() || *b == b'*').collect::<Vec<u8>>();
    let (number, pattern) = (digits(number), digits(pattern));
    pattern.is_empty()
        || number.windows(pattern.len()).any(|part| part.iter().zip(&pattern).all(|(a, b)| a == b || *b == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_found_anywhere_in_the_number() {
        assert!(dials("+15017122661", "+15017122661") && dials("+15017122661", "501") && dials("+15017122661", "*"));
        assert!(dials("+15017122661", "5*17") && !dials("+15017122661", "5*18") && !dials("+1501", "+15017122661"));
    }
}
