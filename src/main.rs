//! Starts the program.

use std::process::ExitCode;

fn main() -> ExitCode {
    rmsc::cli::execute()
}
