//! Arguments → `cli` → exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    slmbench::cli::main()
}
