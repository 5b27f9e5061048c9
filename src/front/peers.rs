//! The nodes that take requests now, and handing a request and its caller to one of them: a call
//! here, mutual TLS there.

mod link;
mod map;
mod turns;

pub use link::HopError;
pub use map::Standing;
pub use turns::Counts;

use super::payload::Payload;
use crate::relay::{Answered, Deadline, Head, Relay};
use crate::tasks::Tasks;
use crate::tls::MemberClient;
use link::Link;
use map::{Known, Map};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use turns::{Handed, Turn, Turns};

/// A node that relays, as the cluster knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its id, which its certificate must carry.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Where its peer port is.
    pub address: String,
    /// SHA-256 of its public key, which its certificate must carry too.
    pub key: [u8; 32],
    /// Whether it is to get no requests, whatever it says itself.
    pub drained: bool,
}

/// A node that takes requests.
#[derive(Clone)]
pub struct Target {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    way: Way,
}

#[derive(Clone)]
enum Way {
    Here(Box<Relay>),
    There(Link),
}

impl Way {
    fn is(&self, link: &Link) -> bool {
        matches!(self, Way::There(own) if own.is(link))
    }
}

/// The nodes that take requests now, in the order of their ids.
pub struct Ready {
    targets: Vec<Target>,
    /// Those that take requests too, where nobody better does.
    reserve: Vec<Target>,
    turns: Arc<Turns>,
}

impl Ready {
    /// The nodes.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Nodes that are out for something that may not matter to a request that nobody else takes.
    pub fn reserve(&self) -> &[Target] {
        &self.reserve
    }
}

/// How one node stands with this front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its id.
    pub id: u64,
    /// It gets requests.
    pub in_rotation: bool,
    /// The cluster wants it to get none.
    pub drained: bool,
    /// What it says, or what happened to it.
    pub standing: Standing,
    /// For how long.
    pub for_so_long: Duration,
    /// What it was handed.
    pub counts: Counts,
}

/// All nodes, and which of them take requests now.
#[derive(Clone)]
pub struct Peers {
    shared: Arc<Shared>,
}

struct Shared {
    own: Peer,
    ready: watch::Sender<Arc<Ready>>,
    map: Mutex<Map<Way>>,
    handed: Mutex<BTreeMap<u64, Arc<Handed>>>,
}

impl Peers {
    /// Watches the own relay and the other members, from now on until the tasks drain.
    pub fn start(
        own: Peer,
        relay: &Relay,
        client: MemberClient,
        members: watch::Receiver<Arc<Vec<Peer>>>,
        tasks: &Tasks,
    ) -> Self {
        let turns = Arc::new(Turns::new(std::iter::empty(), Instant::now()));
        let (ready, _) = watch::channel(Arc::new(Ready { targets: Vec::new(), reserve: Vec::new(), turns }));
        let (map, handed) = (Mutex::default(), Mutex::default());
        let peers = Peers { shared: Arc::new(Shared { own, ready, map, handed }) };
        tasks.spawn("own readiness", watch_own(peers.clone(), relay.clone(), tasks.clone()));
        tasks.spawn("peers", watch_members(peers.clone(), client, members, tasks.clone()));
        peers
    }

    /// The nodes that take requests now.
    #[must_use]
    pub(super) fn ready(&self) -> Arc<Ready> {
        self.shared.ready.borrow().clone()
    }

    /// Their names.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.ready().targets().iter().map(|target| target.name.clone()).collect()
    }

    /// Their ids.
    #[must_use]
    pub fn ids(&self) -> Vec<u64> {
        self.ready().targets().iter().map(|target| target.id).collect()
    }

    /// How every node stands with this front, and since when the rotation is as it is.
    #[must_use]
    pub fn seen(&self) -> (Vec<Seen>, Duration) {
        let now = Instant::now();
        let ready = self.ready();
        let map = self.shared.map.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = |(id, known): (u64, &Known<Way>)| {
            let turns = ready.turns.of(id);
            Seen {
                id,
                in_rotation: turns.is_some(),
                drained: known.drained,
                standing: known.standing.clone(),
                for_so_long: now.saturating_duration_since(known.since),
                counts: self.handed(id).counts(turns.unwrap_or(0)),
            }
        };
        (map.all().map(seen).collect(), now.saturating_duration_since(ready.turns.since))
    }

    /// What this node itself lacks, so that others are better.
    #[must_use]
    pub fn own_hamper(&self) -> Option<String> {
        let map = self.shared.map.lock().unwrap_or_else(PoisonError::into_inner);
        let own = map.all().find(|(id, _)| *id == self.shared.own.id);
        own.and_then(|(_, known)| match &known.standing {
            Standing::Hampered(hampered) => Some(hampered.reason.clone()),
            _ => None,
        })
    }

    /// Whether a node takes requests, also if others are better.
    pub(super) fn takes(&self, id: u64) -> bool {
        let map = self.shared.map.lock().unwrap_or_else(PoisonError::into_inner);
        map.all().any(|(node, known)| node == id && known.takes_requests())
    }

    /// Hands a request to a node of the rotation and waits until its answer begins.
    ///
    /// # Errors
    /// How far the request came.
    pub(super) async fn hand_over(
        &self,
        (ready, target): (&Ready, &Target),
        head: &Head,
        payload: &Payload,
        deadline: Deadline,
    ) -> Result<Answered, HopError> {
        // A question for what is kept is nobody's turn.
        let turns = (!head.kept_only).then_some(&ready.turns);
        let turn = Turn::begin(turns, &self.handed(target.id), target.id);
        match &target.way {
            Way::Here(relay) => {
                let (body, release) = payload.take().ok_or(HopError::BodyGone)?;
                let started = move || release.release();
                relay.handle(head, body, deadline, started).await.map_err(HopError::Failure)
            }
            Way::There(link) => {
                let result = link.hand_over(head, payload, deadline).await;
                if let Err(error) = &result
                    && error.is_of_the_node()
                {
                    turn.lost();
                    // Until it answers a probe; what else is on the link goes on, if it can.
                    self.change(|map, now| {
                        map.suspend(target.id, |way| way.is(link), &error.to_string(), now);
                    });
                }
                result
            }
        }
    }

    fn handed(&self, id: u64) -> Arc<Handed> {
        let mut handed = self.shared.handed.lock().unwrap_or_else(PoisonError::into_inner);
        handed.entry(id).or_default().clone()
    }

    fn change(&self, change: impl FnOnce(&mut Map<Way>, Instant)) {
        let now = Instant::now();
        let mut map = self.shared.map.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut map, now);
        let target =
            |(id, name, way): (u64, &str, &Way)| Target { id, name: name.to_owned(), way: way.clone() };
        let (targets, reserve) = map.ready();
        let [targets, reserve] =
            [targets, reserve].map(|nodes| nodes.into_iter().map(target).collect::<Vec<_>>());
        let ids = targets.iter().map(|target| target.id);
        let turns = self.ready().turns.clone();
        let turns = if turns.are_of(ids.clone()) {
            turns
        } else {
            let names: Vec<_> = targets.iter().map(|target| target.name.as_str()).collect();
            tracing::info!(ready = names.join(" "), "nodes in rotation");
            Arc::new(Turns::new(ids, now))
        };
        self.shared.ready.send_replace(Arc::new(Ready { targets, reserve, turns }));
    }
}

