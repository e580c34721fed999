//! From a request's head to what is sent upstream, or to the reason why nothing is. Never waits.

use super::inspect::Inspected;
use super::line::{Granted, Line, Way};
use super::prepared::{Forward, Local, Opened, Own, OwnAnswer, Prepared, Refuse, Settled, Wait};
use super::stop::Stop;
use super::target::{asked, host_field, read};
use super::{Again, Broker, Connection, Refused};
use crate::audit::{Denial, Facts, Outcome};
use crate::authn::{Begun, Presented, Refusal};
use crate::error::Reason;
use crate::forward::BodyFault;
use crate::http1::RequestHead;
use crate::ids::TokenId;
use crate::inject::Outbound;
use crate::keys::Lease;
use crate::policy::Judged;
use crate::twilio::{Format, Method};

impl Broker {
    /// Opens the record of a request: the left edge.
    pub fn open(&self, connection: &Connection) -> Opened {
        let id = self.ids.next();
        Opened { id, guard: self.recorder.open(id, connection.peer), waited: false }
    }

    /// Judges a head; `again` remembers the last one of its connection.
    ///
    /// # Errors
    /// [`Wait`], once at most.
    pub fn prepare(
        &self,
        mut opened: Opened,
        head: &RequestHead<'_, '_>,
        connection: &Connection,
        again: Option<&mut Again>,
    ) -> Result<Prepared, Wait> {
        if opened.waited {
            opened.guard.waited();
        }
        if head.method == "CONNECT" {
            return self.prepare_tunnel(opened, head, connection);
        }
        let host = host_field(head);
        let (parts, mut facts) = read(head, host);
        let now = opened.guard.unix_seconds();
        let begun = self.begin(head, connection, now);
        let token = begun.token(connection.proof.as_ref());
        // Before the caller is known, for its token is on its way from memory meanwhile. What it comes to is told after that.
        let asked = asked(head, connection, parts, host);
        let caller = match begun.finish(now) {
            Ok(caller) => caller,
            Err(Refusal { coming: Some(coming), .. }) if !opened.waited => {
                opened.guard.know(&facts);
                return Err(Box::new((Opened { waited: true, ..opened }, coming)));
            }
            Err(refusal) => return Ok(self.refuse_unproven(opened, facts, &refusal).into()),
        };
        facts.team = Some(&caller.team().id);
        facts.proof_id = Some(caller.proof_id().as_str());
        let line = Line { broker: self, head, parts, host, connection, caller: &caller, inspected: None, now };
        let granted = match line.grant(asked) {
            Ok(granted) => granted,
            Err(stop) => return Ok(self.refuse_known(opened, facts, &stop, &line).into()),
        };
        if let Some((operation, account)) = granted.needs_body() {
            (facts.operation, facts.account) = (Some(operation), account.as_ref());
            // A caller that leaves meanwhile is recorded with it.
            opened.guard.know(&facts);
            return Ok(Prepared::ReadBody(opened));
        }
        let settled = self.settle(opened, facts, &line, &granted);
        if let (Settled::Forward(forward), Way::Upstream(judged), Some(again), Some(token)) =
            (&settled, &granted.way, again, token)
        {
            again.learn(head, (judged.grant, token, &caller), forward);
        }
        Ok(Prepared::Settled(settled))
    }

    /// Judges a head once more, with the body that the first look asked for.
    pub(super) fn prepare_read(
        &self,
        mut opened: Opened,
        head: &RequestHead<'_, '_>,
        connection: &Connection,
        body: &Inspected<'_>,
    ) -> Settled {
        opened.guard.waited();
        let host = host_field(head);
        let (parts, mut facts) = read(head, host);
        let now = opened.guard.unix_seconds();
        let caller = match self.begin(head, connection, now).finish(now) {
            Ok(caller) => caller,
            Err(refusal) => return Settled::Own(self.refuse_unproven(opened, facts, &refusal)),
        };
        facts.team = Some(&caller.team().id);
        facts.proof_id = Some(caller.proof_id().as_str());
        let line = Line { broker: self, head, parts, host, connection, caller: &caller, inspected: Some(body), now };
        match line.grant(line.asked()) {
            Ok(granted) => self.settle(opened, facts, &line, &granted),
            Err(stop) => Settled::Own(self.refuse_known(opened, facts, &stop, &line)),
        }
    }

