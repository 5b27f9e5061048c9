//! What to change next so that Raft's membership becomes what the roster says. Pure.

use crate::state::{NodeKind, Roster};
use std::collections::{BTreeMap, BTreeSet};

/// What the leader sees.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    /// The leader.
    pub(super) own: u64,
    /// The voters; of a joint membership the newer set.
    pub(super) voters: BTreeSet<u64>,
    /// Whether the membership is joint: a change that an earlier leader did not finish.
    pub(super) joint: bool,
    /// All members, with what is written there about them.
    pub(super) members: BTreeMap<u64, Written>,
    /// Those that answered a moment ago and have nearly the whole log; the leader is one.
    pub(super) caught_up: BTreeSet<u64>,
    /// Those that leave and still have callers.
    pub(super) occupied: BTreeSet<u64>,
}

/// What a membership says about a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) name: String,
    pub(super) peer: String,
    pub(super) admin: String,
}

/// One change of the membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A node of the roster begins to follow.
    AddLearner(u64),
    /// A node has moved, or has another name.
    Rewrite(u64),
    /// These have a vote from now on; who had one and has none goes on as a learner.
    Voters(BTreeSet<u64>),
    /// The leader itself was removed: another must lead before it goes.
    HandOver,
    /// These follow no more.
    Remove(BTreeSet<u64>),
    /// This one is none of the voters any more, so it can be dropped from the roster.
    Drop(u64),
}

/// The next step, if there is one.
pub(super) fn next_step(view: &View, roster: &Roster) -> Option<Step> {
    let new = roster.nodes.keys().find(|id| !view.members.contains_key(id));
    if let Some(new) = new {
        return Some(Step::AddLearner(*new));
    }
    let moved = roster.nodes.iter().find(|(id, node)| {
        let wanted = written(&node.name, &node.peer_address, &node.admin_address);
        view.members.get(id).is_some_and(|known| *known != wanted)
    });
    if let Some((moved, _)) = moved {
        return Some(Step::Rewrite(*moved));
    }
    let voters = voters(view, roster);
    if !stays(roster, view.own) && !voters.is_empty() {
        return Some(Step::HandOver);
    }
    if is_able(view, &voters) && (voters != view.voters || view.joint) {
        return Some(Step::Voters(voters));
    }
    if let Some(empty) = leaving(view, roster).difference(&view.occupied).next() {
        return Some(Step::Drop(*empty));
    }
    let gone: BTreeSet<u64> =
        view.members.keys().copied().filter(|id| !roster.nodes.contains_key(id)).collect();
    let gone: BTreeSet<u64> = gone.difference(&view.voters).copied().collect();
    (!gone.is_empty()).then_some(Step::Remove(gone))
}

/// Those that can be dropped as soon as they have no callers of their own.
pub(super) fn leaving(view: &View, roster: &Roster) -> BTreeSet<u64> {
    // The state drops none as long as nobody else relays; it was asked for under an older rule.
    if roster.nodes.values().all(|node| node.leaving.is_some() || node.kind != NodeKind::Relay) {
        return BTreeSet::new();
    }
    let leaving = roster.nodes.iter().filter(|(_, node)| node.leaving.is_some()).map(|(id, _)| *id);
    leaving.filter(|id| !view.voters.contains(id)).collect()
}

pub(super) fn written(name: &str, peer: &str, admin: &str) -> Written {
    Written { name: name.into(), peer: peer.into(), admin: admin.into() }
}

fn stays(roster: &Roster, id: u64) -> bool {
    roster.nodes.get(&id).is_some_and(|node| node.leaving.is_none())
}

/// Whether these could commit anything: a step to a set without a majority would be the last one.
fn is_able(view: &View, voters: &BTreeSet<u64>) -> bool {
    voters.intersection(&view.caught_up).count() > voters.len() / 2
}

