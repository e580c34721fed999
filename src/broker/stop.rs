//! Why a request goes no further.

use crate::error::Reason;
use crate::ids::AccountSid;
use crate::policy::{self, Judged};

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
