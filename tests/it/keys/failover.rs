//! A database whose standby takes over: until it is promoted it can be read, and takes no writes.

use crate::support::postgres::{self, Server};
use crate::support::world::{Broker, World};
use rustix::process::Signal;
use serde_json::Value;
use std::collections::HashSet;
use std::time::Duration;

/// Whether the store is up and takes writes by the metrics, and what `/readyz` says.
fn standing(broker: &Broker) -> (bool, bool, u16, Value) {
    let metrics = broker.ask_admin("GET", "/metrics", "");
    let is_one = |name: &str| metrics.text().contains(&format!("\n{name} 1\n"));
    let ready = broker.ask_admin("GET", "/readyz", "");
    let writable = ready.json()["store"]["writable"].clone();
    (is_one("sidekey_store_up"), is_one("sidekey_store_writable"), ready.status, writable)
}

#[test]
fn a_store_that_takes_no_writes_is_told_of_once() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut server = runtime.block_on(Server::start());
    let world = World::with(&server.url(), "");
    std::fs::write(world.folder().join("root.key"), "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=").expect("a key");
    world.json(&["team", "create", "billing"]);
    world.json(&["key", "create", "billing"]);
    let token = world.token("billing");
    let mut broker = world.serve();
    server.down();
    broker.process.told("the store is lost");
    server.stand_by();
    runtime.block_on(server.up());
    broker.process.told("the store is back");
    broker.process.told("nothing can be written to the store");
    assert_eq!(standing(&broker), (true, false, 200, false.into()));
    world.fail("/Messages.json", 1, 401, 20003);
    assert_eq!(broker.messages(&world, &token).header("sidekey-error"), Some("upstream_rejected_key"));
    // A try that could say it again.
    server.logged("cannot execute UPDATE", 1);
    let refused = broker.ask_admin("POST", "/v1/teams", r#"{"name":"late"}"#);
    assert!(refused.status == 503 && refused.text().contains("takes no writes"), "{refused:?}");
    runtime.block_on(async {
        let promoted = postgres::connect(&server.url()).await.batch_execute("SELECT pg_promote()").await;
        promoted.expect("SQL");
    });
    broker.process.told("the store takes writes again");
    assert_eq!(standing(&broker), (true, true, 200, true.into()));
    assert_eq!(broker.ask_admin("POST", "/v1/teams", r#"{"name":"late"}"#).status, 201);
    // What could not be told then is told now.
    let state = || world.json(&["key", "list", "billing"])[0]["state"].clone();
    let marked = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(200));
        state() == "rejected"
    });
    assert!(marked, "{}", state());
    let (code, told) = broker.process.end(Signal::TERM);
    assert_eq!(code, Some(0), "{told}");
    for mark in [
        "the store is lost",
        "the store is back",
        "nothing can be written to the store",
        "the store takes writes again",
        "no notifications from the store",
        "notifications from the store are heard again",
    ] {
        assert_eq!(told.matches(mark).count(), 1, "{mark}: {told}");
    }
    let cares: Vec<&str> = told.lines().filter_map(|line| Some(line.split_once("the care of keys")?.1)).collect();
    assert_eq!(cares.len(), cares.iter().collect::<HashSet<_>>().len(), "the same twice: {told}");
}
