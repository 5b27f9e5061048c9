//! The replicated part: one table on every node, changed by agreement. Raft stays inside.

mod admission;
mod codec;
mod copy;
mod disk;
mod forward;
mod found;
mod keeper;
mod log_store;
mod medium;
mod members;
mod network;
mod node_service;
mod offline;
mod opening;
mod packed;
mod peers;
mod public;
mod report;
mod rescue;
mod rows;
mod service;
mod settings;
mod snapshot;
mod staleness;
mod stall;
mod state_machine;
mod status;
mod survey;
mod transfer;
mod types;
mod vouch;

pub use admission::{Admitted, Introduced, Introduction, NotAdmitted};
pub use codec::KNOWN as VERSION;
pub use copy::{Copied, CopiedError, Copy, CopyError};
pub use found::Roots;
pub use offline::{Beginning, Offline, RecoverError, Recovered};
pub use peers::{Dial, Dialed, Stream};
pub use public::{
    Config, Facts, FoundError, KeyInUse, Member, NodeStatus, OpenError, ReadError, ShownCertificate,
    Standing, TransferError, WriteError, Written,
};
pub use service::PeerNode;
pub use staleness::{STALE_AFTER, stale_after, stale_after_removal};
pub use survey::{CompareError, Comparison, Known, Loss, Place, Survey, compare};

use crate::state::{Change, ClientId, KeyHash, Roster, State, Timestamp};
use crate::storage::space::Space;
use crate::storage::version;
use crate::tasks::Tasks;
use log_store::LogStore;
use medium::Log;
use network::Network;
use node_service::NodeService;
use openraft::async_runtime::WatchReceiver;
use openraft::{Instant as _, RaftMetrics, ServerState};
use peers::Peers;
use rescue::Rescue;
use rows::Closed;
use service::{Gate, Heard, RaftService};
use state_machine::{Published, Snapshots};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use types::{Raft, TypeConfig};
use vouch::Vouched;

/// This node's part in the cluster. Clones name the same.
#[derive(Clone)]
pub struct Cluster {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    /// Which disk this is.
    incarnation: u128,
    raft: Raft,
    log: Log,
    space: Space,
    /// Which voters' disks have no room, as a leader knows.
    crowded: Mutex<disk::Crowded>,
    snapshots: Snapshots,
    peers: Arc<Peers>,
    heard: Heard,
    facts: Arc<dyn Fn() -> Facts + Send + Sync>,
    published: Published,
    members: watch::Receiver<Arc<Vec<Member>>>,
    closed: Mutex<Option<Closed>>,
    vouched: Vouched,
    introduction: OnceLock<Introduction>,
    tasks: Tasks,
}

impl Cluster {
    /// Opens what is on disk, and takes part in the group that the log names, if it names one.
    ///
    /// # Errors
    /// [`OpenError`] when the data cannot be used.
    pub async fn open(
        config: Config,
        dial: Arc<dyn Dial>,
        facts: Arc<dyn Fn() -> Facts + Send + Sync>,
        tasks: &Tasks,
    ) -> Result<Self, OpenError> {
        let clock = config.clock;
        let raft_config = settings::of_raft(&config)?;
        let path = config.data_dir.join(LOG);
        let mut claim = version::claim(&config.data_dir, &path, &owner(&config.cluster_id, config.node_id))?;
        let failed = |source| OpenError::State { source };
        let log = opening::log(&path, claim.log_made, &config.name)?;
        claim.note_log()?;
        copy::remove_left(&config.data_dir).map_err(failed)?;
        let space = Space::open(&config.data_dir).map_err(failed)?;
        let published = Published::new();
        let peers = Arc::new(Peers::new(dial));
        let rescue = Rescue { config: &config, incarnation: claim.incarnation, peers: &peers, log: &log };
        let (machine, snapshots, closed) = opening::state(&rescue, &space, &published, tasks).await?;
        let mut store = LogStore::new(log.clone()).behind(snapshots.clone());
        opening::fit(&mut store, &machine, path).await?;
        let network = Network {
            cluster_id: config.cluster_id.clone(),
            node_id: config.node_id,
            incarnation: claim.incarnation,
            peers: peers.clone(),
        };
        let raft = Raft::new(config.node_id, Arc::new(raft_config), network, store, machine)
            .await
            .map_err(|error| OpenError::Raft { reason: error.to_string() })?;
        let members = members::follow(&raft, &published, peers.clone(), tasks);
        let shared = Shared {
            config,
            incarnation: claim.incarnation,
            raft,
            log,
            space,
            crowded: Mutex::default(),
            snapshots,
            peers,
            heard: Heard::default(),
            facts,
            published,
            members,
            closed: Mutex::new(Some(closed)),
            vouched: Vouched::default(),
            introduction: OnceLock::new(),
            tasks: tasks.clone(),
        };
        let cluster = Cluster { shared: Arc::new(shared) };
        tasks.spawn("keeper", keeper::keep(cluster.clone(), clock));
        tasks.spawn("report", report::report(cluster.clone(), clock));
        tasks.spawn("disk", disk::keep(cluster.clone()));
        tasks.spawn("disk that stands still", stall::watch(cluster.clone()));
        Ok(cluster)
    }

