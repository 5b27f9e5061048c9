//! The write-ahead log: entries, vote, purges and truncations in one ordered file, one fdatasync
//! a group.

mod check;
mod format;
mod guard;
mod scan;
mod waiting;

use super::space::{self, Held};
use check::{acknowledged, check_first, cut_torn_tail, is_damage, settle};
use format::{Format, OnDisk};
use guard::Guard;
use raft_log::api::raft_log_writer::RaftLogWriter;
use raft_log::chunked_wal::ChunkedWal;
use raft_log::{Config, RaftLog, RaftWalTypes, Segment};
use scan::Found;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use waiting::Waiting;

pub use format::{LogId, Vote};
pub use waiting::Progress;

/// The log of one node. Clones name the same log.
#[derive(Clone)]
pub struct Log {
    folder: Arc<Path>,
    open: Arc<Mutex<Option<RaftLog<Format>>>>,
    guard: Arc<Guard>,
    held: Arc<Mutex<Held>>,
    waiting: Waiting,
}

/// Whether a log was made before in this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// It has to be there, and its guard.
    Before,
    /// A start that made it may have ended before it was noted.
    Perhaps,
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
pub enum OpenError {
    /// Another process has it open.
    #[error("{path} is in use: this node runs already; stop that process first")]
    InUse {
        /// Which one.
        path: PathBuf,
    },
    /// The disk is full, fails, or may not be written.
    #[error("cannot use the log in {path}")]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What was acknowledged cannot be read back, all of it.
    #[error("the log in {path} is damaged: {reason}")]
    Damaged {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
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
    /// Opens the log in a folder, or creates it. Only one process can. Its guard is a file beside the
    /// folder.
    ///
    /// # Errors
    /// [`OpenError::Damaged`] when something that was acknowledged cannot be read; nothing was changed then,
    /// and [`set_aside`](super::set_aside) puts the log out of the way.
    pub fn open(folder: &Path, made: Made) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Io { path: folder.into(), source };
        let damaged = |reason| OpenError::Damaged { path: folder.into(), reason };
        super::create_folder(folder).map_err(failed)?;
        let config = Arc::new(config(folder));
        let guard = Guard::path(folder);
        let acknowledged = acknowledged(&guard, made, folder)?;
        {
            let lock = ChunkedWal::<RaftWalTypes<Format>>::acquire_lock(&config.wal);
            let _lock = lock.map_err(|error| match error.kind() {
                io::ErrorKind::WouldBlock => OpenError::InUse { path: folder.into() },
                _ => failed(error),
            })?;
            // Only who has the lock may take what is held for a start.
            space::give_for_start(folder.parent().unwrap_or(folder)).map_err(failed)?;
            settle(folder).map_err(failed)?;
            match scan::scan(folder, acknowledged).map_err(failed)? {
                Found::Whole(end) => cut_torn_tail(folder, end).map_err(failed)?,
                Found::Damaged(reason) => return Err(damaged(reason)),
            }
        }
        let log = RaftLog::open(config)
            .map_err(|error| if is_damage(&error) { damaged(error.to_string()) } else { failed(error) })?;
        check_first(&log).map_err(damaged)?;
        // The guard must not claim what opening wrote.
        settle(folder).map_err(failed)?;
        let Found::Whole(end) = scan::scan(folder, acknowledged).map_err(failed)? else {
            return Err(damaged("it cannot be read again".into()));
        };
        let guard = Guard::open(&guard, end).map_err(failed)?;
        Ok(Log {
            folder: folder.into(),
            open: Arc::new(Mutex::new(Some(log))),
            guard: Arc::new(guard),
            held: Arc::default(),
            waiting: Waiting::default(),
        })
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

    /// The guard of the log in a folder: where it is, the log was opened once and has to be there. Whoever
    /// copies the log copies it, too.
    #[must_use]
    pub fn guard_path(folder: &Path) -> PathBuf {
        Guard::path(folder)
    }

    /// How far the disk is with what was asked. Never waits for it.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.waiting.progress()
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
            let end = log.append(entries)?;
            self.flush(log, end, done)
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
            let (end, guard) = (log.save_vote(vote)?, self.guard.clone());
            self.flush(log, end, move || {
                // A vote must not be given twice, so it does not wait for the guard's second.
                guard.sync();
                done();
            })
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
                let end = log.truncate(log_id.map_or(0, |log_id| log_id.index + 1))?;
                return self.flush(log, end, done);
            }
            let waiting = self.waiting.begin();
            let on_disk = move || {
                done();
                drop(waiting);
            };
            log.flush(true, Some(OnDisk::new(on_disk)))
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
            let end = log.purge(log_id)?;
            self.flush(log, end, done)
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

    /// Does what nothing waits for: to be called every second.
    ///
    /// # Errors
    /// [`LogError::Refused`] when the disk does not give the room that the log holds in reserve.
    pub fn upkeep(&self) -> Result<(), LogError> {
        // Closed is closed: the next owner holds its own.
        let open = self.lock();
        if open.is_none() {
            return Err(LogError::Closed);
        }
        let newest = scan::files(&self.folder)?.pop();
        drop(open);
        self.guard.settle();
        match newest {
            Some((_, newest)) => {
                let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(space::hold(&mut held, &newest)?)
            }
            None => Ok(()),
        }
    }

    /// Writes out what was asked and closes the log, so that it can be opened again.
    pub fn close(&self) {
        let Some(mut log) = self.lock().take() else { return };
        let all_on_disk = Arc::new(AtomicBool::new(false));
        let seen = all_on_disk.clone();
        if let Err(error) = log.flush(true, Some(OnDisk::new(move || seen.store(true, Ordering::SeqCst)))) {
            super::stop("closing the log", &error);
        }
        // Waits for that.
        drop(log);
        if !all_on_disk.load(Ordering::SeqCst) {
            return;
        }
        // What nobody waited for counts as well now. Else the guard is behind, which is harmless.
        let newest = scan::files(&self.folder).ok().and_then(|mut files| files.pop());
        let end = newest.and_then(|(start, path)| Some(start + std::fs::metadata(path).ok()?.len()));
        self.guard.note(end.unwrap_or(0));
        self.guard.sync();
    }

    /// Writes and syncs what was asked, notes that the log is on disk up to there, then calls `done`.
    fn flush<F>(&self, log: &mut RaftLog<Format>, end: Segment, done: F) -> io::Result<()>
    where
        F: FnOnce() + Send + 'static,
    {
        let (guard, end) = (self.guard.clone(), end.offset + end.size);
        let waiting = self.waiting.begin();
        let on_disk = move || {
            guard.note(end);
            done();
            guard.settle();
            drop(waiting);
        };
        log.flush(true, Some(OnDisk::new(on_disk)))
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

fn config(folder: &Path) -> Config {
    let mut config = Config::new(folder.display());
    config.wal.chunk_max_size = Some(CHUNK_BYTES_MAX);
    config.wal.chunk_max_records = Some(CHUNK_RECORDS_MAX);
    config.wal.read_buffer_size = Some(READ_BUFFER_BYTES);
    config.wal.flush_batch_wait = Some(GROUP_WAIT);
    config.log_cache_capacity = Some(CACHE_BYTES_MAX);
    config
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
const GROUP_WAIT: Duration = Duration::from_micros(20);

#[cfg(test)]
mod tests;
