//! Caller + operation → grant or a reason; pure, never awaits.
//!
//! The order is the contract's: what can't be read in one way, then the host, then management resources, then
//! accounts, then the team's own policy. Nothing is sent without a [`Grant`], and only this module makes one.
//! [`rules`] finds what a team's policy says without effect.

pub(crate) mod rules;

use crate::config::{Kind, TeamPolicy};
use crate::error::Reason;
use crate::ids::{AccountSid, TeamId};
use crate::twilio::accounts::{self, Selectors, Unreadable};
use crate::twilio::management::fits;
use crate::twilio::{Address, AddressFault, CanonicalPath, Class, Match, Method, Operation, PathFault, operations};
use std::borrow::Cow;

/// What is known of the caller: its team.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The team.
    pub team: &'a TeamId,
    /// Standard or master.
    pub kind: Kind,
    /// The accounts it is pinned to. None for a master: not pinned; none for a standard team: no account at all.
    pub accounts: &'a [AccountSid],
    /// The account that its credential belongs to: what a request is about that names none, as the product APIs' do.
    pub acting: &'a AccountSid,
    /// The team's own policy.
    pub policy: &'a TeamPolicy,
}

/// What a caller asks for, as it stands on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The method.
    pub method: &'a [u8],
    /// The `Host` header of an origin-form target, or the authority of an absolute-form one or of a tunnel.
    pub authority: Option<&'a str>,
    /// Whether `authority` is the target's own (absolute-form, tunnel), and not a header.
    pub absolute: bool,
    /// What stands before `?`.
    pub path: &'a [u8],
    /// What stands behind `?`.
    pub query: Option<&'a [u8]>,
}

/// The evidence that a caller may do what it asks for.
#[must_use]
#[derive(Clone, Copy, Debug)]
pub struct Grant {
    operation: &'static Operation,
    account: Option<AccountSid>,
    needs_body_inspection: bool,
    /// Its body must name the account that it is about: nothing else does, and the key's own is not the team's.
    unnamed: bool,
    rule: &'static str,
}

impl Grant {
    /// What may be done.
    pub const fn operation(&self) -> &'static Operation {
        self.operation
    }

    /// The account that the path names.
    pub const fn account(&self) -> Option<AccountSid> {
        self.account
    }

    /// Whether the body must be read whole and given to [`Grant::inspected`] before anything is sent.
    pub const fn needs_body_inspection(&self) -> bool {
        self.needs_body_inspection
    }

    /// The rule that made it, for `explain`.
    pub const fn rule(&self) -> &'static str {
        self.rule
    }

    /// The grant once the body has been read: what [`accounts::inspect_body`] found.
    ///
    /// # Errors
    /// The body can't be read in one way, or names an account that is not the team's.
    pub fn inspected(self, subject: &Subject<'_>, found: Result<Selectors, Unreadable>) -> Result<Self, Denial> {
        let selectors = found.map_err(|fault| self.deny(Reason::MalformedRequest, fault.text().into()))?;
        match selectors.leaves(|sid| reaches(subject, sid)) {
            Some(_) => Err(self.deny(Reason::AccountNotAllowed, "account: a selector in the body".into())),
            None if selectors.reaches().is_empty() => {
                self.bodiless().map(|()| Self { needs_body_inspection: false, ..self })
            }
            None => Ok(Self { needs_body_inspection: false, ..self }),
        }
    }

    /// Whether the body must name one of the team's accounts, and not only none of the others.
    pub const fn unnamed(&self) -> bool {
        self.unnamed
    }

    /// Whether the grant holds for a request whose body names no account.
    ///
    /// # Errors
    /// The key's own account is not the team's, and nothing else names one.
    pub fn bodiless(&self) -> Result<(), Denial> {
        if self.unnamed { Err(self.deny(Reason::AccountNotAllowed, ACTING.into())) } else { Ok(()) }
    }

    fn deny(&self, reason: Reason, rule: Cow<'static, str>) -> Denial {
        Denial { reason, rule, operation: Some(self.operation), account: self.account }
    }
}

