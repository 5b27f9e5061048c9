//! Reads the log's files as they are on disk, before anything is cut off: a tail that was being written when
//! the power went is normal, everything else that cannot be read is damage.

use super::format::Format;
use raft_log::RaftLogRecord;
use raft_log::chunked_wal;
use raft_log::codeq::Decode;
use std::io;
use std::path::{Path, PathBuf};

/// What a scan found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Everything can be read up to this byte; what follows was being written, and nothing of it counts.
    Whole(u64),
    /// Something that was on disk cannot be read any more.
    Damaged(String),
}

/// Scans the log in a folder that was acknowledged up to a byte.
pub(super) fn scan(folder: &Path, acknowledged: u64) -> io::Result<Found> {
    let mut files = files(folder)?;
    // The next file is made before the last one is full; it counts from its first record on.
    let mut rest: Vec<(u64, Read)> = Vec::new();
    while let Some((start, path)) = files.pop() {
        let read = Read::new(&std::fs::read(path)?);
        let unused = read.good == 0;
        rest.push((start, read));
        if !unused {
            break;
        }
    }
    let mut end = None;
    for (start, path) in files {
        let read = Read::new(&std::fs::read(path)?);
        if let Some(reason) = gap(end, start).or_else(|| read.bad(start)) {
            return Ok(Found::Damaged(reason));
        }
        end = Some(start + read.good);
    }
    while let Some((start, read)) = rest.pop() {
        if read.good > 0 {
            if let Some(reason) = gap(end, start) {
                return Ok(Found::Damaged(reason));
            }
            end = Some(start + read.good);
        }
        if read.more {
            let at = start + read.good;
            return Ok(Found::Damaged(format!(
                "the record at byte {at} cannot be read, and there are more behind it"
            )));
        }
    }
    let end = end.unwrap_or(0);
    if end < acknowledged {
        return Ok(Found::Damaged(format!(
            "it can be read up to byte {end} and was acknowledged up to byte {acknowledged}"
        )));
    }
    Ok(Found::Whole(end))
}

/// The files by where they begin, the newest last.
pub(super) fn files(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for file in std::fs::read_dir(folder)? {
        let file = file?;
        if let Ok(start) = chunked_wal::Config::parse_chunk_file_name(&file.file_name().to_string_lossy()) {
            files.push((start, file.path()));
        }
    }
    files.sort();
    Ok(files)
}

fn gap(end: Option<u64>, start: u64) -> Option<String> {
    let end = end.filter(|end| *end != start)?;
    Some(format!("a file ends at byte {end} and the next begins at byte {start}"))
}

/// How a file can be read.
struct Read {
    /// So many bytes at its beginning are whole records.
    good: u64,
    /// So many it has.
    bytes: u64,
    /// Whether there are whole records behind what cannot be read.
    more: bool,
}

impl Read {
    fn new(bytes: &[u8]) -> Self {
        let mut good = 0;
        while let Some(record) = bytes.get(good..).and_then(record_bytes) {
            good += record;
        }
        let behind = (good + 1)..bytes.len();
        let more = behind.into_iter().any(|at| bytes.get(at..).and_then(record_bytes).is_some());
        Read { good: good as u64, bytes: bytes.len() as u64, more }
    }

    /// What is wrong with a file that has to be whole.
    fn bad(&self, start: u64) -> Option<String> {
        let at = start + self.good;
        (self.good < self.bytes).then(|| format!("the record at byte {at} cannot be read"))
    }
}

/// The length of the whole record at the beginning of these bytes.
fn record_bytes(bytes: &[u8]) -> Option<usize> {
    // Most places are ruled out by the kind, which has four bytes.
    let kind = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?);
    if kind > KIND_MAX {
        return None;
    }
    if kind == KIND_ENTRY {
        let payload = u32::from_be_bytes(bytes.get(ENTRY_LENGTH_AT..ENTRY_LENGTH_AT + 4)?.try_into().ok()?);
        // Else everything behind would be copied, and for nothing.
        if usize::try_from(payload).ok()? > bytes.len() {
            return None;
        }
    }
    let mut rest = bytes;
    RaftLogRecord::<Format>::decode(&mut rest).ok()?;
    Some(bytes.len() - rest.len())
}

const KIND_ENTRY: u32 = 1;
/// A checkpoint; what the log's format has is numbered from 0.
const KIND_MAX: u32 = 5;
/// Behind the kind, the term and the index.
const ENTRY_LENGTH_AT: usize = 20;
