use super::*;
use crate::audit::batch::{Batch, Kind, NOBODY};
use crate::audit::health::Trouble;
use crate::audit::tests::config;
use crate::audit::verify::verify;
use crate::audit::{Trail, line::Stamp};
use std::io::Write;

fn batch() -> Batch {
    let mut batch = Batch::default();
    Stamp::default().begin(batch.buffer(), 1_700_000_000_000_000);
    batch.seal(Kind::Outcome, NOBODY);
    batch
}

/// Leaves a piece of a line of writer 1, as a write that fails half-way does.
fn tear(shared: &Shared) {
    let mut slot = shared.slot(1);
    let from = slot.file.metadata().expect("a file").len();
    (&*slot.file).write_all(b"{\"ts\":\"2026-01-01T00:0").expect("written");
    slot.torn = Some((from, from + 22));
}

fn recovered(trail: &Trail) {
    trail.shared().fault(Trouble::Full);
    while !trail.healthy() {
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_torn_piece_is_taken_off_or_blanked() {
    let folder = tempfile::tempdir().expect("a throwaway folder");
    let file = folder.path().join("audit.jsonl");
    for line_behind in [false, true] {
        let trail = Trail::open(&config(&file), 2, Clock::system()).expect("opens");
        let shared = trail.shared();
        assert_eq!(shared.append(1, &batch()), Appended::Kept);
        tear(shared);
        if line_behind {
            assert_eq!(shared.append(2, &batch()), Appended::Kept);
            assert!(verify(std::slice::from_ref(&file), &[]).expect("readable").tampering.is_some());
        }
        recovered(&trail);
        assert_eq!(shared.append(1, &batch()), Appended::Kept);
        trail.close();
        assert_eq!(verify(std::slice::from_ref(&file), &[]).expect("readable").tampering, None);
        let text = fs::read_to_string(&file).expect("readable");
        assert_eq!(text.contains("\"blanked\":[["), line_behind);
    }
}

#[test]
fn a_piece_that_a_killed_broker_left_before_a_line_is_blanked_at_the_next_start() {
    let folder = tempfile::tempdir().expect("a throwaway folder");
    let file = folder.path().join("audit.jsonl");
    let trail = Trail::open(&config(&file), 2, Clock::system()).expect("opens");
    tear(trail.shared());
    assert_eq!(trail.shared().append(2, &batch()), Appended::Kept);
    // The broker is killed: what it wrote is there, and nothing else. The one that wrote it lives on, and would go on
    // writing to its own.
    let left = fs::read(&file).expect("readable");
    let file = folder.path().join("left.jsonl");
    fs::write(&file, left).expect("written");
    Trail::open(&config(&file), 1, Clock::system()).expect("opens").close();
    assert_eq!(verify(std::slice::from_ref(&file), &[]).expect("readable").tampering, None);
}
