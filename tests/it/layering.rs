//! Reads `src/` and holds what the crate's docs promise: imports go strictly downward, secrets and time have one exit
//! each, files stay short.

use crate::support::source::{Source, Token, rust_files, shipped, without_tests};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Lines that a file may have at most.
const LONGEST_FILE: usize = 440;

/// The same for a file of tests.
const LONGEST_TESTS: usize = 600;

/// Columns that a line of comment may have at most, which rustfmt leaves as it is: what it gives code, and a word.
const WIDEST_COMMENT: usize = 130;

/// Files with wider ones, each to be wrapped.
const WIDE: [&str; 3] = ["src/authn/jwks.rs", "src/broker/refuse.rs", "src/store/journal.rs"];

/// Modules in which secret bytes may leave their box. The sandbox issues its own, which are worth nothing elsewhere.
const SECRET_EXITS: [&str; 6] = ["secret", "tls", "authn", "keys", "inject", "sandbox"];

/// Single files that may do so too, each with its reason.
const SECRET_EXITS_ELSEWHERE: [(&str, &str); 7] = [
    ("src/audit/control.rs", "the trail's signing key signs checkpoints"),
    ("src/audit/private.rs", "phone numbers are hashed with a key, which is made and kept beside the file"),
    ("src/audit/ship/otlp.rs", "a collector may want an Authorization header"),
    ("src/directory/team.rs", "a key's Basic value is computed once, when the snapshot is made"),
    ("src/store/seal.rs", "a key's secret is sealed before it is kept"),
    ("src/store/root_key.rs", "the root key is read from its reference"),
    ("src/store/postgres.rs", "a connection string may hold a password"),
];

/// Folders whose files may import each other in a circle: each a place to tidy.
const CIRCLES: [&str; 7] = ["authn/jwks", "broker", "forward", "keys", "server", "store", "upstream"];

/// Modules that compute and never wait.
const PURE: [&str; 3] = ["policy", "twilio", "http1"];

/// The rank table of `src/lib.rs`: module → rank.
fn ranks(lib: &str) -> BTreeMap<String, u32> {
    let mut ranks = BTreeMap::new();
    for row in lib.lines().filter_map(|line| line.strip_prefix("//! | ")) {
        let mut cells = row.split(" | ");
        let Some(rank) = cells.next().and_then(|cell| cell.parse().ok()) else { continue };
        let names = cells.next().unwrap_or_default().split('`').skip(1).step_by(2);
        ranks.extend(names.map(|name| (name.to_owned(), rank)));
    }
    ranks
}

/// Every path that the file names from `root`, `crate` or `super`, which itself is the path `above`; with its place.
fn paths(file: &Source, root: &str, above: &[String]) -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    for at in file.find(&format!("{root} : :")) {
        // `pub(in crate::x)` says who may see an item, and imports nothing.
        if at > 0 && file.tokens[at - 1].text == "in" {
            continue;
        }
        let mut paths = Vec::new();
        flatten(&file.tokens[at + 3..], above, &mut paths);
        found.extend(paths.into_iter().map(|path| (path, file.place(at))));
    }
    found
}

/// The paths of a tree, `a::b` and `a::c::d` for `a::{b, c::{d}}`, each after `above`. Gives the tree's length.
fn flatten(tree: &[Token], above: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let text = |at: usize| tree.get(at).map_or("", |token| token.text.as_str());
    let (mut path, mut at) = (above.to_vec(), 0);
    while text(at) != "{" {
        path.push(text(at).to_owned());
        at += 1;
        if text(at) != ":" || text(at + 1) != ":" {
            found.push(path);
            return at;
        }
        at += 2;
    }
    at += 1;
    while !matches!(text(at), "}" | "") {
        // A comma, and what is renamed with `as`.
        let skipped = matches!(text(at), "," | "as") || text(at - 1) == "as";
        at += if skipped { 1 } else { flatten(&tree[at..], &path, found) };
    }
    at + 1
}