    /// Records what a caller may do, and makes ready for it.
    fn settle(&self, opened: Opened, facts: Facts<'_>, line: &Line<'_, '_, '_>, granted: &Granted<'_>) -> Settled {
        let stop = match &granted.way {
            Way::Local(operation) => match line.local(operation) {
                Ok(answer) => {
                    let bytes_in = line.inspected.map_or(0, |body| body.bytes.len() as u64);
                    return Settled::Own(Own::Local(Box::new(Self::own_answer(opened, facts, answer, bytes_in))));
                }
                Err(stop) => stop,
            },
            Way::Upstream(judged) => match line.forward(judged, granted.framing) {
                Ok(leased) => {
                    let links = line.links(judged);
                    let forward = Forward { links, ..self.granted(opened, facts, judged, leased) };
                    return Settled::Forward(Box::new(forward));
                }
                Err(stop) => stop,
            },
        };
        Settled::Own(self.refuse_known(opened, facts, &stop, line))
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
    fn own_answer(opened: Opened, facts: Facts<'_>, answer: OwnAnswer, bytes_in: u64) -> Local {
        let Opened { id, mut guard, .. } = opened;
        // One write keeps both: the outcome is awaited, and it stands behind the intent.
        drop(guard.intent(&Facts { operation: Some(answer.operation), ..facts }));
        let kept = guard.outcome(&Outcome {
            status: answer.status,
            bytes_in,
            bytes_out: answer.body.len() as u64,
            ..Outcome::default()
        });
        Local { id, answer, kept }
    }

    /// A refusal before there is a head: the bytes are no request at all.
    pub fn refuse_unread(&self, opened: Opened, reason: Reason, what: &str) -> Own {
        self.refuse(opened, &Facts::default(), &Stop::because(reason, what))
    }

    /// A refusal for a body that had to be read before its request could be judged.
    pub(super) fn refuse_body(
        &self,
        opened: Opened,
        head: &RequestHead<'_, '_>,
        connection: &Connection,
        fault: BodyFault,
    ) -> Own {
        let host = host_field(head);
        let (parts, mut facts) = read(head, host);
        let mut stop = Stop::because(fault.reason(), fault.text());
        let now = self.clock.unix_seconds();
        let begun = self.begin(head, connection, now);
        let Ok(caller) = begun.finish(now) else { return self.refuse(opened, &facts, &stop) };
        facts.team = Some(&caller.team().id);
        facts.proof_id = Some(caller.proof_id().as_str());
        let line = Line { broker: self, head, parts, host, connection, caller: &caller, inspected: None, now };
        let judged = line.asked().and_then(|asked| line.judge(asked)).ok();
        let account = judged.as_ref().and_then(|judged| judged.grant.account());
        facts.account = account.as_ref();
        stop.operation = judged.map(|judged| judged.grant.operation().name());
        facts.operation = stop.operation;
        self.refuse(opened, &facts, &stop)
    }

    /// A refusal of a head that HTTP/1.1 can't say, for whoever proves to be somebody: 401 outranks 400.
    pub fn refuse_head(&self, opened: Opened, presented: &Presented<'_>, method: &str, what: &str) -> Own {
        let mut facts = Facts { method: method.as_bytes(), ..Facts::default() };
        match self.authn.authenticate(presented, opened.guard.unix_seconds()) {
            Ok(caller) => {
                facts.team = Some(&caller.team().id);
                facts.proof_id = Some(caller.proof_id().as_str());
                self.refuse(opened, &facts, &Stop::because(Reason::MalformedRequest, what))
            }
            Err(refusal) => self.refuse_unproven(opened, facts, &refusal),
        }
    }

    /// A refusal of whoever does not prove to be somebody.
    fn refuse_unproven(&self, opened: Opened, facts: Facts<'_>, refusal: &Refusal) -> Own {
        let facts = Facts { proof_id: refusal.proof_id.as_ref().map(TokenId::as_str), ..facts };
        self.refuse(opened, &facts, &Stop::because(refusal.reason, refusal.why))
    }

    /// A refusal of somebody who is known: the record tells what was asked for as a granted request's does, where that can be
    /// told.
    fn refuse_known(&self, opened: Opened, facts: Facts<'_>, stop: &Stop, line: &Line<'_, '_, '_>) -> Own {
        let refused = Refused::new(opened.id, stop.reason, Format::of(facts.path));
        let asked = line.asked();
        let (host, path) = match &asked {
            Ok(asked) => (asked.host().as_bytes(), asked.path().as_bytes()),
            Err(_) => (facts.host, facts.path),
        };
        let facts = Facts { host, path, operation: stop.operation, account: stop.account.as_ref(), ..facts };
        self.refuse_as(opened, &facts, stop, refused)
    }

    fn refuse(&self, opened: Opened, facts: &Facts<'_>, stop: &Stop) -> Own {
        let format = if facts.path.is_empty() { Format::Json } else { Format::of(facts.path) };
        let refused = Refused::new(opened.id, stop.reason, format);
        self.refuse_as(opened, facts, stop, refused)
    }

    /// Records a refusal.
    pub(super) fn refuse_as(&self, opened: Opened, facts: &Facts<'_>, stop: &Stop, mut refused: Refused) -> Own {
        self.metrics.refused(stop.reason);
        tracing::debug!(request = %refused.id, reason = stop.reason.name(), detail = stop.detail, "refused");
        refused.told.clone_from(&stop.told);
        let kept = opened.guard.deny(
            facts,
            &Denial {
                status: refused.row().status,
                reason: stop.reason.name(),
                detail: Some(&stop.detail),
                bytes_in: 0,
                bytes_out: if facts.method == b"HEAD" { 0 } else { refused.body().1.len() as u64 },
            },
        );
        Own::Refuse(Box::new(Refuse { refused, kept }))
    }

    fn begin(&self, head: &RequestHead<'_, '_>, connection: &Connection, now: u64) -> Begun {
        // A target that is no path was meant for a proxy, also where it is malformed: its proof is looked at first.
        let proxied = !head.target.starts_with('/');
        self.authn.begin(&Presented { fields: head.fields, proxied, connection: connection.proof.as_ref() }, now)
    }
}
