//! A password in a file of its own.

use super::Secret;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Why a password cannot be used. No message holds it.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// It is not there, or not for us to read.
    #[error("cannot read {what} {path}")]
    Read {
        /// What it is.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Others may read it.
    #[error("{what} {path} has mode {mode:04o}: run `chmod 0600 {path}`")]
    Mode {
        /// What it is.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// An empty one lets somebody in at some places who gives no name at all (RFC 4513 5.1.2).
    #[error("{what} {path} must hold one password: one line of 1 to {BYTES_MAX} bytes")]
    NoPassword {
        /// What it is.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
}

/// Reads the password that a file holds; `what` is the file's name in errors, such as "the proxy's password file".
///
/// # Errors
/// It cannot be read, others may read it, or it is not one line.
pub fn read_password(what: &'static str, path: &Path) -> Result<Secret<String>, PasswordError> {
    let failed = |source| PasswordError::Read { what, path: path.into(), source };
    let file = open_private(what, path)?;
    let mut text = String::new();
    file.take(BYTES_MAX + 2).read_to_string(&mut text).map_err(failed)?;
    let text = Secret::new(text);
    let password = text.expose().trim_end_matches(['\r', '\n']);
    if password.is_empty() || password.len() as u64 > BYTES_MAX || password.contains('\n') {
        return Err(PasswordError::NoPassword { what, path: path.into() });
    }
    Ok(Secret::new(password.to_owned()))
}

/// Opens a file that others must not read, and leaves what is in it to another program; `what` as above.
///
/// # Errors
/// It cannot be opened, or others may read it.
pub fn check_private(what: &'static str, path: &Path) -> Result<(), PasswordError> {
    open_private(what, path).map(drop)
}

fn open_private(what: &'static str, path: &Path) -> Result<File, PasswordError> {
    let failed = |source| PasswordError::Read { what, path: path.into(), source };
    let file = File::open(path).map_err(failed)?;
    // Of the open file. A group may read it: that is how systemd hands credentials over.
    let mode = file.metadata().map_err(failed)?.mode() & 0o777;
    if mode & 0o027 != 0 {
        return Err(PasswordError::Mode { what, path: path.into(), mode });
    }
    Ok(file)
}

/// Longer than any directory allows; a secret of an application is far shorter.
const BYTES_MAX: u64 = 512;
