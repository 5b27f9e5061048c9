//! How many requests a front has handed to each node: of the rotation as it is now, and all in all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The counts of one rotation: it ends when another node comes in or one goes out.
#[derive(Debug)]
pub(super) struct Turns {
    /// When it began.
    pub(super) since: Instant,
    of_nodes: Vec<(u64, AtomicU64)>,
}

/// The counts of one node, whatever the rotation.
#[derive(Debug, Default)]
pub(super) struct Handed {
    handed: AtomicU64,
    lost: AtomicU64,
    in_flight: AtomicU64,
}

/// What a front has handed to one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests, since the rotation is as it is now; those that it did not take are not among them.
    pub turns: u64,
    /// Since the node has started.
    pub handed: u64,
    /// Those of them that it did not take, or that it was lost with.
    pub lost: u64,
    /// Those that it has now.
    pub in_flight: u64,
}

/// A request that a node has, for as long as this is kept.
pub(super) struct Turn {
    turns: Option<Arc<Turns>>,
    handed: Arc<Handed>,
    id: u64,
}

impl Turns {
    pub(super) fn new(ids: impl Iterator<Item = u64>, since: Instant) -> Self {
        Turns { since, of_nodes: ids.map(|id| (id, AtomicU64::new(0))).collect() }
    }

    /// Whether these are the nodes.
    pub(super) fn are_of(&self, ids: impl Iterator<Item = u64>) -> bool {
        self.of_nodes.iter().map(|(id, _)| *id).eq(ids)
    }

    /// What a node has had; nothing if it is not in the rotation.
    pub(super) fn of(&self, id: u64) -> Option<u64> {
        self.count(id).map(|count| count.load(Ordering::Relaxed))
    }

    fn count(&self, id: u64) -> Option<&AtomicU64> {
        self.of_nodes.iter().find(|(node, _)| *node == id).map(|(_, count)| count)
    }
}

impl Handed {
    pub(super) fn counts(&self, turns: u64) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts { turns, handed: read(&self.handed), lost: read(&self.lost), in_flight: read(&self.in_flight) }
    }
}

impl Turn {
    pub(super) fn begin(turns: Option<&Arc<Turns>>, handed: &Arc<Handed>, id: u64) -> Self {
        let turn = Turn { turns: turns.cloned(), handed: handed.clone(), id };
        if let Some(count) = turn.count() {
            count.fetch_add(1, Ordering::Relaxed);
        }
        handed.handed.fetch_add(1, Ordering::Relaxed);
        handed.in_flight.fetch_add(1, Ordering::Relaxed);
        turn
    }

    /// The node did not take it, or was lost with it.
    pub(super) fn lost(&self) {
        if let Some(count) = self.count() {
            count.fetch_sub(1, Ordering::Relaxed);
        }
        self.handed.lost.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> Option<&AtomicU64> {
        self.turns.as_ref()?.count(self.id)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.handed.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_a_node_has_taken_and_what_it_has_now() {
        let (turns, handed) = (Arc::new(Turns::new([1, 2].into_iter(), Instant::now())), Arc::default());
        let (one, two) = (Turn::begin(Some(&turns), &handed, 1), Turn::begin(Some(&turns), &handed, 1));
        two.lost();
        drop(two);
        let expected = Counts { turns: 1, handed: 2, lost: 1, in_flight: 1 };
        assert_eq!(handed.counts(turns.of(1).unwrap()), expected);
        drop(one);
        assert_eq!(handed.counts(1).in_flight, 0);
        assert_eq!((turns.of(2), turns.of(3)), (Some(0), None));
        assert!(turns.are_of([1, 2].into_iter()) && !turns.are_of([1].into_iter()));
    }
}
