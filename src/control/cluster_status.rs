//! One screen about the cluster: who is in, who leads, what still works.

use super::{Config, administrator};
use crate::cluster::{Cluster, Member, NodeStatus, Standing};
use crate::proto::control::v1 as proto;
use crate::proto::control::v1::cluster_server::Cluster as ClusterService;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Response, Status};

/// The service.
pub(super) struct Service {
    config: Config,
    cluster: Cluster,
}

impl Service {
    pub(super) fn new(config: Config, cluster: Cluster) -> Self {
        Service { config, cluster }
    }
}

#[tonic::async_trait]
impl ClusterService for Service {
    async fn status(
        &self,
        request: Request<proto::StatusRequest>,
    ) -> Result<Response<proto::StatusResponse>, Status> {
        administrator(&request)?;
        let members: Arc<Vec<Member>> = self.cluster.members().borrow().clone();
        let asked = members.iter().map(|member| self.cluster.node_status(member, NODE_TIMEOUT));
        let statuses = futures::future::join_all(asked).await;
        let standing = self.cluster.standing();
        let state = self.cluster.state().borrow().clone();
        let nodes: Vec<proto::Node> =
            members.iter().zip(statuses).map(|(member, status)| node(member, status, &standing)).collect();
        let leader = nodes.iter().find(|node| node.leader).map(|node| node.name.clone()).unwrap_or_default();
        let entries = state.table.entries.len() as u64;
        let (relay_survives, changes_survive) = survives(&nodes, standing.quorum);
        let warnings = warnings(&nodes, changes_survive, entries);
        Ok(Response::new(proto::StatusResponse {
            cluster_id: self.config.cluster_id.clone(),
            service_name: self.config.service_name.clone(),
            leader,
            term: standing.term,
            revision: state.table.revision,
            entries,
            nodes,
            relay_survives,
            changes_survive,
            upstream: Some(proto::Upstream {
                kind: self.config.upstream_kind.into(),
                address: self.config.upstream_address.clone(),
            }),
            warnings,
        }))
    }
}

fn node(member: &Member, status: Option<NodeStatus>, standing: &Standing) -> proto::Node {
    let up = status.is_some();
    let status = status.unwrap_or_default();
    proto::Node {
        id: member.node_id,
        name: member.name.clone(),
        peer_address: member.peer_address.clone(),
        version: status.version,
        voter: member.voter,
        up,
        leader: standing.leader == Some(member.node_id),
        ready: up && status.ready,
        reason: if up { status.reason } else { "does not answer".into() },
        revision: status.revision,
        relayed: status.relayed,
        uptime_s: status.uptime.as_secs(),
    }
}

/// How many more failures relaying and changing survive. Relaying needs one ready node; changing a
/// majority of the voters.
fn survives(nodes: &[proto::Node], quorum: bool) -> (i32, i32) {
    let count = |found: usize| i32::try_from(found).unwrap_or(i32::MAX);
    let ready = count(nodes.iter().filter(|node| node.ready).count());
    let voters = count(nodes.iter().filter(|node| node.voter).count());
    let up = count(nodes.iter().filter(|node| node.voter && node.up).count());
    let majority = voters / 2 + 1;
    let changes = if quorum { (up - majority).max(-1) } else { -1 };
    (ready - 1, changes)
}

fn warnings(nodes: &[proto::Node], changes_survive: i32, entries: u64) -> Vec<String> {
    let mut warnings = Vec::new();
    for node in nodes.iter().filter(|node| !node.ready) {
        warnings.push(format!("{} takes no requests: {}", node.name, node.reason));
    }
    let voters = nodes.iter().filter(|node| node.voter).count();
    match changes_survive {
        -1 => warnings.push(
            "changes are not possible: no majority of the voters is up; requests are relayed on".into(),
        ),
        0 if voters == 2 => {
            warnings.push("two voters: changes survive no failure; add a third node or a witness".into());
        }
        0 => warnings.push("changes survive no further failure".into()),
        _ => {}
    }
    if entries == 0 {
        warnings.push("the table is empty, so nobody is served: rmsc authz add".into());
    }
    warnings
}

/// A node that does not answer in this time is shown as down.
const NODE_TIMEOUT: Duration = Duration::from_millis(800);

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(up: &[bool]) -> Vec<proto::Node> {
        up.iter().map(|up| proto::Node { voter: true, up: *up, ready: *up, ..Default::default() }).collect()
    }

    #[test]
    fn counts_what_relaying_and_changes_survive() {
        assert_eq!(survives(&nodes(&[true, true, true]), true), (2, 1));
        assert_eq!(survives(&nodes(&[true, true, false]), true), (1, 0));
        assert_eq!(survives(&nodes(&[true, false, false]), false), (0, -1));
        assert_eq!(survives(&nodes(&[true, true]), true), (1, 0));
        assert_eq!(survives(&nodes(&[true, true, true, true, true]), true), (4, 2));
    }
}
