//! Keys and values on disk, in order, changed by atomic batches. Always rebuildable from a snapshot
//! and the log, because its store can lose everything when its own file is torn.

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A store of keys and values.
pub struct Tree {
    store: sled::Db,
    /// A second descriptor of the store's file: an fsync counts for the file, not for the descriptor.
    file: File,
}

/// Changes that are made together or not at all.
#[derive(Default)]
pub struct Batch {
    changes: sled::Batch,
    bytes: usize,
    /// The same changes, for a store that is simulated.
    #[cfg(test)]
    pub(crate) recorded: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// The store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder is in use, or its disk is full, fails, or may not be written.
    #[error("cannot use {path}")]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What is on disk cannot be read.
    #[error("the store in {path} is damaged: {reason}")]
    Damaged {
        /// Where.
        path: PathBuf,
        /// What the store says.
        reason: String,
    },
}

/// A change is larger than the store keeps safely.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{bytes} bytes are more than the {bytes_max} that fit")]
pub struct TooLargeError {
    bytes: usize,
    bytes_max: usize,
}

/// A value could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read from the store")]
pub struct ReadError(#[from] sled::Error);

impl ReadError {
    /// Whether what is on disk is wrong; else the disk could not be read now.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        is_damage(&self.0)
    }
}

fn is_damage(error: &sled::Error) -> bool {
    match error {
        sled::Error::Corruption { .. }
        | sled::Error::Unsupported(_)
        | sled::Error::ReportableBug(_)
        | sled::Error::CollectionNotFound(_) => true,
        // A file that is cut short. A store that is in use is another kind of error.
        sled::Error::Io(error) => {
            matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData)
        }
    }
}

impl Batch {
    /// Sets a value.
    ///
    /// # Errors
    /// [`TooLargeError`] when the value or the whole batch would be too large; the batch is as before.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), TooLargeError> {
        within(key.len() + value.len(), VALUE_BYTES_MAX)?;
        self.grow(key.len() + value.len())?;
        self.changes.insert(key, value);
        #[cfg(test)]
        self.recorded.push((key.into(), Some(value.into())));
        Ok(())
    }

    /// Takes a key out.
    ///
    /// # Errors
    /// [`TooLargeError`] when the whole batch would be too large; the batch is as before.
    pub fn remove(&mut self, key: &[u8]) -> Result<(), TooLargeError> {
        self.grow(key.len())?;
        self.changes.remove(key);
        #[cfg(test)]
        self.recorded.push((key.into(), None));
        Ok(())
    }

    /// How many bytes the changes are.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn grow(&mut self, bytes: usize) -> Result<(), TooLargeError> {
        within(self.bytes + bytes, BATCH_BYTES_MAX)?;
        self.bytes += bytes;
        Ok(())
    }
}

fn within(bytes: usize, bytes_max: usize) -> Result<(), TooLargeError> {
    if bytes > bytes_max { Err(TooLargeError { bytes, bytes_max }) } else { Ok(()) }
}

impl Tree {
    /// Opens the store in a folder, or creates it. Only one process can.
    ///
    /// # Errors
    /// [`OpenError`]; a damaged store can be put out of the way with [`set_aside`](super::set_aside).
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Io { path: folder.into(), source };
        super::create_folder(folder).map_err(failed)?;
        let damaged = |reason| OpenError::Damaged { path: folder.into(), reason };
        wait_for_lock(&folder.join("db"));
        let config = sled::Config::new()
            .path(folder)
            .cache_capacity(CACHE_BYTES_MAX)
            // Its background flusher would sync what is half written; `write` syncs whole batches.
            .flush_every_ms(None);
        // sled panics on many kinds of damage.
        let store = std::panic::catch_unwind(AssertUnwindSafe(|| config.open()))
            .map_err(|_| damaged("it panicked while opening".into()))?
            .map_err(|error| match error {
                error if is_damage(&error) => damaged(error.to_string()),
                sled::Error::Io(source) => failed(source),
                error => failed(io::Error::other(error)),
            })?;
        let file = File::open(folder.join("db")).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        super::sync_folder(folder).map_err(failed)?;
        Ok(Tree { store, file })
    }

    /// Makes the changes of a batch, durable when it returns. A disk that fails ends the process.
    pub fn write(&self, batch: Batch) {
        let written = self.store.apply_batch(batch.changes).and_then(|()| self.store.flush());
        if let Err(error) = written {
            super::stop("writing the store", &error);
        }
        // sled's flush starts the writing and waits for it, but the file's new length and extents
        // are not on disk before an fsync.
        if let Err(error) = self.file.sync_data() {
            super::stop("syncing the store", &error);
        }
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.store.get(key)?.map(|value| value.to_vec()))
    }

    /// The keys that begin with `prefix`, in order, with their values.
    pub fn scan(&self, prefix: &[u8]) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), ReadError>> + use<> {
        self.store.scan_prefix(prefix).map(|row| {
            let (key, value) = row?;
            Ok((key.to_vec(), value.to_vec()))
        })
    }
}

