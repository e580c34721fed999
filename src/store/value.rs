//! The few kinds of value that both databases share, and rows of them.

use super::error::{Result, StoreError};
use bytes::BytesMut;
use rusqlite::types::{ToSqlOutput, ValueRef};
use std::error::Error;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// A value on its way in or out.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// SQL's null.
    Null,
    /// A 64-bit integer; flags are 0 and 1, times are seconds since the Unix epoch.
    Int(i64),
    /// UTF-8.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// One row of an answer, in the order of the select list.
#[derive(Clone, Debug)]
pub(super) struct Row(pub(super) Vec<Value>);

impl Row {
    /// The integer in column `at`.
    pub(super) fn int(&self, at: usize) -> Result<i64> {
        self.opt_int(at)?.ok_or_else(|| odd(at, "an integer"))
    }

    /// The integer in column `at`, or null.
    pub(super) fn opt_int(&self, at: usize) -> Result<Option<i64>> {
        match self.0.get(at) {
            Some(Value::Int(number)) => Ok(Some(*number)),
            Some(Value::Null) => Ok(None),
            _ => Err(odd(at, "an integer")),
        }
    }

    /// The time in column `at`, in seconds since the Unix epoch.
    pub(super) fn time(&self, at: usize) -> Result<u64> {
        u64::try_from(self.int(at)?).map_err(|_| odd(at, "a time"))
    }

    /// The time in column `at`, or null.
    pub(super) fn opt_time(&self, at: usize) -> Result<Option<u64>> {
        self.opt_int(at)?.map(u64::try_from).transpose().map_err(|_| odd(at, "a time"))
    }

    /// The text in column `at`.
    pub(super) fn text(&self, at: usize) -> Result<&str> {
        self.opt_text(at)?.ok_or_else(|| odd(at, "text"))
    }

    /// The text in column `at`, or null.
    pub(super) fn opt_text(&self, at: usize) -> Result<Option<&str>> {
        match self.0.get(at) {
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(Value::Null) => Ok(None),
            _ => Err(odd(at, "text")),
        }
    }

    /// The bytes in column `at`.
    pub(super) fn blob(&self, at: usize) -> Result<&[u8]> {
        match self.0.get(at) {
            Some(Value::Blob(bytes)) => Ok(bytes),
            _ => Err(odd(at, "bytes")),
        }
    }

    /// The bytes in column `at` as an array of fixed size.
    pub(super) fn array<const N: usize>(&self, at: usize) -> Result<[u8; N]> {
        self.blob(at)?.try_into().map_err(|_| odd(at, "bytes of a fixed length"))
    }
}

fn odd(at: usize, wanted: &str) -> StoreError {
    StoreError::Corrupt(format!("column {at} of a row does not hold {wanted}"))
}

/// A time as the store keeps it.
pub(super) fn time(seconds: u64) -> Value {
    Value::Int(i64::try_from(seconds).unwrap_or(i64::MAX))
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Int(flag.into())
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Blob(bytes.to_vec())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Blob(bytes)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl rusqlite::types::FromSql for Value {
    fn column_result(value: ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        match value {
            ValueRef::Null => Ok(Self::Null),
            ValueRef::Integer(number) => Ok(Self::Int(number)),
            ValueRef::Text(_) => value.as_str().map(Self::from),
            ValueRef::Blob(bytes) => Ok(Self::from(bytes)),
            ValueRef::Real(_) => Err(rusqlite::types::FromSqlError::InvalidType),
        }
    }
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> std::result::Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(number) => number.to_sql(ty, out),
            Self::Text(text) => text.to_sql(ty, out),
            Self::Blob(bytes) => bytes.to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::TEXT | Type::BYTEA)
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> std::result::Result<Self, Box<dyn Error + Sync + Send>> {
        match *ty {
            Type::INT8 => Ok(Self::Int(i64::from_sql(ty, raw)?)),
            Type::TEXT => Ok(Self::Text(String::from_sql(ty, raw)?)),
            Type::BYTEA => Ok(Self::Blob(Vec::from_sql(ty, raw)?)),
            _ => Err(format!("a column of type {ty}").into()),
        }
    }

    fn from_sql_null(_: &Type) -> std::result::Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self::Null)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::TEXT | Type::BYTEA)
    }
}
