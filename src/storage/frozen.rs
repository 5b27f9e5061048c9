//! The bytes of stored formats as they were first written: every later build must read them, and write
//! them as long as it says the same version.

use std::path::{Path, PathBuf};

/// Compares what this build writes with what is frozen under `tests/frozen/`, and returns what is
/// frozen, to be read back. A format that is not frozen yet is, when `RMSC_FREEZE` is set.
#[track_caller]
pub(crate) fn check(name: &str, written: &[u8]) -> Vec<u8> {
    let frozen = keep(name, written);
    assert!(
        frozen == written,
        "{} holds other bytes than this build writes. What was released must be read for ever: add a new \
         format beside it, and never change the file",
        file(name).display()
    );
    frozen
}

/// Like [`check`] for bytes that come out different each time, or with the next version of a crate: they are
/// only read. What is not frozen yet is, when `RMSC_FREEZE` is set.
#[track_caller]
pub(crate) fn keep(name: &str, written: &[u8]) -> Vec<u8> {
    let path = file(name);
    if !path.exists() && std::env::var_os("RMSC_FREEZE").is_some() {
        let folder = path.parent().expect("the file is below the package");
        std::fs::create_dir_all(folder).expect("the package can be written");
        std::fs::write(&path, written).expect("the package can be written");
    }
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!("cannot read {}: {error}; freeze it with RMSC_FREEZE=1", path.display())
    })
}

/// Like [`keep`] for all files of a folder.
#[track_caller]
pub(crate) fn keep_folder(name: &str, written: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    if !file(name).exists() {
        for (file, bytes) in written {
            keep(&format!("{name}/{file}"), &bytes);
        }
    }
    files(&file(name))
}

/// The files in a folder and what they hold.
pub(crate) fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries =
        std::fs::read_dir(folder).expect("the folder can be read").map(|entry| entry.expect("an entry"));
    let files = entries.filter(|entry| entry.path().is_file());
    files
        .map(|file| {
            let name = file.file_name().into_string().expect("a name of ours is text");
            (name, std::fs::read(file.path()).expect("the file can be read"))
        })
        .collect()
}

fn file(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "frozen", name].iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// A newcomer reads there what is stored, and that all of it is frozen.
    #[test]
    fn every_frozen_format_is_in_the_list() {
        let list = String::from_utf8(keep("README.md", b"")).unwrap();
        let listed = list.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        let listed: BTreeSet<String> = listed.map(|(name, _)| name.to_owned()).collect();
        let folders = std::fs::read_dir(file("")).unwrap().map(Result::unwrap);
        let folders = folders.filter(|entry| entry.file_type().unwrap().is_dir());
        let folders = folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        assert_eq!(listed, folders);
    }
}
