//! A host that is a node no more: what is left of it is put aside, so that it cannot come back by mistake
//! and can join anew.

use super::identity_file::identity_path;
use crate::storage::{create_folder, sync_folder};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What a node left cannot be put aside.
#[derive(Debug, thiserror::Error)]
#[error("cannot put {path} aside")]
pub struct LeaveError {
    path: PathBuf,
    source: io::Error,
}

/// Moves what a node kept into a folder of its own beside it, and deletes its identity: without that, the
/// secrets in the rest cannot be opened by anybody. Gives the folder.
///
/// # Errors
/// [`LeaveError`]; it can be repeated.
pub fn put_aside(data_dir: &Path, node_id: u64) -> Result<PathBuf, LeaveError> {
    let aside = data_dir.join(format!("removed-node-{node_id}"));
    let failed = |path: &Path, source| LeaveError { path: path.into(), source };
    create_folder(&aside).map_err(|source| failed(&aside, source))?;
    for name in KEPT {
        let (from, to) = (data_dir.join(name), aside.join(name));
        match fs::rename(&from, &to) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(failed(&from, source)),
        }
    }
    sync_folder(&aside).map_err(|source| failed(&aside, source))?;
    // Last: until here the host is that node, and this can be repeated.
    let identity = identity_path(data_dir);
    match fs::remove_file(&identity).and_then(|()| sync_folder(data_dir)) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(failed(&identity, source)),
        Ok(()) | Err(_) => Ok(aside),
    }
}

/// What a node keeps in its data folder, besides its identity.
const KEPT: [&str; 4] = ["log", "tree", "snapshots", "format"];
