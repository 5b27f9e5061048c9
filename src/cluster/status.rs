//! How the nodes fare, and how far they have come: this one and the others.

use super::{Cluster, Facts, KeyInUse, Member, NodeStatus, ShownCertificate, disk};
use crate::proto::peer::v1 as wire;
use crate::state::{ServiceKeyId, Timestamp};
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

    /// This node's name, if it leads.
    #[must_use]
    pub fn leads(&self) -> Option<&str> {
        let config = &self.shared.config;
        (self.standing().leader == Some(config.node_id)).then_some(config.name.as_str())
    }

    /// This node's id and name.
    #[must_use]
    pub fn node(&self) -> (u64, &str) {
        (self.shared.config.node_id, &self.shared.config.name)
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
        exchange_ntlm_unbound: facts.exchange_ntlm_unbound,
        directory_away_ms: facts.directory_away.map(milliseconds),
        winbind_away: facts.winbind_away,
        account_shared: facts.account_shared,
        cloud_differs: facts.cloud_differs,
        service_keys: facts.service_keys.into_iter().map(key_to_wire).collect(),
        clock_ms: facts.clock.map_or(0, |clock| clock.0),
        front: facts.front,
        hampered: facts.hampered,
        front_certificate: facts.front_certificate.map(certificate_to_wire),
        certificate_lacking: facts.certificate_lacking,
        certificate_faults: facts.certificate_faults,
        serves_clients: facts.serves_clients,
        service_name: facts.service_name,
        upstream: facts.upstream,
        service_failing: facts.service_failing,
    }
}

fn certificate_to_wire(shown: ShownCertificate) -> wire::ShownCertificate {
    let ShownCertificate { fingerprint, subject, issuer, not_after, of_file } = shown;
    wire::ShownCertificate { fingerprint, subject, issuer, not_after_ms: not_after.0, of_file }
}

fn certificate_from_wire(shown: wire::ShownCertificate) -> ShownCertificate {
    let wire::ShownCertificate { fingerprint, subject, issuer, not_after_ms, of_file } = shown;
    ShownCertificate { fingerprint, subject, issuer, not_after: Timestamp(not_after_ms), of_file }
}

fn key_to_wire(KeyInUse { id, of_file, used_at }: KeyInUse) -> wire::KeyInUse {
    let used_at_ms = used_at.map_or(0, |at| at.0);
    wire::KeyInUse { service: id.service, version: id.version, etype: id.etype.into(), of_file, used_at_ms }
}

fn key_from_wire(key: wire::KeyInUse) -> KeyInUse {
    let etype = u16::try_from(key.etype).unwrap_or(u16::MAX);
    let id = ServiceKeyId { service: key.service, version: key.version, etype };
    KeyInUse { id, of_file: key.of_file, used_at: known(key.used_at_ms) }
}

fn known(milliseconds: i64) -> Option<Timestamp> {
    (milliseconds != 0).then_some(Timestamp(milliseconds))
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
            certificate_expires_at: known(status.certificate_expires_at_ms),
            plain_seal_key: status.plain_seal_key,
            exchange_ntlm_unbound: status.exchange_ntlm_unbound,
            directory_away: status.directory_away_ms.map(Duration::from_millis),
            winbind_away: status.winbind_away,
            account_shared: status.account_shared,
            cloud_differs: status.cloud_differs,
            service_keys: status.service_keys.into_iter().take(KEYS_MAX).map(key_from_wire).collect(),
            clock: known(status.clock_ms),
            front: status.front,
            hampered: status.hampered,
            front_certificate: status.front_certificate.map(certificate_from_wire),
            certificate_lacking: status.certificate_lacking,
            certificate_faults: status.certificate_faults.into_iter().take(FAULTS_MAX).collect(),
            serves_clients: status.serves_clients,
            service_name: status.service_name,
            upstream: status.upstream,
            service_failing: status.service_failing,
        },
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Of the cluster and of a large file together.
const KEYS_MAX: usize = 1_024;
/// More than there are kinds of them.
const FAULTS_MAX: usize = 64;

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
            exchange_ntlm_unbound: true,
            directory_away: Some(Duration::from_secs(7)),
            winbind_away: true,
            account_shared: true,
            cloud_differs: "url".into(),
            service_keys: vec![KeyInUse {
                id: ServiceKeyId { service: "HTTP/rms@R".into(), version: 3, etype: 18 },
                of_file: true,
                used_at: Some(Timestamp(6)),
            }],
            clock: Some(Timestamp(7)),
            front: Some(wire::FrontReport { unchanged_ms: 9, nodes: vec![wire::FrontNode::default()] }),
            hampered: "no way".into(),
            front_certificate: Some(ShownCertificate {
                fingerprint: vec![1; 32],
                subject: "CN=rms".into(),
                issuer: "CN=ca".into(),
                not_after: Timestamp(8),
                of_file: true,
            }),
            certificate_lacking: "none".into(),
            certificate_faults: vec!["it has expired".into()],
            serves_clients: true,
            service_name: "rms".into(),
            upstream: "cloud".into(),
            service_failing: "it does".into(),
        };
        let disk_full = "full".into();
        let status = NodeStatus { version: "1".into(), revision: 4, applied: 8, disk_full, facts };
        assert_eq!(from_wire(to_wire(status.clone())), status);
        let unheard = NodeStatus::default();
        assert_eq!(from_wire(to_wire(unheard.clone())), unheard);
    }
}