/// The rule of a request that names no account, by a team whose key belongs to another one than its own.
const ACTING: &str = "account: none is named, and the key's own is not the team's";

/// Why a caller may not do what it asks for.
#[derive(Clone, Debug)]
pub struct Denial {
    /// The row of the contract's table.
    pub reason: Reason,
    /// The rule that made it, for `explain` and the audit: short and stable, nothing of the caller's in it.
    pub rule: Cow<'static, str>,
    /// What it asked for, if that could be told.
    pub operation: Option<&'static Operation>,
    /// The account that the path names, if that could be told.
    pub account: Option<AccountSid>,
}

impl Denial {
    fn early(reason: Reason, rule: &'static str) -> Self {
        Self { reason, rule: Cow::Borrowed(rule), operation: None, account: None }
    }
}

impl From<PathFault> for Denial {
    fn from(fault: PathFault) -> Self {
        Self::early(Reason::MalformedRequest, fault.text())
    }
}

impl From<AddressFault> for Denial {
    fn from(fault: AddressFault) -> Self {
        Self::early(fault.reason(), fault.text())
    }
}

/// A request that was read and granted: what to send, where, and by which right.
#[must_use]
#[derive(Clone, Debug)]
pub struct Judged<'a> {
    /// The path and query, as sent.
    pub path: CanonicalPath<'a>,
    /// The host.
    pub address: Address<'a>,
    /// The method.
    pub method: Method,
    /// The right.
    pub grant: Grant,
}

/// What is asked for, before anybody's right to it is judged.
#[must_use]
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    path: CanonicalPath<'a>,
    address: Address<'a>,
    method: Method,
    found: Match,
}

/// Reads a target and decides, in the contract's order. The whole of what `explain` asks.
///
/// # Errors
/// Those of [`read`] and [`Asked::judge`].
pub fn judge<'a>(subject: &Subject<'_>, target: &Target<'a>) -> Result<Judged<'a>, Denial> {
    read(target)?.judge(subject)
}

/// Reads a target: all that is the same for every caller, so that the broker does it while a token is on its way from memory.
///
/// # Errors
/// What can't be read in one way, or a host that is not Twilio's.
pub fn read<'a>(target: &Target<'a>) -> Result<Asked<'a>, Denial> {
    let path = CanonicalPath::parse(target.path, target.query)?;
    let method = read_method(target.method)?;
    let address = match target.authority {
        Some(authority) if target.absolute => Address::absolute_form(authority, &path),
        host => Address::origin_form(host, &path),
    };
    // Where no operation can be known, non-ASCII is malformed, and that comes before an unknown host.
    let address = address
        .map_err(|fault| if path.non_ascii() == 0 { fault.into() } else { Denial::from(PathFault::NonAscii) })?;
    let found = operations::lookup(&address, method, &path);
    if path.non_ascii() & !(found.params << address.skip()) != 0 {
        return Err(PathFault::NonAscii.into());
    }
    Ok(Asked { path, address, method, found })
}

impl<'a> Asked<'a> {
    /// The host that is asked, as [`Address::host`].
    pub fn host(&self) -> &str {
        self.address.host()
    }

