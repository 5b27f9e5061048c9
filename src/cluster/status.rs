//! How the nodes fare, and how far they have come: this one and the others.

use super::{Cluster, Facts, Member, NodeStatus, disk};
use crate::proto::peer::v1 as wire;
use crate::state::Timestamp;
use openraft::async_runtime::WatchReceiver;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

impl Cluster {
    /// Whether a member has applied the log up to an index, or does within `timeout`.
    pub async fn await_applied(&self, node: &Member, log_index: u64, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        if node.node_id == self.shared.config.node_id {
            return self.applied_here(log_index, deadline).await;
        }
        let timeout_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        let mut client = self.shared.peers.node(node.node_id, &node.peer_address);
        let asked = client.await_applied(wire::AwaitAppliedRequest { log_index, timeout_ms });
        match tokio::time::timeout_at(deadline, asked).await {
            Ok(Ok(answer)) => answer.into_inner().applied,
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// How a member fares; nothing if it does not answer in time.
    pub async fn node_status(&self, node: &Member, timeout: Duration) -> Option<NodeStatus> {
        if node.node_id == self.shared.config.node_id {
            return Some(self.own_status());
        }
        let mut client = self.shared.peers.node(node.node_id, &node.peer_address);
        let answer = tokio::time::timeout(timeout, client.status(wire::StatusRequest {})).await.ok()?;
        let answer = answer.inspect_err(|status| self.shared.peers.note(status));
        Some(from_wire(answer.ok()?.into_inner()))
    }

    /// What a member last said when it refused this node as none of the cluster: one that was removed while it
    /// was off hears of it in no other way. One node's word, for people.
    #[must_use]
    pub fn refused(&self) -> watch::Receiver<Option<String>> {
        self.shared.peers.refused()
    }

    /// Whether a node takes part in Raft, as far as this one knows.
    #[must_use]
    pub fn has_member(&self, node_id: u64) -> bool {
        let metrics = self.shared.raft.metrics();
        metrics.borrow_watched().membership_config.membership().get_node(&node_id).is_some()
    }

    pub(super) async fn applied_here(&self, log_index: u64, deadline: Instant) -> bool {
        let mut applied = self.applied();
        let waiting = applied.wait_for(|applied| *applied >= log_index);
        matches!(tokio::time::timeout_at(deadline, waiting).await, Ok(Ok(_)))
    }

    /// How this node fares.
    #[must_use]
    pub fn own_status(&self) -> NodeStatus {
        NodeStatus {
            version: self.shared.config.version.clone(),
            revision: self.shared.published.state.borrow().table.revision,
            applied: *self.shared.published.applied.borrow(),
            disk_full: disk::own(self).unwrap_or_default(),
            facts: (self.shared.facts)(),
        }
    }
}

pub(super) fn to_wire(status: NodeStatus) -> wire::StatusResponse {
    let facts = status.facts;
    wire::StatusResponse {
        version: status.version,
        ready: facts.ready,
        reason: facts.reason,
        revision: status.revision,
        relayed: facts.relayed,
        uptime_s: facts.uptime.as_secs(),
        applied: status.applied,
        disk_full: status.disk_full,
        fresh_ms: facts.age.map(milliseconds),
        stale_after_ms: milliseconds(facts.stale_after),
        in_flight: facts.in_flight,
        rotation: facts.rotation,
        certificate_expires_at_ms: facts.certificate_expires_at.map_or(0, |at| at.0),
        plain_seal_key: facts.plain_seal_key,
    }
}

pub(super) fn from_wire(status: wire::StatusResponse) -> NodeStatus {
    NodeStatus {
        version: status.version,
        revision: status.revision,
        applied: status.applied,
        disk_full: status.disk_full,
        facts: Facts {
            ready: status.ready,
            reason: status.reason,
            relayed: status.relayed,
            uptime: Duration::from_secs(status.uptime_s),
            age: status.fresh_ms.map(Duration::from_millis),
            stale_after: Duration::from_millis(status.stale_after_ms),
            in_flight: status.in_flight,
            rotation: status.rotation,
            certificate_expires_at: Some(status.certificate_expires_at_ms)
                .filter(|at| *at != 0)
                .map(Timestamp),
            plain_seal_key: status.plain_seal_key,
        },
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_crosses_the_wire_whole() {
        let facts = Facts {
            ready: true,
            reason: "none".into(),
            relayed: 7,
            uptime: Duration::from_secs(9),
            age: Some(Duration::from_millis(11)),
            stale_after: Duration::from_secs(60),
            in_flight: 3,
            rotation: vec![1, 2],
            certificate_expires_at: Some(Timestamp(5)),
            plain_seal_key: true,
        };
        let disk_full = "full".into();
        let status = NodeStatus { version: "1".into(), revision: 4, applied: 8, disk_full, facts };
        assert_eq!(from_wire(to_wire(status.clone())), status);
        let unheard = NodeStatus::default();
        assert_eq!(from_wire(to_wire(unheard.clone())), unheard);
    }
}
