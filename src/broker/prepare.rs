//! From a request's head to what is sent upstream, or to the reason why nothing is. Never waits.

use super::inspect::Inspected;
use super::tunnel::PendingTunnel;
use super::{Broker, Connection, Refused, local};
use crate::audit::{Denial, Facts, Guard, Kept, Outcome};
use crate::authn::jwt::Coming;
use crate::authn::{Begun, Caller, Presented};
use crate::error::Reason;
use crate::forward::BodyFault;
use crate::http1::{Field, Framing, FramingError, RequestHead, request_framing};
use crate::ids::{AccountSid, RequestId, TokenId};
use crate::inject::{Outbound, inject};
use crate::keys::{Lease, lease};
use crate::policy::{self, Asked, Judged, Subject, Target};
use crate::twilio::{Format, Method, Mode};
use crate::upstream;
use std::rc::Rc;

/// Where a request's host is reached.
pub type Route = Rc<upstream::Route>;

/// What a head came to.
#[derive(Debug)]
pub enum Prepared {
    /// It goes upstream, once its intent is kept.
    Forward(Box<Forward>),
    /// The body names accounts: it must be read whole and judged with the head once more.
    ReadBody(Opened),
    /// It is refused, or sidekey answers it itself.
    Own(Own),
    /// A CONNECT that may open its tunnel, once its record is kept.
    Tunnel(Box<PendingTunnel>),
    /// A proof whose key is being fetched: the head is worth another look then.
    Wait(Box<(Opened, Coming)>),
}

/// An answer that is not the upstream's.
#[derive(Debug)]
pub enum Own {
    /// A refusal.
    Refuse(Box<Refuse>),
    /// Something under `/.sidekey/`.
    Local(Box<Local>),
}

/// A request that may go upstream.
#[derive(Debug)]
pub struct Forward {
    pub(super) id: RequestId,
    pub(super) outbound: Outbound,
    pub(super) lease: Lease,
    pub(super) route: Route,
    pub(super) guard: Guard,
    pub(super) kept: Kept,
    pub(super) format: Format,
    pub(super) head_request: bool,
    pub(super) safe: bool,
    /// Where links in the answer lead back to the broker; `None` where the caller asked the host itself.
    pub(super) links: Option<Rc<str>>,
}

/// A refusal whose record is on its way.
#[derive(Debug)]
pub struct Refuse {
    pub(super) refused: Refused,
    pub(super) kept: Kept,
}

/// An answer of sidekey's own whose record is on its way.
#[derive(Debug)]
pub struct Local {
    pub(super) id: RequestId,
    pub(super) answer: OwnAnswer,
    pub(super) kept: Kept,
}

/// What sidekey answers itself.
#[derive(Debug)]
pub(super) struct OwnAnswer {
    pub(super) operation: &'static str,
    pub(super) status: u16,
    /// JSON.
    pub(super) body: String,
}

/// A request whose record is open.
#[derive(Debug)]
pub struct Opened {
    pub(super) id: RequestId,
    pub(super) guard: Guard,
    /// Whether a key was waited for already.
    pub(super) waited: bool,
}

/// Why a request is refused, on its way out of the straight line.
pub(super) struct Stop {
    reason: Reason,
    /// What the caller is not told.
    detail: String,
    operation: Option<&'static str>,
    /// What the caller is told instead of the row's own message.
    told: Option<String>,
}

impl Stop {
    pub(super) fn because(reason: Reason, detail: &str) -> Self {
        Self { reason, detail: detail.to_owned(), operation: None, told: None }
    }

    /// A refusal of one of sidekey's own operations that tells the caller what to mend.
    pub(super) fn telling(reason: Reason, operation: &'static str, told: String) -> Self {
        Self { reason, detail: told.clone(), operation: Some(operation), told: Some(told) }
    }
}

impl From<policy::Denial> for Stop {
    fn from(denial: policy::Denial) -> Self {
        let operation = denial.operation.map(crate::twilio::Operation::name);
        Self { reason: denial.reason, detail: denial.rule.into_owned(), operation, told: None }
    }
}

