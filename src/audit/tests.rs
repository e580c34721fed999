//! The trail as a whole: restarts, rotation, and every way in which the file can fail.

use super::verify::{End, Verdict, verify};
use super::*;
use crate::clock::Clock;
use crate::config::{Audit, AuditMode, Durability};
use crate::ids::RequestId;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) fn config(file: &Path) -> Audit {
    Audit {
        file: Some(file.to_owned()),
        mode: AuditMode::Required,
        durability: Durability::Write,
        signing_key: None,
        hash_key: None,
        max_size: 1 << 30,
        max_age: Duration::from_hours(24),
        retention: None,
        ship: Vec::new(),
    }
}

/// Leaves the record of an admin action.
pub(super) fn admin(trail: &Trail, action: &str, subject: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(trail.admin_record("admin", action, subject, "done")).expect("kept");
}

struct Place {
    _folder: tempfile::TempDir,
    file: PathBuf,
}

fn place() -> Place {
    let folder = tempfile::tempdir().expect("a throwaway folder");
    let file = folder.path().join("audit.jsonl");
    Place { _folder: folder, file }
}

/// Runs one core on a trail, to its close.
fn run<T>(config: &Audit, core: impl AsyncFnOnce(&Trail, Recorder) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let trail = Trail::open(config, 1, Clock::system()).expect("opens");
    let given = tokio::task::LocalSet::new().block_on(&runtime, async { core(&trail, trail.recorder(0)).await });
    drop(runtime);
    trail.close();
    given
}

/// One request with its intent and outcome.
async fn request(recorder: &Recorder, number: u128) -> Result<(), AuditUnavailable> {
    let mut guard = recorder.open(RequestId::new(number), Peer::Unix);
    if guard.intent(&Facts::default()).await.is_err() {
        let denial = Denial { status: 503, reason: "audit_unavailable", ..Denial::default() };
        drop(guard.deny(&Facts::default(), &denial));
        return Err(AuditUnavailable);
    }
    guard.outcome(&Outcome { status: 200, ..Outcome::default() }).await
}

