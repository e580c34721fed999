//! Disks that fail under a running broker: one that turns read-only, a file that may not be changed.
//!
//! They need a loop device and root. Where those are not to be had the tests say so and pass, unless
//! `SIDEKEY_TEST_DISKS` is set.

use super::scene::{Broker, Scene, path, paths};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A trail on the disk.
pub const AUDIT: &str = "[audit]\nfile = \"disk/audit.jsonl\"\n";

/// An ext4 file system in an image, mounted; it turns read-only when it finds a fault.
pub struct Disk {
    at: PathBuf,
    device: String,
}

impl Disk {
    /// Mounts one at `disk` in this folder; `None`, and a word on stderr, where that is not allowed.
    pub fn in_folder(folder: &Path) -> Option<Self> {
        match Self::mount(folder) {
            Ok(disk) => Some(disk),
            Err(why) => {
                assert!(std::env::var_os("SIDEKEY_TEST_DISKS").is_none(), "no disk to fail: {why}");
                // Past the capture of the test's output, so that it is seen.
                let _ = writeln!(std::io::stderr(), "skipped: no disk to fail: {why}");
                None
            }
        }
    }

    fn mount(folder: &Path) -> Result<Self, String> {
        let (image, at) = (folder.join("disk.image"), folder.join("disk"));
        let made = File::create(&image).and_then(|file| file.set_len(32 << 20));
        made.and_then(|()| std::fs::create_dir(&at)).map_err(|fault| fault.to_string())?;
        let name = image.to_string_lossy().into_owned();
        told("mkfs.ext4", &["-q", "-F", &name])?;
        let device = told("losetup", &["--find", "--show", &name])?;
        let disk = Self { at, device };
        told("mount", &["-o", "errors=remount-ro", &disk.device, &disk.name()])?;
        Ok(disk)
    }

    fn name(&self) -> String {
        self.at.to_string_lossy().into_owned()
    }

    /// The kernel finds a fault in the file system, and takes no more writes.
    fn turn_read_only(&self) {
        let name = Path::new(&self.device).file_name().expect("a device has a name").to_owned();
        let trigger = Path::new("/sys/fs/ext4").join(name).join("trigger_fs_error");
        std::fs::write(trigger, "1").expect("a fault");
    }

    /// Nothing that writes comes back until the value is dropped.
    pub fn freeze(&self) -> Frozen {
        told("fsfreeze", &["-f", &self.name()]).expect("frozen");
        Frozen(self.name())
    }

    /// The trail's file.
    pub fn audit(&self) -> String {
        self.at.join("audit.jsonl").to_string_lossy().into_owned()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What is mounted over it goes first. Fails where there is nothing left to do.
        for _ in 0..2 {
            let _ = told("umount", &["--lazy", &self.name()]);
        }
        let _ = told("losetup", &["--detach", &self.device]);
    }
}

/// A disk that hangs. Dropped before whatever waits for it.
pub struct Frozen(String);

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = told("fsfreeze", &["-u", &self.0]);
    }
}

/// Runs a program to its end: what it said, or why it failed.
fn told(program: &str, arguments: &[&str]) -> Result<String, String> {
    let ended = Command::new(program).args(arguments).output().map_err(|fault| format!("{program}: {fault}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if ended.status.success() { Ok(text(&ended.stdout)) } else { Err(format!("{program}: {}", text(&ended.stderr))) }
}

/// What a caller is told whose request can't be recorded.
pub fn refused() -> (u16, Option<String>) {
    (503, Some("audit_unavailable".to_owned()))
}

/// Holds that a broker which can't write refuses, says why, and counts.
#[track_caller]
pub fn refuses(broker: &Broker, number: usize, trouble: &Value) {
    let before = broker.metric("sidekey_audit_refused_total");
    assert_eq!(broker.ask(number), refused());
    broker.until_trouble(trouble);
    assert_eq!(broker.metric("sidekey_audit_up"), 0);
    assert!(broker.metric("sidekey_audit_refused_total") > before);
    assert_eq!(broker.look("/healthz").status, 200);
}

/// Holds that these messages were asked for upstream, and those were not.
#[track_caller]
pub fn heard(scene: &Scene, these: &[usize], not_those: impl IntoIterator<Item = usize>) {
    let heard = scene.heard();
    assert!(these.iter().all(|number| heard.contains(&path(*number))), "{these:?} not all in {heard:?}");
    assert!(not_those.into_iter().all(|number| !heard.contains(&path(number))), "{heard:?}");
}

/// Every record of a file, but for torn lines.
pub fn records(file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(file).expect("a trail");
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Holds that a refused request has its outcome, and was not allowed.
#[track_caller]
pub fn told_refused(records: &[Value], number: usize) {
    let of_it = |record: &&Value| record["path"] == json!(path(number)) && record["phase"] == "outcome";
    let outcomes: Vec<_> = records.iter().filter(of_it).collect();
    assert_eq!(outcomes.len(), 1, "{number}: {outcomes:?}");
    assert_eq!((&outcomes[0]["decision"], &outcomes[0]["reason"]), (&json!("deny"), &json!("audit_unavailable")));
}

#[test]
fn a_disk_that_turns_read_only_refuses_until_another_takes_its_place() {
    let scene = Scene::new(AUDIT);
    let Some(disk) = Disk::in_folder(scene.path()) else { return };
    let broker = scene.serve();
    assert_eq!(broker.ask(1).0, 404);
    disk.turn_read_only();
    refuses(&broker, 2, &json!("read_only"));
    assert_eq!(broker.ask(3), refused());
    told("mount", &["-t", "tmpfs", "tmpfs", &disk.name()]).expect("another disk");
    let passed = broker.until_passes(4);
    broker.until_trouble(&Value::Null);
    drop(broker.process.end(Signal::TERM));
    heard(&scene, &[1, passed], 2..passed);
    let told_later = records(&disk.audit());
    (2..=3).for_each(|number| told_refused(&told_later, number));
    assert_eq!(scene.verify_file("disk/audit.jsonl")["closed"], true);
    told("umount", &[&disk.name()]).expect("the first disk again");
    assert!(paths(&records(&disk.audit()), "intent").contains(&path(1)));
    scene.verify_file("disk/audit.jsonl");
}

#[test]
fn a_file_that_may_not_be_changed_refuses_until_it_may() {
    let scene = Scene::new(AUDIT);
    let Some(disk) = Disk::in_folder(scene.path()) else { return };
    let broker = scene.serve();
    assert_eq!(broker.ask(1).0, 404);
    told("chattr", &["+i", &disk.audit()]).expect("root may");
    refuses(&broker, 2, &json!("read_only"));
    told("chattr", &["-i", &disk.audit()]).expect("root may");
    let passed = broker.until_passes(3);
    broker.until_trouble(&Value::Null);
    drop(broker.process.end(Signal::TERM));
    heard(&scene, &[1, passed], 2..passed);
    told_refused(&records(&disk.audit()), 2);
    assert_eq!(scene.verify_file("disk/audit.jsonl")["closed"], true);
}
