//! How old the table may be: a node that has not heard from a leader for too long must not go on
//! letting in whom the others may have refused since.

use super::duty::{Duty, Fresh};
use crate::cluster::{Cluster, stale_after};
use crate::event::Event;
use crate::relay::Deadline;
use crate::tasks::Tasks;
use std::time::Duration;

/// Asks the leader four times a second what the newest change is, and waits until it is applied here:
/// then the table is as fresh as the moment of asking. How long that is enough depends on the voters, so a change of
/// the members is a reason to ask at once; without the leader's answer it changes nothing, for it may never be
/// committed.
pub(super) async fn keep(cluster: Cluster, duty: Duty, tasks: Tasks) {
    let mut interval = tokio::time::interval(ASK_EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut members = cluster.members();
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            changed = members.changed() => if changed.is_err() { return },
            () = tasks.draining() => return,
        }
        let stale_after = stale_after(cluster.members().borrow().iter().filter(|it| it.voter).count());
        let asked = Fresh { until: Deadline::after(stale_after), stale_after };
        let fresh = matches!(tokio::time::timeout(ASK_TIMEOUT, cluster.read_barrier()).await, Ok(Ok(_)));
        // The roster after the barrier: a node that was drained while it was down must not serve first.
        let roster = cluster.state().borrow().roster.clone();
        duty.note(&roster, fresh.then_some(asked));
    }
}

/// Heeds what the cluster says about this node as soon as it is applied here.
pub(super) async fn heed(cluster: Cluster, duty: Duty, tasks: Tasks) {
    let mut newest = cluster.roster();
    loop {
        let roster = newest.borrow_and_update().clone();
        duty.heed(&roster);
        tokio::select! {
            changed = newest.changed() => if changed.is_err() { return },
            () = tasks.draining() => return,
        }
    }
}

/// Shows what another node says when it refuses this one.
pub(super) async fn hear(cluster: Cluster, duty: Duty, tasks: Tasks) {
    let mut refused = cluster.refused();
    loop {
        if let Some(reason) = refused.borrow_and_update().as_deref() {
            Event::NodeRefused { reason }.log();
            duty.refused(reason);
        }
        tokio::select! {
            changed = refused.changed() => if changed.is_err() { return },
            () = tasks.draining() => return,
        }
    }
}

const ASK_EVERY: Duration = Duration::from_millis(250);
const ASK_TIMEOUT: Duration = Duration::from_secs(1);
