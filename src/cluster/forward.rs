//! Writes and linearizable reads from any node: done here by the leader, else asked of it, one hop.

use super::types::{Proposal, TypeConfig};
use super::{Cluster, ReadError, WriteError, Written, codec, disk, peers};
use crate::proto::peer::v1 as wire;
use crate::proto::state::v1 as stored;
use crate::state::{Change, ClientId, Command, Outcome, Roster, Timestamp};
use openraft::ReadPolicy;
use openraft::errors::{ClientWriteError, ForwardReason, LinearizableReadError, RaftError};
use prost::Message;
use std::time::Duration;
use tokio::time::Instant;
use tonic::{Code, Status};

/// What one attempt came to.
#[derive(Debug)]
pub(super) enum Attempt {
    /// Surely nothing was proposed.
    Refused(String),
    /// Nothing was proposed, because disks are full.
    DiskFull(String),
    /// It may have been, and may still be committed.
    Unknown(String),
}

/// Proposes until there is an answer, under one client id and serial: it acts once.
pub(super) async fn write(
    cluster: &Cluster,
    by: &str,
    change: Change,
    client: Option<ClientId>,
    at: Timestamp,
) -> Result<Written, WriteError> {
    permitted(change.version(), &cluster.state().borrow().roster)?;
    let client = client.unwrap_or_else(|| ClientId(rand::random()));
    let (digest, since) = (codec::digest(&change), cluster.standing().applied);
    let command = Command { client, serial: 1, digest, since, at, by: by.into(), change };
    let bytes = codec::command_to(&command);
    if bytes.len() > COMMAND_BYTES_MAX {
        return Err(WriteError::TooLarge { bytes: bytes.len(), bytes_max: COMMAND_BYTES_MAX });
    }
    let begun = Instant::now();
    let deadline = begun + WRITE_TIMEOUT;
    let (mut pause, mut unknown) = (PAUSE_FIRST, None);
    loop {
        let refused = match propose(cluster, bytes.clone(), deadline).await {
            Ok(Written { outcome: Outcome::Forgotten, .. }) => {
                let reason = "too many other changes came in between".into();
                return Err(WriteError::Unknown { waited: WRITE_TIMEOUT, reason });
            }
            Ok(written) => return Ok(written),
            Err(Attempt::DiskFull(reason)) if unknown.is_none() && begun.elapsed() >= FULL_PATIENCE => {
                return Err(WriteError::DiskFull { reason });
            }
            Err(Attempt::Refused(reason) | Attempt::DiskFull(reason)) => reason,
            Err(Attempt::Unknown(reason)) => unknown.insert(reason).clone(),
        };
        tracing::debug!(refused, "a write did not get through yet");
        if Instant::now() + pause >= deadline {
            return Err(match unknown {
                Some(reason) => WriteError::Unknown { waited: WRITE_TIMEOUT, reason },
                None => no_leader(cluster, refused),
            });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// What some node's build could not apply would stop that node.
fn permitted(needed: u32, roster: &Roster) -> Result<(), WriteError> {
    if !roster.is_founded() || needed <= roster.version {
        return Ok(());
    }
    Err(WriteError::TooNew { needed, now: roster.version })
}

fn no_leader(cluster: &Cluster, reason: String) -> WriteError {
    match cluster.standing().leader {
        Some(leader) => WriteError::NoQuorum { leader, reason },
        None => WriteError::NoLeader { reason },
    }
}

async fn propose(cluster: &Cluster, bytes: Vec<u8>, deadline: Instant) -> Result<Written, Attempt> {
    let leader = leader(cluster)?;
    if leader == cluster.config().node_id {
        return propose_here(cluster, bytes, deadline).await;
    }
    let mut client = node(cluster, leader)?;
    let asked = client.propose(wire::ProposeRequest { command: bytes });
    let timeout = deadline.saturating_duration_since(Instant::now()).min(HOP_TIMEOUT);
    let answer = match tokio::time::timeout(timeout, asked).await {
        Ok(answer) => answer.map_err(|status| from_status(leader, &status))?.into_inner(),
        Err(_) => return Err(Attempt::Unknown(format!("no answer from node {leader}"))),
    };
    let outcome = stored::Outcome::decode(answer.outcome.as_slice())
        .map_err(|error| Attempt::Unknown(error.to_string()))
        .and_then(|outcome| {
            codec::outcome_from(outcome).map_err(|error| Attempt::Unknown(error.to_string()))
        })?;
    Ok(Written { log_index: answer.log_index, outcome })
}

/// Proposes at this node, which has to be the leader.
pub(super) async fn propose_here(
    cluster: &Cluster,
    bytes: Vec<u8>,
    deadline: Instant,
) -> Result<Written, Attempt> {
    if let Some(reason) = disk::refusal(cluster) {
        return Err(Attempt::DiskFull(reason));
    }
    let written = match tokio::time::timeout_at(deadline, cluster.raft().client_write(Proposal(bytes))).await
    {
        Ok(written) => written.map_err(write_failed)?,
        Err(_) => return Err(Attempt::Unknown("it was not committed in time".into())),
    };
    let log_index = written.log_id.index();
    match written.data.0 {
        Some(outcome) => Ok(Written { log_index, outcome }),
        None => Err(Attempt::Unknown("the entry was no command".into())),
    }
}

fn write_failed(error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> Attempt {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => {
            Attempt::Refused(match forward.reason {
                ForwardReason::NotLeader => "the node is not the leader".into(),
                ForwardReason::LeadershipTransfer => "the leader is handing over".into(),
                ForwardReason::LeaseExpired => "the leader hears from too few voters".into(),
            })
        }
        other => Attempt::Unknown(other.to_string()),
    }
}

/// The log index that a linearizable read needs, applied here when this returns.
pub(super) async fn read_barrier(cluster: &Cluster) -> Result<u64, ReadError> {
    let deadline = Instant::now() + READ_TIMEOUT;
    let mut pause = PAUSE_FIRST;
    let log_index = loop {
        let reason = match read_index(cluster, deadline).await {
            Ok(log_index) => break log_index,
            Err(Attempt::Refused(reason) | Attempt::DiskFull(reason) | Attempt::Unknown(reason)) => reason,
        };
        if Instant::now() + pause >= deadline {
            return Err(ReadError::NoLeader { reason });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    };
    if cluster.applied_here(log_index, deadline).await {
        Ok(log_index)
    } else {
        Err(ReadError::Behind { log_index })
    }
}

async fn read_index(cluster: &Cluster, deadline: Instant) -> Result<u64, Attempt> {
    let leader = leader(cluster)?;
    let timeout = deadline.saturating_duration_since(Instant::now()).min(HOP_TIMEOUT);
    let overdue = |_| Attempt::Refused(format!("no answer from node {leader}"));
    if leader == cluster.config().node_id {
        return tokio::time::timeout(timeout, read_index_here(cluster)).await.map_err(overdue)?;
    }
    let mut client = node(cluster, leader)?;
    let asked = client.read_index(wire::ReadIndexRequest {});
    let answer = tokio::time::timeout(timeout, asked).await.map_err(overdue)?;
    Ok(answer.map_err(|status| from_status(leader, &status))?.into_inner().log_index)
}

/// The read index of this node, which has to be the leader and hear from a quorum.
pub(super) async fn read_index_here(cluster: &Cluster) -> Result<u64, Attempt> {
    match cluster.raft().get_read_log_id(ReadPolicy::ReadIndex).await {
        Ok((read, _applied)) => Ok(read.index()),
        Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(_))) => {
            Err(Attempt::Refused("the node is not the leader".into()))
        }
        Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => {
            Err(Attempt::Refused("the leader hears from too few voters".into()))
        }
        Err(RaftError::Fatal(fatal)) => Err(Attempt::Refused(fatal.to_string())),
    }
}

fn leader(cluster: &Cluster) -> Result<u64, Attempt> {
    cluster.standing().leader.ok_or_else(|| Attempt::Refused("no leader is known".into()))
}

fn node(
    cluster: &Cluster,
    node_id: u64,
) -> Result<wire::node_client::NodeClient<tonic::transport::Channel>, Attempt> {
    let members = cluster.members();
    let members = members.borrow();
    let member = members.iter().find(|member| member.node_id == node_id);
    let member = member.ok_or_else(|| Attempt::Refused(format!("node {node_id} is not a member")))?;
    Ok(cluster.peers().node(node_id, &member.peer_address))
}

fn from_status(leader: u64, status: &Status) -> Attempt {
    if peers::never_sent(status) {
        return Attempt::Refused(format!("node {leader} cannot be reached"));
    }
    let reason = format!("node {leader}: {}", status.message());
    match status.code() {
        Code::FailedPrecondition | Code::PermissionDenied | Code::Unauthenticated | Code::InvalidArgument => {
            Attempt::Refused(reason)
        }
        Code::ResourceExhausted => Attempt::DiskFull(status.message().into()),
        _ => Attempt::Unknown(reason),
    }
}

/// Covers an election, and an administrator still waits for it.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// A leader whose disk is full hands over within two looks at it, if another has room.
const FULL_PATIENCE: Duration = Duration::from_millis(2_500);
/// A name, a note and a SID; 256 of them fit into one message between nodes.
pub(super) const COMMAND_BYTES_MAX: usize = 24 * 1024;
/// A leader that is silent for so long is asked again, or its successor.
const HOP_TIMEOUT: Duration = Duration::from_secs(2);
const READ_TIMEOUT: Duration = Duration::from_secs(5);
const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_not_every_build_knows_is_not_proposed() {
        let founding = Roster::default();
        permitted(1, &founding).unwrap();
        let roster = Roster { authority: "PEM".into(), version: 1, ..founding };
        permitted(1, &roster).unwrap();
        let refused = permitted(2, &roster).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "this change needs the rules of version 2, and the cluster keeps to version 1; \
             upgrade every node, then: rmsc cluster upgrade"
        );
    }
}
