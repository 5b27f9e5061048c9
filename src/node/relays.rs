//! The nodes that relay, as a front knows them: the members that are no witnesses.

use crate::cluster::{Cluster, Member};
use crate::config::Config;
use crate::front::{Logins, Metrics, Peer};
use crate::principal::Caller;
use crate::state::Roster;
use crate::tasks::Tasks;
use std::sync::Arc;
use tokio::sync::watch;

/// Follows the members until the tasks drain.
pub(super) fn follow(cluster: &Cluster, tasks: &Tasks) -> watch::Receiver<Arc<Vec<Peer>>> {
    let (mut members, state) = (cluster.members(), cluster.state());
    let relays = move |members: &[Member]| relays(members, &state.borrow().roster);
    let (sender, receiver) = watch::channel(relays(&members.borrow_and_update()));
    let draining = tasks.clone();
    tasks.spawn("relays", async move {
        loop {
            tokio::select! {
                changed = members.changed() => if changed.is_err() { return },
                () = draining.draining() => return,
            }
            sender.send_replace(relays(&members.borrow_and_update()));
        }
    });
    receiver
}

/// The logins of this node, one of so many that share what may fail.
pub(super) fn logins(
    config: &Config,
    relays: &watch::Receiver<Arc<Vec<Peer>>>,
    metrics: &Metrics,
    tasks: &Tasks,
) -> Arc<Logins> {
    Arc::new(Logins::new(config.identity.limits, relays.clone(), metrics.clone(), tasks.clone()))
}

/// What other nodes' fronts say with each request: who has proven itself there is known here as well.
pub(super) fn vouched(logins: Arc<Logins>) -> impl Fn(&Caller) + Send + Sync + 'static {
    move |caller| logins.seen(caller)
}

fn relays(members: &[Member], roster: &Roster) -> Arc<Vec<Peer>> {
    let relay = |member: &Member| {
        let key = roster.nodes.get(&member.node_id)?.key.0;
        Some(Peer {
            id: member.node_id,
            name: member.name.clone(),
            address: member.peer_address.clone(),
            key,
            drained: member.drained,
        })
    };
    Arc::new(members.iter().filter(|member| !member.witness).filter_map(relay).collect())
}
