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

/// The account that the path of the 2010 API is about, if it names one properly.
pub fn of_path(address: &Address<'_>, path: &CanonicalPath<'_>) -> Option<AccountSid> {
    if address.product() != Product::API {
        return None;
    }
    let raw = path.segment(address.skip() + 2)?.raw();
    AccountSid::parse(raw.get(..34)?).filter(|_| raw.len() == 34 || raw.as_bytes()[34] == b'.')
}

/// The first thing in the path that `allowed` does not hold for.
pub fn path_leaves(
    address: &Address<'_>,
    path: &CanonicalPath<'_>,
    allowed: impl Fn(&AccountSid) -> bool,
) -> Option<Reach> {
    let skip = address.skip();
    let pinned = |index: usize| address.product() == Product::API && index == skip + 2 && path.len() > skip + 3;
    (skip..path.len()).find_map(|index| {
        let segment = path.segment(index)?;
        let reach = if pinned(index) {
            // What lies below an account is reached through exactly its SID, or not at all.
            Some(AccountSid::parse(segment.raw()).map_or(Reach::Others, Reach::Account))
        } else if segment.raw().len() < 34 {
            None
        } else {
            named_in(&segment.decoded())
        };
        reach.filter(|reach| !is_allowed(*reach, &allowed))
    })
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
    text.split(|byte| matches!(byte, b'&' | b';')).map(|pair| {
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
    let mut name = Cow::Borrowed(name);
    let mut kind = Kind::of(&name);
    // Decoded as often as it can be: a name that becomes a selector late is still one.
    while kind.is_none() && name.contains(&b'%') {
        let decoded = percent_decode(&name).collect::<Vec<u8>>();
        if decoded == *name {
            break;
        }
        name = Cow::Owned(decoded);
        kind = Kind::of(&name);
    }
    let value = percent_decode(value).decode_utf8_lossy();
    kind.and_then(|kind| kind.reach(&value))
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
    /// The kind of selector that a decoded name is, in any case, with any separators.
    fn of(name: &[u8]) -> Option<Self> {
        const LONGEST: usize = 64;
        let mut bare = [0; LONGEST];
        let mut len = 0;
        let text = if name.is_ascii() { None } else { Some(folded(name)) };
        for byte in text.as_deref().unwrap_or(name).iter().filter(|byte| byte.is_ascii_alphanumeric()) {
            if len == LONGEST {
                // The end decides, so what is far before it may go.
                bare.copy_within(LONGEST / 2.., 0);
                len = LONGEST / 2;
            }
            bare[len] = byte.to_ascii_lowercase();
            len += 1;
        }
        let bare = &bare[..len];
        let numbered = bare.iter().rposition(|byte| !byte.is_ascii_digit()).map_or(&[][..], |last| &bare[..=last]);
        let ends = |tail: &[u8]| numbered.ends_with(tail);
        if numbered.windows(7).any(|part| part == b"include") && (ends(b"subaccounts") || ends(b"subaccount")) {
            return Some(Self::Include);
        }
        const ENDS: [&[u8]; 4] = [b"accountsid", b"accountsids", b"subaccount", b"subaccounts"];
        ENDS.iter().any(|tail| ends(tail)).then_some(Self::Account)
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

/// Folds letters that become ASCII in some case (`ſ`, the Kelvin sign) to what they become.
fn folded(name: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(name);
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests;
