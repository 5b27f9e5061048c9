//! The very first start: one node makes the group, alone, and writes who it is.

use super::types::Address;
use super::{Cluster, FoundError};
use crate::state::{Change, FOUNDER, NewNode, Outcome, RosterChange, Timestamp};
use openraft::errors::{InitializeError, RaftError};
use std::collections::BTreeMap;

/// Makes a group of this node, and founds the cluster in it. What an earlier attempt did is not done again.
pub(super) async fn found(
    cluster: &Cluster,
    authority: String,
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
    let change = RosterChange::Found { authority, node, version: super::VERSION };
    let written = cluster.write(by, Change::Roster(change), None, at).await?;
    match written.outcome {
        Outcome::Admitted { .. } => Ok(()),
        Outcome::Rejected(rejection) => Err(FoundError::Rejected(rejection)),
        other => Err(FoundError::Raft { reason: format!("{other:?}") }),
    }
}
