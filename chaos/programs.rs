//! The programs that nodes run: the one that was built with this runner, and one of an earlier build.

use crate::support::program::{rmsc, run};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The one that was built with this runner.
pub fn newer() -> PathBuf {
    rmsc().get_program().into()
}

/// Whether an earlier one can be played with; gives what is said of both.
pub fn check_older(older: &Path) -> Result<String, String> {
    let newer = newer();
    let bytes = |path: &Path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    if bytes(older)? == bytes(&newer)? {
        return Err(format!(
            "--older {} is the very program of this build: that would show nothing. {HOW_TO_MAKE_ONE}",
            older.display()
        ));
    }
    let version = |path: &Path| {
        let said = std::panic::catch_unwind(|| run(Command::new(path).arg("--version"))).ok();
        let said = said.filter(|said| said.code == Some(0) && said.stdout.starts_with("rmsc "));
        said.map(|said| said.stdout.trim().to_owned())
            .ok_or_else(|| format!("{} is no rmsc that runs here. {HOW_TO_MAKE_ONE}", path.display()))
    };
    let words = |path: &Path| Ok::<_, String>(format!("{} ({})", path.display(), version(path)?));
    Ok(format!("older: {}; newer: {}", words(older)?, words(&newer)?))
}

pub const HOW_TO_MAKE_ONE: &str = "To make one: git worktree add ../rmsc-older COMMIT && cargo build --release --manifest-path \
     ../rmsc-older/Cargo.toml --target-dir ../rmsc-older/target; then it is ../rmsc-older/target/release/rmsc";
