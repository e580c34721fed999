//! A store on a disk that hangs. See `audit::disk` for where this is skipped.

use crate::audit::disk::Disk;
use crate::support::world::World;
use rustix::process::Signal;

#[test]
fn a_store_on_a_disk_that_hangs_holds_nobody_up() {
    let world = World::with("sqlite:disk/store.db", "");
    let Some(disk) = Disk::in_folder(world.folder()) else { return };
    world.json(&["team", "create", "billing"]);
    let token = world.token("billing");
    let broker = world.serve();
    let frozen = disk.freeze();
    // What is known is served on; the answer is that the team has no key.
    assert_eq!(world.messages(broker.address, &token).header("sidekey-error"), Some("no_key"));
    broker.process.signal(Signal::TERM);
    broker.process.until_ended();
    drop(frozen);
    let (_, told) = broker.process.end(Signal::KILL);
    assert!(told.contains("the store does not answer"), "{told}");
    assert_eq!(world.json(&["team", "list"])[0]["name"], "billing");
}
