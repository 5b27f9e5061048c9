//! How old the table may be: a node that has not heard from a leader for too long must not go on
//! letting in whom the others may have refused since.

use crate::cluster::Cluster;
use crate::relay::{Deadline, Serving};
use crate::tasks::Tasks;
use std::time::Duration;
use tokio::sync::watch;

/// Asks the leader four times a second what the newest change is, and waits until it is applied here:
/// then the table is as fresh as the moment of asking.
pub(super) async fn keep(cluster: Cluster, serving: watch::Sender<Serving>, tasks: Tasks) {
    let mut interval = tokio::time::interval(ASK_EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = tasks.draining() => return,
        }
        let asked = Deadline::after(max_staleness(&cluster));
        let fresh = matches!(tokio::time::timeout(ASK_TIMEOUT, cluster.read_barrier()).await, Ok(Ok(_)));
        serving.send_if_modified(|serving| {
            if let Some(now) = judge(serving, fresh.then_some(asked)) {
                *serving = now;
            }
            // Also when nothing was heard: what was enough before may be too old now.
            true
        });
    }
}

/// What an answer changes; nothing once the node drains, and nothing without one.
fn judge(before: &Serving, fresh_until: Option<Deadline>) -> Option<Serving> {
    match before {
        Serving::Not(reason) if reason == super::DRAINING => None,
        Serving::Not(_) | Serving::Until(_) => fresh_until.map(Serving::Until),
    }
}

/// With two voters the loss of one ends all changes until somebody acts, so it may last longer; it is
/// never more than the quarter of an hour after which the original notices a change.
fn max_staleness(cluster: &Cluster) -> Duration {
    let voters = cluster.members().borrow().iter().filter(|member| member.voter).count();
    if voters == 2 { STALENESS_MAX_TWO_VOTERS } else { STALENESS_MAX }
}

const ASK_EVERY: Duration = Duration::from_millis(250);
const ASK_TIMEOUT: Duration = Duration::from_secs(1);
const STALENESS_MAX: Duration = Duration::from_secs(60);
const STALENESS_MAX_TWO_VOTERS: Duration = Duration::from_secs(15 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::Readiness;

    #[test]
    fn a_node_serves_only_while_its_table_is_fresh() {
        let unheard = Serving::Not(super::super::UNHEARD.into());
        let until = Deadline::after(Duration::from_secs(60));
        assert_eq!(judge(&unheard, None), None);
        assert_eq!(judge(&unheard, Some(until)), Some(Serving::Until(until)));
        assert_eq!(judge(&Serving::Until(until), None), None);
        let draining = Serving::Not(super::super::DRAINING.into());
        assert_eq!(judge(&draining, Some(until)), None);
        assert_eq!(Serving::Until(until).now(), Readiness::Ready);
        assert!(matches!(Serving::Until(Deadline::after(Duration::ZERO)).now(), Readiness::NotReady(_)));
    }
}
