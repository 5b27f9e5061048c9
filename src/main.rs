//! Starts the program, and turns its result into an exit code.

use clap::Parser;
use rmsc::cli::{Arguments, Exit};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            rmsc::cli::complain(&anyhow::Error::new(error).context("cannot start the runtime"));
            return Exit::Failed.into();
        }
    };
    let result = runtime.block_on(rmsc::cli::run(arguments));
    // Nothing that still blocks may keep the process: everything that matters was waited for.
    runtime.shutdown_background();
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            rmsc::cli::complain(&error);
            rmsc::cli::exit_of(&error).into()
        }
    }
}
