//! Asks every node how it fares, and remembers when each answered last.

use super::changes;
use super::metrics::Metrics;
use super::parting::{Asked, Gone, Parting, Removed};
use super::survival::{self, Survivals, survivals};
use crate::cluster::{Cluster, Member, NodeStatus, Standing, stale_after_removal};
use crate::state::{Node, NodeKind, State, Timestamp};
use crate::tasks::Tasks;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Asks the nodes. Clones share what they remember.
#[derive(Clone)]
pub struct Survey {
    shared: Arc<Shared>,
}

struct Shared {
    cluster: Cluster,
    answered: Mutex<BTreeMap<u64, Answered>>,
    parting: Mutex<Parting>,
    survivals: Mutex<Option<Survivals>>,
    metrics: Metrics,
}

/// The last answer of a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answered {
    pub(super) at: Instant,
    /// From which age of its table on it refuses by itself.
    pub(super) stale_after: Duration,
}

/// All nodes as they answered just now.
pub(super) struct Picture {
    pub(super) seats: Vec<Seat>,
    pub(super) standing: Standing,
    pub(super) state: Arc<State>,
    /// Whether the state has everything that was acknowledged before.
    pub(super) current: bool,
}

/// One node of it.
#[derive(Clone)]
pub(super) struct Seat {
    pub(super) member: Member,
    /// What the roster says about it.
    pub(super) node: Option<Node>,
    /// What it said; nothing if it did not answer in time.
    pub(super) status: Option<NodeStatus>,
    pub(super) answered: Option<Answered>,
}

impl Survey {
    /// Asks the nodes of this cluster.
    #[must_use]
    pub fn new(cluster: Cluster, metrics: Metrics) -> Self {
        let (answered, parting, survivals) = Default::default();
        Survey { shared: Arc::new(Shared { cluster, answered, parting, survivals, metrics }) }
    }

    /// Asks again and again until the tasks drain, for monitors and for what was known last.
    pub async fn keep(self, tasks: Tasks) {
        let mut interval = tokio::time::interval(ASK_EVERY);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = interval.tick() => {}
                () = tasks.draining() => return,
            }
            if !self.cluster().members().borrow().is_empty() {
                self.ask().await;
            }
        }
    }

    /// What the cluster survived when it was asked last.
    #[must_use]
    pub fn survivals(&self) -> Option<Survivals> {
        *self.shared.survivals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The nodes that were removed and may not know it yet, so that they may let callers in for a while.
    pub(super) fn gone(&self) -> Vec<Gone> {
        self.parting().gone(Instant::now())
    }

    /// A node was removed just now that has not said that it knows, and goes on for so long at the most.
    pub(super) fn part(&self, seat: &Seat, stale_after: Duration) {
        self.parting().part(seat.id(), seat.name(), Instant::now() + stale_after);
    }

    /// How old a node's table may be before it refuses by itself. That depends on how many voters it knows of, which
    /// may be an older truth than ours.
    pub(super) fn stale_after(&self, seat: &Seat) -> Duration {
        let own = self.cluster().own_status().facts.stale_after;
        seat.answered.map_or(own, |answered| answered.stale_after.max(own))
    }

    fn parting(&self) -> std::sync::MutexGuard<'_, Parting> {
        self.shared.parting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn cluster(&self) -> &Cluster {
        &self.shared.cluster
    }

    /// All nodes now, after everything that was acknowledged before; without a leader, as this node
    /// knows them.
    pub(super) async fn newest(&self) -> Picture {
        let barrier = tokio::time::timeout(BARRIER_TIMEOUT, self.cluster().read_barrier()).await;
        let picture = self.ask().await;
        Picture { current: matches!(barrier, Ok(Ok(_))), ..picture }
    }

    /// All nodes now, as this node knows them.
    pub(super) async fn ask(&self) -> Picture {
        let state = self.cluster().state().borrow().clone();
        let mut seats = self.roll();
        let asked = seats.iter().map(|seat| self.cluster().node_status(&seat.member, NODE_TIMEOUT));
        let statuses = futures::future::join_all(asked).await;
        for (seat, status) in seats.iter_mut().zip(statuses) {
            seat.status = status;
        }
        self.note(&mut seats);
        let picture = Picture { seats, standing: self.cluster().standing(), state, current: false };
        let survivals = picture.survivals();
        *self.shared.survivals.lock().unwrap_or_else(PoisonError::into_inner) = Some(survivals);
        self.shared.metrics.show(survivals);
        picture
    }

    /// All nodes without asking them: those that take part in Raft, and those that are let in and not
    /// there yet.
    pub(super) fn roll(&self) -> Vec<Seat> {
        let state = self.cluster().state().borrow().clone();
        let mut members = self.cluster().members().borrow().to_vec();
        let coming = state.roster.nodes.iter().filter(|(id, _)| !knows(&members, **id));
        let coming: Vec<Member> = coming.map(|(id, node)| coming_member(*id, node)).collect();
        members.extend(coming);
        members.sort_by_key(|member| member.node_id);
        let answered = self.shared.answered.lock().unwrap_or_else(PoisonError::into_inner);
        let seat = |member: Member| Seat {
            node: state.roster.nodes.get(&member.node_id).cloned(),
            answered: answered.get(&member.node_id).copied(),
            status: None,
            member,
        };
        members.into_iter().map(seat).collect()
    }

    fn note(&self, seats: &mut [Seat]) {
        let mut answered = self.shared.answered.lock().unwrap_or_else(PoisonError::into_inner);
        // A node that is gone is not heard any more; its id does not come back.
        answered.retain(|id, _| seats.iter().any(|seat| seat.id() == *id));
        for seat in &mut *seats {
            if let Some(status) = &seat.status {
                let now = Answered { at: Instant::now(), stale_after: status.facts.stale_after };
                answered.insert(seat.id(), now);
                seat.answered = Some(now);
            }
        }
        drop(answered);
        let asked = seats.iter().map(|seat| Asked {
            node_id: seat.id(),
            name: seat.name(),
            lets_in: !seat.is_witness(),
            answered: seat.up(),
            stale_after: self.stale_after(seat),
        });
        // Not older than the seats: who is none of them any more is there.
        let state = self.cluster().state().borrow().clone();
        let removed = state.roster.removed.iter().map(|(id, node)| Removed {
            node_id: *id,
            name: &node.name,
            left: stale_after_removal(&state.roster, node.at).saturating_sub(since(node.at)),
        });
        self.parting().note(asked, &removed.collect::<Vec<_>>(), Instant::now());
    }
}