/// Which modules of a folder name each other: folder → who names whom; a module's own folder counts as the module. What a
/// folder's file hands on is not followed.
fn neighbours(files: &[Source]) -> BTreeMap<String, BTreeSet<(String, String)>> {
    let homes: BTreeSet<Vec<String>> = files.iter().map(Source::home).collect();
    let mut found = BTreeMap::<_, BTreeSet<_>>::new();
    for file in files {
        let home = file.home();
        let above = home.split_last().map(|(_, above)| above).unwrap_or_default();
        for (path, _) in paths(file, "crate", &[]).into_iter().chain(paths(file, "super", above)) {
            let common = home.iter().zip(&path).take_while(|(own, other)| own == other).count();
            let is_below = common > 0 && common < home.len() && common < path.len();
            if is_below && homes.contains(&path[..=common]) {
                let pair = (home[common].clone(), path[common].clone());
                found.entry(home[..common].join("/")).or_default().insert(pair);
            }
        }
    }
    found
}

/// What is left of these pairs when whoever names nobody, or whom nobody names, is taken away, again and again.
fn circle(mut pairs: BTreeSet<(String, String)>) -> BTreeSet<(String, String)> {
    loop {
        let before = pairs.len();
        let (naming, named): (BTreeSet<_>, BTreeSet<_>) = pairs.iter().cloned().unzip();
        pairs.retain(|(from, to)| named.contains(from) && naming.contains(to));
        if pairs.len() == before {
            return pairs;
        }
    }
}

/// What is wrong with one file's imports.
fn import_faults(file: &Source, ranks: &BTreeMap<String, u32>) -> Vec<String> {
    let own = file.module();
    let mut faults = Vec::new();
    for (path, place) in paths(file, "crate", &[]).into_iter().filter(|(path, _)| path[0] != own) {
        let name = &path[0];
        match (ranks.get(own), ranks.get(name)) {
            (Some(rank), Some(other)) if other < rank => {}
            (Some(rank), Some(other)) => faults.push(format!("{place}: {own} ({rank}) imports {name} ({other})")),
            _ => faults.push(format!("{place}: crate::{name}: name a module of the rank table by its own path")),
        }
    }
    for at in file.find("super : : super") {
        faults.push(format!("{}: begin at crate:: instead of climbing, so that the rank can be read", file.place(at)));
    }
    let depth = file.path.components().count();
    let is_root = depth == 2 || (depth == 3 && file.path.ends_with("mod.rs"));
    for at in file.find("super : :").into_iter().filter(|_| is_root && !has_inline_modules(file)) {
        faults.push(format!("{}: super is the crate's root here: begin at crate::", file.place(at)));
    }
    faults
}

fn has_inline_modules(file: &Source) -> bool {
    file.find("mod").iter().any(|&at| file.tokens.get(at + 2).is_some_and(|token| token.text == "{"))
}

/// Places where the pattern stands in files that `allowed` does not name.
fn strays(files: &[Source], pattern: &str, allowed: impl Fn(&Source) -> bool) -> Vec<String> {
    let strays = files.iter().filter(|file| !allowed(file));
    strays.flat_map(|file| file.find(pattern).into_iter().map(|at| file.place(at))).collect()
}

/// Fails with one line for each fault.
#[track_caller]
fn assert_none(faults: &[String], rule: &str) {
    let list = faults.iter().fold(String::new(), |mut list, fault| {
        let _ = writeln!(list, "  {fault}");
        list
    });
    assert!(faults.is_empty(), "{rule}:\n{list}");
}

fn table() -> BTreeMap<String, u32> {
    ranks(include_str!("../../src/lib.rs"))
}

#[test]
fn every_module_has_a_rank_and_every_rank_a_module() {
    let declared: Vec<String> = shipped().iter().map(|file| file.module().to_owned()).collect();
    let ranks = table();
    let mut faults: Vec<String> = ranks.keys().filter(|name| !declared.contains(name)).cloned().collect();
    faults.extend(declared.into_iter().filter(|name| name != "lib" && name != "main" && !ranks.contains_key(name)));
    assert_none(&faults, "modules that only one of src/ and the table in src/lib.rs knows");
}

#[test]
fn imports_go_strictly_downward() {
    let ranks = table();
    let files = shipped();
    let inner = files.iter().filter(|file| file.module() != "lib" && file.module() != "main");
    let faults: Vec<String> = inner.flat_map(|file| import_faults(file, &ranks)).collect();
    assert_none(&faults, "imports against the rank table of src/lib.rs");
}

