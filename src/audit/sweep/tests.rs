use super::super::chain::{Head, ROOT};
use super::super::rotate::{open, rotated, rotated_name};
use super::*;
use std::os::unix::fs::symlink;
use std::sync::Weak;

const NOW: u64 = 1_800_000_000_000_000;

struct Scene {
    folder: tempfile::TempDir,
    sweep: Sweep,
}

fn scene(retention: Option<u64>) -> Scene {
    let folder = tempfile::tempdir().expect("a throwaway folder");
    let clock = Clock::cranked();
    clock.turn(
        i64::try_from(NOW / 1_000_000).expect("fits") - i64::try_from(clock.unix_micros() / 1_000_000).expect("fits"),
    );
    let sweep = Sweep {
        path: folder.path().join("audit.jsonl"),
        retention: retention.map(Duration::from_secs),
        clock,
        oldest_needed: Box::new(|| None),
        closed: Arc::default(),
        asked: AtomicBool::default(),
        sweeping: Mutex::default(),
    };
    Scene { folder, sweep }
}

impl Scene {
    /// The name of a file that was rotated so many seconds ago.
    fn named(&self, seconds: u64) -> PathBuf {
        rotated_name(&self.sweep.path, NOW - seconds * 1_000_000)
    }

    fn compress(&self, file: &Path) -> io::Result<()> {
        self.sweep.compress(file, &mut pace())
    }

    fn names(&self) -> Vec<PathBuf> {
        let mut names: Vec<_> = fs::read_dir(self.folder.path()).expect("listed").flatten().map(|e| e.path()).collect();
        names.sort();
        names
    }
}

fn pace() -> Pace {
    Pace { looked: Instant::now(), worked: used(), waiting: 1000 }
}

fn packed(file: &Path) -> PathBuf {
    with_suffix(file, ".gz")
}

fn partial(file: &Path) -> PathBuf {
    with_suffix(file, ".gz.part")
}

#[test]
fn a_sweep_compresses_and_keeps_to_the_retention() {
    let scene = scene(Some(60));
    let text = "a line\n".repeat(PIECE / 3);
    for seconds in [100, 2, 1] {
        fs::write(scene.named(seconds), &text).expect("written");
    }
    scene.sweep.run(&mut pace());
    let left = rotated(&scene.sweep.path).expect("listed");
    assert_eq!(left, [2, 1].map(|seconds| packed(&scene.named(seconds))));
    for file in left {
        let mut read = String::new();
        open(&file).expect("opened").read_to_string(&mut read).expect("read");
        assert_eq!(read, text);
    }
}

#[test]
fn retention_goes_on_while_a_file_is_compressed() {
    let scene = scene(Some(60));
    let (old, new) = (scene.named(100), scene.named(1));
    for file in [&old, &new] {
        fs::write(file, "a line\n".repeat(PIECE / 3)).expect("written");
    }
    // As if the last look had been a while ago.
    let looked = Instant::now().checked_sub(LOOK_EVERY).expect("up for longer");
    scene.sweep.compress(&new, &mut Pace { looked, ..pace() }).expect("compressed");
    assert_eq!(scene.names(), [packed(&new)]);
}

#[test]
fn what_was_left_behind_goes_too() {
    let scene = scene(Some(60));
    let (old, new) = (scene.named(100), scene.named(1));
    for file in [&old, &packed(&old), &partial(&scene.named(50)), &new, &partial(&new)] {
        fs::write(file, "x").expect("written");
    }
    let mut pace = pace();
    assert_eq!(scene.sweep.look(&mut pace), std::slice::from_ref(&new));
    assert_eq!((scene.names(), pace.waiting), (vec![new.clone(), partial(&new)], 1));
}

