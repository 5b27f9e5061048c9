//! Snapshots as files: the state at a log index, with checksums, durable before anything rests on
//! it.

pub(super) mod check;
mod durable;
mod format;
mod incoming;

pub(super) use incoming::{Identity, Incoming};

use super::codec;
use super::types::{DecodeError, LogId, SnapshotMeta};
use crate::state::{State, Table};
use format::{At, BUFFER_BYTES, Reader};
use incoming::{DIGEST_BYTES, Place};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A snapshot on disk. The open file stays readable when newer snapshots push it out.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotFile {
    path: PathBuf,
    file: Arc<File>,
    bytes: u64,
    digest: [u8; DIGEST_BYTES],
    /// What was read when it came in, until it is installed.
    read: Arc<Held>,
    /// Held, so that the file goes with the last clone.
    _place: Option<Arc<Place>>,
}

#[derive(Default)]
struct Held(Mutex<Option<Contents>>);

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what was read of it")
    }
}

/// What is in a snapshot.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) meta: SnapshotMeta,
    pub(super) state: State,
}

/// A snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum SnapshotError {
    #[error("cannot read or write the snapshot {path}")]
    Io { path: PathBuf, source: io::Error },
    #[error("the snapshot {path} is damaged: {reason}")]
    Damaged { path: PathBuf, reason: String },
    #[error("the snapshot {path} is of the cluster {found:?}")]
    OtherCluster { path: PathBuf, found: String },
    #[error("the snapshot {path} has format {found}; this build reads {FORMAT}")]
    TooNew { path: PathBuf, found: u32 },
    #[error("the snapshot {path} is of a newer build")]
    NeedsMore { path: PathBuf, source: DecodeError },
}

impl From<SnapshotError> for io::Error {
    fn from(error: SnapshotError) -> Self {
        io::Error::other(error)
    }
}

impl SnapshotFile {
    pub(super) fn open(path: PathBuf) -> Result<Self, SnapshotError> {
        let opened = File::open(&path).and_then(|file| {
            let (bytes, mut digest) = (file.metadata()?.len(), [0; DIGEST_BYTES]);
            // One that is too short has no digest; who reads it finds out.
            if let Some(at) = bytes.checked_sub(DIGEST_BYTES as u64) {
                file.read_exact_at(&mut digest, at)?;
            }
            Ok((Arc::new(file), bytes, digest))
        });
        match opened {
            Ok((file, bytes, digest)) => {
                Ok(SnapshotFile { path, file, bytes, digest, read: Arc::default(), _place: None })
            }
            Err(source) => Err(SnapshotError::Io { path, source }),
        }
    }

    /// What this snapshot is, for another node.
    pub(super) fn identity(&self, meta: &SnapshotMeta) -> Option<Identity> {
        Some(Identity { last: meta.last_log_id?, bytes: self.bytes, digest: self.digest })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The bytes from `offset` on, at most as many as one message takes; none at the end.
    pub(super) fn chunk(&self, offset: u64) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut chunk = vec![0; left.min(CHUNK_BYTES)];
        self.file.read_exact_at(&mut chunk, offset)?;
        Ok(chunk)
    }

    /// Reads everything and checks it: nothing of a damaged file gets out. Entries that a table has
    /// already are shared with it, so that two states that differ little take little more memory than one.
    pub(super) fn read(&self, cluster_id: &str, like: &Table) -> Result<Contents, SnapshotError> {
        let mut reader = Reader::new(&self.file, self.bytes);
        let read = reader.header(cluster_id).and_then(|header| reader.contents(header, like));
        read.map_err(|error| error.at(self.path.clone()))
    }

    /// Reads everything and checks it, and keeps it until it is taken; how far it goes.
    pub(super) fn read_ahead(&self, cluster_id: &str, like: &Table) -> Result<SnapshotMeta, SnapshotError> {
        let contents = self.read(cluster_id, like)?;
        let meta = contents.meta.clone();
        *self.read.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(contents);
        Ok(meta)
    }

    /// What was read ahead, or is read now.
    pub(super) fn take(&self, cluster_id: &str, like: &Table) -> Result<Contents, SnapshotError> {
        let read = self.read.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        read.map_or_else(|| self.read(cluster_id, like), Ok)
    }

