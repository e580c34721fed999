//! Callers that greet badly: stalled, broken, out of date, too many.

use super::fixture::{Fixture, MESSAGES, OURS, agree, basic};
use crate::reach::wire::{Answer, Secure, ask};
use std::io::{Read, Write};
use std::net::TcpStream;

fn list(fixture: &Fixture, stream: &mut Secure) -> Answer {
    let proof = basic(OURS, &fixture.token);
    ask(stream, &format!("GET {MESSAGES}"), &[("Host", "sidekey.test"), ("Authorization", &proof)], "")
}

/// A greeting of TLS as old as `version` says, with suites of every time, a curve and a signature.
fn hello(version: [u8; 2]) -> Vec<u8> {
    let mut body = version.to_vec();
    body.extend([7; 32]);
    body.extend([0, 0, 6, 0xc0, 0x2b, 0xc0, 0x13, 0xc0, 0x09, 1, 0]);
    body.extend([0, 22, 0, 10, 0, 4, 0, 2, 0, 23, 0, 13, 0, 4, 0, 2, 4, 3, 0, 11, 0, 2, 1, 0]);
    let length = u8::try_from(body.len()).expect("short");
    let mut hello = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    hello.extend(body);
    hello
}

/// Everything until the broker closes; `None` if it does not.
fn rest(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Err(fault) if matches!(fault.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => None,
        _ => Some(all),
    }
}

#[test]
fn stalled_greetings_make_room_for_honest_callers() {
    let fixture = Fixture::start_secure("cores = 1\nmax_connections = 8\nhead_timeout = \"1m\"", agree);
    let half = &hello([3, 3])[..20];
    let mut stalled = Vec::new();
    for n in 0..100 {
        let mut stream = fixture.knock();
        // Some say nothing at all, others begin.
        if n % 2 == 0 {
            stream.write_all(half).expect("sent");
        }
        stalled.push(stream);
        if n % 10 == 0 {
            assert_eq!(list(&fixture, &mut fixture.secure("http/1.1")).status, 200, "after {n}");
        }
    }
    // Those of a plain caller too, who shares their ceiling.
    assert_eq!(fixture.ask("GET", MESSAGES, "", b"").expect("an answer").status, 200);
    // The oldest were closed, the youngest wait on.
    assert_eq!(rest(&mut stalled[0]), Some(Vec::new()));
    let last = stalled.last_mut().expect("one");
    last.set_nonblocking(true).expect("an option");
    assert!(last.read(&mut [0]).is_err_and(|fault| fault.kind() == std::io::ErrorKind::WouldBlock));
    drop(stalled);
    fixture.end();
}

#[test]
fn a_connection_too_many_is_told_so_by_tls_too() {
    let fixture = Fixture::start_secure("cores = 1\nmax_connections = 2", agree);
    let mut held: Vec<Secure> = (0..2).map(|_| fixture.secure("http/1.1")).collect();
    for stream in &mut held {
        assert_eq!(list(&fixture, stream).status, 200);
    }
    for _ in 0..20 {
        let answer = list(&fixture, &mut fixture.secure("http/1.1"));
        assert_eq!((answer.status, answer.header("sidekey-error")), (503, Some("overloaded")), "{answer:?}");
        assert_eq!((answer.header("retry-after"), answer.header("connection")), (Some("1"), Some("close")));
    }
    assert_eq!(list(&fixture, &mut held[0]).status, 200, "who is in is served");
    drop(held.pop());
    let room = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        list(&fixture, &mut fixture.secure("http/1.1")).status == 200
    });
    assert!(room, "the place of one that left is not given on");
    drop(held);
    fixture.end();
}

#[test]
fn what_is_no_greeting_ends_there() {
    let fixture = Fixture::start_secure("cores = 1\nhead_timeout = \"700ms\"", agree);
    let whole = hello([3, 3]);
    for (name, bytes) in [
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        ("zeros", vec![0; 4096]),
        ("ones", vec![0xff; 4096]),
        ("SSL 2", vec![0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10, 1, 0, 0x80]),
        ("a record larger than any", [&[22, 3, 1, 0xff, 0xff][..], &[1; 4096]].concat()),
        ("an empty record", vec![22, 3, 1, 0, 0]),
        ("many empty records", [22, 3, 1, 0, 0].repeat(1000)),
        ("application data first", vec![23, 3, 3, 0, 1, 0]),
        ("alerts first", [21, 3, 3, 0, 2, 1, 0].repeat(1000)),
        ("a change of cipher first", vec![20, 3, 3, 0, 1, 1]),
        ("a handshake of 16 MB", [&[22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff][..], &[0; 16_380]].concat().repeat(8)),
        ("a server's greeting", {
            let mut hello = whole.clone();
            hello[5] = 2;
            hello
        }),
        ("half a greeting", whole[..20].to_vec()),
        ("nothing", Vec::new()),
    ] {
        let mut stream = fixture.knock();
        let _ = stream.write_all(&bytes);
        let said = rest(&mut stream).unwrap_or_else(|| panic!("{name}: left open"));
        assert!(said.is_empty() || said[0] == 21, "{name}: {said:?}");
        assert!(said.len() < 64, "{name}: {said:?}");
    }
    // A greeting that is one, and junk behind it: an answer to the first, an alert for the second.
    let mut stream = fixture.knock();
    stream.write_all(&[&whole[..], &[0xaa; 64]].concat()).expect("sent");
    let said = rest(&mut stream).expect("an end");
    assert_eq!((said[0], &said[said.len() - 7..][..5]), (22, &[21, 3, 3, 0, 2][..]), "{said:?}");
    assert_eq!(list(&fixture, &mut fixture.secure("http/1.1")).status, 200);
    fixture.end();
}

#[test]
fn versions_that_are_out_of_date_are_refused() {
    let fixture = Fixture::start_secure("", agree);
    let mut today = fixture.knock();
    today.write_all(&hello([3, 3])).expect("sent");
    let mut first = [0];
    today.read_exact(&mut first).expect("an answer");
    assert_eq!(first, [22], "TLS 1.2 gets on");
    drop(today);
    for (name, version) in [("SSL 3", [3, 0]), ("TLS 1.0", [3, 1]), ("TLS 1.1", [3, 2])] {
        let mut stream = fixture.knock();
        stream.write_all(&hello(version)).expect("sent");
        let said = rest(&mut stream).expect("an end");
        // A fatal alert: `protocol_version`.
        assert_eq!((said.first(), said.get(5..7)), (Some(&21), Some(&[2, 70][..])), "{name}: {said:?}");
    }
    fixture.end();
}
