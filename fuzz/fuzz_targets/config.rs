//! A config file: values that can't be wrong, or faults that say where.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sidekey::config::{self, Environment};
use std::ffi::OsString;
use std::path::Path;

struct NoVariables;

impl Environment for NoVariables {
    fn var(&self, name: &str) -> Option<OsString> {
        (name == "SET").then(|| "0123456789abcdef0123456789abcdef".into())
    }
}

fuzz_target!(|text: &str| {
    match config::parse(text, Path::new("/nowhere/sidekey.toml"), &NoVariables) {
        Ok(config) => drop(format!("{config:?}")),
        Err(faults) => assert!(!faults.to_string().is_empty()),
    }
});
