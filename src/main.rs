//! The `sidekey` command: everything is in the library.

fn main() -> std::process::ExitCode {
    sidekey::cli::run()
}
