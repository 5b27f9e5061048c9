//! A snapshot that comes in from another node, as far as it has come. It stays when the transfer breaks
//! off, even over a restart, so that the next one goes on from there.

use super::{SnapshotError, SnapshotFile};
use crate::cluster::types::{DecodeError, LogId};
use crate::cluster::{codec, medium};
use crate::proto::peer::v1 as wire;
use crate::storage;
use std::fmt::Write;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a snapshot is: two with the same are the same, byte for byte, whoever sends them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cluster) struct Identity {
    pub(super) last: LogId,
    pub(super) bytes: u64,
    pub(super) digest: [u8; DIGEST_BYTES],
}

/// A snapshot on its way.
#[derive(Debug)]
pub(in crate::cluster) struct Incoming {
    path: PathBuf,
    file: Arc<File>,
    bytes: u64,
    offset: u64,
}

/// Where a snapshot lies that is not adopted: it goes with this. One that was adopted is elsewhere by then.
#[derive(Debug)]
pub(super) struct Place(pub(super) PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

impl Identity {
    pub(in crate::cluster) fn last(&self) -> &LogId {
        &self.last
    }

    pub(in crate::cluster) fn of(head: &wire::SnapshotHead) -> Result<Self, DecodeError> {
        let wrong = |reason: &str| DecodeError { what: "the head of a snapshot", reason: reason.into() };
        let last = head.last.map(codec::log_id_from).ok_or_else(|| wrong("it has no log id"))?;
        let digest = head.digest.as_slice().try_into().map_err(|_| wrong("its digest is not 32 bytes"))?;
        Ok(Identity { last, bytes: head.bytes, digest })
    }

    /// What a message says about the snapshot.
    pub(in crate::cluster) fn to_head(&self) -> wire::SnapshotHead {
        let (last, digest) = (Some(codec::log_id_to(&self.last)), self.digest.to_vec());
        wire::SnapshotHead { last, bytes: self.bytes, digest, ..Default::default() }
    }

    fn file_name(&self) -> String {
        let mut name = format!("{INCOMING}{}-{}-", order_of(Some(&self.last)), self.bytes);
        for byte in self.digest {
            write!(name, "{byte:02x}").expect("a string grows");
        }
        name
    }
}

impl Incoming {
    /// How many bytes of a snapshot are here.
    pub(in crate::cluster) fn bytes_here(folder: &Path, identity: &Identity) -> io::Result<u64> {
        match std::fs::metadata(folder.join(identity.file_name())) {
            Ok(found) => Ok(found.len().min(identity.bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Goes on with a snapshot, or begins with it. All others that did not come to their end go.
    pub(in crate::cluster) fn open(folder: &Path, identity: &Identity) -> io::Result<Self> {
        let path = folder.join(identity.file_name());
        remove(folder, |name| path.file_name().is_none_or(|kept| kept != name))?;
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
        let offset = file.metadata()?.len();
        Ok(Incoming { path, file: Arc::new(file), bytes: identity.bytes, offset })
    }

    /// Where the next bytes belong.
    pub(in crate::cluster) fn offset(&self) -> u64 {
        self.offset
    }

    /// Takes the next bytes. A write that its caller did not wait for does no harm: the bytes of a place
    /// are always the same.
    pub(in crate::cluster) async fn put(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        let (file, at) = (self.file.clone(), self.offset);
        let next = at + bytes.len() as u64;
        if next > self.bytes {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "more bytes than the snapshot has"));
        }
        medium::blocking(move || file.write_all_at(&bytes, at)).await??;
        self.offset = next;
        Ok(())
    }

    /// The whole snapshot, not checked yet. It goes with its last clone if nobody adopts it.
    pub(in crate::cluster) fn finish(self) -> Result<SnapshotFile, SnapshotError> {
        let place = Place(self.path.clone());
        let snapshot = SnapshotFile::open(self.path)?;
        Ok(SnapshotFile { _place: Some(Arc::new(place)), ..snapshot })
    }
}

/// Removes what other nodes once began to send, and what this node has come past since.
pub(super) fn remove_up_to(folder: &Path, last: Option<&LogId>) -> io::Result<()> {
    let passed = format!("{INCOMING}{}.", order_of(last));
    remove(folder, |name| name < passed.as_str())
}

fn remove(folder: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<()> {
    for file in std::fs::read_dir(folder)? {
        let path = file?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.starts_with(INCOMING) && wanted(name)) {
            std::fs::remove_file(&path)?;
        }
    }
    storage::sync_folder(folder)
}

/// With leading zeros, so that the order of the words is that of the log ids.
pub(super) fn order_of(last: Option<&LogId>) -> String {
    let log_id = last.map(codec::log_id_to).unwrap_or_default();
    format!("{:020}-{:020}", log_id.term, log_id.index)
}

const INCOMING: &str = "incoming-";
/// A SHA-256.
pub(super) const DIGEST_BYTES: usize = 32;