async fn watch_own(peers: Peers, relay: Relay, tasks: Tasks) {
    let own = peers.shared.own.clone();
    let mut serving = relay.watch_serving();
    let mut interval = tokio::time::interval(PROBE_EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut before = None;
    loop {
        serving.mark_unchanged();
        let readiness = relay.readiness();
        if before.as_ref() != Some(&readiness) {
            let way = Way::Here(Box::new(relay.clone()));
            peers.change(|map, now| map.hear((own.id, &own.name), way, readiness.clone(), now));
            before = Some(readiness);
        }
        tokio::select! {
            changed = serving.changed() => if changed.is_err() { return },
            // Its way to the service, and what it has to do, change by themselves.
            _ = interval.tick() => {}
            () = tasks.draining() => return,
        }
    }
}

async fn watch_members(
    peers: Peers,
    client: MemberClient,
    mut members: watch::Receiver<Arc<Vec<Peer>>>,
    tasks: Tasks,
) {
    let mut kept: BTreeMap<u64, (Peer, Tasks)> = BTreeMap::new();
    loop {
        let now = members.borrow_and_update().clone();
        peers.change(|map, at| map.know(&now, at));
        kept.retain(|_, (peer, task)| {
            // A new name or a drain does not end the connection, nor what is in flight on it.
            let stays = now.iter().any(|now| (now.id, &now.address) == (peer.id, &peer.address));
            if !stays {
                task.start_draining();
            }
            stays
        });
        for peer in now.iter().filter(|peer| peer.id != peers.shared.own.id) {
            kept.entry(peer.id).or_insert_with(|| {
                let task = tasks.child();
                tasks.spawn("peer", keep(peers.clone(), peer.clone(), client.clone(), task.clone()));
                (peer.clone(), task)
            });
        }
        tokio::select! {
            changed = members.changed() => if changed.is_err() { return },
            () = tasks.draining() => return,
        }
    }
}

/// Keeps one link to a peer, and the peer in rotation while it says that it is ready.
async fn keep(peers: Peers, peer: Peer, client: MemberClient, tasks: Tasks) {
    while !tasks.is_draining() {
        match Link::open(&client, &peer, &tasks).await {
            Ok(link) => {
                let why = follow(&peers, &peer, &link, &tasks).await;
                link.close();
                peers.change(|map, now| map.lose(peer.id, |way| way.is(&link), &why, now));
            }
            Err(error) => {
                tracing::debug!(peer = peer.name, %error, "no link");
                let why = format!("no connection: {error}");
                peers.change(|map, now| map.lose(peer.id, |_| false, &why, now));
            }
        }
        let pause = RECONNECT_PAUSE.mul_f64(rand::random_range(0.5..1.5));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = tasks.draining() => {}
        }
    }
}

/// Asks at a steady rate, until there is no answer in time; gives why.
async fn follow(peers: &Peers, peer: &Peer, link: &Link, tasks: &Tasks) -> String {
    let mut interval = tokio::time::interval(PROBE_EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = link.closed() => return "the connection has ended".into(),
            () = tasks.draining() => return "it is none of the cluster any more, or has another address".into(),
        }
        match link.probe().await {
            Ok(readiness) => {
                let way = Way::There(link.clone());
                peers.change(|map, now| map.hear((peer.id, &peer.name), way, readiness, now));
            }
            Err(error) => {
                tracing::info!(peer = peer.name, %error, "no sign of life");
                return error.to_string();
            }
        }
    }
}

/// How often a node is asked whether it takes requests: it is out of rotation soon after it says no.
const PROBE_EVERY: Duration = Duration::from_millis(250);
/// A node that is back is in rotation again well within 3 s.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);
