use super::*;
use crate::audit::chain::{Head, Link, ROOT};
use crate::audit::tests::admin;
use crate::audit::{Facts, Outcome, Peer, Trail};
use crate::clock::Clock;
use crate::config::Audit;
use crate::ids::RequestId;
use crate::secret::Secret;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use std::fs;
use std::io::Write as _;

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
    admin(&trail, "team.create", "billing");
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
        verify(&[file], &[]).expect("readable")
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
    assert_eq!(verdict.signed_by, [SIGNER]);
    assert!(verify(std::slice::from_ref(&sample.file), &[SIGNER.to_owned()]).expect("readable").tampering.is_none());
}

/// What a byte becomes. All 255 others take minutes: `SIDEKEY_TEST_EDITS=all`.
fn edits(byte: u8) -> Vec<u8> {
    let few = || vec![byte ^ 1, b'\n'];
    let all = std::env::var_os("SIDEKEY_TEST_EDITS").is_some();
    let mut edits = if all { (0..=u8::MAX).collect() } else { few() };
    edits.retain(|edit| *edit != byte);
    edits
}

#[test]
fn every_changed_byte_is_found() {
    let sample = sample_of(1, false);
    let mut bytes = sample.lines.concat();
    for at in 0..bytes.len() {
        let byte = bytes[at];
        for edit in edits(byte) {
            bytes[at] = edit;
            assert!(sample.check(&bytes).tampering.is_some(), "byte {at} became {edit}");
        }
        bytes[at] = byte;
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
    let found = verify(&[unsigned], &[SIGNER.to_owned()]).expect("readable").tampering.expect("found");
    assert_eq!((found.line, found.how), (1, How::Edited));
    let other_key = SIGNER.replace('e', "f");
    let found = verify(std::slice::from_ref(&sample.file), &[other_key]).expect("readable").tampering.expect("found");
    assert_eq!(found.line, 1);
}

#[test]
fn a_trail_that_says_nothing_to_be_signed_is_not_taken_for_signed() {
    let sample = sample(false);
    // Recomputed from the first line on, without what a signature would be for.
    let mut heads = [Head::new(0, ROOT), Head::new(1, ROOT), Head::new(2, ROOT)];
    let mut text = Vec::new();
    for line in &sample.lines {
        let link = Link::parse(&line[..line.len() - 1]).expect("a record");
        let tail = memchr::memmem::rfind(line, b",\"w\":").expect("a record");
        let body = memchr::memmem::find(line, b",\"heads\":").unwrap_or(tail);
        let writer = usize::try_from(link.writer).expect("few");
        if heads[writer].seq == 0 {
            heads[writer].digest = if writer == 0 { ROOT } else { heads[0].digest };
        }
        heads[writer].append(&mut text, &line[..body], link.at.is_some());
        heads[writer].end = u64::try_from(text.len()).expect("short");
    }
    let found = sample.check(&text).tampering.expect("found");
    assert_eq!((found.line, found.how), (1, How::Edited));
}

#[test]
fn a_signing_key_may_be_replaced() {
    let folder = tempfile::tempdir().expect("a throwaway folder");
    let file = folder.path().join("audit.jsonl");
    let signed_by = |seed: u8| Audit { signing_key: Some(Secret::new([seed; 32])), ..config(&file, false) };
    let key = |seed: u8| crate::audit::public_key(&Secret::new([seed; 32])).expect("a seed");
    generate(&signed_by(7), 2);
    generate(&signed_by(8), 2);
    let files = [file];
    let verified = |keys: &[String]| verify(&files, keys).expect("readable");
    let both = verified(&[key(8), key(7)]);
    assert_eq!((both.tampering, both.signed_by), (None, vec![key(7), key(8)]));
    for keys in [[key(7)], [key(8)], [key(9)]] {
        assert_eq!(verified(&keys).tampering.expect("another key signed").how, How::Edited);
    }
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).expect("a Vec");
    packer.finish().expect("a Vec")
}

