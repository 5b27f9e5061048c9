//! The bytes of stored formats as they were first written: every later build must read them, and write
//! them as long as it says the same version.

use std::path::PathBuf;

/// Compares what this build writes with what is frozen under `tests/frozen/`, and returns what is
/// frozen, to be read back. A format that is not frozen yet is, when `RMSC_FREEZE` is set.
#[track_caller]
pub(crate) fn check(name: &str, written: &[u8]) -> Vec<u8> {
    let path = file(name);
    if !path.exists() && std::env::var_os("RMSC_FREEZE").is_some() {
        let folder = path.parent().expect("the file is below the package");
        std::fs::create_dir_all(folder).expect("the package can be written");
        std::fs::write(&path, written).expect("the package can be written");
    }
    let frozen = read(name);
    assert!(
        frozen == written,
        "{} holds other bytes than this build writes. What was released must be read for ever: add a new \
         format beside it, and never change the file",
        path.display()
    );
    frozen
}

/// Bytes that this build may write otherwise, and must read.
#[track_caller]
pub(crate) fn read(name: &str) -> Vec<u8> {
    let path = file(name);
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!("cannot read {}: {error}; freeze it with RMSC_FREEZE=1", path.display())
    })
}

fn file(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "frozen", name].iter().collect()
}
