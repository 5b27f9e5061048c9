//! Whether this node takes requests: what the cluster says about it, and how fresh its table is.

use super::{DRAINING, UNHEARD};
use crate::cluster::STALE_AFTER;
use crate::relay::{Deadline, Serving};
use crate::state::{NodeKind, Roster};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Puts the reasons together, and publishes what follows. Clones are the same one.
#[derive(Clone)]
pub(super) struct Duty {
    shared: Arc<Shared>,
}

struct Shared {
    node_id: u64,
    runs_as: NodeKind,
    reasons: Mutex<Reasons>,
    serving: watch::Sender<Serving>,
}

#[derive(Clone, Debug, Default)]
struct Reasons {
    /// The process is about to end.
    stopping: bool,
    /// Nobody waits any more for what would be begun.
    ended: bool,
    /// The cluster wants no requests here.
    out: Option<Out>,
    /// Of the roster that said so.
    revision: u64,
    /// What another node said, when it refused this one. Shown where no leader was heard, and nothing rests on it.
    refused: Option<String>,
    fresh: Option<Fresh>,
}

/// Why the cluster wants no requests at a node.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Out {
    /// What is there is done.
    Leaving(String),
    /// It must do none: it hears no changes any more, or never relays.
    Never(String),
}

/// How long the table is fresh enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fresh {
    pub(super) until: Deadline,
    /// How old it is then.
    pub(super) stale_after: Duration,
}

impl Duty {
    pub(super) fn new(node_id: u64, runs_as: NodeKind) -> Self {
        let reasons = Reasons::default();
        let shared = Shared {
            node_id,
            runs_as,
            serving: watch::Sender::new(reasons.serving()),
            reasons: Mutex::new(reasons),
        };
        Duty { shared: Arc::new(shared) }
    }

    pub(super) fn serving(&self) -> watch::Receiver<Serving> {
        self.shared.serving.subscribe()
    }

    /// From now on the node ends.
    pub(super) fn stop(&self) {
        self.change(|reasons| reasons.stopping = true);
    }

    /// From now on it does not even what is there.
    pub(super) fn end(&self) {
        self.change(|reasons| reasons.ended = true);
    }

    /// What the cluster says counts at once, and whatever else is so.
    pub(super) fn heed(&self, roster: &Roster) {
        self.change(|reasons| self.hear(reasons, roster));
    }

    /// The table of a roster was found fresh; or not, and then what was enough before may be too old now.
    pub(super) fn note(&self, roster: &Roster, fresh: Option<Fresh>) {
        self.change(|reasons| {
            self.hear(reasons, roster);
            reasons.fresh = fresh.or(reasons.fresh);
            if fresh.is_some() {
                reasons.refused = None;
            }
        });
    }

    /// Another node refuses this one.
    pub(super) fn refused(&self, reason: &str) {
        self.change(|reasons| reasons.refused = Some(format!("another node says: {reason}")));
    }

    /// How old the table may be.
    pub(super) fn age(&self) -> Option<Duration> {
        let fresh = self.shared.reasons.lock().unwrap_or_else(PoisonError::into_inner).fresh?;
        Some((fresh.stale_after + fresh.until.overdue()).saturating_sub(fresh.until.left()))
    }

    /// From which age on the node refuses.
    pub(super) fn stale_after(&self) -> Duration {
        let reasons = self.shared.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        reasons.fresh.map_or(STALE_AFTER, |fresh| fresh.stale_after)
    }

    /// Two tasks bring rosters, and the older one may come last.
    fn hear(&self, reasons: &mut Reasons, roster: &Roster) {
        if roster.revision >= reasons.revision {
            reasons.revision = roster.revision;
            reasons.out = out(roster, self.shared.node_id, self.shared.runs_as);
        }
    }

    fn change(&self, change: impl FnOnce(&mut Reasons)) {
        let mut reasons = self.shared.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut reasons);
        // Also when nothing changed: who waits looks at the clock again.
        self.shared.serving.send_replace(reasons.serving());
    }
}

impl Reasons {
    fn serving(&self) -> Serving {
        if self.ended {
            return Serving::Not(DRAINING.into());
        }
        let leaving = match (self.stopping, &self.out) {
            (false, None) => None,
            (_, Some(Out::Never(reason))) => return Serving::Not(reason.clone()),
            (true, _) => Some(DRAINING.to_owned()),
            (false, Some(Out::Leaving(reason))) => Some(reason.clone()),
        };
        match (leaving, self.fresh) {
            (None, None) => Serving::Not(self.refused.clone().unwrap_or_else(|| UNHEARD.into())),
            (Some(reason), None) => Serving::Not(reason),
            (None, Some(fresh)) => Serving::Until(fresh.until),
            (Some(reason), Some(fresh)) => Serving::Leaving { reason, until: fresh.until },
        }
    }
}

fn out(roster: &Roster, node_id: u64, runs_as: NodeKind) -> Option<Out> {
    if let Some(removed) = roster.removed.get(&node_id) {
        return Some(Out::Never(format!("removed from the cluster by {}", removed.by)));
    }
    if runs_as == NodeKind::Witness {
        return Some(Out::Never(WITNESS.into()));
    }
    let node = roster.nodes.get(&node_id)?;
    if let Some(by) = &node.leaving {
        // It was drained before, and may never hear that it is out.
        return Some(Out::Never(format!("leaving the cluster, removed by {by}")));
    }
    match (&node.drained, node.kind) {
        (_, NodeKind::Witness) => Some(Out::Never(MISTAKEN.into())),
        (Some(drained), NodeKind::Relay) => Some(Out::Leaving(format!("drained by {}", drained.by))),
        (None, NodeKind::Relay) => None,
    }
}

