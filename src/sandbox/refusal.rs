//! Every way Twilio refuses a request that the sandbox knows: one constructor each, with the source of its code.

use std::borrow::Cow;

/// A refusal in Twilio's words.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// Twilio's error code; also `X-Twilio-Error-Code`.
    pub code: u32,
    /// What the caller reads.
    pub message: Cow<'static, str>,
    /// The second sentence of a 401.
    pub detail: Option<&'static str>,
}

impl Refusal {
    /// Any refusal that has no constructor of its own.
    pub fn new(status: u16, code: u32, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, message: message.into(), detail: None }
    }

    /// A parameter that Twilio would not take: 400.
    pub fn bad(code: u32, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, code, message)
    }

    /// A credential that proves nothing, and any key on what it may not reach: 401/20003 "Authenticate" (live tests of
    /// 2026: a Standard key on Accounts and Keys gets this, not 403).
    pub fn unauthenticated() -> Self {
        let detail = Some("Your AccountSid or AuthToken was incorrect.");
        Self { detail, ..Self::new(401, 20003, "Authenticate") }
    }

    /// No credential at all.
    pub fn no_credentials() -> Self {
        Self { message: "Authentication Error - No credentials provided".into(), ..Self::unauthenticated() }
    }

    /// A username that is neither an account nor a key.
    pub fn invalid_username() -> Self {
        Self { message: "Authentication Error - invalid username".into(), ..Self::unauthenticated() }
    }

    /// A Restricted key without this permission (live tests, code 70051).
    pub fn permission_missing(permission: &str) -> Self {
        let message = format!("Authorization Error: required permission twilio/{permission} is missing");
        Self::new(401, 70051, message)
    }

    /// A Restricted key with no permission whatever.
    pub fn no_assertions() -> Self {
        Self::new(401, 70051, "Authorization Error: actor doesn't have any assertions")
    }

    /// A suspended or closed account (Twilio docs, error 20403).
    pub fn account_not_active() -> Self {
        let message = "Forbidden: the account lacks permission to access the Twilio API. \
                       Typically this means the account has been suspended or closed";
        Self::new(403, 20403, message)
    }

    /// Nothing there. Twilio echoes the path: whole on the 2010 API, without the version elsewhere.
    pub fn not_found(path: &str) -> Self {
        Self::new(404, 20404, format!("The requested resource {path} was not found"))
    }

    /// A method that the resource does not have (Twilio docs, error 20004).
    pub fn method_not_allowed() -> Self {
        Self::new(405, 20004, "Method not allowed")
    }

    /// Not an account's name where one must stand (twilio-ruby issue 478).
    pub fn invalid_account_sid(text: &str) -> Self {
        Self::bad(90002, format!("AccountSid {text} is invalid"))
    }

    /// Not a key's name where one must stand (live tests).
    pub fn invalid_key_sid() -> Self {
        Self::bad(70002, "Invalid Sid provided in the request")
    }

    /// `FriendlyName` of more than 64 characters on a key (live tests).
    pub fn constraint_violations() -> Self {
        Self::bad(70001, "The request has constraint violations")
    }

    /// A required parameter that did not come, on a product API.
    pub fn missing(parameter: &str) -> Self {
        Self::bad(20001, format!("Missing required parameter {parameter} in the post body"))
    }

    /// A parameter that is there but can't be read.
    pub fn invalid(parameter: &str) -> Self {
        Self::bad(20001, format!("Invalid parameter {parameter}"))
    }

    /// More body than the sandbox reads.
    pub fn body_too_large() -> Self {
        Self::new(413, 20413, "The request body is too large")
    }
}
