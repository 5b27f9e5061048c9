//! What a node's log and store stand on: the real disk, or in a simulation one that loses what was
//! not synced.

#[cfg(test)]
use super::simulation::disk as simulated;
use crate::storage::log::{self, Contents, LogError, LogId, Made, Progress, Vote};
use crate::storage::tree::{self, Batch, ReadError};
use std::io;
use std::ops::Range;
use std::path::Path;
use tokio::task::JoinError;

/// The write-ahead log. Clones name the same.
#[derive(Clone)]
pub(super) enum Log {
    Real(log::Log),
    #[cfg(test)]
    Simulated(simulated::Log),
}

/// The store of keys and values.
pub(super) enum Tree {
    Real(tree::Tree),
    #[cfg(test)]
    Simulated(simulated::Tree),
}

type Row = (Vec<u8>, Vec<u8>);

impl Log {
    pub(super) fn open(folder: &Path, made: Made) -> Result<Self, log::OpenError> {
        #[cfg(test)]
        if let Some(disk) = simulated::at(folder) {
            return Ok(Log::Simulated(simulated::Log::open(disk)));
        }
        log::Log::open(folder, made).map(Log::Real)
    }

    pub(super) fn exists(folder: &Path) -> io::Result<bool> {
        #[cfg(test)]
        if let Some(disk) = simulated::at(folder) {
            return Ok(simulated::Log::exists(&disk));
        }
        log::Log::exists(folder)
    }

    pub(super) fn has_guard(folder: &Path) -> bool {
        log::Log::guard_path(folder).exists()
    }

    pub(super) fn upkeep(&self) -> Result<(), LogError> {
        match self {
            Log::Real(log) => log.upkeep(),
            #[cfg(test)]
            Log::Simulated(log) => log.contents().map(drop),
        }
    }

    pub(super) fn progress(&self) -> Progress {
        match self {
            Log::Real(log) => log.progress(),
            // Its disk takes everything at once, or is gone.
            #[cfg(test)]
            Log::Simulated(_) => Progress::default(),
        }
    }

    pub(super) fn contents(&self) -> Result<Contents, LogError> {
        match self {
            Log::Real(log) => log.contents(),
            #[cfg(test)]
            Log::Simulated(log) => log.contents(),
        }
    }

    pub(super) fn append<F>(&self, entries: Vec<(LogId, Vec<u8>)>, done: F) -> Result<(), LogError>
    where
        F: FnOnce() + Send + 'static,
    {
        match self {
            Log::Real(log) => log.append(entries, done),
            #[cfg(test)]
            Log::Simulated(log) => log.append(entries, done),
        }
    }

    pub(super) fn save_vote<F>(&self, vote: Vote, done: F) -> Result<(), LogError>
    where
        F: FnOnce() + Send + 'static,
    {
        match self {
            Log::Real(log) => log.save_vote(vote, done),
            #[cfg(test)]
            Log::Simulated(log) => log.save_vote(vote, done),
        }
    }

    pub(super) fn commit(&self, log_id: LogId) -> Result<(), LogError> {
        match self {
            Log::Real(log) => log.commit(log_id),
            #[cfg(test)]
            Log::Simulated(log) => log.commit(log_id),
        }
    }

    pub(super) fn truncate_after<F>(&self, log_id: Option<LogId>, done: F) -> Result<(), LogError>
    where
        F: FnOnce() + Send + 'static,
    {
        match self {
            Log::Real(log) => log.truncate_after(log_id, done),
            #[cfg(test)]
            Log::Simulated(log) => log.truncate_after(log_id, done),
        }
    }

    pub(super) fn purge<F>(&self, log_id: LogId, done: F) -> Result<(), LogError>
    where
        F: FnOnce() + Send + 'static,
    {
        match self {
            Log::Real(log) => log.purge(log_id, done),
            #[cfg(test)]
            Log::Simulated(log) => log.purge(log_id, done),
        }
    }

    pub(super) fn read(
        &self,
        indexes: Range<u64>,
        bytes_max: usize,
    ) -> Result<Vec<(LogId, Vec<u8>)>, LogError> {
        match self {
            Log::Real(log) => log.read(indexes, bytes_max),
            #[cfg(test)]
            Log::Simulated(log) => log.read(indexes, bytes_max),
        }
    }

    pub(super) fn close(&self) {
        match self {
            Log::Real(log) => log.close(),
            #[cfg(test)]
            Log::Simulated(log) => log.close(),
        }
    }
}

impl Tree {
    pub(super) fn open(folder: &Path) -> Result<Self, tree::OpenError> {
        #[cfg(test)]
        if let Some(disk) = simulated::at(folder) {
            return Ok(Tree::Simulated(simulated::Tree::open(disk)));
        }
        tree::Tree::open(folder).map(Tree::Real)
    }

    pub(super) fn write(&self, batch: Batch) {
        match self {
            Tree::Real(tree) => tree.write(batch),
            #[cfg(test)]
            Tree::Simulated(tree) => tree.write(batch),
        }
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        match self {
            Tree::Real(tree) => tree.get(key),
            #[cfg(test)]
            Tree::Simulated(tree) => Ok(tree.get(key)),
        }
    }

    pub(super) fn scan(&self, prefix: &[u8]) -> Box<dyn Iterator<Item = Result<Row, ReadError>>> {
        match self {
            Tree::Real(tree) => Box::new(tree.scan(prefix)),
            #[cfg(test)]
            Tree::Simulated(tree) => Box::new(tree.scan(prefix).into_iter().map(Ok)),
        }
    }
}

/// Does work that waits for the disk on a thread of its own; in a simulation, where time stands still
/// meanwhile, at once.
pub(super) async fn blocking<T, F>(work: F) -> Result<T, JoinError>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    #[cfg(test)]
    if turmoil::in_simulation() {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await
}