/// What a witness says to those who ask whether it takes requests.
pub(super) const WITNESS: &str = "a witness: it votes and relays nothing";
const MISTAKEN: &str = "the cluster has this node as a witness; start it with rmsc witness";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::Readiness;
    use crate::state::{Drained, Node, RemovedNode, Timestamp};

    fn roster(kind: NodeKind, drained: bool) -> Roster {
        let node = Node {
            name: "n".into(),
            peer_address: String::new(),
            admin_address: String::new(),
            kind,
            incarnation: 0,
            key: Default::default(),
            build: 1,
            joined_at: Timestamp(0),
            leaving: None,
            drained: drained.then(|| Drained { by: "alice".into(), at: Timestamp(0) }),
        };
        Roster { nodes: [(7, node)].into(), ..Roster::default() }
    }

    fn fresh(seconds: u64) -> Option<Fresh> {
        let stale_after = Duration::from_secs(seconds);
        Some(Fresh { until: Deadline::after(stale_after), stale_after })
    }

    fn check_not(duty: &Duty, words: &str) {
        match duty.serving().borrow().now() {
            Readiness::NotReady(reason) => assert!(reason.contains(words), "{reason}"),
            other => panic!("it is {other:?}, and should say {words}"),
        }
    }

    #[test]
    fn a_node_serves_only_while_its_table_is_fresh() {
        let duty = Duty::new(7, NodeKind::Relay);
        check_not(&duty, UNHEARD);
        duty.note(&Roster::default(), fresh(60));
        assert_eq!(duty.serving().borrow().now(), Readiness::Ready);
        // Nothing was heard; what was heard before still counts.
        duty.note(&Roster::default(), None);
        assert_eq!(duty.serving().borrow().now(), Readiness::Ready);
        duty.note(&Roster::default(), fresh(0));
        check_not(&duty, "too old");
    }

    #[test]
    fn a_node_that_leaves_wants_nothing_new_and_does_what_is_there() {
        let duty = Duty::new(7, NodeKind::Relay);
        duty.note(&roster(NodeKind::Relay, true), fresh(60));
        check_not(&duty, "drained by alice");
        assert_eq!(duty.serving().borrow().able(), Ok(()));
        duty.heed(&roster(NodeKind::Relay, false));
        assert_eq!(duty.serving().borrow().now(), Readiness::Ready);
        duty.stop();
        duty.note(&roster(NodeKind::Relay, false), fresh(60));
        check_not(&duty, DRAINING);
        assert_eq!(duty.serving().borrow().able(), Ok(()));
        duty.note(&roster(NodeKind::Relay, true), fresh(0));
        assert!(duty.serving().borrow().able().is_err());
    }

    #[test]
    fn an_older_roster_takes_nothing_back() {
        let duty = Duty::new(7, NodeKind::Relay);
        duty.heed(&Roster { revision: 2, ..roster(NodeKind::Relay, true) });
        duty.note(&Roster { revision: 1, ..roster(NodeKind::Relay, false) }, fresh(60));
        check_not(&duty, "drained by alice");
        duty.heed(&Roster { revision: 3, ..roster(NodeKind::Relay, false) });
        assert_eq!(duty.serving().borrow().now(), Readiness::Ready);
    }

    #[test]
    fn a_witness_and_a_removed_node_serve_nothing() {
        let duty = Duty::new(7, NodeKind::Witness);
        duty.note(&roster(NodeKind::Witness, false), fresh(60));
        check_not(&duty, "a witness");
        let duty = Duty::new(7, NodeKind::Relay);
        duty.note(&roster(NodeKind::Witness, false), fresh(60));
        check_not(&duty, "rmsc witness");
        let removed = RemovedNode { name: "n".into(), by: "bob".into(), at: Timestamp(0) };
        duty.note(&Roster { removed: [(7, removed)].into(), ..Roster::default() }, fresh(60));
        duty.stop();
        check_not(&duty, "removed from the cluster by bob");
        assert!(duty.serving().borrow().able().is_err());
    }

    #[test]
    fn the_word_of_another_node_is_shown_and_decides_nothing() {
        let duty = Duty::new(7, NodeKind::Relay);
        duty.refused("node 7 (n) was removed by bob");
        check_not(&duty, "another node says: node 7 (n) was removed by bob");
        duty.note(&Roster::default(), fresh(60));
        assert_eq!(duty.serving().borrow().now(), Readiness::Ready);
        duty.refused("node 7 (n) was removed by bob");
        assert_eq!(duty.serving().borrow().now(), Readiness::Ready);
    }

    #[test]
    fn tells_how_old_the_table_is() {
        let duty = Duty::new(7, NodeKind::Relay);
        assert_eq!(duty.age(), None);
        duty.note(&Roster::default(), fresh(60));
        assert!(duty.age().unwrap() < Duration::from_secs(5));
        let stale_after = Duration::from_secs(60);
        duty.note(&Roster::default(), Some(Fresh { until: Deadline::after(Duration::ZERO), stale_after }));
        assert!(duty.age().unwrap() >= stale_after);
    }
}
