//! Whether a snapshot is still what was written.

use super::{At, BUFFER_BYTES, SnapshotError, SnapshotFile};
use sha2::{Digest, Sha256};
use std::io::Read;

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
