//! The bytes of a snapshot: the header, blocks of rows each with a checksum, and a digest of it all.

use super::{Contents, FORMAT, SnapshotError};
use crate::cluster::codec;
use crate::cluster::packed::{Packer, unpack};
use crate::cluster::types::{DecodeError, SnapshotMeta};
use crate::proto::state::v1 as stored;
use crate::state::{Entry, State, Table};
use prost::Message;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stored::snapshot_row::Row;

/// Writes the state to a file that is not durable yet.
pub(super) fn write(path: &Path, cluster_id: &str, meta: &SnapshotMeta, state: &State) -> io::Result<()> {
    let file = BufWriter::with_capacity(BUFFER_BYTES, File::create(path)?);
    let mut writer = Writer { file, digest: Sha256::new() };
    writer.put(MAGIC)?;
    let roster = codec::roster_to(&state.roster);
    let header = stored::SnapshotHeader {
        format: FORMAT,
        cluster_id: cluster_id.into(),
        applied: Some(codec::applied_to(meta, state)),
        needs: codec::needs(&state.roster),
        rows: (state.table.entries.len() + state.clients.len() + roster.len()) as u64,
    };
    writer.frame(&header.encode_to_vec())?;
    let roster = roster.into_iter().map(|(_, row)| Row::Roster(row));
    let entries = state.table.entries.values().map(|entry| Row::Entry(codec::entry_to(entry)));
    let clients = state.clients.iter();
    let clients = clients.map(|(client, answered)| Row::Answered(codec::answered_to(client, answered)));
    let mut packer = Packer::default();
    for row in roster.chain(entries).chain(clients) {
        packer.push(row);
        if packer.bytes() >= BLOCK_BYTES {
            writer.frame(&packer.pack())?;
        }
    }
    if packer.rows() > 0 {
        writer.frame(&packer.pack())?;
    }
    writer.frame(&[])?;
    let digest = writer.digest.finalize();
    writer.file.write_all(&digest)?;
    writer.file.flush()
}

struct Writer {
    file: BufWriter<File>,
    digest: Sha256,
}

impl Writer {
    fn frame(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        self.put(&length.to_le_bytes())?;
        self.put(&checksum(length, bytes).to_le_bytes())?;
        self.put(bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.file.write_all(bytes)
    }
}

fn checksum(length: u32, bytes: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&length.to_le_bytes());
    sum.update(bytes);
    sum.finalize()
}

/// Why reading ended; the caller adds which file it was.
#[derive(Debug)]
pub(super) enum ReadError {
    Io(io::Error),
    Damaged(String),
    OtherCluster(String),
    TooNew(u32),
    NeedsMore(DecodeError),
}

impl ReadError {
    pub(super) fn at(self, path: PathBuf) -> SnapshotError {
        match self {
            ReadError::Io(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
                SnapshotError::Damaged { path, reason: "it ends too early".into() }
            }
            ReadError::Io(source) => SnapshotError::Io { path, source },
            ReadError::Damaged(reason) => SnapshotError::Damaged { path, reason },
            ReadError::OtherCluster(found) => SnapshotError::OtherCluster { path, found },
            ReadError::TooNew(found) => SnapshotError::TooNew { path, found },
            ReadError::NeedsMore(source) => SnapshotError::NeedsMore { path, source },
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
pub(super) struct At<'a> {
    pub(super) file: &'a File,
    pub(super) offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

pub(super) struct Reader<'a> {
    file: BufReader<At<'a>>,
    digest: Sha256,
    bytes: u64,
    read: u64,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a File, bytes: u64) -> Self {
        let file = BufReader::with_capacity(BUFFER_BYTES, At { file, offset: 0 });
        Reader { file, digest: Sha256::new(), bytes, read: 0 }
    }

    /// The first frame, if the rest is of this cluster and for this build.
    pub(super) fn header(&mut self, cluster_id: &str) -> Result<stored::SnapshotHeader, ReadError> {
        if self.take(MAGIC.len())? != MAGIC {
            return Err(ReadError::Damaged("it does not begin as a snapshot".into()));
        }
        let header = self.frame()?;
        let header = stored::SnapshotHeader::decode(header.as_slice())
            .map_err(|error| ReadError::Damaged(error.to_string()))?;
        if header.format != FORMAT {
            return Err(ReadError::TooNew(header.format));
        }
        codec::within_needs("a snapshot", header.needs).map_err(ReadError::NeedsMore)?;
        if header.cluster_id != cluster_id {
            return Err(ReadError::OtherCluster(header.cluster_id));
        }
        Ok(header)
    }

    /// Everything, checked. Entries that a table has already are shared with it.
    pub(super) fn contents(
        mut self,
        header: stored::SnapshotHeader,
        like: &Table,
    ) -> Result<Contents, ReadError> {
        let (meta, mut state) = codec::applied_from(header.applied.unwrap_or_default())?;
        let table = Arc::make_mut(&mut state.table);
        let roster = Arc::make_mut(&mut state.roster);
        let mut known = like.entries.values().peekable();
        let mut rows = 0;
        loop {
            let block = self.frame()?;
            if block.is_empty() {
                break;
            }
            for row in unpack(&block)? {
                match row? {
                    Row::Entry(entry) => {
                        let entry: Entry = codec::entry_from(entry)?;
                        while known.next_if(|known| known.sid < entry.sid).is_some() {}
                        match known.next_if(|known| ***known == entry) {
                            Some(known) => drop(table.entries.insert(entry.sid, known.clone())),
                            None => table.entries.add(entry),
                        }
                    }
                    Row::Answered(answered) => {
                        let (client, answered) = codec::answered_from(answered)?;
                        state.clients.remember(client, answered);
                    }
                    Row::Roster(row) => codec::roster_row_from(roster, row)?,
                }
                rows += 1;
            }
        }
        self.end()?;
        if rows != header.rows {
            return Err(ReadError::Damaged(format!("{rows} rows in place of {}", header.rows)));
        }
        Ok(Contents { meta, state })
    }

    fn end(mut self) -> Result<(), ReadError> {
        let digest = self.digest.finalize_reset();
        if self.take(digest.len())? != digest[..] || self.read != self.bytes {
            return Err(ReadError::Damaged("its digest is wrong".into()));
        }
        Ok(())
    }

    fn frame(&mut self) -> Result<Vec<u8>, ReadError> {
        let length = self.number()?;
        let sum = self.number()?;
        if length > FRAME_BYTES_MAX {
            return Err(ReadError::Damaged(format!("a block of {length} bytes")));
        }
        let bytes = self.take(length as usize)?;
        if checksum(length, &bytes) != sum {
            return Err(ReadError::Damaged(format!("the block that ends at byte {} is wrong", self.read)));
        }
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u32, ReadError> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes(bytes.try_into().map_err(|_| ReadError::Damaged("a short number".into()))?))
    }

    fn take(&mut self, bytes: usize) -> Result<Vec<u8>, ReadError> {
        let mut taken = vec![0; bytes];
        self.file.read_exact(&mut taken)?;
        self.digest.update(&taken);
        self.read += bytes as u64;
        Ok(taken)
    }
}

const MAGIC: &[u8] = b"rmscsnap";
pub(super) const BUFFER_BYTES: usize = 256 * 1024;
/// What is compressed at once; more makes it no smaller.
const BLOCK_BYTES: usize = 256 * 1024;
/// Far above any block and any header, and no danger to memory.
const FRAME_BYTES_MAX: u32 = 4 << 20;
