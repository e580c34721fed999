//! A connection that asks again what it asked last.
//!
//! Callers that keep a connection open mostly send one head over and over: the same proof, host, path and fields, and at
//! most another Content-Length. What a head means follows from its bytes, the configuration and the team's state. So a
//! connection remembers its last head with what was read from it, and where all three are the same it is not read again.
//! What may have changed in between is asked each time: whether the token is good at this moment, the team's state, its
//! rate, its key. Where any answer is another one, the head is read anew. `docs/decisions/again.md` has reasons and figures.

use super::prepared::{Forward, Opened};
use super::{Broker, line};
use crate::audit::Told;
use crate::authn::Caller;
use crate::directory::TeamState;
use crate::headers;
use crate::http1::{Framing, Manners, RequestHead, content_length};
use crate::inject::Template;
use crate::keys::lease;
use crate::policy::Grant;
use crate::twilio::Format;
use crate::upstream::Route;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use std::fmt;
use std::ops::Range;
use std::rc::{Rc, Weak};
use std::sync::{self, Arc};
use zeroize::Zeroizing;

/// Longest head that is remembered, in bytes: those of the SDKs have some 500.
const MAX_HEAD: usize = 2048;

/// Heads in a row that were other ones, after which a connection is taken for one that never repeats itself.
const MOST_MISSES: u8 = 8;

/// A connection's last head. Good for one configuration only.
#[derive(Default)]
pub struct Again {
    known: Option<Box<Known>>,
    /// Whether a head has come at all: most connections that bring one bring no second.
    seen: bool,
    misses: u8,
}

/// A head that went upstream and what was read from it. Weak pointers only: who remembers a key or a connection must not
/// keep it alive.
struct Known {
    /// As it came. It holds the proof.
    head: Zeroizing<Vec<u8>>,
    /// Where its Content-Length has its digits.
    digits: Option<Range<usize>>,
    framing: Framing,
    manners: Manners,
    /// SHA-256 of its token.
    token: [u8; 32],
    /// The state by which it was granted.
    team: sync::Weak<TeamState>,
    grant: Grant,
    told: Told,
    template: Template,
    route: Weak<Route>,
    format: Format,
    head_request: bool,
    safe: bool,
    links: Option<Rc<str>>,
}

/// A head that is the last one again.
#[derive(Clone, Copy, Debug)]
pub struct Repeat {
    /// Bytes of it.
    pub length: usize,
    /// How its body is framed.
    pub framing: Framing,
    /// What it says about the connection.
    pub manners: Manners,
}

impl Again {
    /// Whether these bytes begin with the last head, as it was but for the digits of its Content-Length.
    pub fn hears(&self, bytes: &[u8]) -> Option<Repeat> {
        self.known.as_ref()?.hears(bytes)
    }

    /// Remembers the head of a request that goes upstream, granted to `caller` by this token.
    pub(super) fn learn(
        &mut self,
        head: &RequestHead<'_, '_>,
        (grant, token, caller): (Grant, [u8; 32], &Caller),
        forward: &Forward,
    ) {
        let (second, another) = (std::mem::replace(&mut self.seen, true), self.known.take().is_some());
        self.misses = self.misses.saturating_add(another.into());
        let framing = forward.outbound.framing();
        let fits = (1..=MAX_HEAD).contains(&head.raw.len()) && matches!(framing, Framing::Length(_));
        if second && fits && self.misses < MOST_MISSES {
            self.known = Some(Box::new(Known {
                head: Zeroizing::new(head.raw.to_vec()),
                digits: digits(head),
                framing,
                manners: Manners::of(head),
                token,
                team: Arc::downgrade(caller.state()),
                grant,
                told: forward.guard.told(),
                template: forward.outbound.template(&forward.lease),
                route: Rc::downgrade(&forward.route),
                format: forward.format,
                head_request: forward.head_request,
                safe: forward.safe,
                links: forward.links.clone(),
            }));
        }
    }
}

impl fmt::Debug for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Again")
    }
}

/// Where the one Content-Length of a head stands in its bytes.
fn digits(head: &RequestHead<'_, '_>) -> Option<Range<usize>> {
    let field = head.fields.iter().find(|field| headers::is(field.name, b"content-length"))?;
    let at = field.value.as_ptr().addr() - head.raw.as_ptr().addr();
    Some(at..at + field.value.len())
}

impl Known {
    /// In constant time for a given length: heads of several callers may come on one connection, through a proxy, and how
    /// far one is like another's must not show.
    fn hears(&self, bytes: &[u8]) -> Option<Repeat> {
        let same = |one: &[u8], other: &[u8]| verify_slices_are_equal(one, other).is_ok();
        let manners = self.manners;
        let Some(digits) = &self.digits else {
            let length = self.head.len();
            return same(bytes.get(..length)?, &self.head).then_some(Repeat { length, framing: self.framing, manners });
        };
        let (before, after) = (&self.head[..digits.start], &self.head[digits.end..]);
        let (first, rest) = bytes.split_at_checked(before.len())?;
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = rest.split_at(count);
        let framing = content_length(number).ok()?;
        let length = first.len() + count + after.len();
        (same(first, before) & same(rest.get(..after.len())?, after)).then_some(Repeat { length, framing, manners })
    }
}

impl Broker {
    /// Prepares a request whose head is the last one again. The record comes back where anything but the head is not as it
    /// was: the head is to be read then.
    ///
    /// # Errors
    /// The open record.
    pub fn prepare_again(&self, mut opened: Opened, again: &mut Again, repeat: Repeat) -> Result<Box<Forward>, Opened> {
        // Back when it has held: what is known no more is not kept, and the secrets in it are wiped.
        let Some(known) = again.known.take() else { return Err(opened) };
        let now = opened.guard.unix_seconds();
        let begun = self.authn.begin_known(known.token, now);
        let (Some(route), false) = (known.route.upgrade(), line::too_large(repeat.framing, &self.limits)) else {
            return Err(opened);
        };
        if known.grant.needs_body_inspection() && repeat.framing != Framing::Length(0) {
            return Err(opened);
        }
        let Ok(caller) = begun.finish(now) else { return Err(opened) };
        if !std::ptr::eq(known.team.as_ptr(), Arc::as_ptr(caller.state())) {
            return Err(opened);
        }
        let Ok(lease) = lease(&known.grant, caller.team(), &self.directory, now) else { return Err(opened) };
        let Some(outbound) = known.template.fill(&lease, repeat.framing, || self.buffers.lend()) else {
            return Err(opened);
        };
        // Last of all: what is read anew is counted there.
        if !self.within_rate(caller.team()) {
            return Err(opened);
        }
        let kept = opened.guard.intent_told(&known.told);
        let (format, head_request, safe, links) = (known.format, known.head_request, known.safe, known.links.clone());
        (again.known, again.misses) = (Some(known), 0);
        let Opened { id, guard, .. } = opened;
        Ok(Box::new(Forward { id, outbound, lease, route, guard, kept, format, head_request, safe, links }))
    }
}