/// Who should vote: those that do stay, and others come as far as the number allows.
fn voters(view: &View, roster: &Roster) -> BTreeSet<u64> {
    let mut voters: BTreeSet<u64> = view.voters.iter().copied().filter(|id| stays(roster, *id)).collect();
    let mut others: Vec<u64> = roster.nodes.keys().copied().filter(|id| !voters.contains(id)).collect();
    others.retain(|id| view.caught_up.contains(id) && stays(roster, *id));
    // A witness is there for its vote.
    let is_witness = |id: &u64| roster.nodes.get(id).is_some_and(|node| node.kind == NodeKind::Witness);
    others.sort_by_key(|id| (!is_witness(id), *id));
    let wanted = voters_wanted(voters.len() + others.len());
    while voters.len() > wanted {
        // First who does not answer, then a relay before a witness, then the youngest; never the leader.
        let dispensable = voters
            .iter()
            .copied()
            .filter(|id| *id != view.own)
            .max_by_key(|id| (!view.caught_up.contains(id), !is_witness(id), *id));
        let Some(dispensable) = dispensable else { break };
        voters.remove(&dispensable);
    }
    let missing = wanted.saturating_sub(voters.len());
    voters.extend(others.into_iter().take(missing));
    voters
}

/// Odd, so that none is there in vain, and at most five: more make each change slower and the cluster
/// no safer. Two nodes both vote, so that each change is on two disks.
fn voters_wanted(able: usize) -> usize {
    match able {
        0..=3 => able,
        4 => 3,
        5.. => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{KeyHash, Node, Timestamp};

    fn node(kind: NodeKind) -> Node {
        Node {
            name: "n".into(),
            peer_address: "p".into(),
            admin_address: "a".into(),
            kind,
            incarnation: 1,
            key: KeyHash::default(),
            build: 1,
            joined_at: Timestamp(0),
            drained: None,
            leaving: None,
        }
    }

    fn roster(relays: &[u64], witnesses: &[u64]) -> Roster {
        let mut roster = Roster::default();
        roster.nodes.extend(relays.iter().map(|id| (*id, node(NodeKind::Relay))));
        roster.nodes.extend(witnesses.iter().map(|id| (*id, node(NodeKind::Witness))));
        roster
    }

    /// Everybody has the whole log.
    fn view(own: u64, voters: &[u64], learners: &[u64]) -> View {
        let members: Vec<u64> = voters.iter().chain(learners).copied().collect();
        View {
            own,
            voters: voters.iter().copied().collect(),
            joint: false,
            members: members.iter().map(|id| (*id, written("n", "p", "a"))).collect(),
            caught_up: members.into_iter().collect(),
            occupied: BTreeSet::new(),
        }
    }

    fn set(ids: &[u64]) -> BTreeSet<u64> {
        ids.iter().copied().collect()
    }

    #[test]
    fn a_new_node_follows_before_it_votes() {
        let roster = roster(&[1, 5], &[]);
        assert_eq!(next_step(&view(1, &[1], &[]), &roster), Some(Step::AddLearner(5)));
        let mut behind = view(1, &[1], &[5]);
        behind.caught_up.remove(&5);
        assert_eq!(next_step(&behind, &roster), None);
        assert_eq!(next_step(&view(1, &[1], &[5]), &roster), Some(Step::Voters(set(&[1, 5]))));
        assert_eq!(next_step(&view(1, &[1, 5], &[]), &roster), None);
    }

    #[test]
    fn voters_are_odd_and_at_most_five() {
        let check = |ids: &[u64], voters: &[u64], expected: &[u64]| {
            let learners: Vec<u64> = ids.iter().copied().filter(|id| !voters.contains(id)).collect();
            let step = next_step(&view(1, voters, &learners), &roster(ids, &[]));
            let expected = (set(voters) != set(expected)).then(|| Step::Voters(set(expected)));
            assert_eq!(step, expected, "{ids:?} {voters:?}");
        };
        check(&[1, 2, 3], &[1], &[1, 2, 3]);
        check(&[1, 2, 3, 4], &[1, 2, 3], &[1, 2, 3]);
        check(&[1, 2, 3, 4, 5], &[1, 2, 3], &[1, 2, 3, 4, 5]);
        check(&[1, 2, 3, 4, 5, 6, 7], &[1, 2, 3, 4, 5], &[1, 2, 3, 4, 5]);
        // One of five was removed.
        check(&[1, 2, 3, 4], &[1, 2, 3, 4], &[1, 2, 3]);
    }

    #[test]
    fn a_witness_votes_first_and_who_does_not_answer_goes_first() {
        let step = next_step(&view(1, &[1, 2], &[3, 4]), &roster(&[1, 2, 3], &[4]));
        assert_eq!(step, Some(Step::Voters(set(&[1, 2, 4]))));
        let mut silent = view(1, &[1, 2, 3, 4], &[]);
        silent.caught_up.remove(&2);
        assert_eq!(next_step(&silent, &roster(&[1, 2, 3, 4], &[])), Some(Step::Voters(set(&[1, 3, 4]))));
    }

    #[test]
    fn a_removed_node_loses_its_vote_and_then_its_place() {
        let roster = roster(&[1, 2], &[]);
        assert_eq!(next_step(&view(1, &[1, 2, 3], &[]), &roster), Some(Step::Voters(set(&[1, 2]))));
        assert_eq!(next_step(&view(1, &[1, 2], &[3]), &roster), Some(Step::Remove(set(&[3]))));
        assert_eq!(next_step(&view(3, &[1, 2, 3], &[]), &roster), Some(Step::HandOver));
    }

    #[test]
    fn a_leaving_node_helps_until_it_has_no_vote() {
        let mut roster = roster(&[1, 2], &[]);
        roster.nodes.get_mut(&2).unwrap().leaving = Some("admin".into());
        assert_eq!(next_step(&view(2, &[1, 2], &[]), &roster), Some(Step::HandOver));
        assert_eq!(next_step(&view(1, &[1, 2], &[]), &roster), Some(Step::Voters(set(&[1]))));
        assert_eq!(next_step(&view(1, &[1], &[2]), &roster), Some(Step::Drop(2)));
    }

    #[test]
    fn who_leaves_is_dropped_without_waiting_for_another_that_has_callers() {
        let mut roster = roster(&[1, 2, 3], &[]);
        for id in [2, 3] {
            roster.nodes.get_mut(&id).unwrap().leaving = Some("admin".into());
        }
        let both = view(1, &[1], &[2, 3]);
        assert_eq!(leaving(&both, &roster), set(&[2, 3]));
        let first = View { occupied: set(&[2]), ..both };
        assert_eq!(next_step(&first, &roster), Some(Step::Drop(3)));
        roster.nodes.remove(&3);
        assert_eq!(next_step(&first, &roster), Some(Step::Remove(set(&[3]))));
        assert_eq!(next_step(&View { occupied: set(&[2]), ..view(1, &[1], &[2]) }, &roster), None);
    }

    #[test]
    fn the_last_relay_is_not_dropped_for_a_witness() {
        let mut roster = roster(&[1], &[2]);
        roster.nodes.get_mut(&1).unwrap().leaving = Some("admin".into());
        assert_eq!(next_step(&view(2, &[2], &[1]), &roster), None);
    }

    #[test]
    fn a_leaving_node_votes_until_the_others_have_a_majority_of_their_own() {
        let mut roster = roster(&[1, 2, 3], &[]);
        roster.nodes.get_mut(&2).unwrap().leaving = Some("admin".into());
        let mut silent = view(1, &[1, 2, 3], &[]);
        silent.caught_up.remove(&3);
        assert_eq!(next_step(&silent, &roster), None);
        assert_eq!(next_step(&view(1, &[1, 2, 3], &[]), &roster), Some(Step::Voters(set(&[1, 3]))));
        // The silent one goes, too.
        roster.nodes.get_mut(&3).unwrap().leaving = Some("admin".into());
        assert_eq!(next_step(&silent, &roster), Some(Step::Voters(set(&[1]))));
    }

    #[test]
    fn an_unfinished_change_is_finished() {
        let joint = View { joint: true, ..view(1, &[1, 2, 3], &[]) };
        assert_eq!(next_step(&joint, &roster(&[1, 2, 3], &[])), Some(Step::Voters(set(&[1, 2, 3]))));
    }

    #[test]
    fn a_node_that_moved_is_written_anew() {
        let mut moved = roster(&[1, 2], &[]);
        moved.nodes.get_mut(&2).unwrap().peer_address = "elsewhere".into();
        assert_eq!(next_step(&view(1, &[1, 2], &[]), &moved), Some(Step::Rewrite(2)));
    }

    #[test]
    fn before_the_cluster_is_founded_nothing_changes() {
        assert_eq!(next_step(&view(1, &[1], &[]), &Roster::default()), None);
    }
}
