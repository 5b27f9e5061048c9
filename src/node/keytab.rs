//! The keytab's file: read at the start, if nobody else can read it.

use crate::identity::kerberos::{Keytab, KeytabError, Realms};
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Why a keytab cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is not there, or not for us to read.
    #[error("cannot read the keytab {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Others may read it.
    #[error(
        "the keytab {path} has mode {mode:04o}, and whoever reads it can be anybody here: run `chmod 0600 {path}`"
    )]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Somebody else may change it.
    #[error(
        "the keytab {path} belongs to another user ({owner}): run `chown root {path}`, or to the service's user"
    )]
    Owner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// It is longer than any keytab.
    #[error("{path} is too long for a keytab: more than {BYTES_MAX} bytes")]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// It is none, or has no key for us.
    #[error("the keytab {path} cannot be used")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: KeytabError,
    },
}

/// The keys of a file, if it is known for whom each of its realms may speak; none where there is no file.
pub(super) fn open(path: Option<&Path>, realms: &Realms) -> Result<Keytab, OpenError> {
    let Some(path) = path else { return Ok(Keytab::default()) };
    let unusable = |source| OpenError::Unusable { path: path.into(), source };
    let keytab = Keytab::parse(&read(path)?).map_err(unusable)?;
    realms.check(&keytab).map_err(unusable)?;
    tracing::info!(services = keytab.services().join(", "), path = %path.display(), "has keys of a file");
    Ok(keytab)
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let failed = |source| OpenError::Read { path: path.into(), source };
    // Without waiting, should it be a pipe.
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path).map_err(failed)?;
    // Of the open file, so that nobody can put another in its place. A group may read it: that is how
    // systemd hands credentials over.
    let metadata = file.metadata().map_err(failed)?;
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o777);
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(OpenError::Owner { path: path.into(), owner });
    }
    if mode & 0o027 != 0 {
        return Err(OpenError::Mode { path: path.into(), mode });
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > BYTES_MAX { Err(OpenError::TooLong { path: path.into() }) } else { Ok(bytes) }
}

/// Thousands of keys.
const BYTES_MAX: u64 = 1 << 20;
