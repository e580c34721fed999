//! Which accounts a request reaches: those its path names, and those that selectors in its query or body name.
//!
//! The name of a selector is compared without case and separators, so that `AccountSid`, `account_sid` and
//! `ACCOUNTSID[]` are one. The unsafe mistake is to miss one, so a value that is no account SID counts as another account.

use super::address::Address;
use super::host::Product;
use super::path::CanonicalPath;
use crate::ids::AccountSid;
use percent_encoding::percent_decode;
use std::borrow::Cow;

mod body;
pub use body::{Selectors, Unreadable, inspect_body};

/// What a path or a selector reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// One account.
    Account(AccountSid),
    /// Accounts that are not named, or not in a way that can be relied on.
    Others,
}

/// Whether an operation is about the account that its selector names, and not about the credential's own: Twilio requires
/// the selector there (Twilio docs, key-resource-v1: "missing" is error 20001), so that one that is misspelled does nothing.
/// Elsewhere a selector moves an asset, narrows a list, or is passed over.
pub fn is_about_selected(operation: &str) -> bool {
    matches!(operation, "iam:Keys:list" | "iam:Keys:create")
}

/// The account that the path of the 2010 API is about, if it names one properly.
pub fn of_path(address: &Address<'_>, path: &CanonicalPath<'_>) -> Option<AccountSid> {
    if address.product() != Product::API {
        return None;
    }
    let raw = path.segment(address.skip() + 2)?.raw();
    AccountSid::parse(raw.get(..34)?).filter(|_| raw.len() == 34 || raw.as_bytes()[34] == b'.')
}

/// The first thing in the path that `allowed` does not hold for; `account` is [`of_path`]'s.
pub fn path_leaves(
    address: &Address<'_>,
    path: &CanonicalPath<'_>,
    account: Option<AccountSid>,
    allowed: impl Fn(&AccountSid) -> bool,
) -> Option<Reach> {
    let skip = address.skip();
    let below_account = address.product() == Product::API && path.len() > skip + 3;
    (skip..path.len()).find_map(|index| {
        let segment = path.segment(index)?;
        let reach = if below_account && index == skip + 2 {
            // What lies below an account is reached through exactly its SID, or not at all.
            let exact = account.filter(|_| segment.raw().len() == 34);
            Some(exact.map_or(Reach::Others, Reach::Account))
        } else if could_hold_account(segment.raw()) {
            named_in(&segment.decoded())
        } else {
            None
        };
        reach.filter(|reach| !is_allowed(*reach, &allowed))
    })
}

/// Whether an account SID can be found in a raw segment: the quick no for nearly all.
fn could_hold_account(raw: &str) -> bool {
    let leads = |first: u8| matches!(first, b'A' | b'a') || !first.is_ascii_alphanumeric();
    raw.len() >= 34 && leads(raw.as_bytes()[0])
}

/// The first selector in a query that `allowed` does not hold for, and its name as it was sent.
pub fn query_leaves(query: &str, allowed: impl Fn(&AccountSid) -> bool) -> Option<(&str, Reach)> {
    pairs(query.as_bytes()).find_map(|(name, value)| {
        let reach = selected(name, value).filter(|reach| !is_allowed(*reach, &allowed))?;
        Some((std::str::from_utf8(name).unwrap_or_default(), reach))
    })
}

fn is_allowed(reach: Reach, allowed: &impl Fn(&AccountSid) -> bool) -> bool {
    match reach {
        Reach::Account(sid) => allowed(&sid),
        Reach::Others => false,
    }
}

/// An account SID that a decoded segment holds, with whatever stands around it.
fn named_in(decoded: &str) -> Option<Reach> {
    let run = decoded.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let end = run.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(run.len());
    let run = &run[..end];
    let shaped = run.len() == 34
        && run.as_bytes()[..2].eq_ignore_ascii_case(b"AC")
        && run.as_bytes()[2..].iter().all(u8::is_ascii_hexdigit);
    shaped.then(|| AccountSid::parse(run).map_or(Reach::Others, Reach::Account))
}

