//! Nodes that were removed while nobody heard of them: such a one may not know, and lets callers in for as long as its
//! table is fresh. Who was heard is remembered and not written: after a restart each that was removed a moment ago is
//! taken for one of them. Pure: the time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Who was heard when, and who went unheard.
#[derive(Default)]
pub(super) struct Parting {
    heard: BTreeMap<u64, Heard>,
    /// Those that ended in order.
    told: BTreeSet<u64>,
    /// Those that let nobody in.
    witnesses: BTreeSet<u64>,
    gone: BTreeMap<u64, Gone>,
}

struct Heard {
    name: String,
    /// When it answered last, or was asked first.
    at: Instant,
    answered: bool,
    /// What held then.
    stale_after: Duration,
}

/// A node of the cluster.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) node_id: u64,
    pub(super) name: &'a str,
    /// Whether callers may come to it.
    pub(super) lets_in: bool,
    pub(super) answered: bool,
    /// How old its table may be.
    pub(super) stale_after: Duration,
}

/// One that was.
#[derive(Clone, Copy)]
pub(super) struct Removed<'a> {
    pub(super) node_id: u64,
    pub(super) name: &'a str,
    /// For how long its table may be fresh yet, if it does not know.
    pub(super) left: Duration,
}

/// A node that is none any more, and may not know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) node_id: u64,
    pub(super) name: String,
    /// When it refuses by itself at the latest.
    pub(super) refuses_at: Instant,
}

impl Parting {
    /// All nodes as they were asked just now, and what the roster says about those that are none any more.
    pub(super) fn note<'a>(
        &mut self,
        asked: impl Iterator<Item = Asked<'a>>,
        removed: &[Removed<'_>],
        now: Instant,
    ) {
        let mut before = std::mem::take(&mut self.heard);
        let witnesses = std::mem::take(&mut self.witnesses);
        for Asked { node_id, name, lets_in, answered, stale_after } in asked {
            if !lets_in {
                self.witnesses.insert(node_id);
                continue;
            }
            let unheard = before.remove(&node_id).filter(|_| !answered);
            let heard =
                unheard.unwrap_or_else(|| Heard { name: name.into(), at: now, answered, stale_after });
            self.heard.insert(node_id, heard);
        }
        for (id, heard) in before {
            // One that was heard knows it from the log, which it is told before it is let go.
            if now.saturating_duration_since(heard.at) >= UNHEARD_AFTER {
                self.part(id, &heard.name, now + heard.stale_after);
            } else if heard.answered {
                self.told.insert(id);
            }
        }
        let was_removed = |id: &u64| removed.iter().any(|removed| removed.node_id == *id);
        self.told.retain(was_removed);
        self.witnesses.extend(witnesses.into_iter().filter(was_removed));
        for Removed { node_id, name, left } in removed {
            let knows = self.told.contains(node_id) || self.witnesses.contains(node_id);
            if !left.is_zero() && !knows && !self.heard.contains_key(node_id) {
                self.part(*node_id, name, now + *left);
            }
        }
        self.gone.retain(|_, gone| gone.refuses_at > now);
    }

    pub(super) fn part(&mut self, node_id: u64, name: &str, refuses_at: Instant) {
        let gone = Gone { node_id, name: name.into(), refuses_at };
        self.gone.entry(node_id).or_insert(gone);
    }

    pub(super) fn gone(&self, now: Instant) -> Vec<Gone> {
        self.gone.values().filter(|gone| gone.refuses_at > now).cloned().collect()
    }
}

/// Longer than from one question to the next, so that a node that ends in order is not taken for one that is lost.
const UNHEARD_AFTER: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const STALE: Duration = Duration::from_secs(60);
    const WITNESS: u64 = 9;

    fn asked(nodes: &[(u64, bool)]) -> impl Iterator<Item = Asked<'static>> {
        nodes.iter().map(|(node_id, answered)| Asked {
            node_id: *node_id,
            name: "b",
            lets_in: *node_id != WITNESS,
            answered: *answered,
            stale_after: STALE,
        })
    }

    fn removed(node_id: u64, left: Duration) -> Removed<'static> {
        Removed { node_id, name: "b", left }
    }

    #[test]
    fn who_goes_unheard_is_named_until_its_table_is_stale() {
        let begin = Instant::now();
        let mut parting = Parting::default();
        let at = |seconds: u32| begin + SECOND * seconds;
        parting.note(asked(&[(1, true), (2, true), (3, true)]), &[], at(0));
        parting.note(asked(&[(1, true), (2, false), (3, true)]), &[], at(2));
        parting.note(asked(&[(1, true), (2, false), (3, true)]), &[], at(4));
        assert_eq!(parting.gone(at(4)), []);
        // The third one ended in order.
        let both = |left| [removed(2, left), removed(3, left)];
        parting.note(asked(&[(1, true)]), &both(STALE), at(6));
        let gone = Gone { node_id: 2, name: "b".into(), refuses_at: at(66) };
        assert_eq!(parting.gone(at(65)), std::slice::from_ref(&gone));
        // Said once more by who removed it: the first word counts.
        parting.part(2, "b", at(70));
        parting.note(asked(&[(1, true)]), &both(SECOND * 58), at(8));
        assert_eq!(parting.gone(at(65)), [gone]);
        assert_eq!(parting.gone(at(66)), []);
        parting.note(asked(&[(1, true)]), &both(Duration::ZERO), at(67));
        assert!(parting.gone.is_empty());
    }

    #[test]
    fn after_a_restart_who_was_removed_a_moment_ago_is_named() {
        let begin = Instant::now();
        let mut parting = Parting::default();
        // What is applied here may be older: it is asked, and cannot answer.
        parting.note(asked(&[(1, true), (2, false)]), &[], begin);
        parting.note(
            asked(&[(1, true)]),
            &[removed(2, SECOND * 40), removed(3, Duration::ZERO)],
            begin + SECOND,
        );
        let gone = Gone { node_id: 2, name: "b".into(), refuses_at: begin + SECOND * 41 };
        assert_eq!(parting.gone(begin + SECOND), [gone]);
        // It is in the membership yet.
        let mut parting = Parting::default();
        parting.note(asked(&[(1, true), (2, true)]), &[removed(2, STALE)], begin);
        assert_eq!(parting.gone(begin), []);
    }
    #[test]
    fn a_witness_lets_nobody_in_so_it_is_not_named() {
        let begin = Instant::now();
        let mut parting = Parting::default();
        parting.note(asked(&[(1, true), (WITNESS, false)]), &[], begin);
        for seconds in [1, 5] {
            parting.note(asked(&[(1, true)]), &[removed(WITNESS, STALE)], begin + SECOND * seconds);
            assert_eq!(parting.gone(begin + SECOND * seconds), []);
        }
        parting.note(asked(&[(1, true)]), &[], begin + SECOND * 70);
        assert!(parting.witnesses.is_empty());
    }
}
