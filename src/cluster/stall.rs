//! A disk that stands still: it takes what is written, and does not say when. It is said, and nothing else is done: a
//! leader goes on with the disks of the others, and a successor would need the vote of this node, which must write it.

use super::Cluster;
use crate::event::{Disks, Event};
use crate::storage::log::Progress;
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
            Some(Turn::StandsStill) => {
                let reason = format!("nothing was taken for {} s", STANDS_AFTER.as_secs());
                Event::Disk { what: Disks::StandsStill, reason: &reason }.log();
            }
            Some(Turn::GoesOn) => Event::Disk { what: Disks::GoesOn, reason: "" }.log(),
            None => {}
        }
    }
}

/// For how long something has waited for the disk without any of it being taken. Only what was seen counts: a process
/// that was frozen has not waited.
#[derive(Debug, Default)]
struct Stall {
    taken: u64,
    waited: Duration,
}

/// What is news.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    StandsStill,
    GoesOn,
}

impl Stall {
    /// `since` is the time since the look before.
    fn look(&mut self, progress: Progress, since: Duration) -> Option<Turn> {
        let stood = self.waited >= STANDS_AFTER;
        if progress.waiting == 0 || progress.taken != self.taken {
            *self = Stall { taken: progress.taken, waited: Duration::ZERO };
            return stood.then_some(Turn::GoesOn);
        }
        self.waited += since.min(2 * LOOK_EVERY);
        (!stood && self.waited >= STANDS_AFTER).then_some(Turn::StandsStill)
    }
}

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A disk that is only slow, or whose machine is copied, goes on before.
const STANDS_AFTER: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_stands_still_is_told_from_one_that_is_slow() {
        let mut stall = Stall::default();
        let mut look = |waiting, taken| stall.look(Progress { waiting, taken }, LOOK_EVERY);
        for taken in 0..20 {
            // Each takes three seconds.
            assert!((0..6).all(|_| look(3, taken).is_none()));
        }
        // Of the last one, two and a half seconds have been seen.
        let turns: Vec<_> = (0..60).map(|_| look(3, 19)).collect();
        assert_eq!(turns.iter().position(Option::is_some), Some(2));
        assert_eq!(turns.into_iter().flatten().collect::<Vec<_>>(), [Turn::StandsStill]);
        assert_eq!(look(3, 20), Some(Turn::GoesOn));
        assert_eq!(look(0, 23), None);
    }

    #[test]
    fn who_was_frozen_has_not_waited() {
        let mut stall = Stall::default();
        let waiting = Progress { waiting: 1, taken: 0 };
        assert!((0..3).all(|_| stall.look(waiting, Duration::from_secs(3_600)).is_none()));
    }
}
