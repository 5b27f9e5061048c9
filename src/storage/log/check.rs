//! What is done before and while a log is opened: how far it has to go, what really is on disk, what was torn.

use super::format::Format;
use super::guard::Guard;
use super::{Made, OpenError, scan};
use raft_log::RaftLog;
use rustix::fs::Advice;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Up to which byte the log was acknowledged.
pub(super) fn acknowledged(guard: &Path, made: Made, folder: &Path) -> Result<u64, OpenError> {
    let damaged = |what| OpenError::Damaged {
        path: folder.into(),
        reason: format!("its guard {} {what}, so nobody can tell whether it is all there", guard.display()),
    };
    match (Guard::read(guard), made) {
        (Ok(Some(end)), _) => Ok(end),
        (Ok(None), Made::Perhaps) => Ok(0),
        (Ok(None), Made::Before) => Err(damaged("is gone")),
        (Err(error), _) if error.kind() == io::ErrorKind::InvalidData => Err(damaged("is damaged")),
        (Err(source), _) => Err(OpenError::Io { path: guard.into(), source }),
    }
}

/// Whether the log cannot be opened because of what is in it.
pub(super) fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, Other, UnexpectedEof};
    matches!(error.kind(), InvalidData | Other | UnexpectedEof)
}

/// Whether the log begins where the purged part ends; the oldest file could be gone.
pub(super) fn check_first(log: &RaftLog<Format>) -> Result<(), String> {
    let state = log.log_state();
    let first = state.purged().map_or(0, |purged| purged.index + 1);
    let Some(last) = state.last().filter(|last| Some(*last) > state.purged()) else {
        return Ok(());
    };
    match log.read(first, first + 1).next() {
        Some(Ok(_)) => Ok(()),
        Some(Err(error)) => Err(format!("the entry {first} cannot be read: {error}")),
        None => Err(format!("it goes up to the entry {} and lacks the entry {first}", last.index)),
    }
}

/// Makes durable what an earlier process wrote and never synced: it is read back from the page
/// cache as if it were on disk, and would be acknowledged to others as such. What an earlier process failed to
/// sync is in the page cache too, marked as if it were written: it is dropped, so that the disk itself is read.
pub(super) fn settle(folder: &Path) -> io::Result<()> {
    for file in std::fs::read_dir(folder)? {
        let path = file?.path();
        if path.is_file() {
            let file = File::open(path)?;
            file.sync_all()?;
            rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
        }
    }
    crate::storage::sync_folder(folder)
}

/// Cuts off what was being written when the power went: the length of a file can be on disk before all of its
/// last record is, which reads as zeros then.
pub(super) fn cut_torn_tail(folder: &Path, end: u64) -> io::Result<()> {
    for (start, path) in scan::files(folder)? {
        let kept = end.saturating_sub(start);
        let file = OpenOptions::new().write(true).open(path)?;
        if file.metadata()?.len() > kept {
            file.set_len(kept)?;
            file.sync_all()?;
        }
    }
    Ok(())
}
