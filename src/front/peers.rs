//! The nodes that take requests now, and handing a request and its caller to one of them: a call
//! here, mutual TLS there.

mod link;

pub use link::HopError;

use crate::relay::{Answered, Deadline, Head, Readiness, Relay};
use crate::tasks::Tasks;
use crate::tls::MemberClient;
use crate::upstream::Body;
use link::Link;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

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

/// All nodes that take requests now, in the order of their ids.
#[derive(Clone)]
pub struct Peers {
    shared: Arc<Shared>,
}

struct Shared {
    own: Peer,
    ready: watch::Sender<Arc<Vec<Target>>>,
    map: Mutex<Map>,
}

/// Who could take requests, and what the cluster says about everybody.
#[derive(Default)]
struct Map {
    live: BTreeMap<u64, Target>,
    known: BTreeMap<u64, Peer>,
}

impl Map {
    /// Those that take requests, by the names that they have now.
    fn ready(&self) -> Vec<Target> {
        let renamed = |target: &Target| match self.known.get(&target.id) {
            Some(peer) if peer.drained => None,
            Some(peer) => Some(Target { name: peer.name.clone(), ..target.clone() }),
            None => Some(target.clone()),
        };
        self.live.values().filter_map(renamed).collect()
    }
}

/// A request's bytes, for as many attempts as they allow.
pub enum Payload {
    /// All of them: they can be sent again.
    Kept(bytes::Bytes),
    /// A long request that passes through once.
    Streamed(Option<Body>),
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
        let (ready, _) = watch::channel(Arc::default());
        let peers = Peers { shared: Arc::new(Shared { own, ready, map: Mutex::default() }) };
        tasks.spawn("own readiness", watch_own(peers.clone(), relay.clone(), tasks.clone()));
        tasks.spawn("peers", watch_members(peers.clone(), client, members, tasks.clone()));
        peers
    }

    /// The nodes that take requests now.
    #[must_use]
    pub(super) fn ready(&self) -> Arc<Vec<Target>> {
        self.shared.ready.borrow().clone()
    }

    /// Their names.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.ready().iter().map(|target| target.name.clone()).collect()
    }

    /// Their ids.
    #[must_use]
    pub fn ids(&self) -> Vec<u64> {
        self.ready().iter().map(|target| target.id).collect()
    }

    /// Hands a request to a node and waits until its answer begins.
    ///
    /// # Errors
    /// How far the request came.
    pub(super) async fn hand_over(
        &self,
        target: &Target,
        head: &Head,
        payload: &mut Payload,
        deadline: Deadline,
    ) -> Result<Answered, HopError> {
        match &target.way {
            Way::Here(relay) => {
                let body = payload.take().ok_or(HopError::BodyGone)?;
                relay.handle(head, body, deadline, || {}).await.map_err(HopError::Failure)
            }
            Way::There(link) => {
                let result = link.hand_over(head, payload, deadline).await;
                // Out of rotation until it answers a probe; what else is on the link goes on, if it can.
                if let Err(HopError::NotAccepted { .. } | HopError::Lost { .. }) = &result {
                    self.suspend(target.id, link);
                }
                result
            }
        }
    }

    fn put(&self, target: Target) {
        self.change(|map| {
            map.live.insert(target.id, target);
        });
    }

    fn remove(&self, id: u64) {
        self.change(|map| {
            map.live.remove(&id);
        });
    }

    /// Takes what the cluster says: a drained node gets no new request from now on, and keeps those it has.
    fn know(&self, peers: &[Peer]) {
        self.change(|map| map.known = peers.iter().map(|peer| (peer.id, peer.clone())).collect());
    }

    /// Takes a node out because this link to it failed; a newer link stays.
    fn suspend(&self, id: u64, failed: &Link) {
        self.change(|map| {
            let same = |target: &Target| matches!(&target.way, Way::There(link) if link.is(failed));
            if map.live.get(&id).is_some_and(same) {
                map.live.remove(&id);
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Map)) {
        let mut map = self.shared.map.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut map);
        let ready = map.ready();
        let before = self.shared.ready.send_replace(Arc::new(ready.clone()));
        if !before.iter().map(|target| target.id).eq(ready.iter().map(|target| target.id)) {
            let names: Vec<_> = ready.iter().map(|target| target.name.as_str()).collect();
            tracing::info!(ready = names.join(" "), "nodes in rotation");
        }
    }
}

impl Payload {
    /// The bytes for one more attempt; `None` once a stream is spent.
    pub fn take(&mut self) -> Option<Body> {
        use http_body_util::{BodyExt, Full};
        match self {
            Payload::Kept(bytes) => {
                Some(Full::new(bytes.clone()).map_err(|never| match never {}).boxed_unsync())
            }
            Payload::Streamed(body) => body.take(),
        }
    }

    /// Whether another attempt could send the bytes.
    #[must_use]
    pub fn is_left(&self) -> bool {
        match self {
            Payload::Kept(_) => true,
            Payload::Streamed(body) => body.is_some(),
        }
    }
}

async fn watch_own(peers: Peers, relay: Relay, tasks: Tasks) {
    let own = peers.shared.own.clone();
    let mut serving = relay.watch_serving();
    let mut before = Readiness::NotReady(String::new());
    loop {
        serving.mark_unchanged();
        let ready = relay.readiness();
        match (&before, &ready) {
            (Readiness::Ready, Readiness::Ready) => {}
            (Readiness::NotReady(_), Readiness::Ready) => {
                peers.put(Target {
                    id: own.id,
                    name: own.name.clone(),
                    way: Way::Here(Box::new(relay.clone())),
                });
            }
            (_, Readiness::NotReady(_)) => peers.remove(own.id),
        }
        before = ready;
        tokio::select! {
            changed = serving.changed() => if changed.is_err() { return },
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
        peers.know(&now);
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
                follow(&peers, &peer, &link, &tasks).await;
                link.close();
                peers.suspend(peer.id, &link);
            }
            Err(error) => tracing::debug!(peer = peer.name, %error, "no link"),
        }
        let pause = RECONNECT_PAUSE.mul_f64(rand::random_range(0.5..1.5));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = tasks.draining() => {}
        }
    }
}

/// Asks at a steady rate, until there is no answer in time.
async fn follow(peers: &Peers, peer: &Peer, link: &Link, tasks: &Tasks) {
    let mut interval = tokio::time::interval(PROBE_EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = link.closed() => return,
            () = tasks.draining() => return,
        }
        match link.probe().await {
            Ok(Readiness::Ready) => {
                peers.put(Target { id: peer.id, name: peer.name.clone(), way: Way::There(link.clone()) });
            }
            Ok(Readiness::NotReady(_)) => peers.remove(peer.id),
            Err(error) => {
                tracing::info!(peer = peer.name, %error, "no sign of life");
                return;
            }
        }
    }
}

/// How often a node is asked whether it takes requests: it is out of rotation soon after it says no.
const PROBE_EVERY: Duration = Duration::from_millis(250);
/// A node that is back is in rotation again well within 3 s.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);
