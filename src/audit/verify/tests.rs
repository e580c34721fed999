use super::*;
use crate::audit::{Facts, Outcome, Peer, Trail};
use crate::clock::Clock;
use crate::config::Audit;
use crate::ids::RequestId;
use crate::secret::Secret;
use std::fs;

/// The public key of the seed that is 32 times 7.
const SIGNER: &str = "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c";

fn config(file: &Path, signed: bool) -> Audit {
    Audit { signing_key: signed.then(|| Secret::new([7; 32])), ..crate::audit::tests::config(file) }
}

/// Leaves a trail of two cores, whose writes alternate.
fn generate(config: &Audit, rounds: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let trail = Trail::open(config, 2, Clock::system()).expect("opens");
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let recorders = [trail.recorder(0), trail.recorder(1)];
        for n in 0..rounds {
            let recorder = &recorders[(n % 2) as usize];
            let mut guards: Vec<_> =
                (0..2).map(|m| recorder.open(RequestId::new((n + m).into()), Peer::Unix)).collect();
            let kept: Vec<_> = guards.iter_mut().map(|guard| guard.intent(&Facts::default())).collect();
            for kept in kept {
                kept.await.expect("kept");
            }
            for guard in guards {
                guard.outcome(&Outcome { status: 200, ..Outcome::default() }).await.expect("kept");
            }
        }
    });
    trail.admin_record("admin", "team.create", "billing", "done").expect("kept");
    trail.close();
}

/// A trail in a throwaway folder, as lines.
struct Sample {
    _folder: tempfile::TempDir,
    file: PathBuf,
    lines: Vec<Vec<u8>>,
}

fn sample(signed: bool) -> Sample {
    sample_of(4, signed)
}

fn sample_of(rounds: u32, signed: bool) -> Sample {
    let folder = tempfile::tempdir().expect("a throwaway folder");
    let file = folder.path().join("audit.jsonl");
    generate(&config(&file, signed), rounds);
    let text = fs::read(&file).expect("readable");
    let lines = text.split_inclusive(|&b| b == b'\n').map(<[u8]>::to_vec).collect();
    Sample { _folder: folder, file, lines }
}

impl Sample {
    fn check(&self, bytes: &[u8]) -> Verdict {
        let file = self.file.with_extension("changed");
        fs::write(&file, bytes).expect("written");
        verify(&[file], None).expect("readable")
    }

    fn how(&self, lines: &[Vec<u8>]) -> Option<How> {
        self.check(&lines.concat()).tampering.map(|found| found.how)
    }
}

#[test]
fn a_whole_trail_is_whole() {
    let sample = sample(true);
    let verdict = sample.check(&sample.lines.concat());
    assert_eq!(verdict.tampering, None);
    assert_eq!((verdict.writers, verdict.end, verdict.unsigned), (3, End::Closed, 0));
    assert_eq!(verdict.records, u64::try_from(sample.lines.len()).expect("few"));
    assert_eq!(verdict.signed_by.as_deref(), Some(SIGNER));
    assert!(verify(std::slice::from_ref(&sample.file), Some(SIGNER)).expect("readable").tampering.is_none());
}

#[test]
fn every_changed_byte_is_found() {
    let sample = sample_of(1, false);
    let bytes = sample.lines.concat();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] = if at % 16 == 0 && bytes[at] != b'\n' { b'\n' } else { bytes[at] ^ 1 };
        assert!(sample.check(&changed).tampering.is_some(), "byte {at} became {}", changed[at]);
    }
}

#[test]
fn a_changed_byte_names_its_line() {
    let sample = sample(false);
    for n in 0..sample.lines.len() {
        let mut lines = sample.lines.clone();
        let at = lines[n].len() / 2;
        lines[n][at] ^= 1;
        let found = sample.check(&lines.concat()).tampering.expect("found");
        assert_eq!((found.line, found.how), (u64::try_from(n + 1).expect("few"), How::Edited));
    }
}

#[test]
fn every_removed_line_is_found() {
    let sample = sample(false);
    // The closing record is the last: without it, the file says that it was not closed.
    let last = sample.lines.len() - 1;
    for from in 0..last {
        for to in from + 1..=last {
            let mut lines = sample.lines.clone();
            lines.drain(from..to);
            let want = if from == 0 { How::Cut } else { How::Removed };
            assert_eq!(sample.how(&lines), Some(want), "lines {from}..{to}");
        }
    }
    let unclosed = sample.check(&sample.lines[..last].concat());
    assert_eq!((unclosed.tampering, unclosed.end), (None, End::Open));
}

#[test]
fn every_swap_is_found() {
    let sample = sample(false);
    for one in 1..sample.lines.len() {
        for other in one + 1..sample.lines.len() {
            let mut lines = sample.lines.clone();
            lines.swap(one, other);
            let how = sample.how(&lines);
            assert!(matches!(how, Some(How::Reordered | How::Removed | How::Spliced)), "{one} and {other}: {how:?}");
            let closing_moved = other == sample.lines.len() - 1;
            assert!(closing_moved || how == Some(How::Reordered), "{one} and {other}: {how:?}");
        }
    }
}

#[test]
fn every_cut_is_found() {
    let sample = sample_of(1, false);
    let bytes = sample.lines.concat();
    for at in 0..bytes.len() {
        let verdict = sample.check(&bytes[..at]);
        let whole_lines = at > 0 && bytes[at - 1] == b'\n';
        // At a line's end a cut looks like a broker that still runs; it never looks closed.
        assert_eq!(verdict.end, End::Open, "cut at {at}");
        assert!(whole_lines || verdict.tampering.is_some(), "cut at {at}");
        if at > 0 {
            assert!(sample.check(&bytes[at..]).tampering.is_some(), "beginning cut at {at}");
        }
    }
}

#[test]
fn lines_of_other_places_are_found() {
    let (own, other) = (sample(false), sample(false));
    for n in 1..own.lines.len() {
        for m in 0..other.lines.len() {
            for foreign in [&own.lines[m], &other.lines[m]] {
                let mut lines = own.lines.clone();
                lines.insert(n, foreign.clone());
                assert!(own.how(&lines).is_some(), "line {m} put before {n}");
            }
            let mut lines = own.lines[..n].to_vec();
            lines.extend_from_slice(&other.lines[m..]);
            assert!(own.how(&lines).is_some(), "cut at {n} and gone on with another trail's {m}");
        }
    }
    let mut copied = own.lines.clone();
    copied.insert(5, own.lines[4].clone());
    assert_eq!(own.how(&copied), Some(How::Spliced));
}

#[test]
fn who_recomputes_the_chain_is_found_by_the_key() {
    let sample = sample(true);
    let unsigned: PathBuf = sample.file.with_extension("unsigned");
    generate(&config(&unsigned, false), 4);
    let found = verify(&[unsigned], Some(SIGNER)).expect("readable").tampering.expect("found");
    assert_eq!((found.line, found.how), (1, How::Edited));
    let other_key = SIGNER.replace('e', "f");
    let found =
        verify(std::slice::from_ref(&sample.file), Some(&other_key)).expect("readable").tampering.expect("found");
    assert_eq!(found.line, 1);
}