#[test]
fn a_damaged_compressed_file_is_called_damaged() {
    let sample = sample_of(2, true);
    let file = sample.file.with_extension("gz");
    let check = |bytes: &[u8]| {
        fs::write(&file, bytes).expect("written");
        verify(std::slice::from_ref(&file), &[]).expect("readable").tampering
    };
    let lines = sample.lines.concat();
    let mut whole = packed(&lines);
    assert_eq!(check(&whole), None);
    let how = |bytes: &[u8]| check(bytes).map(|found| found.how);
    for at in 0..whole.len() {
        assert_eq!(how(&whole[..at]), Some(How::Damaged), "cut at {at}");
        whole[at] ^= 1 << (at % 8);
        // Some bits say nothing of the lines, or the same in another way.
        let mut unpacked = Vec::new();
        let is_same = MultiGzDecoder::new(&*whole).read_to_end(&mut unpacked).is_ok() && unpacked == lines;
        assert_eq!(how(&whole), (!is_same).then_some(How::Damaged), "a bit of byte {at}");
        whole[at] ^= 1 << (at % 8);
    }
    // It unpacks, so that it was compressed as it is.
    let mut edited = lines;
    edited[20] ^= 1;
    let found = check(&packed(&edited)).expect("found");
    assert_eq!((found.line, found.how), (1, How::Edited));
    let half = check(&whole[..whole.len() / 2]).expect("found");
    assert!(half.line > 1 && half.detail.contains(&format!("beyond its byte {}", whole.len() / 2)), "{half}");
}

/// A trail in three files, oldest first, each as lines.
fn rotated_sample() -> (tempfile::TempDir, Vec<Vec<Vec<u8>>>) {
    let folder = tempfile::tempdir().expect("a throwaway folder");
    let file = folder.path().join("audit.jsonl");
    let mut lines = Vec::new();
    for n in 0..3 {
        generate(&config(&file, false), 2);
        let aside = rotate::rotated_name(&file, n);
        fs::rename(&file, &aside).expect("renamed");
        let text = fs::read(&aside).expect("readable");
        lines.push(text.split_inclusive(|&b| b == b'\n').map(<[u8]>::to_vec).collect());
    }
    (folder, lines)
}

#[test]
fn lines_that_change_places_between_files_are_found() {
    let (folder, whole) = rotated_sample();
    let paths: Vec<PathBuf> = (0..whole.len()).map(|n| folder.path().join(format!("{n}"))).collect();
    let check = |files: &[Vec<Vec<u8>>]| {
        for (path, lines) in paths.iter().zip(files) {
            fs::write(path, lines.concat()).expect("written");
        }
        verify(&paths[..files.len()], &[]).expect("readable").tampering
    };
    assert_eq!(check(&whole), None);
    for one in 0..whole.len() {
        for other in 0..whole.len() {
            for n in 0..whole[one].len() {
                for m in 0..whole[other].len() {
                    if (one, n) == (other, m) {
                        continue;
                    }
                    let mut files = whole.clone();
                    let (a, b) = (whole[one][n].clone(), whole[other][m].clone());
                    (files[one][n], files[other][m]) = (b, a.clone());
                    assert!(check(&files).is_some(), "line {n} of file {one} for line {m} of file {other}");
                    let mut files = whole.clone();
                    files[other].insert(m, a);
                    assert!(check(&files).is_some(), "line {n} of file {one} before line {m} of file {other}");
                }
            }
        }
    }
    for n in 0..whole.len() {
        let mut files = whole.clone();
        files[n] = whole[(n + 1) % 3].clone();
        assert!(check(&files).is_some(), "a file twice, and file {n} not at all");
    }
    assert!(check(&[whole[0].clone(), whole[2].clone()]).is_some(), "the middle one is missing");
}

#[test]
fn a_torn_end_is_forgiven_only_while_a_broker_may_write_it() {
    let sample = sample_of(2, false);
    let lines = sample.lines.concat();
    let told = |file: &Path| verify(&[file.to_owned()], &[]).expect("readable").tampering.map(|found| found.how);
    let rotated = crate::audit::rotate::rotated_name(&sample.file, 1_800_000_000_000_000);
    for (file, while_held) in [(&sample.file, None), (&rotated, Some(How::Cut))] {
        fs::write(file, &lines[..lines.len() - 5]).expect("written");
        assert_eq!(told(file), Some(How::Cut));
        let holder = File::open(file).expect("opened");
        rustix::fs::flock(&holder, rustix::fs::FlockOperation::LockExclusive).expect("locked");
        assert_eq!(told(file), while_held, "{file:?}");
    }
}