/// The pairs of a form or query. Some readers cut at `;` too, so this does.
fn pairs(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut start = 0;
    memchr::memchr2_iter(b'&', b';', text).chain([text.len()]).map(move |end| {
        let pair = &text[start..end];
        start = end + 1;
        let at = memchr::memchr(b'=', pair).unwrap_or(pair.len());
        (&pair[..at], pair.get(at + 1..).unwrap_or_default())
    })
}

/// What a form or query pair selects, if its name is a selector's. Both as sent, percent-encoded.
fn selected(name: &[u8], value: &[u8]) -> Option<Reach> {
    // The shortest selector is `Subaccount`: nearly every other name ends here.
    if name.len() < 10 {
        return None;
    }
    let kind = Kind::of(percent_decode(name)).or_else(|| encoded_again(name))?;
    kind.reach(&percent_decode(value).decode_utf8_lossy())
}

/// The kind of a name that becomes a selector's when it is decoded more than once.
fn encoded_again(name: &[u8]) -> Option<Kind> {
    /// More layers than anybody has by accident; what has more is taken for a selector.
    const MAX_LAYERS: usize = 4;
    let mut name = Cow::Borrowed(name);
    for _ in 0..MAX_LAYERS {
        // Only an encoded `%` can become one.
        if !name.windows(3).any(|escape| escape == b"%25") {
            return None;
        }
        name = Cow::Owned(percent_decode(&name).collect());
        let kind = Kind::of(percent_decode(&name));
        if kind.is_some() {
            return kind;
        }
    }
    Some(Kind::Account)
}

/// What a selector's value says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// An account SID.
    Account,
    /// Whether subaccounts count too.
    Include,
}

impl Kind {
    /// The kind of selector that a name's decoded bytes are, in any case, with any separators.
    fn of(name: impl Iterator<Item = u8> + Clone) -> Option<Self> {
        if name.clone().all(|byte| byte.is_ascii()) {
            return Self::of_ascii(name);
        }
        // Letters that become ASCII in some case (`ſ`, the Kelvin sign) are what they become.
        let text: Vec<u8> = name.collect();
        let text = String::from_utf8_lossy(&text);
        let folded: String = text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect();
        Self::of_ascii(folded.bytes())
    }

    fn of_ascii(name: impl Iterator<Item = u8> + Clone) -> Option<Self> {
        let cuts = |byte: &u8| matches!(byte, b'[' | b'.');
        let whole = Self::of_part(name.clone());
        if whole.is_some() || !name.clone().any(|byte| cuts(&byte)) {
            return whole;
        }
        // `AccountSid[a]` and `AccountSid.a`, as some readers take them apart.
        let name: Vec<u8> = name.collect();
        name.split(cuts).find_map(|part| Self::of_part(part.iter().copied()))
    }

    fn of_part(name: impl Iterator<Item = u8>) -> Option<Self> {
        const LONGEST: usize = 64;
        let mut bare = [0; LONGEST];
        let mut len = 0;
        for byte in name.filter(u8::is_ascii_alphanumeric) {
            if len == LONGEST {
                // The end decides, so what is far before it may go.
                bare.copy_within(LONGEST / 2.., 0);
                len = LONGEST / 2;
            }
            bare[len] = byte.to_ascii_lowercase();
            len += 1;
        }
        // `AccountSid[0]` is one too.
        let end = bare[..len].iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |last| last + 1);
        let bare = &bare[..end];
        let ends = |tails: &[&[u8]]| tails.iter().any(|tail| bare.ends_with(tail));
        if ends(&[b"subaccounts", b"subaccount"]) {
            let include = bare.windows(7).any(|part| part == b"include");
            return Some(if include { Self::Include } else { Self::Account });
        }
        ends(&[b"accountsid", b"accountsids"]).then_some(Self::Account)
    }

    /// What a decoded value of this kind reaches. An empty value selects nothing.
    fn reach(self, value: &str) -> Option<Reach> {
        let value = value.trim();
        let no = ["", "false", "0"].iter().any(|no| value.eq_ignore_ascii_case(no));
        match self {
            Self::Include if no => None,
            Self::Include => Some(Reach::Others),
            Self::Account if value.is_empty() => None,
            Self::Account => Some(AccountSid::parse(value).map_or(Reach::Others, Reach::Account)),
        }
    }
}

#[cfg(test)]
mod tests;