impl Picture {
    pub(super) fn survivals(&self) -> Survivals {
        let seats: Vec<survival::Seat> = self.seats.iter().map(Seat::counts).collect();
        survivals(&seats, self.standing.quorum)
    }

    pub(super) fn leader(&self) -> Option<&Seat> {
        self.seats.iter().find(|seat| Some(seat.id()) == self.standing.leader)
    }

    /// The node of that name, or with that id written out.
    pub(super) fn find(&self, name_or_id: &str) -> Option<&Seat> {
        let by_name = self.seats.iter().find(|seat| seat.name() == name_or_id);
        by_name.or_else(|| self.seats.iter().find(|seat| seat.id().to_string() == name_or_id))
    }

    pub(super) fn names(&self, which: impl Fn(&Seat) -> bool) -> Vec<String> {
        self.seats.iter().filter(|seat| which(seat)).map(|seat| seat.name().to_owned()).collect()
    }
}

impl Seat {
    pub(super) fn id(&self) -> u64 {
        self.member.node_id
    }

    pub(super) fn name(&self) -> &str {
        &self.member.name
    }

    pub(super) fn up(&self) -> bool {
        self.status.is_some()
    }

    pub(super) fn is_witness(&self) -> bool {
        self.member.witness
    }

    pub(super) fn is_drained(&self) -> bool {
        self.member.drained
    }

    pub(super) fn ready(&self) -> bool {
        !self.is_witness() && self.status.as_ref().is_some_and(|status| status.facts.ready)
    }

    fn counts(&self) -> survival::Seat {
        survival::Seat { voter: self.member.voter, up: self.up(), ready: self.ready() }
    }
}

fn since(at: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(changes::now().0.saturating_sub(at.0)).unwrap_or(0))
}

fn knows(members: &[Member], node_id: u64) -> bool {
    members.iter().any(|member| member.node_id == node_id)
}

fn coming_member(node_id: u64, node: &Node) -> Member {
    Member {
        node_id,
        name: node.name.clone(),
        peer_address: node.peer_address.clone(),
        admin_address: node.admin_address.clone(),
        voter: false,
        witness: node.kind == NodeKind::Witness,
        drained: node.drained.is_some(),
    }
}

/// A node that does not answer in this time is shown as down.
const NODE_TIMEOUT: Duration = Duration::from_millis(800);
/// A leader answers at once; without one the administrator wants to see what there is.
const BARRIER_TIMEOUT: Duration = Duration::from_secs(1);
/// Often enough for monitors, and a few small calls.
const ASK_EVERY: Duration = Duration::from_secs(2);
