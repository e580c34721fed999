//! What a request's head came to.

use super::Refused;
use crate::audit::{Guard, Kept};
use crate::authn::ConnectionProof;
use crate::authn::jwt::Coming;
use crate::ids::RequestId;
use crate::inject::Outbound;
use crate::keys::Lease;
use crate::twilio::Format;
use crate::upstream;
use rustls::ServerConfig;
use std::rc::Rc;
use std::sync::Arc;

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

/// A tunnel that was granted.
#[derive(Debug)]
pub struct Tunnel {
    /// Names the CONNECT.
    pub id: RequestId,
    /// The one host inside, lower-case.
    pub host: Box<str>,
    /// What decides inside; `None`: each request there brings its own proof.
    pub proof: Option<ConnectionProof>,
    /// TLS inside.
    pub config: Arc<ServerConfig>,
}

/// A tunnel whose record is on its way.
#[derive(Debug)]
pub struct PendingTunnel {
    pub(super) tunnel: Tunnel,
    pub(super) kept: Kept,
}
