//! The replicated part: one table on every node, changed by agreement. Raft stays inside.

mod codec;
mod disk;
mod form;
mod forward;
mod log_store;
mod members;
mod network;
mod node_service;
mod peers;
mod public;
mod rows;
mod service;
mod settings;
mod snapshot;
mod state_machine;
mod types;

pub use peers::{Dial, Dialed, Stream};
pub use public::{
    Config, Facts, FormError, Member, NodeStatus, OpenError, ReadError, Standing, WriteError, Written,
};
pub use service::PeerNode;

use crate::proto::peer::v1 as wire;
use crate::state::{Change, ClientId, State, Timestamp};
use crate::storage::version;
use crate::tasks::Tasks;
use disk::Log;
use log_store::LogStore;
use network::Network;
use node_service::NodeService;
use openraft::async_runtime::WatchReceiver;
use openraft::storage::RaftLogStorage;
use openraft::{Instant as _, RaftLogReader, RaftMetrics, ServerState};
use peers::Peers;
use rows::Closed;
use service::{Gate, Heard, RaftService};
use state_machine::{Published, Snapshots, StateMachine};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use types::{Raft, TypeConfig};

/// This node's part in the cluster. Clones name the same.
#[derive(Clone)]
pub struct Cluster {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    /// Which disk this is.
    incarnation: u128,
    /// Whom this node met on its last round before there was a group, with their disks.
    met: Mutex<BTreeMap<u64, u128>>,
    /// Why the node must end, besides Raft's own reasons.
    fatal: watch::Sender<Option<String>>,
    raft: Raft,
    log: Log,
    snapshots: Snapshots,
    peers: Arc<Peers>,
    heard: Heard,
    facts: Arc<dyn Fn() -> Facts + Send + Sync>,
    published: Published,
    members: watch::Receiver<Arc<Vec<Member>>>,
    closed: Mutex<Option<Closed>>,
    /// One snapshot comes in at a time; they are numbered.
    incoming: Arc<tokio::sync::Mutex<u64>>,
    tasks: Tasks,
}

