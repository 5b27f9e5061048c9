//! Makes this host the only node of a cluster that begins again out of a backup.

use super::archive::{Archive, Summary};
use super::verify::VerifyError;
use crate::cluster::{Beginning, RecoverError};
use crate::enrolment::{self, Administrator, CloudAnew, CloudLogin, Host, InitError, Kept, Refounding};
use crate::state::Timestamp;
use crate::storage::{create_folder, sync_folder};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use time::OffsetDateTime;

/// How to restore.
pub struct Restore<'a> {
    /// This host.
    pub host: &'a Host,
    /// Who does it.
    pub administrator: &'a str,
    /// What time it is.
    pub now: OffsetDateTime,
    /// How long the node's certificate lives.
    pub certificate_life: Duration,
    /// Whether nodes of the old cluster may still answer.
    pub old_nodes: OldNodes,
    /// What becomes of the login at the cloud.
    pub cloud_login: CloudLogin,
}

/// Whether nodes of the old cluster may still answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldNodes {
    /// They must be off.
    MustBeOff,
    /// The administrator takes it on himself.
    MayRun,
}

/// A cluster that begins again.
pub struct Restored {
    /// What the backup held.
    pub summary: Summary,
    /// This node.
    pub node_id: u64,
    /// The nodes that are in it no more: names and peer addresses.
    pub removed: Vec<(String, String)>,
    /// Who else may administer: the list is as old as the backup.
    pub administrators: Vec<String>,
    /// The Kerberos keys that are taken again. Those that were removed since are among them, and newer ones are not.
    pub service_keys: Vec<String>,
    /// The login at the cloud, and what became of it.
    pub cloud: CloudAnew,
    founding: Refounding,
    data_dir: PathBuf,
}

/// Nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The host has data.
    #[error(
        "{path} is not empty; a backup is restored on a host without data, because nothing is ever overwritten"
    )]
    NotEmpty {
        /// Where.
        path: PathBuf,
    },
    /// The old cluster runs.
    #[error(
        "nodes of the cluster still answer: {}; stop them first, or there would be two clusters with one name",
        nodes.join(", ")
    )]
    Alive {
        /// Their names and addresses.
        nodes: Vec<String>,
    },
    /// What is in it does not belong together.
    #[error(transparent)]
    Check(#[from] VerifyError),
    /// No keys or certificates.
    #[error(transparent)]
    Init(#[from] InitError),
    /// No data.
    #[error(transparent)]
    Begin(#[from] RecoverError),
    /// The disk.
    #[error("cannot write to {path}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Archive {
    /// Restores it. Nothing counts until [`Restored::commit`]; up to that it can be repeated.
    ///
    /// # Errors
    /// [`RestoreError`].
    pub async fn restore(self, how: Restore<'_>) -> Result<Restored, RestoreError> {
        let Restore { host, administrator, now, certificate_life, old_nodes, cloud_login } = how;
        self.check()?;
        let data_dir = &host.data_dir;
        check_empty(data_dir)?;
        let Archive { summary, data_key, copied, .. } = self;
        let roster = copied.state().roster.clone();
        let at = Timestamp(i64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX));
        let node_id = copied.next_node_id(at);
        let kept = Kept { cluster_id: &summary.cluster_id, roster: &roster, data_key: &data_key, node_id };
        let founding = enrolment::refound(host, &kept, administrator, now, certificate_life)?;
        let nodes = roster.nodes.values().map(|node| (node.name.clone(), node.peer_address.clone()));
        let removed: Vec<_> = nodes.collect();
        if old_nodes == OldNodes::MustBeOff {
            let nodes = enrolment::answering(&founding.membership, &removed).await;
            if !nodes.is_empty() {
                return Err(RestoreError::Alive { nodes });
            }
        }
        let failed = |source| RestoreError::Io { path: data_dir.clone(), source };
        begin(data_dir).map_err(failed)?;
        let (node, new) = (founding.node.clone(), founding.new_administrator.clone());
        let cloud = enrolment::cloud_anew(&roster, Some((&summary.cluster_id, &data_key)), cloud_login);
        let beginning = Beginning {
            data_dir,
            node,
            administrator: Some(new),
            by: administrator,
            forgotten: &cloud.forgotten,
            at,
        };
        copied.begin(beginning).await?;
        let others = roster.administrators.keys().filter(|name| *name != administrator);
        let (administrators, data_dir) = (others.cloned().collect(), data_dir.clone());
        let service_keys = roster.service_keys.keys().map(ToString::to_string).collect();
        Ok(Restored { summary, node_id, removed, administrators, service_keys, cloud, founding, data_dir })
    }
}

impl Restored {
    /// The administrator that was made with it. Its key is nowhere else.
    #[must_use]
    pub fn administrator(&self) -> &Administrator {
        &self.founding.administrator
    }

    /// The file in which this host's seal key lies in the clear, if it does.
    #[must_use]
    pub fn plain_seal_file(&self) -> Option<&Path> {
        self.founding.plain_seal_file.as_deref()
    }

    /// Makes this host that node.
    ///
    /// # Errors
    /// [`RestoreError`]; the restore can be repeated then.
    pub fn commit(&self) -> Result<(), RestoreError> {
        self.founding.commit()?;
        let failed = |source| RestoreError::Io { path: self.data_dir.clone(), source };
        end(&self.data_dir).map_err(failed)
    }
}

/// Nothing may be there but what an earlier attempt left.
fn check_empty(data_dir: &Path) -> Result<(), RestoreError> {
    let failed = |source| RestoreError::Io { path: data_dir.into(), source };
    let mut files = match fs::read_dir(data_dir) {
        Ok(files) => files,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(failed(source)),
    };
    if files.next().is_none() || data_dir.join(UNFINISHED).exists() {
        return Ok(());
    }
    Err(RestoreError::NotEmpty { path: data_dir.into() })
}

/// Marks the folder, then takes out what an earlier attempt left.
fn begin(data_dir: &Path) -> io::Result<()> {
    create_folder(data_dir)?;
    File::create(data_dir.join(UNFINISHED))?.sync_all()?;
    sync_folder(data_dir)?;
    for file in fs::read_dir(data_dir)? {
        let file = file?;
        if file.file_name() == UNFINISHED {
            continue;
        }
        if file.file_type()?.is_dir() {
            fs::remove_dir_all(file.path())?;
        } else {
            fs::remove_file(file.path())?;
        }
    }
    Ok(())
}

fn end(data_dir: &Path) -> io::Result<()> {
    fs::remove_file(data_dir.join(UNFINISHED))?;
    sync_folder(data_dir)
}

/// Marks a data folder whose restore was not finished.
const UNFINISHED: &str = "restoring";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::testing::Folder;

    #[test]
    fn only_an_empty_folder_or_one_of_an_unfinished_attempt_is_used() {
        let folder = Folder::new();
        let data_dir = folder.path().join("data");
        check_empty(&data_dir).unwrap();
        begin(&data_dir).unwrap();
        fs::create_dir(data_dir.join("log")).unwrap();
        fs::write(data_dir.join("format"), "half").unwrap();
        check_empty(&data_dir).unwrap();
        begin(&data_dir).unwrap();
        assert_eq!(fs::read_dir(&data_dir).unwrap().count(), 1);
        end(&data_dir).unwrap();
        fs::write(data_dir.join("identity"), "whole").unwrap();
        let error = check_empty(&data_dir).unwrap_err();
        assert!(matches!(error, RestoreError::NotEmpty { .. }), "{error}");
    }
}
