//! From a known caller to what goes upstream: framing, target, policy, rate, key.

use super::inspect::Inspected;
use super::stop::Stop;
use super::target::{HostField, NO_TARGET, Parts, asked, expectation, names_host};
use super::{Broker, Connection, local};
use crate::authn::Caller;
use crate::config::{Kind, Limits};
use crate::directory::TeamState;
use crate::error::Reason;
use crate::http1::{Framing, FramingError, RequestHead, request_framing};
use crate::ids::AccountSid;
use crate::inject::{Outbound, inject};
use crate::keys::{Lease, lease};
use crate::policy::{Asked, Judged, Subject};
use crate::twilio::Mode;
use std::rc::Rc;

/// What a caller may do, and how the body for it is framed.
pub(super) struct Granted<'h> {
    pub(super) way: Way<'h>,
    pub(super) framing: Framing,
}

/// Whose operation it is.
pub(super) enum Way<'h> {
    /// Sidekey's own.
    Local(&'static str),
    Upstream(Judged<'h>),
}

impl Granted<'_> {
    /// Operation and account, where more can't be said before there is a body.
    pub(super) fn needs_body(&self) -> Option<(&'static str, Option<AccountSid>)> {
        match &self.way {
            _ if self.framing == Framing::Length(0) => None,
            Way::Local(operation) => local::needs_body(operation).then_some((operation, None)),
            Way::Upstream(Judged { grant, .. }) => {
                grant.needs_body_inspection().then(|| (grant.operation().name(), grant.account()))
            }
        }
    }
}

/// Whether a head says that its body is too large.
pub(super) fn too_large(framing: Framing, limits: &Limits) -> bool {
    matches!(framing, Framing::Length(length) if length > limits.max_body)
}

impl Broker {
    /// Counts a request against its team's rate; whether it is within.
    pub(super) fn within_rate(&self, team: &TeamState) -> bool {
        self.limits.team_rate.is_none_or(|rate| self.rates.take(&team.id, rate, self.clock.instant()))
    }
}

/// Everything the straight line needs, once the caller is known.
pub(super) struct Line<'l, 'f, 'b> {
    pub(super) broker: &'l Broker,
    pub(super) head: &'l RequestHead<'f, 'b>,
    pub(super) parts: Option<Parts<'b>>,
    pub(super) host: HostField<'b>,
    pub(super) connection: &'l Connection,
    pub(super) caller: &'l Caller,
    pub(super) inspected: Option<&'l Inspected<'l>>,
    /// Unix seconds.
    pub(super) now: u64,
}

impl<'b> Line<'_, '_, 'b> {
    /// What is asked for.
    pub(super) fn asked(&self) -> Result<Asked<'b>, Stop> {
        asked(self.head, self.connection, self.parts, self.host)
    }

    /// Whether the caller may do what it asks for.
    pub(super) fn grant(&self, asked: Result<Asked<'b>, Stop>) -> Result<Granted<'b>, Stop> {
        let malformed = |what: &str| Stop::because(Reason::MalformedRequest, what);
        let framing = request_framing(self.head).map_err(|FramingError(what)| malformed(what))?;
        expectation(self.head).map_err(malformed)?;
        let parts = self.parts.ok_or_else(|| malformed(NO_TARGET))?;
        let host = self.host.map_err(malformed)?;
        if let Some(authority) = parts.authority
            && host.is_some_and(|host| !host.eq_ignore_ascii_case(authority))
        {
            return Err(malformed("Host and the target name two hosts"));
        }
        if let Some(only) = &self.connection.only_host
            && !parts.authority.or(host).is_some_and(|named| names_host(named, only))
        {
            return Err(malformed("Host is not the host of this tunnel or server name"));
        }
        if let Some(name) = &self.connection.server_name
            && parts.authority.is_none()
            && host.is_some_and(|host| !names_host(host, name))
        {
            return Err(malformed("Host is not the server name of the TLS handshake"));
        }
        if parts.path.starts_with(local::PREFIX) && parts.authority.is_none() {
            let operation = local::operation(self.head.method, parts.path).map_err(malformed)?;
            return Ok(Granted { way: Way::Local(operation), framing });
        }
        let judged = self.judge(asked?)?;
        if too_large(framing, &self.broker.limits) {
            return Err(Stop::of(&judged, Reason::BodyTooLarge, "Content-Length"));
        }
        let framing = self.inspected.map_or(framing, |body| Framing::Length(body.bytes.len() as u64));
        Ok(Granted { way: Way::Upstream(judged), framing })
    }

    /// What goes upstream, once there is no body that would have to be read.
    pub(super) fn forward(&self, judged: &Judged<'_>, framing: Framing) -> Result<(Lease, Outbound), Stop> {
        if judged.grant.needs_body_inspection() {
            judged.grant.bodiless()?;
        }
        self.admit(judged)?;
        let lease = lease(&judged.grant, self.caller.team(), &self.broker.directory, self.now)
            .map_err(|reason| Stop::of(judged, reason, without_key(self.caller.team().kind)))?;
        let outbound = inject(self.head, judged, &lease, framing, self.broker.buffers.lend());
        Ok((lease, outbound))
    }

    /// Counts a request that would go upstream against its team's rate.
    fn admit(&self, judged: &Judged<'_>) -> Result<(), Stop> {
        if self.broker.within_rate(self.caller.team()) {
            return Ok(());
        }
        Err(Stop::of(judged, Reason::RateLimited, "limits.team_rate"))
    }

    /// The broker's own address as this caller knows it, in base-URL and host-prefix mode.
    pub(super) fn links(&self, judged: &Judged<'_>) -> Option<Rc<str>> {
        if judged.address.mode() == Mode::Host {
            return None;
        }
        // HTTP/1.0 may name no host: a link that names none either leads back to where the caller came from.
        let Some(host) = self.host.ok().flatten() else { return Some(Rc::from("")) };
        let scheme = if self.connection.secure { "https://" } else { "http://" };
        // A connection's requests nearly all name the same host: one text serves them all.
        let mut known = self.connection.links.borrow_mut();
        if known.as_deref().and_then(|known| known.strip_prefix(scheme)) != Some(host) {
            *known = Some([scheme, host].concat().into());
        }
        known.clone()
    }

    pub(super) fn judge(&self, asked: Asked<'b>) -> Result<Judged<'b>, Stop> {
        let team = self.caller.team();
        let subject = Subject {
            team: &team.id,
            kind: team.kind,
            accounts: &team.accounts,
            acting: match team.kind {
                Kind::Standard => &self.broker.account,
                Kind::Master => &self.broker.master_account,
            },
            policy: &team.policy,
        };
        let mut judged = asked.judge(&subject)?;
        if let Some(body) = self.inspected {
            judged.grant = judged.grant.inspected(&subject, body.selectors())?;
        }
        Ok(judged)
    }
}

/// Why a team of this kind has nothing to act with, for the audit.
const fn without_key(kind: Kind) -> &'static str {
    match kind {
        Kind::Standard => "the team holds no key",
        Kind::Master => "no [upstream.master] for a master team",
    }
}
