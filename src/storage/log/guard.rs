//! How far the log was acknowledged, kept beside it: a log that ends earlier was cut short, rolled back or
//! damaged, and the node must not take part with what it forgot.

use raft_log::codeq::config::CodeqConfig;
use raft_log::codeq::{Decode, Encode};
use raft_log::types::Checksum;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The guard of one log. It never claims more than is on disk: it is written behind the log's own sync.
pub(super) struct Guard {
    file: File,
    state: Mutex<State>,
}

struct State {
    /// Up to which byte of all that was ever written the log is on disk.
    end: u64,
    /// Which of the two places is written next: the other one stays whole when this one is torn.
    next: u64,
    synced: Synced,
}

/// How far the guard itself is on disk, and not only in the page cache.
enum Synced {
    All(Instant),
    Not(Instant),
}

impl Guard {
    /// Where the guard of the log in a folder is: not inside, so that a copied log does not bring its own.
    pub(super) fn path(folder: &Path) -> PathBuf {
        folder.with_extension("guard")
    }

    /// Up to which byte the log was acknowledged; nothing if there is no guard, an error of the kind
    /// `InvalidData` if it cannot be understood.
    pub(super) fn read(path: &Path) -> io::Result<Option<u64>> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        Read::by_ref(&mut file).take(PLACES * PLACE_BYTES).read_to_end(&mut bytes)?;
        let places = bytes.chunks(usize::try_from(PLACE_BYTES).unwrap_or(usize::MAX));
        match places.filter_map(|place| decode(place).ok()).max() {
            Some(end) => Ok(Some(end)),
            None => Err(io::Error::new(io::ErrorKind::InvalidData, "none of its two places is whole")),
        }
    }

    /// Opens the guard, or makes it, for a log that is on disk up to `end`. Durable when it returns.
    pub(super) fn open(path: &Path, end: u64) -> io::Result<Self> {
        // One that is there is whole: half of one would look damaged.
        let unfinished = path.with_extension("guard-new");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&unfinished)?;
        let now = Instant::now();
        let guard = Guard { file, state: Mutex::new(State { end, next: 0, synced: Synced::All(now) }) };
        for place in 0..PLACES {
            guard.write(place, end)?;
        }
        guard.file.sync_all()?;
        std::fs::rename(&unfinished, path)?;
        if let Some(parent) = path.parent() {
            crate::storage::sync_folder(parent)?;
        }
        Ok(guard)
    }

    /// Notes that the log is on disk up to a byte. What a killed process noted is there afterwards; a power
    /// cut takes back at most [`SYNC_EVERY`], if [`Guard::settle`] is called as often.
    pub(super) fn note(&self, end: u64) {
        let mut state = self.state();
        if end <= state.end {
            return;
        }
        if let Err(error) = self.write(state.next, end) {
            // The guard only lags behind then, which is harmless. A disk that fails shows in the sync.
            tracing::warn!(%error, "cannot note how far the log is on disk");
            return;
        }
        state.end = end;
        state.next = (state.next + 1) % PLACES;
        if let Synced::All(at) = state.synced {
            state.synced = Synced::Not(at);
        }
    }

    /// Puts on disk what was noted, if it is time to.
    pub(super) fn settle(&self) {
        self.sync_if(|synced| synced.elapsed() >= SYNC_EVERY);
    }

    /// Puts on disk what was noted.
    pub(super) fn sync(&self) {
        self.sync_if(|_| true);
    }

    fn sync_if(&self, due: impl FnOnce(Instant) -> bool) {
        let mut state = self.state();
        if let Synced::Not(at) = state.synced
            && due(at)
        {
            if let Err(error) = self.file.sync_data() {
                crate::storage::stop("syncing the guard of the log", &error);
            }
            state.synced = Synced::All(Instant::now());
        }
    }

    fn write(&self, place: u64, end: u64) -> io::Result<()> {
        self.file.write_all_at(&encode(end)?, place * PLACE_BYTES)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn encode(end: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut writer = Checksum::new_writer(&mut bytes);
    writer.write_all(MAGIC)?;
    FORMAT.encode(&mut writer)?;
    end.encode(&mut writer)?;
    writer.write_checksum()?;
    Ok(bytes)
}

fn decode(bytes: &[u8]) -> io::Result<u64> {
    let mut reader = Checksum::new_reader(bytes);
    let mut magic = [0; MAGIC.len()];
    reader.read_exact(&mut magic)?;
    let (format, end) = (u32::decode(&mut reader)?, u64::decode(&mut reader)?);
    reader.verify_checksum(|| "the guard of the log")?;
    if magic == *MAGIC && format == FORMAT { Ok(end) } else { Err(io::ErrorKind::InvalidData.into()) }
}

const MAGIC: &[u8; 8] = b"rmscgard";
const FORMAT: u32 = 1;
const PLACES: u64 = 2;
/// Apart, so that one torn write spares the other place.
const PLACE_BYTES: u64 = 4096;
/// A second fdatasync with every group would double the time of a change; with every vote it costs nothing
/// that anybody sees.
const SYNC_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::super::super::{frozen, testing::Folder};
    use super::*;

    #[test]
    fn what_was_released_is_read_and_still_written() {
        let folder = Folder::new();
        let path = folder.path().join("log.guard");
        let guard = Guard::open(&path, 10).unwrap();
        guard.note(0x0123_4567_89ab_cdef);
        let frozen = frozen::check("guard-1/log.guard", &std::fs::read(&path).unwrap());
        std::fs::write(&path, frozen).unwrap();
        assert_eq!(Guard::read(&path).unwrap(), Some(0x0123_4567_89ab_cdef));
        // The other place, where the newer one is torn.
        OpenOptions::new().write(true).open(&path).unwrap().write_all_at(b"torn", 0).unwrap();
        assert_eq!(Guard::read(&path).unwrap(), Some(10));
    }

    #[test]
    fn the_newest_whole_place_counts() {
        let folder = Folder::new();
        let path = folder.path().join("log.guard");
        assert_eq!(Guard::read(&path).unwrap(), None);
        let guard = Guard::open(&path, 10).unwrap();
        guard.note(20);
        guard.note(30);
        guard.note(25);
        assert_eq!(Guard::read(&path).unwrap(), Some(30));
        // The place written last is torn.
        guard.file.write_all_at(b"torn", PLACE_BYTES).unwrap();
        assert_eq!(Guard::read(&path).unwrap(), Some(20));
        guard.file.write_all_at(b"torn", 0).unwrap();
        assert_eq!(Guard::read(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
