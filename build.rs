//! Lays the functions that a broker runs side by side in the program (`link/used.ld`), so that of the others, four fifths
//! of it, nothing comes into memory. Only the layout depends on it: a function that is not named there is found elsewhere.

fn main() {
    println!("cargo::rerun-if-changed=link/used.ld");
    println!("cargo::rerun-if-env-changed=SIDEKEY_LINK_PLAIN");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|given| given == value);
    // GNU's linker and LLVM's take such a script; for one that takes none, SIDEKEY_LINK_PLAIN=1 leaves it out.
    let takes = is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu");
    if takes && is("PROFILE", "release") && !is("SIDEKEY_LINK_PLAIN", "1") {
        let root = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
        println!("cargo::rustc-link-arg-bins=-T{root}/link/used.ld");
    }
}
