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
    let kept = fs::read_dir(data_dir).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    for entry in kept.map_err(|source| failed(data_dir, source))? {
        let name = entry.file_name();
        let kind = name.to_string_lossy().split('.').next().unwrap_or_default().to_owned();
        if !KEPT.contains(&kind.as_str()) {
            continue;
        }
        match fs::rename(entry.path(), aside.join(&name)) {
            Ok(()) => {}
            // The node and its administrator may do this at the same time.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(failed(&entry.path(), source)),
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

/// What a node keeps in its data folder, besides its identity, with what was set aside of it. What it joined with must
/// not be used again: it would come back under its old id, and have forgotten what it promised.
const KEPT: [&str; 6] = ["log", "tree", "snapshots", "format", "kept", "joining"];

#[cfg(test)]
mod tests {
    use super::super::identity_file::tests::Folder;
    use super::*;

    #[test]
    fn what_a_node_kept_is_put_aside_and_nothing_else() {
        let folder = Folder::new();
        for name in ["log", "log.guard", "tree.damaged-1", "format", "joining", "identity", "accounts.toml"] {
            fs::write(folder.0.join(name), name).unwrap();
        }
        let aside = put_aside(&folder.0, 5).unwrap();
        assert_eq!(put_aside(&folder.0, 5).unwrap(), aside);
        for name in ["log", "log.guard", "tree.damaged-1", "format", "joining"] {
            assert!(aside.join(name).exists() && !folder.0.join(name).exists(), "{name}");
        }
        assert!(folder.0.join("accounts.toml").exists());
        assert!(!folder.0.join("identity").exists() && !aside.join("identity").exists());
    }
}
