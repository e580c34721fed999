//! An audit file that somebody else wrote: every reader ends, and a broker that starts on it leaves a trail that it can
//! go on with, or says why it can't.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sidekey::audit::{Query, Trail, report, search, verify};
use sidekey::clock::Clock;
use sidekey::config::{self, Config, ProcessEnvironment};
use sidekey_fuzz::ACCOUNT;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

fuzz_target!(|input: &[u8]| {
    thread_local!(static WORLD: (Config, TempDir) = world());
    WORLD.with(|(config, folder)| {
        let file = folder.path().join("audit.jsonl");
        std::fs::write(&file, input).expect("a writable file");
        read(&file, input.len());
        if let Ok(trail) = Trail::open(&config.audit, 1, Clock::system()) {
            trail.close();
            read(&file, usize::MAX);
        }
        std::fs::remove_dir_all(folder.path()).expect("a folder of its own");
        std::fs::create_dir(folder.path()).expect("a writable folder");
    });
});

/// Every reader; a file of so many bytes holds no more lines.
fn read(file: &Path, bytes: usize) {
    let files = [file.to_owned()];
    let mut lines = 0;
    let count = |_: &[u8]| {
        lines += 1;
        ControlFlow::Continue(())
    };
    search(None, &files, &Query::default(), count).expect("a readable file");
    assert!(lines <= bytes);
    verify::verify(&files, &[]).expect("a readable file");
    report(None, &files, &Query::default(), Duration::ZERO, 0).expect("a readable file");
}

fn world() -> (Config, TempDir) {
    let folder = tempfile::tempdir().expect("a writable folder");
    let text = format!(
        "[listen]\nproxy = \"127.0.0.1:0\"\n[upstream]\naccount_sid = \"{ACCOUNT}\"\nurl = \"http://127.0.0.1:1\"\n\
         [upstream.master]\nusername = \"{ACCOUNT}\"\npassword = \"env:PATH\"\n[audit]\nfile = \"{}\"\n\
         [[team]]\nname = \"platform\"\nkind = \"master\"\ntoken_sha256 = [\"{}\"]\n",
        folder.path().join("audit.jsonl").display(),
        "0".repeat(64),
    );
    let config = config::parse(&text, &folder.path().join("sidekey.toml"), &ProcessEnvironment).expect("a good config");
    (config, folder)
}
