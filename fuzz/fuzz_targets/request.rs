//! A request's head, from the wire to the head that goes upstream for a standard team.
//!
//! Whatever a caller writes: what goes upstream is one request for every reader, with one credential, framed in one way;
//! its path is the one that was judged; and no lenient reading of that path is a key or an account.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use percent_encoding::percent_decode;
use sidekey::directory::{Directory, TeamState};
use sidekey::http1::{Framing, RequestHead, parse_request, request_framing};
use sidekey::inject::inject;
use sidekey::keys::lease;
use sidekey::policy::{self, Subject, Target};
use std::sync::LazyLock;

static WORLD: LazyLock<(TeamState, Directory)> = LazyLock::new(|| (sidekey_fuzz::team(), sidekey_fuzz::directory()));

fuzz_target!(|input: &[u8]| {
    let Ok(Some(Some(upstream))) = parse_request(input, |head, _| forward(head)) else { return };
    check(&upstream);
});

/// What goes upstream for this head, if anything does.
fn forward(head: &RequestHead<'_, '_>) -> Option<Vec<u8>> {
    let (team, directory) = &*WORLD;
    let framing = request_framing(head).ok()?;
    let (path, query) = head.target.split_once('?').map_or((head.target, None), |(path, query)| (path, Some(query)));
    let host = head.fields.iter().find(|field| field.name.eq_ignore_ascii_case("host"));
    let target = Target {
        method: head.method.as_bytes(),
        authority: host.and_then(|host| std::str::from_utf8(host.value).ok()),
        absolute: false,
        path: path.as_bytes(),
        query: query.map(str::as_bytes),
    };
    let subject = Subject {
        team: &team.id,
        kind: team.kind,
        accounts: &team.accounts,
        acting: &team.accounts[0],
        policy: &team.policy,
    };
    let judged = policy::judge(&subject, &target).ok()?;
    let lease = lease(&judged.grant, team, directory, 0).ok()?;
    let outbound = inject(head, &judged, &lease, framing, BytesMut::new());
    assert!(path.ends_with(judged.address.path(&judged.path)), "the path that is sent is not the one that came");
    assert_eq!(outbound.framing(), framing);
    Some(outbound.head().to_vec())
}

/// Reads it as an upstream would.
fn check(bytes: &[u8]) {
    let read = parse_request(bytes, |head, length| {
        assert_eq!(length, bytes.len(), "bytes behind the head");
        assert_eq!(count(head, "authorization"), 1, "one credential");
        assert_eq!(count(head, "host"), 1, "one host");
        assert_eq!(count(head, "proxy-authorization"), 0, "the caller's proof");
        assert!(count(head, "content-length") + count(head, "transfer-encoding") <= 1, "one framing");
        let framing = request_framing(head).expect("a framing");
        assert!(framing != Framing::UntilClose, "a request has an end");
        assert!(!is_management(head.target), "a management resource: {}", head.target);
    });
    assert!(matches!(read, Ok(Some(()))), "no head: {read:?}");
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut again = httparse::Request::new(&mut fields);
    assert_eq!(again.parse(bytes), Ok(httparse::Status::Complete(bytes.len())), "another reader");
}

fn count(head: &RequestHead<'_, '_>, name: &str) -> usize {
    head.fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).count()
}

/// The most lenient reading: decoded as often as it goes, without case, parameters, suffixes and empty segments.
fn is_management(target: &str) -> bool {
    let mut path = target.split(['?', '#']).next().unwrap_or_default().to_owned();
    while path.contains('%') {
        let decoded = percent_decode(path.as_bytes()).decode_utf8_lossy().into_owned();
        if decoded == path {
            break;
        }
        path = decoded;
    }
    let path = path.to_ascii_lowercase().replace('\\', "/");
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        let name = segment.split(';').next().unwrap_or_default().trim();
        if name == ".." {
            segments.pop();
            continue;
        }
        let plain = name.split('.').next().unwrap_or_default().trim();
        if !plain.is_empty() {
            segments.push(plain);
        }
    }
    match segments.as_slice() {
        ["2010-04-01", "accounts"] | ["2010-04-01", "accounts", _] => true,
        ["2010-04-01", "accounts", _, rest, ..] => matches!(*rest, "keys" | "signingkeys" | "tokens"),
        _ => false,
    }
}
