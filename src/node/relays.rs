//! The nodes that relay, as a front knows them: members that are no witnesses, by the names and with the
//! drains that the roster has.

use crate::cluster::{Cluster, Member};
use crate::front::Peer;
use crate::state::{NodeKind, Roster};
use crate::tasks::Tasks;
use std::sync::Arc;
use tokio::sync::watch;

/// Follows the members and the roster until the tasks drain.
pub(super) fn follow(cluster: &Cluster, tasks: &Tasks) -> watch::Receiver<Arc<Vec<Peer>>> {
    let (mut members, mut state) = (cluster.members(), cluster.state());
    let first = relays(&members.borrow_and_update(), &state.borrow_and_update().roster);
    let (sender, receiver) = watch::channel(Arc::new(first));
    let draining = tasks.clone();
    tasks.spawn("relays", async move {
        loop {
            tokio::select! {
                changed = members.changed() => if changed.is_err() { return },
                changed = state.changed() => if changed.is_err() { return },
                () = draining.draining() => return,
            }
            let now = relays(&members.borrow_and_update(), &state.borrow_and_update().roster);
            sender.send_if_modified(|relays| {
                let changed = **relays != now;
                if changed {
                    *relays = Arc::new(now);
                }
                changed
            });
        }
    });
    receiver
}

fn relays(members: &[Member], roster: &Roster) -> Vec<Peer> {
    let relay = |member: &Member| {
        let node = roster.nodes.get(&member.node_id);
        if node.is_some_and(|node| node.kind == NodeKind::Witness) {
            return None;
        }
        Some(Peer {
            id: member.node_id,
            name: node.map_or(&member.name, |node| &node.name).clone(),
            address: member.peer_address.clone(),
            drained: roster.removed.contains_key(&member.node_id)
                || node.is_some_and(|node| node.drained.is_some()),
        })
    };
    members.iter().filter_map(relay).collect()
}
