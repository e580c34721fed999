//! Every way a request ends without an upstream answer: one exhaustive table.
//!
//! No status code of a refused request is chosen anywhere else. A new [`Reason`] does not compile until its row is
//! written, and a golden test prints the table.

/// Whose fault a refused request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The caller's: what it sent, or what it may not do.
    Caller,
    /// Ours: a ceiling, the audit, a missing key.
    Broker,
    /// The upstream's: unreachable, late, or unwilling to take the key.
    Upstream,
}

/// Why a request got no upstream answer. `Sidekey-Error` carries [`Reason::name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No proof at all.
    Unauthenticated,
    /// A proof that proves nothing: unknown, malformed, expired, revoked, or of a disabled team.
    InvalidProof,
    /// A path, target, header or framing that could be read in two ways.
    MalformedRequest,
    /// A standard caller on a management resource.
    ManagementResource,
    /// An account that is not the team's, in the path or in a selector.
    AccountNotAllowed,
    /// Not a Twilio host that sidekey knows.
    HostNotAllowed,
    /// The team's own policy says no.
    PolicyDenied,
    /// More body than the ceiling.
    BodyTooLarge,
    /// More requests than the team may send.
    RateLimited,
    /// The team has no usable key.
    NoKey,
    /// The audit record can't be kept, and the audit is required.
    AuditUnavailable,
    /// A ceiling of the broker itself.
    Overloaded,
    /// The upstream refused the key that sidekey sent: the caller's proof is not at fault.
    UpstreamRejectedKey,
    /// No connection to the upstream, or one that broke before an answer.
    UpstreamUnreachable,
    /// No answer from the upstream in time.
    UpstreamTimeout,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The word in `Sidekey-Error` and in the audit.
    pub name: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The code in the body, of Twilio's kind.
    pub code: u32,
    /// Whose fault it is.
    pub fault: Fault,
    /// What the caller is told.
    pub message: &'static str,
}

impl Reason {
    /// Every reason, in the order of the table.
    pub const ALL: [Self; 15] = [
        Self::Unauthenticated,
        Self::InvalidProof,
        Self::MalformedRequest,
        Self::ManagementResource,
        Self::AccountNotAllowed,
        Self::HostNotAllowed,
        Self::PolicyDenied,
        Self::BodyTooLarge,
        Self::RateLimited,
        Self::NoKey,
        Self::AuditUnavailable,
        Self::Overloaded,
        Self::UpstreamRejectedKey,
        Self::UpstreamUnreachable,
        Self::UpstreamTimeout,
    ];

    /// The row of this reason. Exhaustive on purpose: no wildcard arm.
    pub const fn row(self) -> Row {
        use Fault::{Broker, Caller, Upstream};
        let (name, status, code, fault, message) = match self {
            Self::Unauthenticated => ("unauthenticated", 401, 20003, Caller, "Authenticate"),
            Self::InvalidProof => ("invalid_proof", 401, 20003, Caller, "Authenticate"),
            Self::MalformedRequest => {
                ("malformed_request", 400, 20001, Caller, "The request could be read in more than one way")
            }
            Self::ManagementResource => {
                ("management_resource", 403, 20403, Caller, "Accounts, keys and credentials are closed to this team")
            }
            Self::AccountNotAllowed => {
                ("account_not_allowed", 403, 20403, Caller, "This account is not among the team's accounts")
            }
            Self::HostNotAllowed => ("host_not_allowed", 403, 20403, Caller, "This host or API version is not served"),
            Self::PolicyDenied => ("policy_denied", 403, 20403, Caller, "The team's policy does not allow this"),
            Self::BodyTooLarge => {
                ("body_too_large", 413, 20413, Caller, "The body is larger than the broker's ceiling")
            }
            Self::RateLimited => ("rate_limited", 429, 20429, Caller, "Too many requests; retry later"),
            Self::NoKey => ("no_key", 503, 20503, Broker, "The team has no usable key; ask who runs sidekey"),
            Self::AuditUnavailable => {
                ("audit_unavailable", 503, 20503, Broker, "The request can't be recorded, so it was not sent")
            }
            Self::Overloaded => ("overloaded", 503, 20503, Broker, "The broker is at its ceiling; retry later"),
            Self::UpstreamRejectedKey => (
                "upstream_rejected_key",
                502,
                20502,
                Upstream,
                "Twilio refused the team's key; the caller's proof is not at fault",
            ),
            Self::UpstreamUnreachable => {
                ("upstream_unreachable", 502, 20502, Upstream, "The upstream can't be reached")
            }
            Self::UpstreamTimeout => ("upstream_timeout", 504, 20504, Upstream, "The upstream did not answer in time"),
        };
        Row { name, status, code, fault, message }
    }

    /// The row where the answer is to a CONNECT: a proxy that wants a proof says so with 407 (RFC 9110 §15.5.8), and
    /// some callers send none before they hear it.
    pub const fn tunnel_row(self) -> Row {
        match self {
            Self::Unauthenticated => Row { status: 407, ..self.row() },
            _ => self.row(),
        }
    }

    /// The word in `Sidekey-Error` and in the audit.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The HTTP status.
    pub const fn status(self) -> u16 {
        self.row().status
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    /// The table as the contract prints it. A change here is a change of the public contract.
    const GOLDEN: &str = "\
unauthenticated 401 20003
invalid_proof 401 20003
malformed_request 400 20001
management_resource 403 20403
account_not_allowed 403 20403
host_not_allowed 403 20403
policy_denied 403 20403
body_too_large 413 20413
rate_limited 429 20429
no_key 503 20503
audit_unavailable 503 20503
overloaded 503 20503
upstream_rejected_key 502 20502
upstream_unreachable 502 20502
upstream_timeout 504 20504
";

    #[test]
    fn the_table_is_the_contract() {
        let mut table = String::new();
        for reason in Reason::ALL {
            let row = reason.row();
            writeln!(table, "{} {} {}", row.name, row.status, row.code).expect("a String takes all");
        }
        assert_eq!(table, GOLDEN);
    }
}