    /// What the peer port serves. Its listener puts a [`PeerNode`] into every request.
    #[must_use]
    pub fn routes(&self) -> tonic::service::Routes {
        let config = &self.shared.config;
        let raft = RaftService {
            raft: self.shared.raft.clone(),
            gate: Gate {
                cluster_id: config.cluster_id.as_str().into(),
                node_id: config.node_id,
                incarnation: self.shared.incarnation,
                group: self.shared.introduction.get().map(|introduction| introduction.group),
                raft: self.shared.raft.clone(),
            },
            heard: self.shared.heard.clone(),
            snapshots: self.shared.snapshots.clone(),
        };
        tonic::service::Routes::new(raft.into_server()).add_service(NodeService(self.clone()).into_server())
    }

    /// Makes a group of this node alone, and founds the cluster in it. Can be repeated.
    ///
    /// # Errors
    /// [`FoundError`].
    pub async fn found(&self, roots: Roots, by: &str, at: Timestamp) -> Result<(), FoundError> {
        found::found(self, roots, by, at).await
    }

    /// Whether a node with a certificate of this cluster belongs to it now, as far as is known here.
    ///
    /// # Errors
    /// [`NotAdmitted`] says why not.
    pub fn admits(&self, node_id: u64, key: &KeyHash) -> Result<Admitted, NotAdmitted> {
        admission::admits(&self.shared.published, self.shared.introduction.get(), node_id, key)
    }

    /// Says whom to believe as long as there is nothing of the log here. Before [`Cluster::routes`], once.
    pub fn introduce(&self, introduction: Introduction) {
        // A second one is of the same file.
        let _ = self.shared.introduction.set(introduction);
    }

    /// Whom a node that joins now may believe, as this one knows them.
    #[must_use]
    pub fn introduction(&self) -> Introduction {
        let Standing { applied: as_of, group, .. } = self.standing();
        let state = self.shared.published.state.borrow();
        let member = |(id, node): (&u64, &crate::state::Node)| Introduced {
            node_id: *id,
            key: node.key,
            peer_address: node.peer_address.clone(),
        };
        Introduction { as_of, group, members: state.roster.nodes.iter().map(member).collect() }
    }

    /// Makes another node lead: the one that is named, or the voter that has most of the log. Returns
    /// who leads then. Works from any node.
    ///
    /// # Errors
    /// [`TransferError`].
    pub async fn transfer(&self, to: Option<u64>) -> Result<u64, TransferError> {
        transfer::transfer(self, to).await
    }