/// Tries until requests pass again.
async fn recovered(recorder: &Recorder, trail: &Trail) {
    for _ in 0..200 {
        if request(recorder, 1000).await.is_ok() {
            assert!(trail.healthy());
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the trail did not recover");
}

fn whole(files: &[PathBuf]) -> Verdict {
    let verdict = verify(files, &[]).expect("readable");
    assert_eq!(verdict.tampering, None);
    verdict
}

/// How often each phase has a record of this request.
fn phases_of(file: &Path, number: u128) -> (usize, usize) {
    let text = fs::read_to_string(file).expect("readable");
    let id = RequestId::new(number).to_string();
    let count = |phase: &str| text.lines().filter(|line| line.contains(&id) && line.contains(phase)).count();
    (count("\"intent\""), count("\"outcome\""))
}

#[test]
fn a_restart_goes_on_with_the_chains() {
    let place = place();
    for (run_number, cores) in [1, 3, 2].into_iter().enumerate() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let trail = Trail::open(&config(&place.file), cores, Clock::system()).expect("opens");
        tokio::task::LocalSet::new().block_on(&runtime, async {
            for core in 0..cores {
                request(&trail.recorder(core), run_number as u128).await.expect("kept");
            }
        });
        trail.close();
    }
    let verdict = whole(&[place.file]);
    assert_eq!((verdict.writers, verdict.end), (4, End::Closed));
    assert_eq!(verdict.records, 2 * 6 + 3 + 3);
}

#[test]
fn a_torn_last_line_is_mended_and_said_so() {
    let place = place();
    run(&config(&place.file), async |_, recorder| request(&recorder, 1).await).expect("kept");
    let mut file = fs::OpenOptions::new().append(true).open(&place.file).expect("opens");
    file.write_all(b"{\"ts\":\"2026-01-01T00:00:00.0000").expect("written");
    assert!(verify(std::slice::from_ref(&place.file), &[]).expect("readable").tampering.is_some());
    run(&config(&place.file), async |_, recorder| request(&recorder, 2).await).expect("kept");
    assert_eq!(whole(std::slice::from_ref(&place.file)).mended, 1);
    assert!(fs::read_to_string(&place.file).expect("readable").contains("\"mended_bytes\":31"));
}

#[test]
fn rotated_files_and_their_successor_verify() {
    let place = place();
    let small = Audit { max_size: 4096, ..config(&place.file) };
    for _ in 0..2 {
        run(&small, async |_, recorder| {
            for n in 0..60 {
                request(&recorder, n).await.expect("kept");
                if n % 10 == 0 {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
    }
    let mut files = rotated(&place.file).expect("listed");
    assert!(files.len() > 2, "{files:?}");
    // In any order.
    files.insert(0, place.file.clone());
    let verdict = whole(&files);
    assert_eq!(verdict.records, 240 + 2 * u64::try_from(files.len()).expect("few") + 2);
    // The file by itself, and the trail without one in the middle.
    whole(std::slice::from_ref(&place.file));
    files.remove(2);
    let found = verify(&files, &[]).expect("readable").tampering.expect("a file is missing");
    assert_eq!(found.how, super::verify::How::Removed);
}

#[test]
fn a_file_is_rotated_once_when_it_is_full() {
    let place = place();
    let small = Audit { max_size: 64 << 10, ..config(&place.file) };
    run(&small, async |_, recorder| {
        // Many at once: writes follow each other while the file is being rotated.
        let many = (0..16).map(|caller| {
            let recorder = recorder.clone();
            tokio::task::spawn_local(async move {
                for n in 0..400 {
                    request(&recorder, caller * 1000 + n).await.expect("kept");
                }
            })
        });
        for one in many.collect::<Vec<_>>() {
            one.await.expect("no panic");
        }
    });
    let files = rotated(&place.file).expect("listed");
    assert!(files.len() > 10, "{files:?}");
    let is_short = |file: &&PathBuf| fs::metadata(file).is_ok_and(|found| found.len() < small.max_size);
    let short: Vec<_> =
        files.iter().filter(|file| file.extension().is_none_or(|e| e != "gz")).filter(is_short).collect();
    assert!(short.is_empty(), "rotated again at once: {short:?}");
}

#[test]
fn a_removed_file_is_made_anew_and_the_record_is_in_it() {
    let place = place();
    run(&config(&place.file), async |trail, recorder| {
        request(&recorder, 1).await.expect("kept");
        fs::remove_file(&place.file).expect("removed");
        request(&recorder, 2).await.expect("kept");
        assert_eq!(phases_of(&place.file, 2), (1, 1));
        assert!(trail.healthy());
        request(&recorder, 3).await.expect("kept");
    });
    assert_eq!(phases_of(&place.file, 3), (1, 1));
    whole(&[place.file]);
}

#[test]
fn a_renamed_file_and_its_successor_verify() {
    let place = place();
    let aside = place.file.with_extension("1");
    let requests = run(&config(&place.file), async |_, recorder| {
        request(&recorder, 1).await.expect("kept");
        fs::rename(&place.file, &aside).expect("renamed");
        // A rename is looked for after some writes only, and the successor made beside them.
        for n in 2..10_000 {
            request(&recorder, n).await.expect("kept");
            if place.file.exists() {
                request(&recorder, n + 1).await.expect("kept");
                return n + 1;
            }
        }
        panic!("the rename was never seen");
    });
    let verdict = whole(&[place.file.clone(), aside.clone()]);
    assert_eq!((u128::from(verdict.records), verdict.files[0].clone()), (2 * requests + 4, aside));
}

#[test]
fn a_folder_that_goes_away_refuses_and_recovers() {
    let place = place();
    let folder = place.file.with_file_name("deep");
    fs::create_dir(&folder).expect("made");
    let file = folder.join("audit.jsonl");
    run(&config(&file), async |trail, recorder| {
        request(&recorder, 1).await.expect("kept");
        fs::remove_dir_all(&folder).expect("removed");
        request(&recorder, 2).await.expect_err("nowhere to keep it");
        assert_eq!(trail.trouble(), Some(Trouble::Missing));
        assert!(trail.counts().refused > 0);
        fs::create_dir(&folder).expect("made");
        recovered(&recorder, trail).await;
    });
    // The refusal was kept back, and is told now.
    assert_eq!(phases_of(&file, 2).1, 1);
    whole(&[file]);
}

/// A file system of 64 KiB at `disk`, or a word why the test is skipped: only root mounts.
fn small_disk(disk: &Path) -> Option<Unmount> {
    fs::create_dir(disk).expect("made");
    let mount = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(disk).output();
    if !mount.is_ok_and(|output| output.status.success()) {
        // A folder that goes away shows the recovery without. Past the capture of the test's output.
        let _ = writeln!(std::io::stderr(), "skipped: no tmpfs can be mounted to be filled");
        return None;
    }
    Some(Unmount(disk.to_owned()))
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let place = place();
    let disk = place.file.with_file_name("disk");
    let Some(_mounted) = small_disk(&disk) else { return };
    let file = disk.join("audit.jsonl");
    run(&config(&file), async |trail, recorder| {
        request(&recorder, 1).await.expect("kept");
        let filler = disk.join("filler");
        // All but a page: the next batch is torn half-way through.
        fs::write(&filler, vec![0; 48 << 10]).expect("fits");
        let mut passed = 0;
        while request(&recorder, 100 + passed).await.is_ok() {
            passed += 1;
        }
        assert_eq!(trail.trouble(), Some(Trouble::Full));
        request(&recorder, 2).await.expect_err("no space");
        fs::remove_file(&filler).expect("removed");
        recovered(&recorder, trail).await;
        assert_eq!(phases_of(&file, 2), (0, 1));
    });
    whole(&[file]);
}

#[test]
fn a_disk_that_is_full_when_the_file_is_rotated_is_waited_for() {
    let place = place();
    let disk = place.file.with_file_name("disk");
    let Some(_mounted) = small_disk(&disk) else { return };
    let file = disk.join("audit.jsonl");
    let small = Audit { max_size: 2048, ..config(&file) };
    run(&small, async |trail, recorder| {
        request(&recorder, 1).await.expect("kept");
        let filler = disk.join("filler");
        // Not a page is left but the end of the file's own: what is too big for it is the next file's opening.
        let full = fs::write(&filler, vec![0; 64 << 10]).expect_err("more than there is");
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        let mut passed = 0;
        while request(&recorder, 100 + passed).await.is_ok() {
            passed += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(trail.trouble(), Some(Trouble::Full));
        assert!(!rotated(&file).expect("listed").is_empty(), "it was rotated before it was full");
        request(&recorder, 2).await.expect_err("no space");
        fs::remove_file(&filler).expect("removed");
        recovered(&recorder, trail).await;
    });
    let mut files = rotated(&file).expect("listed");
    files.push(file);
    let verdict = whole(&files);
    assert_eq!((verdict.files, verdict.end), (files, End::Closed));
}

#[test]
fn a_clock_that_goes_back_changes_no_order() {
    let place = place();
    let small = Audit { max_size: 2048, ..config(&place.file) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let clock = Clock::cranked();
    for back in [0, 3600, 7200] {
        clock.turn(-back);
        let trail = Trail::open(&small, 1, clock.clone()).expect("opens");
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let recorder = trail.recorder(0);
            for n in 0..20 {
                request(&recorder, n).await.expect("kept");
                tokio::time::sleep(Duration::from_millis(10)).await;
                clock.turn(-60);
            }
        });
        trail.close();
    }
    let mut files = rotated(&place.file).expect("listed");
    assert!(files.len() > 5, "{files:?}");
    files.push(place.file);
    assert_eq!(whole(&files).files, files, "the names are in the order of the lines");
}

struct Unmount(PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        drop(std::process::Command::new("umount").arg(&self.0).output());
    }
}

#[test]
fn a_broker_does_not_start_without_a_place_for_its_audit() {
    let place = place();
    let fault = Trail::open(&config(&place.file.join("deeper")), 1, Clock::system()).expect_err("no folder");
    assert_eq!(fault.kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn a_broker_that_starts_on_a_full_disk_refuses_and_recovers() {
    run(&config(Path::new("/dev/full")), async |trail, recorder| {
        request(&recorder, 1).await.expect_err("no space");
        assert_eq!(trail.trouble(), Some(Trouble::Full));
    });
    for earlier in [false, true] {
        let place = place();
        let disk = place.file.with_file_name("disk");
        let Some(_mounted) = small_disk(&disk) else { return };
        let file = disk.join("audit.jsonl");
        if earlier {
            fs::write(&file, ends_with_its_page()).expect("fits");
        }
        let filler = disk.join("filler");
        // As much as there is.
        let _ = fs::write(&filler, vec![0; 80 << 10]);
        // A key that is made beside the file must be made: without one, numbers would stand in it as they are.
        let with_key =
            Audit { hash_key: Some(crate::secret::Secret::new(*b"a key of 32 bytes, more or less.")), ..config(&file) };
        run(&with_key, async |trail, recorder| {
            request(&recorder, 2).await.expect_err("no space");
            assert_eq!(trail.trouble(), Some(Trouble::Full));
            fs::remove_file(&filler).expect("removed");
            recovered(&recorder, trail).await;
        });
        assert_eq!(phases_of(&file, 2), (0, 1));
        assert_eq!(whole(std::slice::from_ref(&file)).end, End::Closed);
        let opened = fs::read_to_string(&file).expect("readable").matches("\"phase\":\"open\"").count();
        assert_eq!(opened, if earlier { 2 } else { 1 });
    }
}

/// A trail whose last page has no room for another record.
fn ends_with_its_page() -> Vec<u8> {
    let with = |pad: usize| {
        let place = place();
        run(&config(&place.file), async |_, recorder| {
            let facts = Facts { path: &b"/a".repeat(pad), ..Facts::default() };
            let mut guard = recorder.open(RequestId::new(1), Peer::Unix);
            guard.intent(&facts).await.expect("kept");
            guard.outcome(&Outcome::default()).await.expect("kept");
        });
        fs::read(&place.file).expect("readable")
    };
    // The path stands in both records.
    let trail = with(1 + (4096 - with(1).len() % 4096).saturating_sub(60) / 4);
    assert!(4096 - trail.len() % 4096 < 100, "{}", trail.len());
    trail
}

#[test]
fn what_a_disk_that_takes_a_little_now_and_then_can_not_keep_does_not_pass() {
    let place = place();
    let disk = place.file.with_file_name("disk");
    let Some(_mounted) = small_disk(&disk) else { return };
    let file = disk.join("audit.jsonl");
    let buffered = Audit { durability: Durability::Buffered, ..config(&file) };
    let pad = b"/a".repeat(750);
    let mut passed = Vec::new();
    run(&buffered, async |trail, recorder| {
        let filler = disk.join("filler");
        fs::write(&filler, vec![0; 56 << 10]).expect("fits");
        let facts = Facts { path: &pad, ..Facts::default() };
        let freed = |pages: u64| {
            let file = fs::OpenOptions::new().write(true).open(&filler).expect("there");
            file.set_len((14 - pages.min(14)) << 12).expect("smaller");
        };
        let began = std::time::Instant::now();
        for number in 1000.. {
            // All the while more is asked than the disk takes, of which a page is free again now and then.
            let mut guard = recorder.open(RequestId::new(number), Peer::Unix);
            if guard.intent(&facts).await.is_ok() {
                passed.push(number);
                drop(guard.outcome(&Outcome { status: 200, ..Outcome::default() }));
            } else {
                let denial = Denial { status: 503, reason: "audit_unavailable", ..Denial::default() };
                drop(guard.deny(&Facts::default(), &denial));
            }
            tokio::time::sleep(Duration::from_micros(100)).await;
            let pages = u64::try_from(began.elapsed().as_millis() / 200).expect("few");
            if pages > 14 {
                break;
            }
            freed(pages);
        }
        std::process::Command::new("mount").args(["-o", "remount,size=16m"]).arg(&disk).status().expect("runs");
        recovered(&recorder, trail).await;
    });
    let trail = fs::read_to_string(&file).expect("readable");
    let intents: Vec<_> = trail.lines().filter(|line| line.contains("\"phase\":\"intent\"")).collect();
    let told = |number: &&u128| intents.iter().any(|line| line.contains(&RequestId::new(**number).to_string()));
    assert_eq!(passed.iter().filter(|number| !told(number)).count(), 0, "of {} that passed", passed.len());
    assert!(passed.len() > 10);
}

#[test]
fn what_is_no_file_does_not_become_the_trail() {
    let place = place();
    let aside = place.file.with_extension("1");
    run(&config(&place.file), async |trail, recorder| {
        request(&recorder, 1).await.expect("kept");
        for pipe in [false, true] {
            fs::rename(&place.file, place.file.with_extension(if pipe { "2" } else { "1" })).expect("renamed");
            if pipe {
                assert!(std::process::Command::new("mkfifo").arg(&place.file).status().expect("runs").success());
            } else {
                std::os::unix::fs::symlink("/dev/null", &place.file).expect("made");
            }
            while request(&recorder, 2).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(trail.trouble(), Some(Trouble::Failed));
            fs::remove_file(&place.file).expect("removed");
            recovered(&recorder, trail).await;
        }
    });
    whole(&[aside, place.file.with_extension("2"), place.file]);
}

#[test]
fn a_file_that_was_renamed_between_two_runs_and_its_successor_verify() {
    let place = place();
    let aside = [place.file.with_extension("jsonl.1"), place.file.with_extension("jsonl.2")];
    for (run_, name) in aside.iter().map(Some).chain([None]).enumerate() {
        run(&config(&place.file), async |_, recorder| request(&recorder, run_ as u128).await.expect("kept"));
        if let Some(name) = name {
            fs::rename(&place.file, name).expect("renamed");
        }
    }
    let [first, second] = aside;
    // The pattern for the trail's names meets a copy that is being made as well.
    let partial = place.file.with_extension("jsonl.1.gz.part");
    fs::write(&partial, b"\x1f\x8b half of it").expect("written");
    assert_eq!(whole(&[place.file.clone(), partial.clone(), second, first]).files.len(), 3);
    // Alone it is looked at like any other.
    let alone = verify(&[partial], &[]).map(|verdict| verdict.tampering.is_some());
    assert!(alone.unwrap_or(true));
}

#[test]
fn what_only_begins_with_the_trails_name_is_not_its_past() {
    let (place, other) = (place(), place());
    let aside = place.file.with_extension("jsonl.1");
    run(&config(&place.file), async |_, recorder| request(&recorder, 1).await.expect("kept"));
    fs::rename(&place.file, &aside).expect("renamed");
    // Newer than the trail: a checksum, half an archive, another trail whose name begins alike, and one that is being written.
    fs::write(place.file.with_extension("jsonl.1.sha256"), "00  audit.jsonl.1\n").expect("written");
    fs::write(place.file.with_extension("jsonl.old.gz"), b"\x1f\x8b\x08").expect("written");
    for _ in 0..3 {
        run(&config(&other.file), async |_, recorder| request(&recorder, 2).await.expect("kept"));
        fs::rename(&other.file, other.file.with_extension("jsonl.0")).expect("renamed");
    }
    run(&config(&other.file), async |_, recorder| request(&recorder, 2).await.expect("kept"));
    fs::copy(&other.file, place.file.with_extension("jsonl-b")).expect("copied");
    let busy = place.file.with_extension("jsonl.live");
    fs::rename(&other.file, &busy).expect("renamed");
    let _other_broker = Trail::open(&config(&busy), 1, Clock::system()).expect("opens");
    run(&config(&place.file), async |_, recorder| request(&recorder, 3).await.expect("kept"));
    whole(&[aside, place.file]);
}

#[test]
fn best_effort_passes_and_counts() {
    let place = place();
    let folder = place.file.with_file_name("deep");
    fs::create_dir(&folder).expect("made");
    let file = folder.join("audit.jsonl");
    let config = Audit { mode: AuditMode::BestEffort, ..config(&file) };
    run(&config, async |trail, recorder| {
        fs::remove_dir_all(&folder).expect("removed");
        request(&recorder, 1).await.expect("passes");
        assert!(trail.counts().unrecorded > 0 && !trail.healthy());
        fs::create_dir(&folder).expect("made");
        while !trail.healthy() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        request(&recorder, 2).await.expect("passes");
    });
    assert_eq!(phases_of(&file, 1), (1, 1));
    whole(&[file]);
}

#[test]
fn a_pipe_that_nobody_reads_refuses_and_recovers() {
    for durability in [Durability::Write, Durability::Buffered] {
        let place = place();
        let made = std::process::Command::new("mkfifo").arg(&place.file).status().expect("mkfifo runs");
        assert!(made.success());
        run(&Audit { durability, ..config(&place.file) }, async |trail, recorder| {
            let pad = vec![b'x'; 2000];
            let facts = Facts { path: &pad, ..Facts::default() };
            let mut passed = 0;
            while recorder.open(RequestId::new(passed), Peer::Unix).intent(&facts).await.is_ok() {
                passed += 1;
                assert!(passed < 1000, "a pipe holds 64 KiB, and a buffer twice 256");
            }
            assert_eq!(trail.trouble(), Some(Trouble::Stuck));
            let mut reader = fs::File::open(&place.file).expect("opens");
            std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
            recovered(&recorder, trail).await;
        });
    }
}

#[test]
fn synced_and_buffered_records_arrive() {
    for durability in [Durability::Fsync, Durability::Buffered] {
        let place = place();
        let config = Audit { durability, ..config(&place.file) };
        run(&config, async |_, recorder| {
            let many: Vec<_> = (0..50)
                .map(|n| {
                    let recorder = recorder.clone();
                    tokio::task::spawn_local(async move { request(&recorder, n).await })
                })
                .collect();
            for one in many {
                one.await.expect("no panic").expect("kept");
            }
        });
        assert_eq!(whole(&[place.file]).records, 102);
    }
}

#[test]
fn a_file_has_one_broker() {
    let place = place();
    let _first = Trail::open(&config(&place.file), 1, Clock::system()).expect("opens");
    let fault = Trail::open(&config(&place.file), 1, Clock::system()).expect_err("taken");
    assert!(fault.to_string().contains("another process"), "{fault}");
}

#[test]
fn what_is_no_trail_is_set_aside() {
    let place = place();
    fs::write(&place.file, "not a trail\n").expect("written");
    run(&config(&place.file), async |_, recorder| request(&recorder, 1).await).expect("kept");
    whole(std::slice::from_ref(&place.file));
    let names = fs::read_dir(place.file.parent().expect("a folder")).expect("listed");
    assert!(names.flatten().any(|entry| entry.file_name().to_string_lossy().ends_with(".foreign")));
}

#[test]
fn what_a_command_leaves_is_written_by_the_broker_that_runs_or_the_next() {
    let place = place();
    let config = config(&place.file);
    let visitor = Trail::visit(&config, Clock::system());
    admin(&visitor, "team.create", "before");
    let trail = Trail::open(&config, 1, Clock::system()).expect("opens");
    admin(&visitor, "team.create", "meanwhile");
    let written = || fs::read_to_string(&place.file).expect("readable");
    while !written().contains("\"subject\":\"meanwhile\"") {
        std::thread::sleep(Duration::from_millis(5));
    }
    trail.close();
    let text = written();
    assert!(text.contains("\"actor\":\"command of uid ") && text.contains("\"subject\":\"before\""), "{text}");
    let left = fs::read_dir(place.file.with_file_name(".audit.jsonl.inbox")).expect("listed").count();
    assert_eq!((whole(std::slice::from_ref(&place.file)).records, left), (4, 0));
}
