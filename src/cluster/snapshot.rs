//! Snapshots as files: the state at a log index, with a checksum, durable before anything rests on
//! it.

use super::codec;
use super::types::{DecodeError, SnapshotMeta};
use crate::proto::state::v1 as stored;
use crate::state::State;
use crate::storage;
use prost::Message;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stored::snapshot_row::Row;

/// A snapshot on disk. The open file stays readable when newer snapshots push it out.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotFile {
    path: PathBuf,
    file: Arc<File>,
    bytes: u64,
    /// Held, so that the file goes with the last clone.
    _incoming: Option<Arc<Incoming>>,
}

/// The place of a snapshot that comes in from another node. Emptied when nobody wants it any more;
/// one that was adopted is elsewhere by then.
#[derive(Debug)]
pub(super) struct Incoming(pub(super) PathBuf);

impl Incoming {
    pub(super) fn new(folder: &Path, number: u64) -> Self {
        Incoming(folder.join(format!("incoming-{number}.{UNFINISHED}")))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
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
    #[error("the snapshot {path} has format {found}; this build reads up to {FORMAT}")]
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
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        match opened {
            Ok((bytes, file)) => Ok(SnapshotFile { path, file: Arc::new(file), bytes, _incoming: None }),
            Err(source) => Err(SnapshotError::Io { path, source }),
        }
    }

