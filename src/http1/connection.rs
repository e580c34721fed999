//! What `Connection` lines say of other fields.

use super::head::Field;
use crate::headers;

/// The fields that `Connection` lines name: they end at this hop (RFC 9110 §7.6.1). A list header may stand on several
/// lines, and all of them count.
#[derive(Clone, Copy, Debug)]
pub struct Named<'h, 'b> {
    /// `None` on the common path: no line names more than the connection's own fate.
    fields: Option<&'h [Field<'b>]>,
}

impl<'h, 'b> Named<'h, 'b> {
    /// Looks at all fields of a head.
    pub fn of(fields: &'h [Field<'b>]) -> Self {
        // `TE` never crosses anyhow.
        let plain = |token: &[u8]| {
            [&b"close"[..], b"keep-alive", b"te"].into_iter().any(|plain| token.eq_ignore_ascii_case(plain))
        };
        // Nearly every line is one plain word.
        let more = lines(fields).any(|value| !plain(value) && !headers::tokens(value).all(plain));
        Self { fields: more.then_some(fields) }
    }

    /// Whether any field is named at all.
    pub const fn any(&self) -> bool {
        self.fields.is_some()
    }

    /// Whether this field ends here. What says how a body is to be read never does: a body must not be judged as one
    /// type and read as another.
    pub fn has(&self, name: &str) -> bool {
        let describes = || headers::is(name, b"content-type") || headers::is(name, b"content-encoding");
        self.fields.is_some_and(|fields| lines(fields).any(|value| headers::names(value, name)) && !describes())
    }
}

fn lines<'b>(fields: &[Field<'b>]) -> impl Iterator<Item = &'b [u8]> {
    fields.iter().filter(|field| headers::is(field.name, b"connection")).map(|field| field.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_counts_and_a_body_keeps_its_type() {
        let fields = [("Connection", "close, X-One"), ("X", "y"), ("connection", "x-two , Content-Type")];
        let fields = fields.map(|(name, value)| Field { name, value: value.as_bytes() });
        let named = Named::of(&fields);
        assert!(named.has("x-one") && named.has("X-Two"));
        assert!(!named.has("x") && !named.has("content-type"));
        assert!(named.any() && !Named::of(&fields[1..2]).any());
        assert!(!Named::of(&fields[1..2]).has("x-one"));
    }
}