#[test]
fn what_a_place_has_not_had_stays() {
    let mut scene = scene(Some(60));
    let mut head = Head::new(0, ROOT);
    for seconds in [100, 90] {
        let mut line = Vec::new();
        head.append(&mut line, b"{\"ts\":\"x\",\"phase\":\"open\"", true);
        fs::write(scene.named(seconds), line).expect("written");
    }
    let number = opening(&scene.named(90)).expect("read");
    scene.sweep.oldest_needed = Box::new(move || number);
    scene.sweep.look(&mut pace());
    assert_eq!((number.is_some(), scene.names().contains(&scene.named(90))), (true, true));
    assert!(!scene.named(100).exists());
}

#[test]
fn what_can_not_be_compressed_stops_no_other() {
    let scene = scene(None);
    let [held, in_the_way, free] = [9, 8, 7].map(|seconds| scene.named(seconds));
    for file in [&held, &in_the_way, &free] {
        fs::write(file, "a line\n").expect("written");
    }
    let holder = File::open(&held).expect("opened");
    flock(&holder, FlockOperation::LockExclusive).expect("locked");
    fs::create_dir(packed(&in_the_way)).expect("made");
    // No files, whatever they are called.
    fs::create_dir(scene.named(6)).expect("made");
    rustix::fs::mknodat(rustix::fs::CWD, scene.named(5), rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("made");
    scene.sweep.run(&mut pace());
    assert_eq!(rotated(&scene.sweep.path).expect("listed"), [held, in_the_way, packed(&free)]);
}

#[test]
fn a_copy_that_fails_leaves_the_original_and_nothing_else() {
    let scene = scene(None);
    let file = scene.named(1);
    fs::write(&file, "a line\n").expect("written");
    // A full disk, and then something in the way of the copy's last step.
    symlink("/dev/full", partial(&file)).expect("linked");
    let full = scene.compress(&file).expect_err("no space");
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    assert_eq!(scene.names(), std::slice::from_ref(&file));
    fs::create_dir(packed(&file)).expect("made");
    scene.compress(&file).expect_err("there is a folder of that name");
    assert_eq!(scene.names(), [file.clone(), packed(&file)]);
}

#[test]
fn a_trail_that_is_closed_is_left_as_it_is() {
    let scene = scene(None);
    let file = scene.named(1);
    fs::write(&file, "a line\n".repeat(PIECE)).expect("written");
    scene.sweep.closed.store(true, Ordering::SeqCst);
    scene.compress(&file).expect("left");
    scene.sweep.run(&mut pace());
    assert_eq!(scene.names(), [file]);
}

#[test]
fn who_asks_while_one_is_at_it_is_heard() {
    let Scene { folder: _folder, sweep } = scene(Some(60));
    let named = |seconds: u64| rotated_name(&sweep.path, NOW - seconds * 1_000_000);
    let [expired, passed, first] = [100, 50, 1].map(named);
    for file in [&expired, &first] {
        fs::write(file, "a line\n").expect("written");
    }
    // Comes when the folder has been read, and sorts before what is compressed next.
    let late = passed.clone();
    let hook = |weak: Weak<Sweep>| {
        let asked = AtomicBool::default();
        move || {
            if !asked.swap(true, Ordering::SeqCst) {
                fs::write(&late, "a line\n").expect("written");
                weak.upgrade().expect("at it").start();
                // Long enough for it to find that somebody is.
                thread::sleep(Duration::from_millis(50));
            }
            None
        }
    };
    let sweep = Arc::new_cyclic(|weak| Sweep { oldest_needed: Box::new(hook(weak.clone())), ..sweep });
    sweep.start();
    let begun = Instant::now();
    while !packed(&passed).exists() {
        assert!(begun.elapsed() < Duration::from_secs(10), "nobody swept again");
        thread::sleep(Duration::from_millis(1));
    }
    assert!(packed(&first).exists() && !expired.exists());
}

#[test]
fn more_files_that_wait_are_given_more_of_a_cpu() {
    let after = |waiting| rest(Duration::from_millis(1), waiting).as_micros();
    assert_eq!([0, 1, 2, 16, 32, 1000].map(after), [31_000, 31_000, 15_000, 1_000, 0, 0]);
}
