//! How many failures relaying and changing survive. Pure.

/// What counts about a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    /// Whether it has a vote.
    pub(super) voter: bool,
    /// Whether it answers.
    pub(super) up: bool,
    /// Whether it takes requests now.
    pub(super) ready: bool,
}

/// How many more nodes may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survivals {
    /// Before requests fail; -1: they fail now.
    pub relay: i32,
    /// Before changes are refused; -1: they are refused now.
    pub changes: i32,
}

/// Relaying needs one ready node, whoever votes. Changing needs a majority of all voters, whatever else
/// they do: those that are down count for the majority and not towards it.
pub(super) fn survivals(seats: &[Seat], quorum: bool) -> Survivals {
    let count = |found: &dyn Fn(&Seat) -> bool| {
        i32::try_from(seats.iter().filter(|seat| found(seat)).count()).unwrap_or(i32::MAX)
    };
    let ready = count(&|seat| seat.ready);
    let majority = count(&|seat| seat.voter) / 2 + 1;
    let up = count(&|seat| seat.voter && seat.up);
    Survivals { relay: ready - 1, changes: if quorum { (up - majority).max(-1) } else { -1 } }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: Seat = Seat { voter: true, up: true, ready: true };
    const DRAINED: Seat = Seat { ready: false, ..READY };
    const WITNESS: Seat = DRAINED;
    const LEARNER: Seat = Seat { voter: false, ..READY };
    const DEAD: Seat = Seat { up: false, ready: false, ..READY };

    fn check(seats: &[Seat], relay: i32, changes: i32) {
        assert_eq!(survivals(seats, true), Survivals { relay, changes }, "{seats:?}");
    }

    #[test]
    fn every_node_that_is_ready_counts_for_relaying() {
        check(&[READY, READY, READY], 2, 1);
        check(&[READY; 5], 4, 2);
        check(&[READY, READY, READY, LEARNER], 3, 1);
        check(&[READY, READY, DRAINED], 1, 1);
        check(&[DRAINED, DRAINED, DRAINED], -1, 1);
    }

    #[test]
    fn every_voter_that_is_up_counts_for_changes() {
        check(&[READY, READY], 1, 0);
        check(&[READY, READY, WITNESS], 1, 1);
        check(&[READY, READY, READY, READY], 3, 1);
        check(&[READY, READY, DEAD], 1, 0);
        check(&[READY, DEAD, WITNESS], 0, 0);
        check(&[READY, LEARNER], 1, 0);
        check(&[READY, DEAD, LEARNER], 1, -1);
    }

    #[test]
    fn without_a_quorum_changes_survive_nothing() {
        let seats = [READY, DEAD, DEAD];
        assert_eq!(survivals(&seats, false), Survivals { relay: 0, changes: -1 });
        assert_eq!(survivals(&[READY, READY, READY], false), Survivals { relay: 2, changes: -1 });
    }
}
