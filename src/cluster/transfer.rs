//! Hands leadership over, from any node: done here by the leader, else asked of it.

use super::{Cluster, TransferError, members};
use crate::proto::peer::v1 as wire;
use openraft::ServerState;
use openraft::async_runtime::WatchReceiver;
use std::time::Duration;
use tokio::time::Instant;

/// Makes another node lead: the one that is named, or the voter that has most of the log. Returns who
/// leads then. Waits a little while nobody leads.
pub(super) async fn transfer(cluster: &Cluster, to: Option<u64>) -> Result<u64, TransferError> {
    let deadline = Instant::now() + LEADER_TIMEOUT;
    loop {
        match attempt(cluster, to).await {
            Err(TransferError::NoLeader) if Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
            done => return done,
        }
    }
}

async fn attempt(cluster: &Cluster, to: Option<u64>) -> Result<u64, TransferError> {
    let leader = cluster.standing().leader.ok_or(TransferError::NoLeader)?;
    if to == Some(leader) {
        return Ok(leader);
    }
    if leader == cluster.config().node_id {
        return transfer_here(cluster, to).await;
    }
    let members = cluster.members().borrow().clone();
    let member = members.iter().find(|member| member.node_id == leader).ok_or(TransferError::NoLeader)?;
    let mut client = cluster.peers().node(leader, &member.peer_address);
    let asked = client.transfer(wire::TransferRequest { to: to.unwrap_or(0) });
    match tokio::time::timeout(TRANSFER_TIMEOUT * 2, asked).await {
        Ok(Ok(answer)) => Ok(answer.into_inner().leader),
        Ok(Err(status)) if status.code() == tonic::Code::Unavailable => Err(TransferError::NoLeader),
        Ok(Err(status)) => Err(TransferError::Failed { reason: status.message().into() }),
        Err(_) => Err(TransferError::Failed { reason: format!("no answer from node {leader}") }),
    }
}

/// The same at this node, which has to be the leader.
pub(super) async fn transfer_here(cluster: &Cluster, to: Option<u64>) -> Result<u64, TransferError> {
    let (raft, own) = (cluster.raft(), cluster.config().node_id);
    let mut metrics = raft.metrics();
    let roster = cluster.state().borrow().roster.clone();
    let target = {
        let now = metrics.borrow_watched();
        if now.state != ServerState::Leader {
            return Err(TransferError::NoLeader);
        }
        match to {
            Some(to) if !now.membership_config.voter_ids().any(|voter| voter == to) => {
                return Err(TransferError::NoVoter { node_id: to });
            }
            Some(to) => to,
            None => members::best_successor(&now, &roster, own).ok_or(TransferError::Alone)?,
        }
    };
    let asked = raft.trigger().transfer_leader(target).await;
    asked.map_err(|error| TransferError::Failed { reason: error.to_string() })?;
    let handed_over = async {
        loop {
            let (state, leader) = {
                let now = metrics.borrow_and_update();
                (now.state, now.current_leader)
            };
            match leader {
                Some(leader) if state != ServerState::Leader && leader != own => return Some(leader),
                _ if metrics.changed().await.is_err() => return None,
                _ => {}
            }
        }
    };
    match tokio::time::timeout(TRANSFER_TIMEOUT, handed_over).await {
        Ok(Some(leader)) => Ok(leader),
        Ok(None) | Err(_) => Err(TransferError::NotTaken { node_id: target }),
    }
}

const TRANSFER_TIMEOUT: Duration = Duration::from_secs(2);
/// Covers an election.
const LEADER_TIMEOUT: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(50);