/// What is wrong with a target in no form that is served.
const NO_TARGET: &str = "the target is neither a path nor a URL";

/// The parts of a request target.
#[derive(Clone, Copy)]
struct Parts<'a> {
    path: &'a str,
    query: Option<&'a str>,
    /// The authority of an absolute-form target.
    authority: Option<&'a str>,
}

impl Broker {
    /// Opens the record of a request: the left edge.
    pub fn open(&self, connection: &Connection) -> Opened {
        let id = self.ids.next();
        Opened { id, guard: self.recorder.open(id, connection.peer), waited: false }
    }

    /// Judges a head. `inspected` is the body, where a first look said [`Prepared::ReadBody`].
    pub fn prepare(
        &self,
        mut opened: Opened,
        head: &RequestHead<'_, '_>,
        connection: &Connection,
        inspected: Option<&Inspected<'_>>,
    ) -> Prepared {
        if opened.waited || inspected.is_some() {
            opened.guard.waited();
        }
        if head.method == "CONNECT" {
            return self.prepare_tunnel(opened, head, connection);
        }
        let host = host_field(head);
        let (parts, mut facts) = read(head, host);
        let now = opened.guard.unix_seconds();
        let begun = self.begin(head, connection, now);
        // Before the caller is known, for its token is on its way from memory meanwhile. What it comes to is told after that.
        let asked = asked(head, connection, parts, host);
        let caller = match begun.finish(now) {
            Ok(caller) => caller,
            Err(refusal) => {
                if let (Some(coming), false) = (refusal.coming, opened.waited) {
                    opened.guard.know(&facts);
                    return Prepared::Wait(Box::new((Opened { waited: true, ..opened }, coming)));
                }
                facts.proof_id = refusal.proof_id.as_ref().map(TokenId::as_str);
                return self.refuse(opened, &facts, &Stop::because(refusal.reason, refusal.why));
            }
        };
        facts.team = Some(&caller.team().id);
        facts.proof_id = Some(caller.proof_id().as_str());
        let line = Line { broker: self, head, host, connection, caller: &caller, inspected, now };
        match line.run(parts, asked) {
            Ok(Granted::Forward { judged, lease, outbound }) => {
                let links = line.links(&judged);
                Prepared::Forward(Box::new(Forward {
                    links,
                    ..self.granted(opened, facts, &judged, (lease, outbound))
                }))
            }
            Ok(Granted::Local(answer)) => Prepared::Own(Own::Local(Box::new(Self::own_answer(opened, facts, answer)))),
            Ok(Granted::ReadBody { operation, account }) => {
                (facts.operation, facts.account) = (Some(operation), account.as_ref());
                // A caller that leaves meanwhile is recorded with it.
                opened.guard.know(&facts);
                Prepared::ReadBody(opened)
            }
            Err(stop) => {
                facts.operation = stop.operation;
                self.refuse(opened, &facts, &stop)
            }
        }
    }

    /// Records the intent of a granted request.
    fn granted(
        &self,
        opened: Opened,
        facts: Facts<'_>,
        judged: &Judged<'_>,
        (lease, outbound): (Lease, Outbound),
    ) -> Forward {
        let Opened { id, mut guard, .. } = opened;
        let (account, key_sid) = (judged.grant.account(), lease.key().key_sid());
        let path = judged.address.path(&judged.path);
        let kept = guard.intent(&Facts {
            host: judged.address.host().as_bytes(),
            path: path.as_bytes(),
            judged: true,
            operation: Some(judged.grant.operation().name()),
            account: account.as_ref(),
            key_sid: key_sid.as_ref(),
            ..facts
        });
        let route = self.pool.route(judged.address.host(), judged.address.product().host());
        let head_request = judged.method == Method::Head;
        let safe = matches!(judged.method, Method::Get | Method::Head | Method::Options);
        // A host's own path keeps its suffix and begins as the whole one does behind its host prefix.
        let format = Format::of(judged.path.raw().as_bytes());
        Forward { id, outbound, lease, route, guard, kept, format, head_request, safe, links: None }
    }

