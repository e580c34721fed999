//! What a request's head came to.

use super::Refused;
use super::tunnel::PendingTunnel;
use crate::audit::{Guard, Kept};
use crate::authn::jwt::Coming;
use crate::error::Reason;
use crate::ids::{AccountSid, RequestId};
use crate::inject::Outbound;
use crate::keys::Lease;
use crate::policy::{self, Judged};
use crate::twilio::Format;
use crate::upstream;
use std::rc::Rc;

/// Where a request's host is reached.
pub type Route = Rc<upstream::Route>;

/// What a head came to.
#[derive(Debug)]
pub enum Prepared {
    /// There is nothing more to ask.
    Settled(Settled),
    /// The body names accounts: it must be read whole and judged with the head once more.
    ReadBody(Opened),
    /// A CONNECT that may open its tunnel, once its record is kept.
    Tunnel(Box<PendingTunnel>),
}

/// What a request came to.
#[derive(Debug)]
pub enum Settled {
    /// It goes upstream, once its intent is kept.
    Forward(Box<Forward>),
    /// It is refused, or sidekey answers it itself.
    Own(Own),
}

/// A proof whose key is being fetched: the head is worth another look then.
pub type Wait = Box<(Opened, Coming)>;

impl From<Own> for Prepared {
    fn from(own: Own) -> Self {
        Self::Settled(Settled::Own(own))
    }
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
    pub(super) reason: Reason,
    /// What the caller is not told.
    pub(super) detail: String,
    pub(super) operation: Option<&'static str>,
    /// The account that was asked for, if that could be told.
    pub(super) account: Option<AccountSid>,
    /// What the caller is told instead of the row's own message.
    pub(super) told: Option<String>,
}

impl Stop {
    pub(super) fn because(reason: Reason, detail: &str) -> Self {
        Self { reason, detail: detail.to_owned(), operation: None, account: None, told: None }
    }

    /// The same for a request that was judged.
    pub(super) fn of(judged: &Judged<'_>, reason: Reason, detail: &str) -> Self {
        let (operation, account) = (Some(judged.grant.operation().name()), judged.grant.account());
        Self { operation, account, ..Self::because(reason, detail) }
    }

    /// A refusal of one of sidekey's own operations that tells the caller what to mend.
    pub(super) fn telling(reason: Reason, operation: &'static str, told: String) -> Self {
        Self { reason, detail: told.clone(), operation: Some(operation), account: None, told: Some(told) }
    }
}

impl From<policy::Denial> for Stop {
    fn from(denial: policy::Denial) -> Self {
        let operation = denial.operation.map(crate::twilio::Operation::name);
        Self { reason: denial.reason, detail: denial.rule.into_owned(), operation, account: denial.account, told: None }
    }
}
