//! Who is in, out of what Raft says about itself.

use super::Member;
use super::types::{Address, Raft, TypeConfig};
use crate::tasks::Tasks;
use openraft::async_runtime::WatchReceiver;
use openraft::{RaftMetrics, ServerState};
use std::sync::Arc;
use tokio::sync::watch;

/// The voter that has most of the log, when this node leads.
pub(super) fn best_successor(metrics: &RaftMetrics<TypeConfig>, own: u64) -> Option<u64> {
    let replication = metrics.replication.as_ref().filter(|_| metrics.state == ServerState::Leader)?;
    let voters = metrics.membership_config.voter_ids().filter(|node_id| *node_id != own);
    voters.max_by_key(|node_id| replication.get(node_id).cloned().flatten())
}

pub(super) fn follow(raft: &Raft, tasks: &Tasks) -> watch::Receiver<Arc<Vec<Member>>> {
    let mut metrics = raft.metrics();
    let (sender, members) = watch::channel(members_of(&metrics.borrow_watched()));
    let group = tasks.clone();
    tasks.spawn("members", async move {
        loop {
            let now = members_of(&metrics.borrow_watched());
            sender.send_if_modified(|members| {
                let changed = *members != now;
                *members = now;
                changed
            });
            tokio::select! {
                () = group.draining() => return,
                changed = metrics.changed() => if changed.is_err() { return },
            }
        }
    });
    members
}

fn members_of(metrics: &RaftMetrics<TypeConfig>) -> Arc<Vec<Member>> {
    let membership = metrics.membership_config.membership();
    let member = |(node_id, address): (&u64, &Address)| Member {
        node_id: *node_id,
        name: address.name.clone(),
        peer_address: address.peer.clone(),
        admin_address: address.admin.clone(),
        voter: membership.voter_ids().any(|voter| voter == *node_id),
    };
    Arc::new(membership.nodes().map(member).collect())
}
