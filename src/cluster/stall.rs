//! A disk that stands still: it takes what is written, and does not say when. The node that leads lets another one lead,
//! and one whose disk stands still for long ends, where others are there for it.

use super::{Cluster, members};
use crate::event::{Disks, Event};
use crate::storage::log::Progress;
use openraft::async_runtime::WatchReceiver;
use std::time::Duration;
use tokio::time::Instant;

/// Looks at the disk until the node stops.
pub(super) async fn watch(cluster: Cluster) {
    let mut stall = Stall::default();
    let mut interval = tokio::time::interval(LOOK_EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut looked = Instant::now();
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = cluster.draining() => return,
        }
        let since = looked.elapsed();
        looked = Instant::now();
        match stall.look(cluster.shared.log.progress(), since) {
            Standing::Goes { stood: false } | Standing::Slow => {}
            Standing::Goes { stood: true } => Event::Disk { what: Disks::GoesOn, reason: "" }.log(),
            Standing::Stands { begins } => {
                if begins {
                    let reason = format!("nothing was taken for {} s", MOVES_AFTER.as_secs());
                    Event::Disk { what: Disks::StandsStill, reason: &reason }.log();
                }
                move_on(&cluster).await;
            }
            Standing::Lost if is_alone(&cluster) => {}
            Standing::Lost => {
                let waited = format!("nothing was taken for {} s", ENDS_AFTER.as_secs());
                crate::storage::stop("writing to the disk", &waited);
            }
        }
    }
}

/// Lets another voter lead, if this node does.
async fn move_on(cluster: &Cluster) {
    let raft = cluster.raft();
    let roster = cluster.state().borrow().roster.clone();
    let next = members::best_successor(&raft.metrics().borrow_watched(), &roster, cluster.config().node_id);
    let Some(next) = next else { return };
    tracing::info!(next, "the disk stands still; another node is to lead");
    // Whoever answers for Raft may wait for the disk itself.
    let asked = tokio::time::timeout(LOOK_EVERY, raft.trigger().transfer_leader(next)).await;
    if !matches!(asked, Ok(Ok(()))) {
        tracing::debug!(next, "nobody could be asked to lead");
    }
}

/// Nobody would be there for a node without other voters, and it can relay without its disk.
fn is_alone(cluster: &Cluster) -> bool {
    let own = cluster.config().node_id;
    !cluster.members().borrow().iter().any(|member| member.voter && member.node_id != own)
}

/// For how long something has waited for the disk without any of it being taken. Only what was seen counts: a process
/// that was frozen has not waited.
#[derive(Debug, Default)]
struct Stall {
    taken: u64,
    waited: Duration,
}

#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// The disk takes what is written.
    Goes { stood: bool },
    /// It takes its time.
    Slow,
    /// It stands still.
    Stands { begins: bool },
    /// It has stood still for so long that nothing is expected of it.
    Lost,
}

impl Stall {
    /// `since` is the time since the look before.
    fn look(&mut self, progress: Progress, since: Duration) -> Standing {
        let before = self.waited;
        if progress.waiting == 0 || progress.taken != self.taken {
            *self = Stall { taken: progress.taken, waited: Duration::ZERO };
            return Standing::Goes { stood: before >= MOVES_AFTER };
        }
        self.waited += since.min(2 * LOOK_EVERY);
        match self.waited {
            waited if waited >= ENDS_AFTER => Standing::Lost,
            waited if waited >= MOVES_AFTER => Standing::Stands { begins: before < MOVES_AFTER },
            _ => Standing::Slow,
        }
    }
}

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A disk that is only slow, or whose machine is copied, goes on before.
const MOVES_AFTER: Duration = Duration::from_secs(4);
const ENDS_AFTER: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    fn standings(stall: &mut Stall, progress: Progress, seconds: u32) -> Vec<Standing> {
        (0..2 * seconds).map(|_| stall.look(progress, LOOK_EVERY)).collect()
    }

    #[test]
    fn a_disk_that_stands_still_is_told_from_one_that_is_slow() {
        let mut stall = Stall::default();
        let waiting = |taken| Progress { waiting: 3, taken };
        for taken in 0..20 {
            // Each takes three seconds.
            let seen = standings(&mut stall, waiting(taken), 3);
            assert!(seen.iter().all(|it| matches!(it, Standing::Slow | Standing::Goes { stood: false })));
        }
        let seen = standings(&mut stall, waiting(19), 30);
        let first = |wanted: Standing| seen.iter().position(|it| *it == wanted);
        let behind = |seconds: u64| usize::try_from(2 * (seconds - 3)).ok();
        assert_eq!(first(Standing::Stands { begins: true }), behind(4));
        assert_eq!(first(Standing::Lost), behind(20));
        assert_eq!(stall.look(waiting(20), LOOK_EVERY), Standing::Goes { stood: true });
        assert_eq!(
            stall.look(Progress { waiting: 0, taken: 23 }, LOOK_EVERY),
            Standing::Goes { stood: false }
        );
    }

    #[test]
    fn who_was_frozen_has_not_waited() {
        let mut stall = Stall::default();
        let waiting = Progress { waiting: 1, taken: 0 };
        for _ in 0..3 {
            assert_eq!(stall.look(waiting, Duration::from_secs(3_600)), Standing::Slow);
        }
    }
}
