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
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The voter that should lead next, when this node leads: one that answers, and has most of the log.
pub(super) fn best_successor(metrics: &RaftMetrics<TypeConfig>, own: u64) -> Option<u64> {
    let replication = metrics.replication.as_ref().filter(|_| metrics.state == ServerState::Leader)?;
    let voters = metrics.membership_config.voter_ids();
    let voters = voters.filter(|node_id| *node_id != own && answers(metrics, *node_id));
    voters.max_by_key(|node_id| replication.get(node_id).cloned().flatten())
}

/// Whether a node answered this leader a moment ago.
fn answers(metrics: &RaftMetrics<TypeConfig>, node_id: u64) -> bool {
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
