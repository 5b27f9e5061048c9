//! How long a node lets callers in by a table of which nobody tells it whether it is the newest.

use crate::state::{Roster, Timestamp};
use std::time::Duration;

/// How old the table may be, by the number of voters. With two the loss of one ends all changes until somebody acts, so
/// it may last longer; it is never more than the quarter of an hour after which the original notices a change.
#[must_use]
pub fn stale_after(voters: usize) -> Duration {
    if voters == 2 { STALE_AFTER_TWO_VOTERS } else { STALE_AFTER }
}

/// How old the table of a node may have been that was removed then, by those that were there with it: who went at the
/// same moment, and who is there yet. Whoever came or went since is not counted: two voters have the longest time.
#[must_use]
pub fn stale_after_removal(roster: &Roster, at: Timestamp) -> Duration {
    let stayed = roster.nodes.values().filter(|node| node.joined_at <= at).count();
    let went = roster.removed.values().filter(|node| node.at == at).count();
    stale_after((stayed + went).max(2))
}

/// As long as nothing else is known.
pub const STALE_AFTER: Duration = Duration::from_secs(60);
const STALE_AFTER_TWO_VOTERS: Duration = Duration::from_secs(15 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::RemovedNode;

    #[test]
    fn who_was_removed_has_the_time_of_those_that_were_there_with_it() {
        let at = Timestamp(1_000);
        let mut roster = Roster::default();
        let mut remove = |id, at| {
            let node = RemovedNode { name: format!("node-{id}"), by: "admin".into(), at: Timestamp(at) };
            roster.removed.insert(id, node);
            [stale_after_removal(&roster, Timestamp(1_000)), stale_after_removal(&roster, Timestamp(2_000))]
        };
        // Its only other one is another cluster now, and has no time of joining before.
        assert_eq!(remove(1, 1_000), [STALE_AFTER_TWO_VOTERS; 2]);
        // One of another moment is not counted.
        assert_eq!(remove(2, 2_000), [STALE_AFTER_TWO_VOTERS; 2]);
        remove(3, 1_000);
        assert_eq!(remove(4, 1_000), [STALE_AFTER, STALE_AFTER_TWO_VOTERS]);
        assert_eq!(roster.removed.values().filter(|node| node.at == at).count(), 3);
    }
}
