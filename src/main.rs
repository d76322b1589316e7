//! The `alm` program. All of it is in the library; see `alm::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    alm::cli::main(std::env::args_os().collect())
}