impl Cluster {
    /// Opens what is on disk and takes part: in the group that the log names, or in none until
    /// [`Cluster::form`].
    ///
    /// # Errors
    /// [`OpenError`] when the data cannot be used.
    pub async fn open(
        config: Config,
        dial: Arc<dyn Dial>,
        facts: Arc<dyn Fn() -> Facts + Send + Sync>,
        tasks: &Tasks,
    ) -> Result<Self, OpenError> {
        let raft_config = settings::of_raft(&config)?;
        let owner = format!("{} node {}", config.cluster_id, config.node_id);
        let path = config.data_dir.join("log");
        let mut claim = version::claim(&config.data_dir, &path, &owner)?;
        if claim.log_made && !Log::exists(&path).map_err(|source| OpenError::State { source })? {
            return Err(OpenError::LogLost { path });
        }
        let log = Log::open(&path)?;
        claim.note_log()?;
        let published = Published::new();
        let opened = StateMachine::open(&config.data_dir, &config.cluster_id, published.clone(), tasks);
        let (machine, snapshots, closed) = opened.map_err(|source| OpenError::State { source })?;
        let mut store = LogStore::new(log.clone());
        fit(&mut store, &machine, path).await?;
        let peers = Arc::new(Peers::new(dial));
        let network = Network {
            cluster_id: config.cluster_id.clone(),
            node_id: config.node_id,
            incarnation: claim.incarnation,
            peers: peers.clone(),
        };
        let raft = Raft::new(config.node_id, Arc::new(raft_config), network, store, machine)
            .await
            .map_err(|error| OpenError::Raft { reason: error.to_string() })?;
        let members = members::follow(&raft, tasks);
        let shared = Shared {
            config,
            incarnation: claim.incarnation,
            met: Mutex::default(),
            fatal: watch::Sender::new(None),
            raft,
            log,
            snapshots,
            peers,
            heard: Heard::default(),
            facts,
            published,
            members,
            closed: Mutex::new(Some(closed)),
            incoming: Arc::default(),
            tasks: tasks.clone(),
        };
        Ok(Cluster { shared: Arc::new(shared) })
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
                raft: self.shared.raft.clone(),
            },
            heard: self.shared.heard.clone(),
            snapshots: self.shared.snapshots.clone(),
            incoming: self.shared.incoming.clone(),
        };
        tonic::service::Routes::new(raft.into_server()).add_service(NodeService(self.clone()).into_server())
    }

    /// Waits until this node is in a group. On the very first start the nodes at `peers` make one;
    /// it is never made twice.
    ///
    /// # Errors
    /// [`FormError`]; it keeps trying until the tasks drain. After any other error the node has to
    /// end: see [`Cluster::failed`].
    pub async fn form(&self, peers: &[String]) -> Result<(), FormError> {
        let formed = form::form(self, peers).await;
        match &formed {
            Ok(()) | Err(FormError::Draining) => {}
            Err(error) => {
                self.shared.fatal.send_replace(Some(error.to_string()));
            }
        }
        formed
    }

    /// The newest applied state, without the clients' answers.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<Arc<State>> {
        self.shared.published.state.subscribe()
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
        }
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

    /// Whether a member has applied the log up to an index, or does within `timeout`.
    pub async fn await_applied(&self, node: &Member, log_index: u64, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        if node.node_id == self.shared.config.node_id {
            return self.applied_here(log_index, deadline).await;
        }
        let timeout_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        let mut client = self.shared.peers.node(node.node_id, &node.peer_address);
        let asked = client.await_applied(wire::AwaitAppliedRequest { log_index, timeout_ms });
        match tokio::time::timeout_at(deadline, asked).await {
            Ok(Ok(answer)) => answer.into_inner().applied,
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// How a member fares; nothing if it does not answer in time.
    pub async fn node_status(&self, node: &Member, timeout: Duration) -> Option<NodeStatus> {
        if node.node_id == self.shared.config.node_id {
            return Some(self.own_status());
        }
        let mut client = self.shared.peers.node(node.node_id, &node.peer_address);
        let answer = tokio::time::timeout(timeout, client.status(wire::StatusRequest {})).await.ok()?;
        let status = answer.ok()?.into_inner();
        Some(NodeStatus {
            version: status.version,
            ready: status.ready,
            reason: status.reason,
            revision: status.revision,
            relayed: status.relayed,
            uptime: Duration::from_secs(status.uptime_s),
            applied: status.applied,
        })
    }

    /// Waits until Raft stops by itself, which only a disk, a newer entry or a defect can cause, or
    /// until the group turns out to know another disk of this node; why. The node should end then.
    pub async fn failed(&self) -> String {
        let mut fatal = self.shared.fatal.subscribe();
        tokio::select! {
            reason = self.raft_failed() => reason,
            Ok(fatal) = fatal.wait_for(Option::is_some) => fatal.clone().unwrap_or_default(),
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
        self.hand_over().await;
        if let Err(error) = self.shared.raft.shutdown().await {
            tracing::warn!(%error, "raft did not stop in order");
        }
        let closed = self.shared.closed.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(closed) = closed {
            closed.wait().await;
        }
        self.shared.log.close();
    }

    async fn hand_over(&self) {
        let raft = &self.shared.raft;
        let own = self.shared.config.node_id;
        let mut metrics = raft.metrics();
        let Some(target) = members::best_successor(&metrics.borrow_watched(), own) else {
            return;
        };
        if raft.trigger().transfer_leader(target).await.is_err() {
            return;
        }
        let handed_over = async {
            while metrics.borrow_watched().state == ServerState::Leader {
                if metrics.changed().await.is_err() {
                    break;
                }
            }
        };
        if tokio::time::timeout(HAND_OVER_TIMEOUT, handed_over).await.is_err() {
            tracing::warn!(target, "the node did not take over leadership in time");
        }
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

    async fn applied_here(&self, log_index: u64, deadline: Instant) -> bool {
        let mut applied = self.shared.published.applied.subscribe();
        let waiting = applied.wait_for(|applied| *applied >= log_index);
        matches!(tokio::time::timeout_at(deadline, waiting).await, Ok(Ok(_)))
    }

    fn own_status(&self) -> NodeStatus {
        let facts = (self.shared.facts)();
        NodeStatus {
            version: self.shared.config.version.clone(),
            ready: facts.ready,
            reason: facts.reason,
            revision: self.shared.published.state.borrow().table.revision,
            relayed: facts.relayed,
            uptime: facts.uptime,
            applied: *self.shared.published.applied.borrow(),
        }
    }

    fn incarnation(&self) -> u128 {
        self.shared.incarnation
    }

    fn met(&self) -> MutexGuard<'_, BTreeMap<u64, u128>> {
        self.shared.met.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disks of the members.
    fn disks(&self) -> BTreeMap<u64, u128> {
        let metrics = self.shared.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.nodes().map(|(node_id, node)| (*node_id, node.incarnation)).collect()
    }

    async fn is_initialized(&self) -> Result<bool, FormError> {
        let initialized = self.shared.raft.is_initialized().await;
        initialized.map_err(|error| FormError::Raft { reason: error.to_string() })
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
}

/// Log and state as they come back from disk: without its log a node must not start, and what only
/// the store has is put into a snapshot, so that others can get it.
async fn fit(store: &mut LogStore, machine: &StateMachine, path: PathBuf) -> Result<(), OpenError> {
    let failed = |source| OpenError::State { source };
    let vote = store.read_vote().await.map_err(failed)?;
    if vote.is_none() && machine.has_applied() {
        return Err(OpenError::LogLost { path });
    }
    let log = store.get_log_state().await.map_err(failed)?;
    machine.cover(log.last_log_id, log.last_purged_log_id).map_err(failed)
}

const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
