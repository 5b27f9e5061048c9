//! What a node keeps on disk: bytes in, bytes out, durable before it is acknowledged.

#[cfg(test)]
pub(crate) mod frozen;
pub mod log;
pub mod space;
pub mod tree;
pub mod version;

use std::fmt::Display;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Makes the names in a folder durable: a file that was created or renamed can otherwise vanish.
///
/// # Errors
/// What the system says; the folder may then not be relied on.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Creates a folder, durable together with its name.
///
/// # Errors
/// What the system says.
pub fn create_folder(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    sync_folder(folder)?;
    match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
        _ => sync_folder(Path::new(".")),
    }
}

/// Renames what is damaged, file or folder, so that a new one can be made and the old one looked at.
///
/// # Errors
/// What the system says.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    for number in 1..=SET_ASIDE_MAX {
        let name = path.with_extension(format!("damaged-{number}"));
        if !name.exists() {
            std::fs::rename(path, &name)?;
            if let Some(parent) = path.parent() {
                sync_folder(parent)?;
            }
            return Ok(name);
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AlreadyExists,
        format!("too many are damaged; look at {}.damaged-* and remove them", path.display()),
    ))
}

/// Whether something in this place was set aside: the newest.
#[must_use]
pub fn was_set_aside(path: &Path) -> Option<PathBuf> {
    let names = (1..=SET_ASIDE_MAX).rev().map(|number| path.with_extension(format!("damaged-{number}")));
    names.into_iter().find(|name| name.exists())
}

/// Ends the process: what was written may or may not be on disk, and the kernel may have dropped
/// the pages, so that a second fsync would report success for data that is gone.
pub(crate) fn stop(what: &str, error: &dyn Display) -> ! {
    tracing::error!(%error, "{what} failed; the process ends, because what is on disk is not known any more");
    std::process::abort()
}

/// Ends the process when the task that holds it panics: the runtime would swallow the panic, and the
/// rest would go on beside a state that is broken.
pub(crate) struct StopOnPanic(pub(crate) &'static str);

impl Drop for StopOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            stop(self.0, &"it panicked");
        }
    }
}

/// Each needs an operator's eye; a node that makes more than this has a broken disk.
const SET_ASIDE_MAX: u32 = 9;

#[cfg(test)]
pub(crate) mod testing {
    //! A folder for one test.

    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Removed when it is dropped.
    pub(crate) struct Folder(PathBuf);

    impl Folder {
        pub(crate) fn new() -> Self {
            Folder::below(&std::env::temp_dir())
        }

        /// In memory where the system has a place for it: nothing waits for a disk there.
        pub(crate) fn in_memory() -> Self {
            let memory = Path::new("/dev/shm");
            if memory.is_dir() { Folder::below(memory) } else { Folder::new() }
        }

        fn below(parent: &Path) -> Self {
            static NEXT: AtomicU64 = AtomicU64::new(0);
            let name = format!("rmsc-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let path = parent.join(name);
            std::fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        pub(crate) fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_under_the_guard_ends_the_process() {
        const INNER: &str = "RMSC_TEST_PANIC_UNDER_THE_GUARD";
        if std::env::var_os(INNER).is_some() {
            std::thread::spawn(|| {
                let _guard = StopOnPanic("the test");
                panic!("as the test wants it");
            })
            .join()
            .ok();
            return;
        }
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", "storage::tests::a_panic_under_the_guard_ends_the_process"]).env(INNER, "1");
        assert!(!again.output().unwrap().status.success());
    }
}
