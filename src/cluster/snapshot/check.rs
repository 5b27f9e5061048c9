//! Whether a snapshot is still what was written, and what becomes of one that is not.

use super::{At, BUFFER_BYTES, SnapshotError, SnapshotFile};
use crate::event::{Event, with_causes};
use crate::state::State;
use crate::storage;
use sha2::{Digest, Sha256};
use std::error::Error;
use std::io::{self, Read};
use std::path::Path;

impl SnapshotFile {
    /// Reads everything and checks it against its checksum, without building a state of it.
    pub(in crate::cluster) fn check(&self) -> Result<(), SnapshotError> {
        let io = |source| SnapshotError::Io { path: self.path.clone(), source };
        let damaged =
            |reason: &str| SnapshotError::Damaged { path: self.path.clone(), reason: reason.into() };
        let found = self.file.metadata().map_err(io)?.len();
        let rows = self.bytes.checked_sub(Sha256::output_size() as u64).filter(|_| found == self.bytes);
        let mut left = rows.ok_or_else(|| damaged("its length is wrong"))?;
        let mut file = At { file: &self.file, offset: 0 };
        let (mut digest, mut buffer) = (Sha256::new(), vec![0; BUFFER_BYTES]);
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(BUFFER_BYTES);
            let part = buffer.get_mut(..part).expect("it is at most as long as the buffer");
            file.read_exact(part).map_err(io)?;
            digest.update(&*part);
            left -= part.len() as u64;
        }
        let mut expected = [0; 32];
        file.read_exact(&mut expected).map_err(io)?;
        if digest.finalize()[..] == expected { Ok(()) } else { Err(damaged("its checksum is wrong")) }
    }
}

impl SnapshotError {
    /// Whether what is on disk is wrong; else it cannot be read now, or is not for this build.
    pub(in crate::cluster) fn is_damage(&self) -> bool {
        matches!(self, SnapshotError::Damaged { .. })
    }
}

/// Puts a damaged snapshot out of the way, where it can be looked at.
pub(in crate::cluster) fn set_aside(snapshot: &SnapshotFile, error: &SnapshotError) -> io::Result<()> {
    set_aside_path(&snapshot.path, error)
}

pub(super) fn set_aside_path(path: &Path, error: &SnapshotError) -> io::Result<()> {
    let kept = storage::set_aside(path)?;
    Event::DamageSetAside { what: "a snapshot", kept: &kept, reason: &with_causes(error) }.log();
    Ok(())
}

/// How much room a snapshot of this state takes, at the most that is likely.
pub(in crate::cluster) fn bytes_max(state: &State) -> u64 {
    (state.table.entries.len() + state.clients.len()) as u64 * ROW_BYTES
}

/// Whether something could not be written because the disk is full.
pub(in crate::cluster) fn is_full(error: &io::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        if error.downcast_ref::<io::Error>().is_some_and(|error| full.contains(&error.kind())) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A row with a long name and a note.
const ROW_BYTES: u64 = 512;
