//! A disk that hangs under a running broker, at leisure and under load. See `disk` for where these tests are skipped.

use super::disk::{AUDIT, Disk, heard, records, refused, refuses, told_refused};
use super::scene::{Broker, Ends, Scene, path, paths};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Callers commonly give up after five seconds.
const LONGEST: Duration = Duration::from_secs(5);

fn scene(durability: &str) -> Scene {
    Scene::new(&format!("{AUDIT}durability = \"{durability}\"\n"))
}

#[test]
fn a_disk_that_hangs_refuses_until_it_goes_on() {
    for durability in ["write", "fsync"] {
        let scene = scene(durability);
        let Some(disk) = Disk::in_folder(scene.path()) else { return };
        let broker = scene.serve();
        assert_eq!(broker.ask(1).0, 404);
        let frozen = disk.freeze();
        let began = Instant::now();
        thread::scope(|threads| {
            let callers: Vec<_> = (10..18)
                .map(|number| {
                    threads.spawn({
                        let broker = &broker.ends;
                        move || broker.ask(number)
                    })
                })
                .collect();
            // Who only looks does not wait.
            for _ in 0..20 {
                assert_eq!((broker.look("/healthz").status, broker.look("/metrics").status), (200, 200));
            }
            for caller in callers {
                assert_eq!(caller.join().expect("a caller"), refused());
            }
        });
        assert!(began.elapsed() < LONGEST, "{durability}: {:?}", began.elapsed());
        refuses(&broker, 18, &json!("stuck"));
        drop(frozen);
        let passed = broker.until_passes(19);
        broker.until_trouble(&Value::Null);
        drop(broker.process.end(Signal::TERM));
        heard(&scene, &[1, passed], 10..passed);
        let records = records(&disk.audit());
        (10..=18).for_each(|number| told_refused(&records, number));
        assert_eq!(scene.verify_file("disk/audit.jsonl")["closed"], true);
    }
}

/// A caller that asks again as soon as it has its answer, and what it has been told so far.
#[derive(Default)]
struct Caller {
    passed: AtomicUsize,
    refused: AtomicUsize,
}

impl Caller {
    /// Asks until it is told to stop; each number with whether it passed.
    fn ask(&self, broker: &Ends, first: usize, stop: &AtomicBool) -> Vec<(usize, bool)> {
        let mut answers = Vec::new();
        for number in (first..).take_while(|_| !stop.load(Ordering::Relaxed)) {
            let began = Instant::now();
            let answer = broker.ask(number);
            assert!(began.elapsed() < LONGEST, "{number} waited for {:?}", began.elapsed());
            let passed = answer.0 == 404;
            assert!(passed || answer == refused(), "{answer:?}");
            answers.push((number, passed));
            if passed {
                self.passed.fetch_add(1, Ordering::Relaxed);
            } else {
                self.refused.fetch_add(1, Ordering::Relaxed);
                // A core keeps back so many outcomes and no more, and a busy machine takes its time to thaw the disk.
                thread::sleep(Duration::from_millis(50));
            }
        }
        answers
    }
}

