//! Gives a finished file its name, so that after a power cut it is there whole or not at all.

use crate::storage;
use std::fs::File;
use std::io;
use std::path::Path;

/// What a disk does about a file; the tests have one that only notes it.
pub(super) trait Disk {
    fn sync_file(&mut self, path: &Path) -> io::Result<()>;
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()>;
    fn sync_folder(&mut self, folder: &Path) -> io::Result<()>;
}

/// The disk that there is.
pub(super) struct Real;

impl Disk for Real {
    fn sync_file(&mut self, path: &Path) -> io::Result<()> {
        let file = File::open(path)?;
        // A failed fsync is final: the log would be purged behind a snapshot that is not there.
        file.sync_all().inspect_err(|error| storage::stop("syncing a snapshot", error))
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn sync_folder(&mut self, folder: &Path) -> io::Result<()> {
        storage::sync_folder(folder).inspect_err(|error| storage::stop("syncing the snapshot folder", error))
    }
}

/// The content first, then the name, then the folder that has the name.
pub(super) fn publish(disk: &mut impl Disk, folder: &Path, unfinished: &Path, path: &Path) -> io::Result<()> {
    disk.sync_file(unfinished)?;
    disk.rename(unfinished, path)?;
    disk.sync_folder(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes what it is asked, and fails at one step.
    #[derive(Default)]
    struct Noting {
        steps: Vec<String>,
        fails_at: Option<usize>,
    }

    impl Noting {
        fn step(&mut self, words: String) -> io::Result<()> {
            if self.fails_at == Some(self.steps.len()) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.steps.push(words);
            Ok(())
        }
    }

    impl Disk for Noting {
        fn sync_file(&mut self, path: &Path) -> io::Result<()> {
            self.step(format!("sync {}", path.display()))
        }

        fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
            self.step(format!("{} to {}", from.display(), to.display()))
        }

        fn sync_folder(&mut self, folder: &Path) -> io::Result<()> {
            self.step(format!("sync folder {}", folder.display()))
        }
    }

    #[test]
    fn a_name_is_given_only_to_what_is_on_disk_and_counts_only_when_it_is_too() {
        let wanted = ["sync a.tmp", "a.tmp to a", "sync folder f"];
        for fails_at in [None, Some(0), Some(1), Some(2)] {
            let mut disk = Noting { fails_at, ..Noting::default() };
            let done = publish(&mut disk, Path::new("f"), Path::new("a.tmp"), Path::new("a"));
            assert_eq!(disk.steps, wanted[..fails_at.unwrap_or(3)]);
            assert_eq!(done.is_ok(), fails_at.is_none());
        }
    }
}
