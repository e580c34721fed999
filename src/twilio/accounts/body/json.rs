//! Selectors in JSON: every member at every depth, repeated names too.

use super::{MAX_FIELDS, Selectors, Unreadable};
use crate::twilio::accounts::{Kind, Reach};
use crate::twilio::path::is_method_override;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Deepest nesting that is read; Twilio's own bodies have less than ten levels (OpenAPI 2.6.7).
const MAX_DEPTH: usize = 32;

/// Reads a whole JSON text.
pub(super) fn selectors(body: &[u8]) -> Result<Selectors, Unreadable> {
    let mut walk = Walk { found: Vec::new(), left: MAX_FIELDS, too_much: false, overrides: false };
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = Value { walk: &mut walk, kind: None, depth: 0 }.deserialize(&mut reader).and_then(|()| reader.end());
    match read {
        Ok(()) if walk.overrides => Err(Unreadable::MethodOverride),
        Ok(()) => Ok(Selectors(walk.found)),
        Err(_) if walk.too_much => Err(Unreadable::TooMuch),
        Err(_) => Err(Unreadable::Syntax),
    }
}

struct Walk {
    found: Vec<Reach>,
    /// How many more values may come.
    left: usize,
    too_much: bool,
    /// A member at the top asks for another method.
    overrides: bool,
}

/// One value, and the kind of selector whose value it is.
struct Value<'w> {
    walk: &'w mut Walk,
    kind: Option<Kind>,
    depth: usize,
}

impl Value<'_> {
    fn text(&mut self, text: &str) {
        self.walk.found.extend(self.kind.and_then(|kind| kind.reach(text)));
    }

    fn below<E: Error>(&mut self) -> Result<usize, E> {
        if self.depth == MAX_DEPTH {
            self.walk.too_much = true;
            return Err(E::custom("too deep"));
        }
        Ok(self.depth + 1)
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.walk.left == 0 {
            self.walk.too_much = true;
            return Err(D::Error::custom("too many values"));
        }
        self.walk.left -= 1;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(mut self, value: bool) -> Result<(), E> {
        self.text(if value { "true" } else { "false" });
        Ok(())
    }

    fn visit_u64<E>(mut self, value: u64) -> Result<(), E> {
        self.text(itoa::Buffer::new().format(value));
        Ok(())
    }

    fn visit_i64<E>(mut self, value: i64) -> Result<(), E> {
        self.text(itoa::Buffer::new().format(value));
        Ok(())
    }

    fn visit_f64<E>(mut self, value: f64) -> Result<(), E> {
        self.text(&value.to_string());
        Ok(())
    }

    fn visit_str<E>(mut self, value: &str) -> Result<(), E> {
        self.text(value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let (kind, depth) = (self.kind, self.below()?);
        while seq.next_element_seed(Value { walk: self.walk, kind, depth })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let depth = self.below()?;
        // A selector whose value is an object selects nothing that can be relied on.
        self.walk.found.extend(self.kind.map(|_| Reach::Others));
        while let Some(name) = map.next_key::<String>()? {
            let kind = Kind::of(name.bytes());
            self.walk.overrides |= depth == 1 && is_method_override(name.as_bytes());
            map.next_value_seed(Value { walk: self.walk, kind, depth })?;
        }
        Ok(())
    }
}