/// Lets the callers end when it is dropped, by a test that fails too.
struct Stopping<'a>(&'a AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits until every caller has been told once more what this counts. Who only looks is answered meanwhile.
#[track_caller]
fn until_each(callers: &[Caller], count: impl Fn(&Caller) -> &AtomicUsize, broker: &Ends) {
    let told = || callers.iter().map(|caller| count(caller).load(Ordering::Relaxed)).collect::<Vec<_>>();
    let before = told();
    for _ in 0..300 {
        assert_eq!((broker.look("/healthz").status, broker.look("/metrics").status), (200, 200));
        assert!([200, 503].contains(&broker.look("/readyz").status));
        if told().iter().zip(&before).all(|(now, before)| now > before) {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("before {before:?}, and later {:?}", told());
}

/// Freezes the disk under load and lets it go on; what each request was told.
fn freeze_and_thaw(disk: &Disk, broker: &Ends, callers: &[Caller]) -> HashMap<usize, bool> {
    let stop = AtomicBool::new(false);
    thread::scope(|threads| {
        let asking: Vec<_> = callers
            .iter()
            .enumerate()
            .map(|(n, caller)| {
                threads.spawn({
                    let stop = &stop;
                    move || caller.ask(broker, n * 1_000_000, stop)
                })
            })
            .collect();
        let stopping = Stopping(&stop);
        until_each(callers, |caller| &caller.passed, broker);
        let frozen = disk.freeze();
        // Those in flight, and those that come later.
        until_each(callers, |caller| &caller.refused, broker);
        broker.until_trouble(&json!("stuck"));
        until_each(callers, |caller| &caller.refused, broker);
        drop(frozen);
        broker.until_trouble(&Value::Null);
        until_each(callers, |caller| &caller.passed, broker);
        drop(stopping);
        asking.into_iter().flat_map(|caller| caller.join().expect("each gets its answers in time")).collect()
    })
}

/// Holds that a disk that hangs while so many callers ask refuses, recovers, and loses nothing.
fn hangs_under_load(durability: &str, callers: usize) {
    let scene = scene(durability);
    let Some(disk) = Disk::in_folder(scene.path()) else { return };
    let broker = scene.serve();
    let callers: Vec<Caller> = std::iter::repeat_with(Caller::default).take(callers).collect();
    let answers = freeze_and_thaw(&disk, &broker, &callers);
    assert_eq!(broker.metric("sidekey_audit_lost_total"), 0);
    drop(broker.process.end(Signal::TERM));
    let (records, heard) = (records(&disk.audit()), scene.heard());
    assert!(heard.is_subset(&paths(&records, "intent")), "each that went upstream has its intent");
    let mut outcomes: HashMap<&str, usize> = HashMap::new();
    for record in records.iter().filter(|record| record["phase"] == "outcome") {
        *outcomes.entry(record["path"].as_str().unwrap_or_default()).or_default() += 1;
    }
    for (number, passed) in answers {
        assert_eq!(outcomes.get(&*path(number)), Some(&1), "outcomes of {number}");
        assert_eq!(heard.contains(&path(number)), passed, "{number}");
    }
    assert_eq!(scene.verify_file("disk/audit.jsonl")["closed"], true);
}

#[test]
fn a_disk_that_hangs_under_load_loses_nothing() {
    hangs_under_load("write", 32);
}

#[test]
fn a_disk_that_hangs_under_one_caller_loses_nothing() {
    hangs_under_load("write", 1);
}

#[test]
fn a_disk_that_hangs_in_a_sync_loses_nothing() {
    hangs_under_load("fsync", 32);
}

#[test]
fn a_disk_that_hangs_behind_a_buffer_loses_nothing() {
    hangs_under_load("buffered", 32);
    hangs_under_load("buffered", 1);
}

#[test]
fn a_broker_ends_while_its_disk_hangs() {
    let scene = scene("write");
    let Some(disk) = Disk::in_folder(scene.path()) else { return };
    let Broker { process, ends } = scene.serve();
    let callers: Vec<Caller> = std::iter::repeat_with(Caller::default).take(8).collect();
    let stop = AtomicBool::new(false);
    let frozen = thread::scope(|threads| {
        for (n, caller) in callers.iter().enumerate() {
            let (ends, stop) = (&ends, &stop);
            threads.spawn(move || caller.ask(ends, n * 1_000_000, stop));
        }
        let stopping = Stopping(&stop);
        until_each(&callers, |caller| &caller.passed, &ends);
        let frozen = disk.freeze();
        // By then they all wait for their records.
        thread::sleep(Duration::from_millis(200));
        drop(stopping);
        process.signal(Signal::TERM);
        frozen
    });
    // Each has had an answer by now: who waited to go upstream a refusal, whose request had been there the upstream's.
    process.until_ended();
    drop(frozen);
    let (_, told) = process.end(Signal::KILL);
    assert!(told.contains("could not be closed with its last record"), "{told}");
    // The next one goes on with what is there.
    let next = scene.serve();
    let passed = next.until_passes(100_000_000);
    drop(next.process.end(Signal::TERM));
    let (records, heard) = (records(&disk.audit()), scene.heard());
    assert!(heard.contains(&path(passed)) && heard.is_subset(&paths(&records, "intent")));
    assert_eq!(scene.verify_file("disk/audit.jsonl")["closed"], true);
}
