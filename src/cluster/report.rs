//! A node tells the others what has changed about it since it was last seen: where it is, and what
//! its build knows.

use super::{Cluster, VERSION};
use crate::state::{Change, RosterChange, Timestamp};
use std::time::Duration;

/// Reports until the roster says about this node what is true; again after each change of the roster.
pub(super) async fn report(cluster: Cluster, clock: fn() -> Timestamp) {
    let mut roster = cluster.roster();
    loop {
        let change = due(&cluster);
        let Some(change) = change else {
            tokio::select! {
                () = cluster.draining() => return,
                changed = roster.changed() => if changed.is_err() { return },
            }
            continue;
        };
        let name = cluster.config().name.clone();
        if let Err(error) = cluster.write(&name, Change::Roster(change), None, clock()).await {
            tracing::info!(%error, "the cluster does not know yet what changed about this node");
        }
        tokio::select! {
            () = cluster.draining() => return,
            () = tokio::time::sleep(AGAIN_AFTER) => {}
        }
    }
}

fn due(cluster: &Cluster) -> Option<RosterChange> {
    let config = cluster.config();
    let state = cluster.state();
    let state = state.borrow();
    let node = state.roster.nodes.get(&config.node_id)?;
    let known = (node.peer_address.as_str(), node.admin_address.as_str(), node.build);
    let now = (config.peer_address.as_str(), config.admin_address.as_str(), VERSION);
    (known != now).then(|| RosterChange::ReportNode {
        node_id: config.node_id,
        peer_address: config.peer_address.clone(),
        admin_address: config.admin_address.clone(),
        build: VERSION,
    })
}

const AGAIN_AFTER: Duration = Duration::from_secs(1);