    /// Records an answer of sidekey's own.
    fn own_answer(opened: Opened, facts: Facts<'_>, answer: OwnAnswer) -> Local {
        let Opened { id, mut guard, .. } = opened;
        // One write keeps both: the outcome is awaited, and it stands behind the intent.
        drop(guard.intent(&Facts { operation: Some(answer.operation), ..facts }));
        let kept = guard.outcome(&Outcome {
            status: answer.status,
            bytes_out: answer.body.len() as u64,
            ..Outcome::default()
        });
        Local { id, answer, kept }
    }

    /// A refusal before there is a head: the bytes are no request at all.
    pub fn refuse_unread(&self, opened: Opened, reason: Reason, what: &str) -> Prepared {
        self.refuse(opened, &Facts::default(), &Stop::because(reason, what))
    }

    /// A refusal for a body that had to be read before its request could be judged.
    pub fn refuse_body(
        &self,
        opened: Opened,
        head: &RequestHead<'_, '_>,
        connection: &Connection,
        fault: BodyFault,
    ) -> Prepared {
        let host = host_field(head);
        let (parts, mut facts) = read(head, host);
        let mut stop = Stop::because(fault.reason(), fault.text());
        let now = self.clock.unix_seconds();
        let begun = self.begin(head, connection, now);
        let Ok(caller) = begun.finish(now) else { return self.refuse(opened, &facts, &stop) };
        facts.team = Some(&caller.team().id);
        facts.proof_id = Some(caller.proof_id().as_str());
        let line = Line { broker: self, head, host, connection, caller: &caller, inspected: None, now };
        let judged = asked(head, connection, parts, host).and_then(|asked| line.judge(asked)).ok();
        let account = judged.as_ref().and_then(|judged| judged.grant.account());
        facts.account = account.as_ref();
        stop.operation = judged.map(|judged| judged.grant.operation().name());
        facts.operation = stop.operation;
        self.refuse(opened, &facts, &stop)
    }

