//! Who is in, out of what Raft says about itself and what the roster says about the nodes.

use super::Member;
use super::peers::Peers;
use super::state_machine::Published;
use super::types::{Raft, TypeConfig};
use crate::state::{NodeKind, Roster};
use crate::tasks::Tasks;
use openraft::async_runtime::WatchReceiver;
use openraft::metrics::RaftServerMetrics;
use openraft::{Instant as _, RaftMetrics, ServerState};
use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The voter that should lead next, when this node leads: one that answers, and has most of the log.
pub(super) fn best_successor(metrics: &RaftMetrics<TypeConfig>, roster: &Roster, own: u64) -> Option<u64> {
    let replication = metrics.replication.as_ref().filter(|_| metrics.state == ServerState::Leader)?;
    let voters = metrics.membership_config.voter_ids();
    let voters = voters.filter(|node_id| *node_id != own && answers(metrics, *node_id));
    best_of(voters.map(|node_id| (replication.get(&node_id).cloned().flatten(), node_id)), roster)
}

/// Of those with as much of the log a relay before a witness, and then the eldest.
fn best_of<T: Ord>(voters: impl Iterator<Item = (T, u64)>, roster: &Roster) -> Option<u64> {
    let is_relay = |id: u64| roster.nodes.get(&id).is_some_and(|node| node.kind == NodeKind::Relay);
    let best = voters.max_by(|one, other| {
        let key = |(_, id): &(T, u64)| (is_relay(*id), Reverse(*id));
        one.0.cmp(&other.0).then_with(|| key(one).cmp(&key(other)))
    });
    best.map(|(_, id)| id)
}

/// Whether a node answered this leader a moment ago.
pub(super) fn answers(metrics: &RaftMetrics<TypeConfig>, node_id: u64) -> bool {
    let heartbeat = metrics.heartbeat.as_ref().and_then(|heartbeat| heartbeat.get(&node_id));
    heartbeat.is_some_and(|acked| acked.is_some_and(|acked| acked.elapsed() <= SILENT_AFTER))
}

/// Whether a node answers this leader and has nearly the whole log.
pub(super) fn is_close(metrics: &RaftMetrics<TypeConfig>, node_id: u64) -> bool {
    let matching = metrics.replication.as_ref().and_then(|replication| replication.get(&node_id));
    let matching = matching.cloned().flatten().map(|log_id| log_id.index());
    let needed = metrics.last_log_index.unwrap_or(0).saturating_sub(CLOSE_ENTRIES);
    answers(metrics, node_id) && matching.is_some_and(|index| index >= needed)
}

/// Whether the group has somebody whom the roster has no more.
pub(super) fn has_parting(raft: &Raft, roster: &Roster) -> bool {
    let metrics = raft.server_metrics();
    let metrics = metrics.borrow_watched();
    metrics.membership_config.nodes().any(|(node_id, _)| !roster.nodes.contains_key(node_id))
}

pub(super) fn follow(
    raft: &Raft,
    published: &Published,
    peers: Arc<Peers>,
    tasks: &Tasks,
) -> watch::Receiver<Arc<Vec<Member>>> {
    let mut metrics = raft.server_metrics();
    let mut newest = published.roster.subscribe();
    let now = members_of(&metrics.borrow_and_update(), &newest.borrow_and_update());
    let (sender, members) = watch::channel(now);
    let group = tasks.clone();
    tasks.spawn("members", async move {
        loop {
            let roster = newest.borrow_and_update().clone();
            peers.place(roster.nodes.iter().map(|(id, node)| (*id, node.peer_address.clone())).collect());
            let now = members_of(&metrics.borrow_and_update(), &roster);
            sender.send_if_modified(|members| {
                let changed = *members != now;
                *members = now;
                changed
            });
            tokio::select! {
                () = group.draining() => return,
                changed = metrics.changed() => if changed.is_err() { return },
                changed = newest.changed() => if changed.is_err() { return },
            }
        }
    });
    members
}

fn members_of(metrics: &RaftServerMetrics<TypeConfig>, roster: &Roster) -> Arc<Vec<Member>> {
    let membership = metrics.membership_config.membership();
    let voters = membership.get_joint_config().last();
    let members = membership.nodes().filter_map(|(node_id, _)| {
        let node = roster.nodes.get(node_id)?;
        Some(Member {
            node_id: *node_id,
            name: node.name.clone(),
            peer_address: node.peer_address.clone(),
            admin_address: node.admin_address.clone(),
            voter: voters.is_some_and(|voters| voters.contains(node_id)),
            witness: node.kind == NodeKind::Witness,
            drained: node.drained.is_some() || node.leaving.is_some(),
        })
    });
    Arc::new(members.collect())
}

/// Several heartbeats.
const SILENT_AFTER: Duration = Duration::from_secs(1);
/// A new voter must not hold up the others.
const CLOSE_ENTRIES: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{KeyHash, Node, Timestamp};

    #[test]
    fn a_witness_leads_next_only_where_no_relay_has_as_much() {
        let node = |kind| Node {
            name: String::new(),
            peer_address: String::new(),
            admin_address: String::new(),
            kind,
            incarnation: 0,
            key: KeyHash::default(),
            build: 1,
            joined_at: Timestamp(0),
            drained: None,
            leaving: None,
        };
        let nodes = [(1, NodeKind::Relay), (4, NodeKind::Relay), (7, NodeKind::Witness)];
        let nodes = nodes.map(|(id, kind)| (id, node(kind))).into();
        let roster = Roster { nodes, ..Roster::default() };
        let best = |voters: &[(u64, u64)]| best_of(voters.iter().copied(), &roster);
        assert_eq!(best(&[(9, 4), (9, 7)]), Some(4));
        assert_eq!(best(&[(9, 7), (9, 1), (9, 4)]), Some(1));
        assert_eq!(best(&[(8, 1), (9, 7)]), Some(7));
        assert_eq!(best(&[]), None);
    }
}