    /// Opens what came in; the place is emptied with the last clone.
    pub(super) fn received(incoming: Incoming) -> Result<Self, SnapshotError> {
        let snapshot = SnapshotFile::open(incoming.0.clone())?;
        Ok(SnapshotFile { _incoming: Some(Arc::new(incoming)), ..snapshot })
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

    /// Reads everything and checks it: nothing of a damaged file gets out.
    pub(super) fn read(&self, cluster_id: &str) -> Result<Contents, SnapshotError> {
        let path = || self.path.clone();
        let mut reader = Reader::new(&self.file, self.bytes);
        let header = reader.header().map_err(|error| error.at(path()))?;
        if header.format > FORMAT {
            return Err(SnapshotError::TooNew { path: path(), found: header.format });
        }
        if let Err(source) = codec::within_needs("a snapshot", header.needs) {
            return Err(SnapshotError::NeedsMore { path: path(), source });
        }
        if header.cluster_id != cluster_id {
            return Err(SnapshotError::OtherCluster { path: path(), found: header.cluster_id });
        }
        reader.contents(header).map_err(|error| error.at(path()))
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
    let mut writer = Writer::create(&unfinished).map_err(failed)?;
    writer.contents(cluster_id, meta, state).map_err(failed)?;
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
    rename(folder, unfinished, path).map_err(failed)?;
    // Before it may be the one that is removed.
    let snapshot = SnapshotFile::open(path.into())?;
    remove_old(folder).map_err(failed)?;
    Ok(snapshot)
}

fn rename(folder: &Path, unfinished: &Path, path: &Path) -> io::Result<()> {
    // A failed fsync is final: the log would be purged behind a snapshot that is not there.
    if let Err(error) = File::open(unfinished)?.sync_all() {
        storage::stop("syncing a snapshot", &error);
    }
    std::fs::rename(unfinished, path)?;
    if let Err(error) = storage::sync_folder(folder) {
        storage::stop("syncing the snapshot folder", &error);
    }
    Ok(())
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

/// The newest snapshot in a folder that can be read. Removes what an earlier process left unfinished.
pub(super) fn newest(folder: &Path, cluster_id: &str) -> io::Result<Option<(SnapshotFile, Contents)>> {
    for file in std::fs::read_dir(folder)? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == UNFINISHED) {
            std::fs::remove_file(path)?;
        }
    }
    for path in snapshots(folder)?.into_iter().rev() {
        let read = SnapshotFile::open(path)
            .and_then(|snapshot| snapshot.read(cluster_id).map(|contents| (snapshot, contents)));
        match read {
            Ok(found) => return Ok(Some(found)),
            Err(error @ SnapshotError::Damaged { .. }) => {
                tracing::error!(%error, "a snapshot is not used");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// The names have leading zeros, so that their order is that of the log ids.
fn name(meta: &SnapshotMeta) -> String {
    let log_id = meta.last_log_id.as_ref().map(codec::log_id_to).unwrap_or_default();
    format!("snap-{:020}-{:020}", log_id.term, log_id.index)
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

struct Writer {
    file: BufWriter<File>,
    digest: Sha256,
}

impl Writer {
    fn create(path: &Path) -> io::Result<Self> {
        Ok(Writer {
            file: BufWriter::with_capacity(BUFFER_BYTES, File::create(path)?),
            digest: Sha256::new(),
        })
    }

    fn contents(&mut self, cluster_id: &str, meta: &SnapshotMeta, state: &State) -> io::Result<()> {
        let roster = codec::roster_to(&state.roster);
        self.put(MAGIC)?;
        self.message(&stored::SnapshotHeader {
            format: FORMAT,
            cluster_id: cluster_id.into(),
            applied: Some(codec::applied_to(meta, state)),
            needs: codec::NEEDS,
            rows: (state.table.entries.len() + state.clients.len() + roster.len()) as u64,
        })?;
        for (_, row) in roster {
            self.message(&stored::SnapshotRow { row: Some(Row::Roster(row)) })?;
        }
        for entry in state.table.entries.values() {
            self.message(&stored::SnapshotRow { row: Some(Row::Entry(codec::entry_to(entry))) })?;
        }
        for (client, answered) in state.clients.iter() {
            let answered = codec::answered_to(client, answered);
            self.message(&stored::SnapshotRow { row: Some(Row::Answered(answered)) })?;
        }
        let digest = self.digest.finalize_reset();
        self.file.write_all(&digest)?;
        self.file.flush()
    }

    fn message(&mut self, message: &impl Message) -> io::Result<()> {
        self.put(&message.encode_length_delimited_to_vec())
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.file.write_all(bytes)
    }
}

/// Why reading ended; the caller adds which file it was.
#[derive(Debug)]
enum ReadError {
    Io(io::Error),
    Damaged(String),
}

impl ReadError {
    fn at(self, path: PathBuf) -> SnapshotError {
        match self {
            ReadError::Io(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
                SnapshotError::Damaged { path, reason: "it ends too early".into() }
            }
            ReadError::Io(source) => SnapshotError::Io { path, source },
            ReadError::Damaged(reason) => SnapshotError::Damaged { path, reason },
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        ReadError::Io(error)
    }
}

impl From<DecodeError> for ReadError {
    fn from(error: DecodeError) -> Self {
        ReadError::Damaged(error.to_string())
    }
}

/// Reads from the start at its own position: the file is shared with others who read it.
struct At<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

struct Reader<'a> {
    file: BufReader<At<'a>>,
    digest: Sha256,
    bytes: u64,
    read: u64,
}

impl<'a> Reader<'a> {
    fn new(file: &'a File, bytes: u64) -> Self {
        let file = BufReader::with_capacity(BUFFER_BYTES, At { file, offset: 0 });
        Reader { file, digest: Sha256::new(), bytes, read: 0 }
    }

    fn header(&mut self) -> Result<stored::SnapshotHeader, ReadError> {
        if self.take(MAGIC.len())? != MAGIC {
            return Err(ReadError::Damaged("it does not begin as a snapshot".into()));
        }
        self.message()
    }

    fn contents(&mut self, header: stored::SnapshotHeader) -> Result<Contents, ReadError> {
        let (meta, mut state) = codec::applied_from(header.applied.unwrap_or_default())?;
        let table = Arc::make_mut(&mut state.table);
        let roster = Arc::make_mut(&mut state.roster);
        for _ in 0..header.rows {
            let row: stored::SnapshotRow = self.message()?;
            match row.row.ok_or_else(|| ReadError::Damaged("a row is of no known kind".into()))? {
                Row::Entry(entry) => {
                    let entry = codec::entry_from(entry)?;
                    table.entries.insert(entry.sid.clone(), Arc::new(entry));
                }
                Row::Answered(answered) => {
                    let (client, answered) = codec::answered_from(answered)?;
                    state.clients.remember(client, answered);
                }
                Row::Roster(row) => codec::roster_row_from(roster, row)?,
            }
        }
        let digest = self.digest.finalize_reset();
        if self.take(digest.len())? != digest[..] || self.read != self.bytes {
            return Err(ReadError::Damaged("its checksum is wrong".into()));
        }
        Ok(Contents { meta, state })
    }

    fn message<M: Message + Default>(&mut self) -> Result<M, ReadError> {
        let mut bytes: usize = 0;
        for shift in (0..).step_by(7).take(LENGTH_BYTES_MAX) {
            let byte = self.take(1)?.first().copied().unwrap_or_default();
            bytes |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let message = self.take(bytes)?;
        M::decode(message.as_slice()).map_err(|error| ReadError::Damaged(error.to_string()))
    }

    fn take(&mut self, bytes: usize) -> Result<Vec<u8>, ReadError> {
        if bytes > MESSAGE_BYTES_MAX {
            return Err(ReadError::Damaged(format!("a row of {bytes} bytes")));
        }
        let mut taken = vec![0; bytes];
        self.file.read_exact(&mut taken)?;
        self.digest.update(&taken);
        self.read += bytes as u64;
        Ok(taken)
    }
}

const MAGIC: &[u8] = b"rmscsnap";
const FORMAT: u32 = 1;
const UNFINISHED: &str = "tmp";
/// The newest, and one more in case the newest is damaged.
const KEPT: usize = 2;
const BUFFER_BYTES: usize = 256 * 1024;
/// What one message carries to another node.
const CHUNK_BYTES: usize = 256 * 1024;
/// Far above any row, and no danger to memory.
const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// As many as a length below [`MESSAGE_BYTES_MAX`] takes.
const LENGTH_BYTES_MAX: usize = 4;

#[cfg(test)]
mod tests;