    /// A refusal of a head that HTTP/1.1 can't say, for whoever proves to be somebody: 401 outranks 400.
    pub fn refuse_head(
        &self,
        opened: Opened,
        fields: &[Field<'_>],
        connection: &Connection,
        (method, what): (&str, &str),
    ) -> Prepared {
        let proxied = method == "CONNECT";
        let presented = Presented { fields, proxied, connection: connection.proof.as_ref() };
        let mut facts = Facts { method: method.as_bytes(), ..Facts::default() };
        match self.authn.authenticate(&presented, opened.guard.unix_seconds()) {
            Ok(caller) => {
                facts.team = Some(&caller.team().id);
                facts.proof_id = Some(caller.proof_id().as_str());
                self.refuse(opened, &facts, &Stop::because(Reason::MalformedRequest, what))
            }
            Err(refusal) => {
                facts.proof_id = refusal.proof_id.as_ref().map(TokenId::as_str);
                self.refuse(opened, &facts, &Stop::because(refusal.reason, refusal.why))
            }
        }
    }

    fn refuse(&self, opened: Opened, facts: &Facts<'_>, stop: &Stop) -> Prepared {
        self.refuse_as(opened, facts, stop, false)
    }

    /// Refuses a request, or a CONNECT in its own words.
    pub(super) fn refuse_as(&self, opened: Opened, facts: &Facts<'_>, stop: &Stop, tunnel: bool) -> Prepared {
        let Opened { id, guard, .. } = opened;
        self.metrics.refused(stop.reason);
        tracing::debug!(request = %id, reason = stop.reason.name(), detail = stop.detail, "refused");
        let kept = guard.deny(
            facts,
            &Denial {
                status: if tunnel { stop.reason.tunnel_row().status } else { stop.reason.status() },
                reason: stop.reason.name(),
                detail: Some(&stop.detail),
                ..Denial::default()
            },
        );
        let format = if facts.path.is_empty() { Format::Json } else { Format::of(facts.path) };
        Prepared::Own(Own::Refuse(Box::new(Refuse {
            refused: Refused { id, reason: stop.reason, format, tunnel, told: stop.told.clone() },
            kept,
        })))
    }

    fn begin(&self, head: &RequestHead<'_, '_>, connection: &Connection, now: u64) -> Begun {
        // A target that is no path was meant for a proxy, also where it is malformed: its proof is looked at first.
        let proxied = !head.target.starts_with('/');
        self.authn.begin(&Presented { fields: head.fields, proxied, connection: connection.proof.as_ref() }, now)
    }
}

/// What the straight line came to.
pub(super) enum Granted<'h> {
    Local(OwnAnswer),
    ReadBody { operation: &'static str, account: Option<AccountSid> },
    Forward { judged: Judged<'h>, lease: Lease, outbound: Outbound },
}

/// Everything the straight line needs, once the caller is known.
pub(super) struct Line<'l, 'f, 'b> {
    pub(super) broker: &'l Broker,
    pub(super) head: &'l RequestHead<'f, 'b>,
    host: HostField<'b>,
    connection: &'l Connection,
    pub(super) caller: &'l Caller,
    pub(super) inspected: Option<&'l Inspected<'l>>,
    /// Unix seconds.
    pub(super) now: u64,
}

impl<'b> Line<'_, '_, 'b> {
    fn run(&self, parts: Option<Parts<'b>>, asked: Result<Asked<'b>, Stop>) -> Result<Granted<'b>, Stop> {
        let malformed = |what: &str| Stop::because(Reason::MalformedRequest, what);
        let framing = request_framing(self.head).map_err(|FramingError(what)| malformed(what))?;
        expectation(self.head).map_err(malformed)?;
        let parts = parts.ok_or_else(|| malformed(NO_TARGET))?;
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
            return Err(malformed("Host is not the server name of the TLS greeting"));
        }
        if parts.path.starts_with(local::PREFIX) && parts.authority.is_none() {
            return self.local(parts.path, framing);
        }
        let judged = self.judge(asked?)?;
        if let Framing::Length(length) = framing
            && length > self.broker.limits.max_body
        {
            return Err(Stop {
                operation: Some(judged.grant.operation().name()),
                ..Stop::because(Reason::BodyTooLarge, "Content-Length")
            });
        }
        if judged.grant.needs_body_inspection() && framing != Framing::Length(0) {
            let (operation, account) = (judged.grant.operation().name(), judged.grant.account());
            return Ok(Granted::ReadBody { operation, account });
        }
        self.admit(&judged)?;
        let lease = lease(&judged.grant, self.caller.team(), &self.broker.directory, self.now)
            .map_err(|reason| Stop::because(reason, "the team holds no key"))?;
        let framing = self.inspected.map_or(framing, |body| Framing::Length(body.bytes.len() as u64));
        let outbound = inject(self.head, &judged, &lease, framing, self.broker.buffers.lend());
        Ok(Granted::Forward { judged, lease, outbound })
    }

    /// Counts a request that would go upstream against its team's rate.
    fn admit(&self, judged: &Judged<'_>) -> Result<(), Stop> {
        let Some(rate) = self.broker.limits.team_rate else { return Ok(()) };
        if self.broker.rates.take(&self.caller.team().id, rate, self.broker.clock.instant()) {
            return Ok(());
        }
        Err(Stop {
            operation: Some(judged.grant.operation().name()),
            ..Stop::because(Reason::RateLimited, "limits.team_rate")
        })
    }

    /// The broker's own address as this caller knows it, in base-URL and host-prefix mode.
    fn links(&self, judged: &Judged<'_>) -> Option<Rc<str>> {
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

    fn judge(&self, asked: Asked<'b>) -> Result<Judged<'b>, Stop> {
        let team = self.caller.team();
        let subject = Subject { team: &team.id, kind: team.kind, accounts: &team.accounts, policy: &team.policy };
        let mut judged = asked.judge(&subject)?;
        if let Some(body) = self.inspected {
            judged.grant = judged.grant.inspected(&subject, body.selectors())?;
        }
        Ok(judged)
    }
}

/// What a head asks for.
fn asked<'b>(
    head: &RequestHead<'_, 'b>,
    connection: &Connection,
    parts: Option<Parts<'b>>,
    host: HostField<'b>,
) -> Result<Asked<'b>, Stop> {
    let malformed = |what: &str| Stop::because(Reason::MalformedRequest, what);
    let parts = parts.ok_or_else(|| malformed(NO_TARGET))?;
    let host = host.map_err(malformed)?;
    let target = Target {
        method: head.method.as_bytes(),
        authority: parts.authority.or(host),
        absolute: parts.authority.is_some() || connection.only_host.is_some(),
        path: parts.path.as_bytes(),
        query: parts.query.map(str::as_bytes),
    };
    Ok(policy::read(&target)?)
}