    /// The newest applied state, without the clients' answers.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<Arc<State>> {
        self.shared.published.state.subscribe()
    }

    /// The roster of the newest applied state; it changes rarely.
    #[must_use]
    pub fn roster(&self) -> watch::Receiver<Arc<Roster>> {
        self.shared.published.roster.subscribe()
    }

    /// The log index up to which the state is applied.
    #[must_use]
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.shared.published.applied.subscribe()
    }

    /// Who is in; empty until a group is formed.
    #[must_use]
    pub fn members(&self) -> watch::Receiver<Arc<Vec<Member>>> {
        self.shared.members.clone()
    }

    /// How this node stands, as far as it knows.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let metrics = self.shared.raft.metrics();
        let metrics = metrics.borrow_watched();
        Standing {
            leader: metrics.current_leader,
            term: metrics.current_term,
            last_log_index: metrics.last_log_index.unwrap_or(0),
            applied: *self.shared.published.applied.borrow(),
            quorum: self.has_quorum(&metrics),
            snapshot: metrics.snapshot.as_ref().map_or(0, |log_id| log_id.index()),
            group: metrics.membership_config.nodes().map(|(_, node)| node.group).next().unwrap_or(0),
        }
    }

    /// Whether a node that was removed is still in the group, so that it gets what is written.
    #[must_use]
    pub fn has_parting(&self) -> bool {
        members::has_parting(&self.shared.raft, &self.state().borrow().roster)
    }

    /// Changes the state, from any node: acknowledged means committed by a quorum, and applied at
    /// the leader. With `client` a caller can repeat a change without acting twice.
    ///
    /// # Errors
    /// [`WriteError`]; only [`WriteError::Unknown`] may have acted.
    pub async fn write(
        &self,
        by: &str,
        change: Change,
        client: Option<ClientId>,
        at: Timestamp,
    ) -> Result<Written, WriteError> {
        forward::write(self, by, change, client, at).await
    }

    /// Waits until everything that was acknowledged anywhere before is applied here; the log index.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read_barrier(&self) -> Result<u64, ReadError> {
        forward::read_barrier(self).await
    }

    /// Waits until this node must not go on; why. Raft stops by itself only for a disk, a newer entry
    /// or a defect; else the node was removed, or the cluster knows it with another disk.
    pub async fn failed(&self) -> String {
        tokio::select! {
            reason = self.raft_failed() => reason,
            reason = self.is_out() => reason,
        }
    }

    async fn is_out(&self) -> String {
        let own = self.shared.config.node_id;
        let mut newest = self.roster();
        loop {
            let roster = newest.borrow_and_update().clone();
            if let Some(removed) = roster.removed.get(&own) {
                // One that was dropped by force may still be needed to change the voters.
                let wait = self.shared.raft.wait(Some(PARTING));
                let settled = wait.metrics(
                    |metrics| !metrics.membership_config.voter_ids().any(|voter| voter == own),
                    "it has no vote",
                );
                settled.await.ok();
                return format!(
                    "this node, {} ({own}), was removed from the cluster by {}; a new node can join in its place: \
                     rmsc token create on another node, then rmsc join here",
                    removed.name, removed.by
                );
            }
            if roster.nodes.get(&own).is_some_and(|node| node.incarnation != self.shared.incarnation) {
                return format!("the cluster knows node {own} with another disk");
            }
            if newest.changed().await.is_err() {
                return "the state machine has ended".into();
            }
        }
    }

    async fn raft_failed(&self) -> String {
        let mut metrics = self.shared.raft.metrics();
        loop {
            if let Err(fatal) = &metrics.borrow_watched().running_state {
                return fatal.to_string();
            }
            if metrics.changed().await.is_err() {
                return "it was stopped".into();
            }
        }
    }

    /// Hands leadership over if it is here, stops, and closes the storage. The peer port has to
    /// serve until this returns.
    pub async fn shutdown(&self) {
        match transfer::transfer_here(self, None).await {
            Ok(_) | Err(TransferError::NoLeader | TransferError::Alone) => {}
            Err(error) => tracing::warn!(%error, "leadership was not handed over"),
        }
        if let Err(error) = self.shared.raft.shutdown().await {
            tracing::warn!(%error, "raft did not stop in order");
        }
        let closed = self.shared.closed.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(closed) = closed {
            closed.wait().await;
        }
        self.shared.log.close();
    }

    fn has_quorum(&self, metrics: &RaftMetrics<TypeConfig>) -> bool {
        let recent = self.shared.config.election_max;
        if metrics.state == ServerState::Leader {
            let alone = metrics.membership_config.voter_ids().count() == 1;
            return alone || metrics.last_quorum_acked.is_some_and(|acked| acked.elapsed() <= recent);
        }
        let heard = self.shared.heard.last();
        heard.is_some_and(|(from, at)| metrics.current_leader == Some(from) && at.elapsed() <= recent)
    }

    fn incarnation(&self) -> u128 {
        self.shared.incarnation
    }

    async fn draining(&self) {
        self.shared.tasks.draining().await;
    }

    fn config(&self) -> &Config {
        &self.shared.config
    }

    fn raft(&self) -> &Raft {
        &self.shared.raft
    }

    fn peers(&self) -> &Peers {
        &self.shared.peers
    }

    fn crowded(&self) -> MutexGuard<'_, disk::Crowded> {
        self.shared.crowded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn owner(cluster_id: &str, node_id: u64) -> String {
    format!("{cluster_id} node {node_id}")
}

/// How long a node that was dropped waits for losing its vote before it ends.
const PARTING: Duration = Duration::from_secs(5);
/// Where in the data folder the log is.
const LOG: &str = "log";

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
