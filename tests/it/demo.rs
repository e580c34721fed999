//! `sidekey demo`, as a newcomer runs it.

use crate::support::command::{Running, run, run_with};
use crate::support::raw::ask;
use base64::Engine as _;
use rustix::process::Signal;
use std::net::SocketAddr;
use std::path::Path;

#[test]
fn the_story_holds() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = [("TMPDIR", folder.path().to_str().expect("UTF-8"))];
    let told = run_with(folder.path(), &["demo", "--once", "--output", "json"], &place);
    assert_eq!((told.code, told.stderr.as_str()), (Some(0), ""), "{told:?}");
    let steps = told.json();
    let steps = steps.as_array().expect("an array");
    assert!(steps.len() >= 9 && steps.iter().all(|step| step["held"] == true), "{told:?}");
    let aloud = run_with(folder.path(), &["demo", "--once"], &place);
    assert_eq!(aloud.code, Some(0), "{aloud:?}");
    assert_eq!(aloud.stdout.lines().filter(|line| line.starts_with("ok  ")).count(), steps.len(), "{aloud:?}");
    let left = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(left, 0, "the demo leaves nothing behind");
}

#[test]
fn what_it_prints_can_be_pasted() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = [("TMPDIR", folder.path().to_str().expect("UTF-8"))];
    let mut demo = Running::start(folder.path(), &["demo"], &place);
    let broker = demo.told("sidekey listens on http://");
    let broker: SocketAddr = broker.split_once(',').expect("an address").0.parse().expect("an address");
    let credentials = demo.told("curl -u ");
    let credentials = credentials.split_once(' ').expect("credentials").0;
    let (account, token) = credentials.split_once(':').expect("account and token");
    let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(credentials));
    let path = format!("/2010-04-01/Accounts/{account}/Messages.json");
    let form = [("authorization", basic.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    let sent =
        ask(broker, "POST", &path, &form, b"To=%2B15005550006&From=%2B15005550001&Body=hello").expect("an answer");
    assert_eq!(sent.status, 201, "{sent:?}");
    // Called by its path: a newcomer has no `sidekey` on theirs.
    let sidekey = std::fs::canonicalize(env!("CARGO_BIN_EXE_sidekey")).expect("it is built");
    let told = |demo: &mut Running, command: &str| demo.told(&format!("{} {command} ", sidekey.display()));
    let explain = told(&mut demo, "explain");
    let explained = run(Path::new("."), &[&["explain"], &explain.split(' ').collect::<Vec<_>>()[..]].concat());
    assert_eq!(explained.code, Some(1), "{explained:?}");
    assert!(explained.stdout.starts_with("deny (management_resource)"), "{explained:?}");
    let commands = ["key rotate", "token list", "audit query"].map(|command| told(&mut demo, command));
    for (command, rest) in [["key", "rotate"], ["token", "list"], ["audit", "query"]].iter().zip(&commands) {
        let ended = run(Path::new("."), &[&command[..], &rest.split(' ').collect::<Vec<_>>()].concat());
        assert_eq!(ended.code, Some(0), "{command:?} {ended:?}");
    }
    let verified = run(Path::new("."), &["audit", "verify", &told(&mut demo, "audit verify")]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    demo.told("Ctrl-C");
    assert!(token.starts_with("skt"));
    let (code, _) = demo.end(Signal::INT);
    assert_eq!(code, Some(0));
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "the demo leaves nothing behind");
}