/// What a head says before anything is judged.
fn read<'b>(head: &RequestHead<'_, 'b>, host: HostField<'b>) -> (Option<Parts<'b>>, Facts<'b>) {
    let parts = split(head.target);
    let path = parts.map_or(head.target, |parts| parts.path);
    let host = parts.and_then(|parts| parts.authority).or_else(|| host.ok().flatten()).unwrap_or("");
    let facts =
        Facts { method: head.method.as_bytes(), host: host.as_bytes(), path: path.as_bytes(), ..Facts::default() };
    (parts, facts)
}

/// Splits a target in origin or absolute form; `None` for anything else. A fragment stays in the path or query, where
/// it is refused.
fn split(target: &str) -> Option<Parts<'_>> {
    let (authority, rest) = if target.starts_with('/') {
        (None, target)
    } else {
        let rest = ["http://", "https://"].iter().find_map(|scheme| {
            target.get(..scheme.len())?.eq_ignore_ascii_case(scheme).then(|| &target[scheme.len()..])
        })?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        (Some(&rest[..end]), &rest[end..])
    };
    if !rest.starts_with('/') {
        return None;
    }
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    Some(Parts { path, query, authority })
}

/// What `Host` says, or what is wrong with it.
type HostField<'b> = Result<Option<&'b str>, &'static str>;

/// The one `Host` field. HTTP/1.1 demands it (RFC 9112 §3.2).
pub(super) fn host_field<'b>(head: &RequestHead<'_, 'b>) -> HostField<'b> {
    let mut hosts = head.fields.iter().filter(|field| field.name.eq_ignore_ascii_case("host"));
    match (hosts.next(), hosts.next(), head.minor) {
        (Some(_), Some(_), _) => Err("more than one Host"),
        (None, _, 1) => Err("no Host"),
        (None, _, _) => Ok(None),
        (Some(field), None, _) => match std::str::from_utf8(field.value) {
            Ok("") | Err(_) => Err("an empty Host"),
            Ok(host) => Ok(Some(host)),
        },
    }
}

/// Whether an authority (with or without port) names this host.
pub(super) fn names_host(authority: &str, host: &str) -> bool {
    let name = authority.split_once(':').map_or(authority, |(name, _)| name);
    name.eq_ignore_ascii_case(host)
}

/// `Expect` may say one thing only (RFC 9110 §10.1.1); anything else would be read in two ways.
fn expectation(head: &RequestHead<'_, '_>) -> Result<(), &'static str> {
    let mut expects = head.fields.iter().filter(|field| field.name.eq_ignore_ascii_case("expect"));
    match (expects.next(), expects.next()) {
        (None, _) => Ok(()),
        (Some(field), None) if field.value.eq_ignore_ascii_case(b"100-continue") => Ok(()),
        _ => Err("Expect other than 100-continue"),
    }
}