    /// The part of the path that the host would see.
    pub fn path(&self) -> &'a str {
        self.address.path(&self.path)
    }

    /// Decides whether this caller may have it.
    ///
    /// # Errors
    /// The first rule against it: of management resources, of accounts, of the team's own policy.
    pub fn judge(self, subject: &Subject<'_>) -> Result<Judged<'a>, Denial> {
        let grant = self.decide(subject)?;
        Ok(Judged { path: self.path, address: self.address, method: self.method, grant })
    }

    fn decide(&self, subject: &Subject<'_>) -> Result<Grant, Denial> {
        let Self { path, address, found, .. } = self;
        let account = accounts::of_path(address, path);
        let operation = found.operation;
        let deny = |reason, rule| Denial { reason, rule, operation: Some(operation), account };
        let rule = guard(subject, found).map_err(|rule| deny(Reason::ManagementResource, rule))?;
        let pinned = subject.kind == Kind::Standard || !subject.accounts.is_empty();
        let needs_body_inspection = pinned && found.body_selector;
        let mut unnamed = false;
        if pinned {
            pin(subject, address, path, account).map_err(|rule| deny(Reason::AccountNotAllowed, rule))?;
            unnamed = !reaches(subject, subject.acting) && !names_account(operation, path, account);
            if unnamed && !(needs_body_inspection && accounts::is_about_selected(operation.name())) {
                return Err(deny(Reason::AccountNotAllowed, ACTING.into()));
            }
        }
        own_policy(subject.policy, operation.name()).map_err(|rule| deny(Reason::PolicyDenied, rule))?;
        Ok(Grant { operation, account, needs_body_inspection, unnamed, rule })
    }
}

/// Reads a method.
///
/// # Errors
/// What is no method that is forwarded.
pub fn read_method(text: &[u8]) -> Result<Method, Denial> {
    Method::parse(text)
        .ok_or_else(|| Denial::early(Reason::MalformedRequest, "the method is not one that is forwarded"))
}

/// Management resources: the rule that lets it pass, or the one that does not.
fn guard(subject: &Subject<'_>, found: &Match) -> Result<&'static str, Cow<'static, str>> {
    let name = found.operation.name();
    let open = || found.operation.method().is_some() && subject.policy.open.iter().any(|pattern| fits(pattern, name));
    match (subject.kind, found.class) {
        (Kind::Master, _) => Ok("master team"),
        (Kind::Standard, Class::Open) => Ok("not a management resource"),
        (Kind::Standard, Class::Closed) if open() => Ok("opened by the team's policy"),
        (Kind::Standard, Class::Closed) => {
            Err(format!("management: {name}, closed unless the team's policy opens it").into())
        }
        (Kind::Standard, Class::Core) => Err(format!("management: {}*", resource(name)).into()),
    }
}

/// Accounts in the path and in the query.
fn pin(
    subject: &Subject<'_>,
    address: &Address<'_>,
    path: &CanonicalPath<'_>,
    account: Option<AccountSid>,
) -> Result<(), Cow<'static, str>> {
    let allowed = |sid: &AccountSid| reaches(subject, sid);
    if accounts::path_leaves(address, path, account, allowed).is_some() {
        return Err("account: the account in the path".into());
    }
    match path.query().and_then(|query| accounts::query_leaves(query, allowed)) {
        Some(_) => Err("account: a selector in the query".into()),
        None => Ok(()),
    }
}

/// Whether path or query name the account that the operation is about; `account` is the path's on the 2010 API.
fn names_account(operation: &'static Operation, path: &CanonicalPath<'_>, account: Option<AccountSid>) -> bool {
    let selects = || path.query().is_some_and(|query| accounts::query_leaves(query, |_| false).is_some());
    account.is_some() || (accounts::is_about_selected(operation.name()) && selects())
}

/// The team's own lists: whether they let it do what `name` names.
///
/// # Errors
/// The rule that does not.
pub fn own_policy(policy: &TeamPolicy, name: &str) -> Result<(), Cow<'static, str>> {
    if let Some(pattern) = policy.deny.iter().find(|pattern| fits(pattern, name)) {
        return Err(format!("policy: deny {pattern}").into());
    }
    if policy.allow.is_empty() || policy.allow.iter().any(|pattern| fits(pattern, name)) {
        return Ok(());
    }
    Err("policy: not in allow".into())
}

fn reaches(subject: &Subject<'_>, sid: &AccountSid) -> bool {
    subject.accounts.contains(sid)
}

/// `api:Keys:list` → `api:Keys:`.
fn resource(name: &'static str) -> &'static str {
    name.rfind(':').map_or(name, |at| &name[..=at])
}

#[cfg(test)]
mod tests;
