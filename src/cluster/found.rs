//! The beginning of a node: its data folder becomes its own; and of a cluster: one node makes the group,
//! alone, and writes who it is.

use super::types::Address;
use super::{Cluster, FoundError, LOG, OpenError, owner};
use crate::state::{Change, FOUNDER, NewAdministrator, NewNode, Outcome, RosterChange, Timestamp};
use crate::storage::log::Log;
use crate::storage::version;
use openraft::errors::{InitializeError, RaftError};
use std::collections::BTreeMap;
use std::path::Path;

/// What a cluster begins with, beside its first node.
#[derive(Clone, Debug)]
pub struct Roots {
    /// Its certificate authority, PEM.
    pub authority: String,
    /// The first administrator.
    pub administrator: Option<NewAdministrator>,
}

impl Cluster {
    /// Makes a data folder this node's, once: when it founds a cluster or joins one. A node whose folder
    /// was lost cannot be started again, because nothing else makes one.
    ///
    /// # Errors
    /// [`OpenError::Folder`] when it is another's.
    pub fn claim(
        data_dir: &Path,
        cluster_id: &str,
        node_id: u64,
        incarnation: u128,
    ) -> Result<(), OpenError> {
        version::make(data_dir, &data_dir.join(LOG), &owner(cluster_id, node_id), incarnation)?;
        Ok(())
    }

    /// Takes back what [`Cluster::claim`] did for a node that was never started.
    ///
    /// # Errors
    /// [`OpenError::Folder`] when it cannot be read.
    pub fn renounce(data_dir: &Path) -> Result<(), OpenError> {
        Ok(version::renounce(data_dir, &data_dir.join(LOG))?)
    }

    /// Whether the node whose data folder this is was ever started.
    ///
    /// # Errors
    /// [`OpenError::Folder`] when it cannot be read.
    pub fn was_started(data_dir: &Path) -> Result<bool, OpenError> {
        Ok(version::is_used(data_dir, &data_dir.join(LOG))?)
    }

    /// Whether the data folder still has what this node was given and has written.
    ///
    /// # Errors
    /// [`OpenError`] when it is another's, or cannot be read.
    pub fn has_data(data_dir: &Path, cluster_id: &str, node_id: u64) -> Result<bool, OpenError> {
        let log = data_dir.join(LOG);
        match version::claim(data_dir, &log, &owner(cluster_id, node_id)) {
            Ok(claim) => {
                let there = Log::exists(&log).map_err(|source| OpenError::State { source })?;
                Ok(there || !claim.log_made)
            }
            Err(version::VersionError::Lost { .. } | version::VersionError::Unclaimed { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Makes a group of this node, and founds the cluster in it. What an earlier attempt did is not done again.
pub(super) async fn found(
    cluster: &Cluster,
    Roots { authority, administrator }: Roots,
    by: &str,
    at: Timestamp,
) -> Result<(), FoundError> {
    let config = cluster.config();
    assert!(config.node_id == FOUNDER, "the node that founds a cluster is the first");
    let address = Address {
        name: config.name.clone(),
        peer: config.peer_address.clone(),
        admin: config.admin_address.clone(),
        incarnation: cluster.incarnation(),
        group: rand::random(),
    };
    match cluster.raft().initialize(BTreeMap::from([(FOUNDER, address)])).await {
        // By an earlier attempt.
        Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
        Err(error) => return Err(FoundError::Raft { reason: error.to_string() }),
    }
    let node = NewNode {
        name: config.name.clone(),
        peer_address: config.peer_address.clone(),
        admin_address: config.admin_address.clone(),
        kind: config.kind,
        incarnation: cluster.incarnation(),
        key: config.key,
        build: super::VERSION,
    };
    let change = RosterChange::Found { authority, node, version: super::VERSION, administrator };
    let written = cluster.write(by, Change::Roster(change), None, at).await?;
    match written.outcome {
        Outcome::Admitted { .. } => Ok(()),
        Outcome::Rejected(rejection) => Err(FoundError::Rejected(rejection)),
        other => Err(FoundError::Raft { reason: format!("{other:?}") }),
    }
}
