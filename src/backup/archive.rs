//! The file: a head, a snapshot and a checksum, encrypted as one stream.

use super::lock::{Lock, Unlock};
use crate::cluster::{Copied, CopiedError, Copy};
use crate::proto::state::v1 as stored;
use crate::seal::Key;
use crate::secret::Secret;
use age::{DecryptError, Decryptor};
use prost::Message;
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What a backup holds, as far as everybody may know who can open it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The cluster.
    pub cluster_id: String,
    /// The name that calling servers use.
    pub service_name: String,
    /// Up to where the log is applied.
    pub log_index: u64,
    /// The revision of the table.
    pub revision: u64,
    /// How many accounts are in the table.
    pub entries: u64,
    /// How many nodes there were.
    pub nodes: u64,
    /// When it was taken, in milliseconds since 1970.
    pub taken_at_ms: i64,
    /// The administrator.
    pub taken_by: String,
    /// The node.
    pub taken_at: String,
    /// The program's version.
    pub version: String,
}

/// When, where and by whom a backup is taken.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The name that calling servers use.
    pub service_name: String,
    /// In milliseconds since 1970.
    pub at_ms: i64,
    /// The administrator.
    pub by: String,
    /// The node.
    pub node: String,
}

/// A backup that was opened and checked.
pub struct Archive {
    /// What it holds.
    pub summary: Summary,
    pub(super) authority: String,
    pub(super) data_key: Key,
    pub(super) copied: Copied,
}

/// A backup cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is another file.
    #[error("this is no backup: it does not begin as a file of age")]
    NoBackup,
    /// Another key is needed.
    #[error("none of the keys opens it: it was encrypted for another recipient, or its head is damaged")]
    WrongKey,
    /// Another passphrase is needed.
    #[error("the passphrase does not open it, or its head is damaged")]
    WrongPassphrase,
    /// A key was given.
    #[error("it is encrypted with a passphrase: give --passphrase-file")]
    NeedsPassphrase,
    /// A passphrase was given.
    #[error("it is encrypted for recipients: give --identity")]
    NeedsIdentity,
    /// Bytes are missing or wrong.
    #[error("it is damaged or was cut off: {reason}")]
    Damaged {
        /// What is wrong.
        reason: String,
    },
    /// A newer build wrote it.
    #[error("it has format {found}; this build reads up to {FORMAT}")]
    TooNew {
        /// Its format.
        found: u32,
    },
    /// The state in it does not load.
    #[error(transparent)]
    Copy(#[from] CopiedError),
    /// The disk.
    #[error("cannot read the backup or write to {path}")]
    Io {
        /// Where it is unpacked.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Writes a backup.
///
/// # Errors
/// What the output says, or the copy.
pub fn write(copy: &Copy, taken: &Taken, data_key: &Key, lock: &Lock, output: impl Write) -> io::Result<()> {
    let encrypted = lock.encryptor().map_err(io::Error::other)?.wrap_output(output)?;
    let mut writer = Checked { inner: encrypted, digest: Sha256::new() };
    let head = head(copy, taken, data_key);
    writer.write_all(MAGIC)?;
    writer.write_all(&u32::try_from(head.expose().len()).map_err(io::Error::other)?.to_be_bytes())?;
    writer.write_all(head.expose())?;
    let mut at = 0;
    while at < copy.bytes() {
        let chunk = copy.chunk(at)?;
        at += chunk.len() as u64;
        writer.write_all(&chunk)?;
    }
    let Checked { mut inner, digest } = writer;
    inner.write_all(&digest.finalize())?;
    inner.finish()?.flush()
}

fn head(copy: &Copy, taken: &Taken, data_key: &Key) -> Secret<Vec<u8>> {
    let head = stored::BackupHead {
        format: FORMAT,
        cluster_id: copy.cluster_id.clone(),
        service_name: taken.service_name.clone(),
        log_index: copy.log_index,
        revision: copy.revision,
        entries: copy.entries,
        nodes: copy.nodes,
        taken_at_ms: taken.at_ms,
        taken_by: taken.by.clone(),
        taken_at: taken.node.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        authority: copy.authority.clone(),
        data_key: data_key.bytes().expose().clone(),
        snapshot_bytes: copy.bytes(),
    };
    let bytes = Secret::new(head.encode_to_vec());
    drop(Secret::new(head.data_key));
    bytes
}

impl Archive {
    /// Decrypts a backup, checks all of it and loads the state. What is unpacked for that lies in `scratch`
    /// for as long as this takes; the secrets in it are sealed.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(path: &Path, unlock: &Unlock, scratch: &Path) -> Result<Self, ReadError> {
        let failed = |source| ReadError::Io { path: path.into(), source };
        let file = File::open(path).map_err(failed)?;
        let decrypted = decrypt(io::BufReader::new(file), unlock)?;
        let mut reader = Checked { inner: decrypted, digest: Sha256::new() };
        let head = read_head(&mut reader)?;
        let data_key = Secret::new(head.data_key);
        let unpacked = Unpacked(scratch.join("snapshot"));
        unpack(&mut reader, head.snapshot_bytes, &unpacked.0)?;
        let copied = Copied::read(&unpacked.0, &head.cluster_id)?;
        Ok(Archive {
            summary: Summary {
                cluster_id: head.cluster_id,
                service_name: head.service_name,
                log_index: head.log_index,
                revision: head.revision,
                entries: head.entries,
                nodes: head.nodes,
                taken_at_ms: head.taken_at_ms,
                taken_by: head.taken_by,
                taken_at: head.taken_at,
                version: head.version,
            },
            authority: head.authority,
            data_key: Key::of_bytes(data_key.expose()).ok_or_else(|| damaged("its key is none"))?,
            copied,
        })
    }
}

fn decrypt<R: Read>(input: R, unlock: &Unlock) -> Result<impl Read + use<R>, ReadError> {
    let decryptor = Decryptor::new(input).map_err(|error| match error {
        DecryptError::InvalidHeader | DecryptError::UnknownFormat | DecryptError::Io(_) => {
            ReadError::NoBackup
        }
        error => damaged(error),
    })?;
    let by_passphrase = decryptor.is_scrypt();
    match unlock {
        Unlock::Identities(_) if by_passphrase => return Err(ReadError::NeedsPassphrase),
        Unlock::Passphrase(_) if !by_passphrase => return Err(ReadError::NeedsIdentity),
        Unlock::Identities(_) | Unlock::Passphrase(_) => {}
    }
    let identities = unlock.identities_of_age();
    let decrypted = decryptor.decrypt(identities.iter().map(|one| one.as_ref() as &dyn age::Identity));
    decrypted.map_err(|error| match error {
        DecryptError::NoMatchingKeys | DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => {
            if by_passphrase {
                ReadError::WrongPassphrase
            } else {
                ReadError::WrongKey
            }
        }
        error => damaged(error),
    })
}

fn read_head(reader: &mut impl Read) -> Result<stored::BackupHead, ReadError> {
    let mut start = [0; MAGIC.len() + 4];
    reader.read_exact(&mut start).map_err(damaged)?;
    let (magic, length) = start.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(damaged("what is encrypted is no backup"));
    }
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    if length > HEAD_BYTES_MAX {
        return Err(damaged(format!("a head of {length} bytes")));
    }
    let mut bytes = Secret::new(vec![0; length]);
    reader.read_exact(bytes.expose_mut()).map_err(damaged)?;
    let head = stored::BackupHead::decode(bytes.expose().as_slice()).map_err(damaged)?;
    match head.format {
        1..=FORMAT => Ok(head),
        0 => Err(damaged("its head says no format")),
        found => Err(ReadError::TooNew { found }),
    }
}