/// A store that was closed keeps its lock until the last of sled's own threads lets go of it: a moment, that may
/// come after the one who closed it opens it again. Whoever has it longer than that uses it, and opening says so.
fn wait_for_lock(path: &Path) {
    let Ok(file) = File::open(path) else { return };
    let begun = Instant::now();
    while let Err(Errno::WOULDBLOCK) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if begun.elapsed() >= LOCK_WAIT {
            return;
        }
        std::thread::park_timeout(LOCK_LOOK_EVERY);
    }
}

const LOCK_WAIT: Duration = Duration::from_secs(1);
const LOCK_LOOK_EVERY: Duration = Duration::from_millis(5);
/// sled's cache takes up to ten times as much memory with small values.
const CACHE_BYTES_MAX: u64 = 16 << 20;
/// What may be torn by a power cut at the wrong moment; none was in 102 cuts at this size.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Above 128 KiB sled puts a value into a file of its own, which it never syncs.
const VALUE_BYTES_MAX: usize = 100 * 1024 - 1;

#[cfg(test)]
mod tests {
    use super::super::testing::Folder;
    use super::*;

    #[test]
    fn a_batch_is_there_after_reopening() {
        let folder = Folder::new();
        let path = folder.path().join("tree");
        let tree = Tree::open(&path).unwrap();
        let mut batch = Batch::default();
        batch.put(b"a/1", b"one").unwrap();
        batch.put(b"a/2", b"two").unwrap();
        batch.put(b"b/1", b"other").unwrap();
        tree.write(batch);
        let mut batch = Batch::default();
        batch.remove(b"a/1").unwrap();
        tree.write(batch);
        drop(tree);

        let tree = Tree::open(&path).unwrap();
        assert_eq!(tree.get(b"b/1").unwrap(), Some(b"other".to_vec()));
        let rows: Vec<_> = tree.scan(b"a/").map(Result::unwrap).collect();
        assert_eq!(rows, [(b"a/2".to_vec(), b"two".to_vec())]);
    }

    #[test]
    fn what_sled_does_not_keep_safely_is_refused() {
        let mut batch = Batch::default();
        assert!(batch.put(b"", &vec![0; VALUE_BYTES_MAX + 1]).is_err());
        for _ in 0..BATCH_BYTES_MAX / VALUE_BYTES_MAX {
            batch.put(b"", &vec![0; VALUE_BYTES_MAX]).unwrap();
        }
        assert!(batch.put(b"", &vec![0; VALUE_BYTES_MAX]).is_err());
        assert!(batch.bytes() <= BATCH_BYTES_MAX);
    }

    #[test]
    fn a_second_opener_is_refused() {
        let folder = Folder::new();
        let _tree = Tree::open(folder.path()).unwrap();
        assert!(matches!(Tree::open(folder.path()), Err(OpenError::Io { .. })));
    }

    #[test]
    fn a_damaged_store_is_set_aside() {
        let folder = Folder::new();
        let path = folder.path().join("tree");
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("conf"), b"not sled's").unwrap();
        assert!(matches!(Tree::open(&path), Err(OpenError::Damaged { .. })));
        let aside = super::super::set_aside(&path).unwrap();
        assert!(aside.join("conf").exists());
        Tree::open(&path).unwrap();
    }
}
