//! How the nodes fare, and how far they have come: this one and the others.

use super::{Cluster, Member, NodeStatus, disk};
use crate::proto::peer::v1 as wire;
use std::time::Duration;
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
        let status = answer.ok()?.into_inner();
        Some(NodeStatus {
            version: status.version,
            ready: status.ready,
            reason: status.reason,
            revision: status.revision,
            relayed: status.relayed,
            uptime: Duration::from_secs(status.uptime_s),
            applied: status.applied,
            disk_full: status.disk_full,
        })
    }

    pub(super) async fn applied_here(&self, log_index: u64, deadline: Instant) -> bool {
        let mut applied = self.shared.published.applied.subscribe();
        let waiting = applied.wait_for(|applied| *applied >= log_index);
        matches!(tokio::time::timeout_at(deadline, waiting).await, Ok(Ok(_)))
    }

    pub(super) fn own_status(&self) -> NodeStatus {
        let facts = (self.shared.facts)();
        NodeStatus {
            version: self.shared.config.version.clone(),
            ready: facts.ready,
            reason: facts.reason,
            revision: self.shared.published.state.borrow().table.revision,
            relayed: facts.relayed,
            uptime: facts.uptime,
            applied: *self.shared.published.applied.borrow(),
            disk_full: disk::own(self).unwrap_or_default(),
        }
    }
}
