//! The write-ahead log: entries, vote, purges and truncations in one ordered file, one fdatasync
//! a group.

mod format;

use format::{Format, OnDisk};
use raft_log::api::raft_log_writer::RaftLogWriter;
use raft_log::{Config, RaftLog};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use format::{LogId, Vote};

/// The log of one node. Clones name the same log.
#[derive(Clone)]
pub struct Log {
    open: Arc<Mutex<Option<RaftLog<Format>>>>,
}

/// What the log holds. What is not yet on disk counts too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The vote that was saved last.
    pub vote: Option<Vote>,
    /// The last entry, or the purged one if none is left.
    pub last: Option<LogId>,
    /// The last entry that was purged.
    pub purged: Option<LogId>,
    /// An entry that is known to be committed; a later one may be, too.
    pub committed: Option<LogId>,
}

/// The log cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the log in {path}; if its disk has failed, this node's data has to be rebuilt")]
pub struct OpenError {
    path: PathBuf,
    source: io::Error,
}

/// The log did not take or give something.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It was closed.
    #[error("the log is closed")]
    Closed,
    /// What was asked does not fit to what the log holds, or an entry cannot be read back.
    #[error("the log refused")]
    Refused(#[from] io::Error),
}

impl Log {
    /// Opens the log in a folder, or creates it. Only one process can.
    ///
    /// # Errors
    /// [`OpenError`] when the folder is in use, or when an entry before the last group is damaged.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError { path: folder.into(), source };
        super::create_folder(folder).map_err(failed)?;
        settle(folder).map_err(failed)?;
        let mut config = Config::new(folder.display());
        config.wal.chunk_max_size = Some(CHUNK_BYTES_MAX);
        config.wal.chunk_max_records = Some(CHUNK_RECORDS_MAX);
        config.wal.read_buffer_size = Some(READ_BUFFER_BYTES);
        config.wal.flush_batch_wait = Some(GROUP_WAIT);
        config.log_cache_capacity = Some(CACHE_BYTES_MAX);
        let log = RaftLog::open(Arc::new(config)).map_err(failed)?;
        Ok(Log { open: Arc::new(Mutex::new(Some(log))) })
    }

    /// Whether a log was made in a folder.
    ///
    /// # Errors
    /// The folder is there and cannot be read: then nobody knows.
    pub fn exists(folder: &Path) -> io::Result<bool> {
        let files = match std::fs::read_dir(folder) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        for file in files {
            if file?.path().extension().is_some_and(|end| end == "wal") {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What the log holds now.
    ///
    /// # Errors
    /// [`LogError::Closed`].
    pub fn contents(&self) -> Result<Contents, LogError> {
        self.with(|log| {
            let state = log.log_state();
            Ok(Contents {
                vote: state.vote().copied(),
                last: state.last().copied(),
                purged: state.purged().copied(),
                committed: state.committed().copied(),
            })
        })
    }

    /// Appends entries; `done` is called when they are on disk, after everything that was asked before.
    ///
    /// # Errors
    /// [`LogError`]; `done` is dropped then.
    pub fn append<F>(&self, entries: Vec<(LogId, Vec<u8>)>, done: F) -> Result<(), LogError>
    where
        F: FnOnce() + Send + 'static,
    {
        self.with(|log| {
            log.append(entries)?;
            log.flush(true, Some(OnDisk::new(done)))
        })
    }

    /// Saves the vote; `done` is called when it is on disk.
    ///
    /// # Errors
    /// [`LogError`], for one when the vote would go back.
    pub fn save_vote<F>(&self, vote: Vote, done: F) -> Result<(), LogError>
    where
        F: FnOnce() + Send + 'static,
    {
        self.with(|log| {
            log.save_vote(vote)?;
            log.flush(true, Some(OnDisk::new(done)))
        })
    }

    /// Notes that entries up to one are committed. It goes to disk with the next group: nothing
    /// rests on it, it only spares a restarted node from waiting for its leader.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn commit(&self, log_id: LogId) -> Result<(), LogError> {
        self.with(|log| {
            let state = log.log_state();
            if Some(&log_id) > state.last() || Some(&log_id) <= state.committed() {
                return Ok(());
            }
            log.commit(log_id)?;
            // Only for a failed write, which ends the process.
            log.flush(false, Some(OnDisk::new(|| {})))
        })
    }

    /// Takes away the entries after one, or all; `done` is called when that is on disk.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn truncate_after<F>(&self, log_id: Option<LogId>, done: F) -> Result<(), LogError>
    where
        F: FnOnce() + Send + 'static,
    {
        self.with(|log| {
            if log_id.as_ref() < log.log_state().last() {
                log.truncate(log_id.map_or(0, |log_id| log_id.index + 1))?;
            }
            log.flush(true, Some(OnDisk::new(done)))
        })
    }

    /// Drops the entries up to one, which a durable snapshot covers; `done` is called when that is
    /// on disk.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn purge<F>(&self, log_id: LogId, done: F) -> Result<(), LogError>
    where
        F: FnOnce() + Send + 'static,
    {
        self.with(|log| {
            log.purge(log_id)?;
            log.flush(true, Some(OnDisk::new(done)))
        })
    }

    /// The entries with these indexes, as many as fit into `bytes_max`, but at least the first.
    ///
    /// # Errors
    /// [`LogError`] when an entry cannot be read back.
    pub fn read(&self, indexes: Range<u64>, bytes_max: usize) -> Result<Vec<(LogId, Vec<u8>)>, LogError> {
        if indexes.is_empty() {
            return Ok(Vec::new());
        }
        self.with(|log| {
            let (mut entries, mut bytes) = (Vec::new(), 0);
            for entry in log.read(indexes.start, indexes.end) {
                let entry: (LogId, Vec<u8>) = entry?;
                bytes += entry.1.len();
                if bytes > bytes_max && !entries.is_empty() {
                    break;
                }
                entries.push(entry);
            }
            Ok(entries)
        })
    }

    /// Writes out what was asked and closes the log, so that it can be opened again.
    pub fn close(&self) {
        let log = self.lock().take();
        drop(log);
    }

    fn with<T>(&self, work: impl FnOnce(&mut RaftLog<Format>) -> io::Result<T>) -> Result<T, LogError> {
        let mut open = self.lock();
        let log = open.as_mut().ok_or(LogError::Closed)?;
        Ok(work(log)?)
    }

    fn lock(&self) -> MutexGuard<'_, Option<RaftLog<Format>>> {
        // A panic while the log was held: what it has in memory may disagree with the disk.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes durable what an earlier process wrote and never synced: it is read back from the page
/// cache as if it were on disk, and would be acknowledged to others as such.
fn settle(folder: &Path) -> io::Result<()> {
    for file in std::fs::read_dir(folder)? {
        let path = file?.path();
        if path.is_file() {
            std::fs::File::open(path)?.sync_all()?;
        }
    }
    super::sync_folder(folder)
}

/// Small enough that a purge soon gives space back.
const CHUNK_BYTES_MAX: usize = 16 << 20;
/// Bounds what is replayed of one file.
const CHUNK_RECORDS_MAX: usize = 256 * 1024;
/// What is read at once when the log is opened.
const READ_BUFFER_BYTES: usize = 1 << 20;
/// The newest entries are kept in memory for replication; older ones are read from disk.
const CACHE_BYTES_MAX: usize = 64 << 20;
/// How long a group waits for more: enough to take what is queued, far less than an fdatasync.
const GROUP_WAIT: Duration = Duration::from_micros(50);

#[cfg(test)]
mod tests;
