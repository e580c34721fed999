//! What the broker tells the audit about a request. Everything is borrowed: a record is rendered where it is told.

use crate::ids::{AccountSid, KeySid, TeamId};
use std::net::SocketAddr;
use std::time::Instant;

/// Where a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Over TCP.
    Ip(SocketAddr),
    /// Over the Unix socket.
    Unix,
}

/// What is known of a request when it is decided. Bytes are as the caller sent them: the line writer escapes them, cuts
/// them at its bounds, drops a query, and hashes phone numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// The team that the proof led to.
    pub team: Option<&'a TeamId>,
    /// The public id of the proof (`TokenId` of a token, the subject of a JWT, the name in a certificate).
    pub proof_id: Option<&'a str>,
    /// The method.
    pub method: &'a [u8],
    /// The upstream host that was asked for, without userinfo.
    pub host: &'a [u8],
    /// The path. A query may still hang on it; it is not recorded.
    pub path: &'a [u8],
    /// Method, host and path were judged: they are printable ASCII without quotes or backslashes, and not too long.
    pub judged: bool,
    /// The operation, as `explain` prints it.
    pub operation: Option<&'a str>,
    /// The account in the path or in a selector.
    pub account: Option<&'a AccountSid>,
    /// The key that the request goes upstream with.
    pub key_sid: Option<&'a KeySid>,
}

/// How an allowed request ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome<'a> {
    /// The status that the caller was answered with; 0: none, it hung up before.
    pub status: u16,
    /// `Sidekey-Error`, if sidekey made the answer.
    pub reason: Option<&'a str>,
    /// What the caller is not told: what stood between it and an upstream's answer.
    pub detail: Option<&'a str>,
    /// `Twilio-Request-Id` of the upstream's answer.
    pub upstream_request_id: Option<&'a [u8]>,
    /// Bytes of the request body.
    pub bytes_in: u64,
    /// Bytes of the answer body.
    pub bytes_out: u64,
    /// When the request was sent upstream; `None`: it was not.
    pub sent: Option<Instant>,
    /// When it ended; `None`: now.
    pub ended: Option<Instant>,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct Denial<'a> {
    /// The status that the caller was answered with.
    pub status: u16,
    /// `Sidekey-Error`: what the caller is told.
    pub reason: &'a str,
    /// What the caller is not told: `expired`, `revoked`, the rule that refused.
    pub detail: Option<&'a str>,
    /// Bytes of the request body that were read.
    pub bytes_in: u64,
    /// Bytes of the answer body.
    pub bytes_out: u64,
}
