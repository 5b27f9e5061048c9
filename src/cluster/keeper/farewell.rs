//! For whom the leader waits before it drops them: each for its own time, all at once. Pure: the time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// Since when each node has left, but for its callers.
#[derive(Default)]
pub(super) struct Farewells {
    since: BTreeMap<u64, Instant>,
}

impl Farewells {
    /// Those that may still have time, out of all that leave and have no vote any more.
    pub(super) fn open(&mut self, leaving: &BTreeSet<u64>, now: Instant) -> BTreeSet<u64> {
        self.since.retain(|id, _| leaving.contains(id));
        let since = leaving.iter().map(|id| (*id, *self.since.entry(*id).or_insert(now)));
        since
            .filter(|(_, since)| now.saturating_duration_since(*since) < FAREWELL_MAX)
            .map(|(id, _)| id)
            .collect()
    }
}

/// A request takes a second or two, and the next leg of a handshake three; a node that is not to be trusted any more
/// must not stay for as long as it likes.
const FAREWELL_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_own_time_and_all_at_once() {
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let mut farewells = Farewells::default();
        assert_eq!(farewells.open(&[2].into(), at(0)), [2].into());
        // Another one is removed meanwhile; the first one is not waited for any longer because of it.
        assert_eq!(farewells.open(&[2, 3].into(), at(6)), [2, 3].into());
        assert_eq!(farewells.open(&[2, 3].into(), at(10)), [3].into());
        // What became of the first one does not matter to the second.
        assert_eq!(farewells.open(&[3].into(), at(15)), [3].into());
        assert_eq!(farewells.open(&[3].into(), at(16)), [].into());
        assert!(farewells.open(&[].into(), at(17)).is_empty());
        assert!(farewells.since.is_empty());
    }
}