    /// How far the state in it goes.
    fn meta(&self, cluster_id: &str) -> Result<SnapshotMeta, SnapshotError> {
        let header = Reader::new(&self.file, self.bytes).header(cluster_id);
        let applied = header.and_then(|header| Ok(codec::applied_from(header.applied.unwrap_or_default())?));
        applied.map(|(meta, _)| meta).map_err(|error| error.at(self.path.clone()))
    }
}

/// Writes the state as a durable snapshot into a folder.
pub(super) fn write(
    folder: &Path,
    cluster_id: &str,
    meta: &SnapshotMeta,
    state: &State,
) -> Result<SnapshotFile, SnapshotError> {
    let path = folder.join(name(meta));
    let failed = |source| SnapshotError::Io { path: path.clone(), source };
    let unfinished = path.with_extension(UNFINISHED);
    format::write(&unfinished, cluster_id, meta, state)
        .inspect_err(|_| {
            // It would be in the way of the next try where the disk is full.
            std::fs::remove_file(&unfinished).ok();
        })
        .map_err(failed)?;
    publish(folder, &unfinished, &path)
}

/// Takes a received or foreign snapshot, which was read and checked, into a folder.
pub(super) fn adopt(
    folder: &Path,
    snapshot: &SnapshotFile,
    meta: &SnapshotMeta,
) -> Result<SnapshotFile, SnapshotError> {
    let path = folder.join(name(meta));
    if snapshot.path == path {
        return SnapshotFile::open(path);
    }
    let failed = |source| SnapshotError::Io { path: path.clone(), source };
    let unfinished = path.with_extension(UNFINISHED);
    if snapshot.path.parent() == Some(folder) {
        std::fs::rename(&snapshot.path, &unfinished).map_err(failed)?;
    } else {
        std::fs::copy(&snapshot.path, &unfinished).map_err(failed)?;
    }
    publish(folder, &unfinished, &path)
}

fn publish(folder: &Path, unfinished: &Path, path: &Path) -> Result<SnapshotFile, SnapshotError> {
    let failed = |source| SnapshotError::Io { path: path.into(), source };
    durable::publish(&mut durable::Real, folder, unfinished, path).map_err(failed)?;
    // Before it may be the one that is removed.
    let snapshot = SnapshotFile::open(path.into())?;
    remove_old(folder).map_err(failed)?;
    Ok(snapshot)
}

fn remove_old(folder: &Path) -> io::Result<()> {
    for old in snapshots(folder)?.into_iter().rev().skip(KEPT) {
        match std::fs::remove_file(old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// A snapshot that was found in a folder.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) file: SnapshotFile,
    pub(super) meta: SnapshotMeta,
    /// The state in it, where that goes further than what is known.
    pub(super) state: Option<State>,
}

/// The newest snapshot in a folder that is whole. Removes what an earlier process left unfinished.
pub(super) fn newest(folder: &Path, cluster_id: &str, known: Option<&LogId>) -> io::Result<Option<Found>> {
    for file in std::fs::read_dir(folder)? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == UNFINISHED) {
            std::fs::remove_file(path)?;
        }
    }
    for path in snapshots(folder)?.into_iter().rev() {
        match SnapshotFile::open(path.clone()).and_then(|file| found(file, cluster_id, known)) {
            Ok(found) => {
                incoming::remove_up_to(folder, found.meta.last_log_id.as_ref())?;
                return Ok(Some(found));
            }
            Err(error) if error.is_damage() => check::set_aside_path(&path, &error)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

fn found(file: SnapshotFile, cluster_id: &str, known: Option<&LogId>) -> Result<Found, SnapshotError> {
    let meta = file.meta(cluster_id)?;
    let state = if meta.last_log_id.as_ref() > known {
        Some(file.read(cluster_id, &Table::default())?.state)
    } else {
        file.check()?;
        None
    };
    Ok(Found { file, meta, state })
}

/// The order of the names is that of the log ids.
fn name(meta: &SnapshotMeta) -> String {
    format!("snap-{}", incoming::order_of(meta.last_log_id.as_ref()))
}

fn snapshots(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder)? {
        let path = file?.path();
        let named =
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("snap-"));
        if named && path.extension().is_none() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Where in the data folder snapshots are.
pub(super) const FOLDER: &str = "snapshots";
const FORMAT: u32 = 2;
const UNFINISHED: &str = "tmp";
/// The newest, and one more in case the newest is damaged.
const KEPT: usize = 2;
/// What one message carries to another node.
const CHUNK_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests;
