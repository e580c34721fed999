//! What is known of one request while its record is open, and how its lines are rendered from that.

use super::facts::{Denial, Facts, Outcome, Peer};
use super::line::{self, MAX_PATH, MAX_TEXT, key};
use super::private::Private;
use crate::clock::Moment;
use crate::error::Reason;
use crate::ids::{AccountSid, KeySid, RequestId};
use std::time::Instant;

/// The notes of one request.
pub(super) struct Notes {
    pub(super) id: RequestId,
    pub(super) peer: Peer,
    pub(super) opened: Moment,
    /// When what is recorded next happened, in microseconds since the Unix epoch.
    pub(super) at: u64,
    /// The intent is recorded.
    pub(super) intended: bool,
    /// The rendered peer and facts: the outcome repeats the intent's, so that each line can be read alone.
    told: Vec<u8>,
}

impl Notes {
    /// Notes of a new request.
    pub(super) const fn new(id: RequestId, peer: Peer, opened: Moment) -> Self {
        Self { id, peer, opened, at: opened.unix_micros(), intended: false, told: Vec::new() }
    }

    /// The same, with the room that these have.
    pub(super) fn renew(&mut self, id: RequestId, peer: Peer, opened: Moment) {
        let mut told = std::mem::take(&mut self.told);
        told.clear();
        *self = Self { told, ..Self::new(id, peer, opened) };
    }

    /// What has been told.
    pub(super) fn told(&self) -> &[u8] {
        &self.told
    }

    /// Goes on to `now`.
    pub(super) fn pass(&mut self, now: Instant) {
        self.at = self.opened.unix_micros().saturating_add(self.opened.micros_to(now));
    }

    /// Takes down what another request on the same connection has told.
    pub(super) fn tell_again(&mut self, told: &[u8]) {
        self.told.clear();
        self.told.extend_from_slice(told);
    }

    /// Takes down what is known now.
    pub(super) fn tell(&mut self, private: &Private, facts: &Facts<'_>) {
        let out = &mut self.told;
        out.clear();
        line::peer(out, self.peer);
        line::plain(out, key!("team"), facts.team.map(|team| team.as_str().as_bytes()));
        line::text(out, key!("token_id"), facts.proof_id.map(str::as_bytes), MAX_TEXT);
        let as_it_is = facts.judged && facts.path.len() <= MAX_PATH;
        hidden_text(private, out, key!("method"), facts.method, (MAX_TEXT, as_it_is));
        let host = &facts.host[memchr::memrchr(b'@', facts.host).map_or(0, |at| at + 1)..];
        hidden_text(private, out, key!("host"), host, (MAX_TEXT, as_it_is));
        let path = &facts.path[..memchr::memchr2(b'?', b'#', facts.path).unwrap_or(facts.path.len())];
        hidden_text(private, out, key!("path"), path, (MAX_PATH, as_it_is));
        line::plain(out, key!("operation"), facts.operation.map(str::as_bytes));
        line::plain(out, key!("account"), facts.account.map(AccountSid::as_bytes));
        line::plain(out, key!("key_sid"), facts.key_sid.map(KeySid::as_bytes));
    }

    /// Renders the line of an intent.
    pub(super) fn intent(&self, out: &mut Vec<u8>) {
        self.begin(out, "\",\"phase\":\"intent\",\"decision\":\"allow\"");
    }

    /// Renders the line of an outcome.
    pub(super) fn outcome(&self, out: &mut Vec<u8>, outcome: &Outcome<'_>, ended: Instant) {
        // An intent that was not kept allowed nothing.
        let refused = outcome.reason == Some(Reason::AuditUnavailable.name());
        self.begin(
            out,
            if !self.intended {
                UNDECIDED
            } else if refused {
                DENIED
            } else {
                ALLOWED
            },
        );
        line::text(out, key!("reason"), outcome.reason.map(str::as_bytes), MAX_TEXT);
        if let Some(detail) = outcome.detail {
            line::text(out, key!("detail"), Some(detail.as_bytes()), MAX_TEXT);
        }
        line::maybe_number(out, key!("status"), (outcome.status != 0).then_some(outcome.status.into()));
        line::text(out, key!("upstream_request_id"), outcome.upstream_request_id, MAX_TEXT);
        line::number(out, key!("bytes_in"), outcome.bytes_in);
        line::number(out, key!("bytes_out"), outcome.bytes_out);
        let duration = self.opened.micros_to(ended);
        let upstream = outcome.sent.map(|sent| duration - self.opened.micros_to(sent.min(ended)));
        line::number(out, key!("duration_us"), duration);
        line::maybe_number(out, key!("upstream_us"), upstream);
    }

    /// Renders the line of a refusal.
    pub(super) fn denial(&self, out: &mut Vec<u8>, denial: &Denial<'_>, ended: Instant) {
        self.begin(out, DENIED);
        line::text(out, key!("reason"), Some(denial.reason.as_bytes()), MAX_TEXT);
        line::text(out, key!("detail"), denial.detail.map(str::as_bytes), MAX_TEXT);
        line::number(out, key!("status"), denial.status.into());
        line::plain(out, key!("upstream_request_id"), None);
        line::number(out, key!("bytes_in"), denial.bytes_in);
        line::number(out, key!("bytes_out"), denial.bytes_out);
        line::number(out, key!("duration_us"), self.opened.micros_to(ended));
        line::maybe_number(out, key!("upstream_us"), None);
    }

    /// Appends what all records begin with. `kind`: phase and decision, in one piece.
    fn begin(&self, out: &mut Vec<u8>, kind: &str) {
        out.extend_from_slice(b",\"id\":\"");
        out.extend_from_slice(self.id.hex());
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(&self.told);
    }
}

/// Phase and decision of an outcome.
const ALLOWED: &str = "\",\"phase\":\"outcome\",\"decision\":\"allow\"";
const DENIED: &str = "\",\"phase\":\"outcome\",\"decision\":\"deny\"";
const UNDECIDED: &str = "\",\"phase\":\"outcome\",\"decision\":null";

/// Appends what the caller sent, without what is private; `null` if it sent nothing. `as_it_is`: it needs no escape.
#[inline]
fn hidden_text(private: &Private, out: &mut Vec<u8>, key: &str, bytes: &[u8], (ceiling, as_it_is): (usize, bool)) {
    let bytes = &bytes[..bytes.len().min(ceiling)];
    match private.hide(bytes) {
        _ if bytes.is_empty() => line::plain(out, key, None),
        None if as_it_is => line::plain(out, key, Some(bytes)),
        None => line::text(out, key, Some(bytes), ceiling),
        Some(hidden) => line::text(out, key, Some(&hidden), ceiling),
    }
}