#[test]
fn files_of_a_folder_import_each_other_one_way() {
    let circles = neighbours(&shipped()).into_iter().map(|(folder, pairs)| (folder, circle(pairs)));
    let new = circles.filter(|(folder, pairs)| !pairs.is_empty() && !CIRCLES.contains(&folder.as_str()));
    let faults: Vec<String> = new.map(|(folder, pairs)| format!("src/{folder}: {pairs:?}")).collect();
    assert_none(&faults, "files that import each other in a circle: move what both need to a third");
}

#[test]
fn files_stay_short() {
    let is_tests =
        |path: &Path| !path.starts_with("src") || path.iter().any(|name| name == "tests" || name == "tests.rs");
    let most = |path: &Path| if is_tests(path) { LONGEST_TESTS } else { LONGEST_FILE };
    let files = ["src", "tests", "benches"].into_iter().flat_map(rust_files);
    let long = files.map(|(path, text)| (text.lines().count(), path)).filter(|(lines, path)| *lines > most(path));
    let faults: Vec<String> = long.map(|(lines, path)| format!("{}: {lines} lines", path.display())).collect();
    assert_none(&faults, "files over 440 lines, or 600 of tests: split them by subject");
}

#[test]
fn comments_are_wrapped() {
    let mut faults = Vec::new();
    for (path, text) in ["src", "tests", "benches"].into_iter().flat_map(rust_files) {
        let wide = text.lines().enumerate().filter(|(_, line)| {
            let text = line.trim_start();
            // A row of a table can't be wrapped.
            text.starts_with("//") && !text.starts_with("//! |") && line.chars().count() > WIDEST_COMMENT
        });
        let listed = WIDE.iter().any(|listed| path.to_str() == Some(listed));
        faults.extend(wide.filter(|_| !listed).map(|(at, _)| format!("{}:{}", path.display(), at + 1)));
    }
    assert_none(&faults, "comments over 130 columns: wrap them");
}

#[test]
fn secrets_leave_their_box_in_few_places() {
    let allowed = |file: &Source| {
        let listed = SECRET_EXITS_ELSEWHERE.iter().any(|(path, _)| file.path.to_str() == Some(path));
        listed || SECRET_EXITS.contains(&file.module())
    };
    let files = shipped();
    let mut faults = strays(&files, ". expose (", allowed);
    faults.extend(strays(&files, ". expose_str (", allowed));
    faults.extend(strays(&files, "Secret : : expose", allowed));
    assert_none(&faults, "secret bytes exposed outside secret, tls, authn, keys, inject and sandbox");
    let unused = SECRET_EXITS_ELSEWHERE
        .iter()
        .filter(|(path, _)| !files.iter().any(|file| file.path.to_str() == Some(path) && file.text.contains("expose")));
    assert_none(&unused.map(|(path, _)| (*path).to_owned()).collect::<Vec<_>>(), "exceptions that nothing needs");
}

#[test]
fn time_is_read_in_clock_alone() {
    let files = shipped();
    let in_clock = |file: &Source| file.module() == "clock";
    let mut faults = strays(&files, ": : now", in_clock);
    // `self.elapsed()` is a method of our own, which got a clock.
    let reads = |file: &Source, at: &usize| file.tokens[at - 1].text != "self";
    for file in files.iter().filter(|file| !in_clock(file)) {
        let found = file.find(". elapsed (").into_iter().filter(|at| reads(file, at));
        faults.extend(found.map(|at| file.place(at)));
    }
    assert_none(&faults, "time read outside clock: take a Clock (`clock.instant() - start` for a duration)");
}

#[test]
fn pure_modules_never_wait() {
    let faults = strays(&shipped(), "await", |file| !PURE.contains(&file.module()));
    assert_none(&faults, "waiting in a module that only computes");
}

