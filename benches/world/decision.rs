//! The decision: the path of a broker's own code from a proof to the head that goes upstream.

use super::World;
use bytes::BytesMut;
use sidekey::authn::{Authn, Presented};
use sidekey::http1::{Field, Framing, RequestHead};
use sidekey::inject::inject;
use sidekey::keys::lease;
use sidekey::policy::{self, Subject, Target};

/// A Unix second; nothing in these directories expires.
pub const NOW: u64 = 1_800_000_000;

/// What every caller sends.
pub const PATH: &str = "/2010-04-01/Accounts/ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/Messages.json";
pub const FIELDS: [(&str, &str); 7] = [
    ("Host", "127.0.0.1:8080"),
    ("User-Agent", "twilio-python/9.13.0 (Linux x86_64) Python/3.11"),
    ("Accept-Encoding", "gzip, deflate"),
    ("Accept", "application/json"),
    ("Connection", "keep-alive"),
    ("X-Twilio-Client", "python-9.13.0"),
    ("Content-Type", "application/x-www-form-urlencoded"),
];

/// The fields of a request with this proof.
pub fn fields(proof: &[u8]) -> [Field<'_>; FIELDS.len() + 1] {
    let mut all = [Field { name: "Authorization", value: proof }; FIELDS.len() + 1];
    for (field, (name, value)) in all.iter_mut().zip(FIELDS) {
        *field = Field { name, value: value.as_bytes() };
    }
    all
}

/// What is asked of the policy.
pub fn target() -> Target<'static> {
    let authority = Some("127.0.0.1:8080");
    Target { method: b"GET", authority, absolute: false, path: PATH.as_bytes(), query: Some(b"PageSize=50") }
}

/// From the parsed head to the head that goes upstream, written to `buffer`.
pub fn decision(authn: &Authn, world: &World, proof: &[u8], buffer: BytesMut) -> BytesMut {
    let fields = fields(proof);
    let presented = Presented { fields: &fields, proxied: false, connection: None };
    // As the broker does it: the target is read while the token is on its way from memory.
    let begun = authn.begin(&presented, NOW);
    let target = target();
    let asked = policy::read(&target).expect("a path that can be read");
    let caller = begun.finish(NOW).expect("a caller of the directory");
    let team = caller.team();
    let subject = Subject {
        team: &team.id,
        kind: team.kind,
        accounts: &team.accounts,
        acting: &team.accounts[0],
        policy: &team.policy,
    };
    let judged = asked.judge(&subject).expect("a path that is open");
    let lease = lease(&judged.grant, team, &world.directory, NOW).expect("a team with a key");
    let request = RequestHead { method: "GET", target: PATH, minor: 1, fields: &fields, raw: b"" };
    inject(&request, &judged, &lease, Framing::Length(0), buffer).into_buffer()
}
