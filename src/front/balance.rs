//! Which node does this request, out of those ready. Pure, with no stickiness and no bonus for anyone.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Walks the ready nodes in strict rotation: one counter for a front, whoever asks.
#[derive(Debug)]
pub struct Rotation {
    next: AtomicUsize,
}

impl Rotation {
    /// Starts anywhere: fronts that start together must not walk in step.
    #[must_use]
    pub fn new(start: usize) -> Self {
        Rotation { next: AtomicUsize::new(start) }
    }

    /// The nodes to try for one request: the one whose turn it is, then the others in order.
    /// Only the first costs a turn, so a failed node's requests spread over all others.
    pub fn order<'a, T>(&self, ready: &'a [T]) -> impl Iterator<Item = &'a T> + use<'a, T> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let first = turn.checked_rem(ready.len()).unwrap_or(0);
        // The others begin at a place that moves once a round, or one neighbour would take them all.
        let (before, from) = ready.split_at(first);
        let (mine, after) = from.split_at(from.len().min(1));
        let others = before.len() + after.len();
        let offset = turn.checked_div(ready.len()).unwrap_or(0).checked_rem(others).unwrap_or(0);
        mine.iter().chain(after.iter().chain(before).cycle().skip(offset).take(others))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn firsts(rotation: &Rotation, ready: &[u64], requests: usize) -> Vec<usize> {
        let mut counts = vec![0; ready.len()];
        for _ in 0..requests {
            let first = rotation.order(ready).next().unwrap();
            counts[ready.iter().position(|node| node == first).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn differs_by_one_request_at_most() {
        for nodes in 1..=7_u64 {
            let ready: Vec<u64> = (1..=nodes).collect();
            let counts = firsts(&Rotation::new(5), &ready, 10_001);
            assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
        }
    }

    #[test]
    fn tries_every_node_once() {
        let rotation = Rotation::new(0);
        for _ in 0..20 {
            let mut order: Vec<u64> = rotation.order(&[1, 2, 3, 4]).copied().collect();
            order.sort_unstable();
            assert_eq!(order, [1, 2, 3, 4]);
        }
        assert_eq!(rotation.order::<u64>(&[]).count(), 0);
    }

    #[test]
    fn a_failed_nodes_requests_spread_over_the_others() {
        let rotation = Rotation::new(0);
        let mut seconds = [0; 4];
        for _ in 0..3_000 {
            let order: Vec<usize> = rotation.order(&[0, 1, 2]).copied().collect();
            if order[0] == 1 {
                seconds[order[1]] += 1;
            }
        }
        assert_eq!(seconds[0], seconds[2]);
    }
}
