//! JSON objects read strictly: a member that appears twice is refused at every depth, since two readers could take
//! different ones.

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::{Map, Value};
use std::fmt;

/// Why a text is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonFault {
    /// Not JSON, not UTF-8, deeper than 128, or not an object.
    Malformed,
    /// A member twice in one object.
    Duplicate,
}

/// Reads one JSON object and nothing after it.
pub(super) fn object(text: &[u8]) -> Result<Map<String, Value>, JsonFault> {
    match serde_json::from_slice(text) {
        Ok(Strict(Value::Object(map))) => Ok(map),
        // The visitor takes every kind of value, so the one fault of data is its own.
        Err(fault) if fault.classify() == Category::Data => Err(JsonFault::Duplicate),
        Ok(_) | Err(_) => Err(JsonFault::Malformed),
    }
}

/// A value whose objects have no duplicates.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate members")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((name, Strict(value))) = members.next_entry::<String, Strict>()? {
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom("duplicate member"));
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn duplicates_are_refused_at_every_depth_and_in_every_spelling() {
        for text in
            [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"{"x":{"a":1,"a":2}}"#, r#"{"x":[{"a":1,"b":2,"a":3}]}"#]
        {
            assert_eq!(object(text.as_bytes()), Err(JsonFault::Duplicate), "{text}");
        }
        assert!(object(br#"{"a":{"a":1},"b":[{"a":1},{"a":2}]}"#).is_ok());
    }

    #[test]
    fn what_is_no_object_is_malformed() {
        let deep = "[".repeat(10_000);
        for text in ["", "1", "[]", "null", "{", r#"{"a":1}x"#, r#"{"a":1}{"#, "{\"a\":\"\u{7f}\0\"}", &deep] {
            assert_eq!(object(text.as_bytes()), Err(JsonFault::Malformed), "{text:.20}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}"), Err(JsonFault::Malformed));
    }

    proptest! {
        /// Where there is no duplicate, the strict reader reads what serde_json reads.
        #[test]
        fn agrees_with_the_plain_reader(text in r#"[\{\}\[\]",:a-c0-9.\\u e-]{0,40}"#) {
            if let Ok(map) = object(text.as_bytes()) {
                let plain: Value = serde_json::from_str(&text).expect("the strict reader took it");
                prop_assert_eq!(Value::Object(map), plain);
            }
        }
    }
}