fn unpack<R: Read>(reader: &mut Checked<R>, bytes: u64, path: &Path) -> Result<(), ReadError> {
    let failed = |source| ReadError::Io { path: path.into(), source };
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).map_err(failed)?;
    let (mut buffer, mut left) = (vec![0; BUFFER_BYTES], bytes);
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(BUFFER_BYTES);
        let part = buffer.get_mut(..wanted).unwrap_or_default();
        reader.read_exact(part).map_err(damaged)?;
        file.write_all(part).map_err(failed)?;
        left -= wanted as u64;
    }
    let expected = reader.digest.finalize_reset();
    let mut found = Vec::new();
    // The last piece is only known to be the last when it was read to its end.
    reader.inner.read_to_end(&mut found).map_err(damaged)?;
    if found != expected[..] {
        return Err(damaged("its checksum is wrong"));
    }
    file.flush().map_err(failed)
}

fn damaged(reason: impl std::fmt::Display) -> ReadError {
    ReadError::Damaged { reason: format!("{reason}") }
}

/// What was unpacked, until it is read.
struct Unpacked(PathBuf);

impl Drop for Unpacked {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

/// Digests what goes through.
struct Checked<T> {
    inner: T,
    digest: Sha256,
}

impl<W: Write> Write for Checked<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.digest.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.digest.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

const MAGIC: &[u8] = b"rmscback";
/// Raised when an older build could not read what this one writes.
const FORMAT: u32 = 1;
/// Far above any head, and no danger to memory.
const HEAD_BYTES_MAX: usize = 1 << 20;
const BUFFER_BYTES: usize = 256 * 1024;