#[test]
fn nothing_is_left_for_later() {
    let files = shipped();
    let mut faults = Vec::new();
    for pattern in [". unwrap ( )", "todo !", "unimplemented !", "dbg !"] {
        faults.extend(strays(&files, pattern, |_| false));
    }
    // Written in halves, so that this file does not find itself.
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME")];
    for (path, text) in ["src", "tests", "benches"].into_iter().flat_map(rust_files) {
        let marked = text.lines().enumerate().filter(|(_, line)| marks.iter().any(|mark| line.contains(mark)));
        faults.extend(marked.map(|(at, _)| format!("{}:{}", path.display(), at + 1)));
    }
    assert_none(&faults, "unwraps and markers of unfinished work");
}

/// The checks themselves: each finds what it is there to find.
mod checks {
    use super::*;

    const LIB: &str =
        "//! | rank | module |\n//! |---|---|\n//! | 0 | [`low`] | a |\n//! | 1 | [`mid`] · [`even`] | b |\n";

    fn faults(text: &str) -> usize {
        let file = Source::parse("src/mid/part.rs", text).expect("tokens");
        import_faults(&file, &ranks(LIB)).len()
    }

    #[test]
    fn the_table_is_read() {
        let want = [("even", 1), ("low", 0), ("mid", 1)].map(|(name, rank)| (name.to_owned(), rank));
        assert_eq!(ranks(LIB), BTreeMap::from(want));
    }

    #[test]
    fn only_lower_ranks_pass() {
        assert_eq!(faults("use crate::low::X; use crate::{low, mid::{Y, Z}};"), 0);
        assert_eq!(faults("use crate::even::X;"), 1);
        assert_eq!(faults("use crate::{low::{A, B}, even::{C}};"), 1);
        assert_eq!(faults("fn f() { $crate::even::g!() }"), 1);
        assert_eq!(faults("use crate::*;"), 1);
        assert_eq!(faults("use super::super::low;"), 1);
        let file = Source::parse("src/low.rs", "use super::mid;").expect("tokens");
        assert_eq!(import_faults(&file, &ranks(LIB)).len(), 1);
    }

    #[test]
    fn circles_are_found() {
        let files = [
            ("src/mid/mod.rs", "use a::X;"),
            ("src/mid/a.rs", "use super::{Y, b::{self, Z}};"),
            ("src/mid/b.rs", "use super::c;"),
            ("src/mid/b/d.rs", "use super::Z; use crate::mid::{Y as W, c::{V as U, T}, a};"),
            ("src/mid/c.rs", "use crate::low::a;"),
        ];
        let files: Vec<Source> =
            files.into_iter().map(|(path, text)| Source::parse(path, text).expect("tokens")).collect();
        let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let found = neighbours(&files).remove("mid").expect("some");
        assert_eq!(found, pairs(&[("a", "b"), ("b", "a"), ("b", "c")]));
        assert_eq!(circle(found), pairs(&[("a", "b"), ("b", "a")]));
    }

    #[test]
    fn comments_strings_and_tests_are_left_out() {
        assert_eq!(faults("/// crate::even::X\nconst A: &str = \"crate::even\"; // crate::even"), 0);
        assert_eq!(faults("#[cfg(test)]\nmod tests { use crate::even::X; }"), 0);
        assert_eq!(faults("#[cfg(test)] use crate::{even, low}; use crate::even::Y;"), 1);
        assert_eq!(
            faults("#[cfg(test)] #[allow(x)] pub(crate) fn f() -> M<A, B> { crate::even::x() } use crate::even;"),
            1
        );
        assert_eq!(faults("#[cfg(not(test))] use crate::even::X;"), 1);
        assert_eq!(faults("struct S { #[cfg(test)] a: crate::even::A, b: crate::even::B }"), 1);
    }

    #[test]
    fn test_files_are_known_by_their_declaration() {
        let text = "#[cfg(test)]\nmod tests;\nmod shipped;";
        let parse = |(path, text)| Source::parse(path, text).expect("tokens");
        let files = [
            ("src/mid/part.rs", text),
            ("src/mid/part/tests.rs", ""),
            ("src/mid/part/tests/more.rs", ""),
            ("src/mid/part/shipped.rs", ""),
            ("src/mid/tests.rs", ""),
        ];
        let kept: Vec<_> = without_tests(files.map(parse).into()).into_iter().map(|file| file.path).collect();
        assert_eq!(kept, ["src/mid/part.rs", "src/mid/part/shipped.rs", "src/mid/tests.rs"].map(PathBuf::from));
    }
}
