//! The first start: the nodes find each other, and the one with the lowest id makes the group.

use super::types::{Address, DecodeError};
use super::{Cluster, FormError, codec};
use crate::proto::peer::v1 as wire;
use openraft::errors::{InitializeError, RaftError};
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

/// Why the group cannot be made now.
#[derive(Debug, thiserror::Error)]
pub(super) enum MeetError {
    /// It can be tried again.
    #[error("{0}")]
    NotYet(#[from] io::Error),
    /// The group has this node with another disk.
    #[error("the group has this node with another disk")]
    Amnesia,
}

/// Who this node is, for one that asks.
pub(super) async fn hello(cluster: &Cluster) -> wire::HelloResponse {
    let config = cluster.config();
    // A node that cannot tell is none to make a group with.
    let formed = cluster.is_initialized().await.unwrap_or(true);
    let known = if formed { cluster.disks() } else { cluster.met().clone() };
    let known = known
        .into_iter()
        .map(|(node_id, incarnation)| wire::Known { node_id, incarnation: codec::random_to(incarnation) });
    wire::HelloResponse {
        cluster_id: config.cluster_id.clone(),
        node_id: config.node_id,
        name: config.name.clone(),
        peer_address: config.peer_address.clone(),
        admin_address: config.admin_address.clone(),
        version: config.version.clone(),
        formed,
        incarnation: codec::random_to(cluster.incarnation()),
        known: known.collect(),
    }
}

/// Waits until this node is in a group, and makes it if that falls to this node.
pub(super) async fn form(cluster: &Cluster, peers: &[String]) -> Result<(), FormError> {
    let mut pause = PAUSE_FIRST;
    loop {
        if cluster.is_initialized().await? {
            return Ok(());
        }
        match meet(cluster, peers).await {
            Ok(nodes) => {
                if nodes.keys().next() == Some(&cluster.config().node_id) {
                    return initialize(cluster, nodes).await;
                }
                tracing::debug!("another node makes the group");
            }
            Err(MeetError::Amnesia) => return Err(FormError::Amnesia { node_id: cluster.config().node_id }),
            Err(error @ MeetError::NotYet(_)) => tracing::info!(%error, "the group cannot be made yet"),
        }
        let mut members = cluster.members();
        tokio::select! {
            () = cluster.draining() => return Err(FormError::Draining),
            _ = members.wait_for(|members| !members.is_empty()) => return Ok(()),
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
        }
    }
}

/// All the nodes by id, this one among them; an error until every one has answered, and has met
/// the same nodes: other lists could make other groups.
pub(super) async fn meet(cluster: &Cluster, peers: &[String]) -> Result<BTreeMap<u64, Address>, MeetError> {
    let config = cluster.config();
    let own = Address {
        name: config.name.clone(),
        peer: config.peer_address.clone(),
        admin: config.admin_address.clone(),
        incarnation: cluster.incarnation(),
        group: 0,
    };
    let mut nodes = BTreeMap::from([(config.node_id, own)]);
    let mut lists = Vec::new();
    for address in peers.iter().filter(|address| **address != config.peer_address) {
        let hello = tokio::time::timeout(HELLO_TIMEOUT, ask(cluster, address)).await;
        let hello = hello.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let hello = hello.map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))?;
        if hello.node_id == config.node_id {
            continue;
        }
        let known = known(&hello)?;
        if hello.formed {
            if known.get(&config.node_id).is_some_and(|disk| *disk != cluster.incarnation()) {
                return Err(MeetError::Amnesia);
            }
            return Err(not_yet(format!("{address}: node {} is in a group already", hello.node_id)));
        }
        lists.push((hello.node_id, known));
        let address = Address {
            incarnation: codec::random_from(&hello.incarnation).map_err(io::Error::from)?,
            group: 0,
            name: hello.name,
            peer: hello.peer_address,
            admin: hello.admin_address,
        };
        nodes.insert(hello.node_id, address);
    }
    let met: BTreeMap<u64, u128> = nodes.iter().map(|(id, node)| (*id, node.incarnation)).collect();
    cluster.met().clone_from(&met);
    match lists.into_iter().find(|(_, list)| *list != met) {
        None => Ok(nodes),
        Some((node_id, list)) => Err(not_yet(format!(
            "node {node_id} has met the nodes {:?}, and this one {:?}; the lists of peers have to be the same",
            list.keys(),
            met.keys()
        ))),
    }
}

fn known(hello: &wire::HelloResponse) -> io::Result<BTreeMap<u64, u128>> {
    let known = hello.known.iter();
    Ok(known
        .map(|known| Ok((known.node_id, codec::random_from(&known.incarnation)?)))
        .collect::<Result<_, DecodeError>>()?)
}

fn not_yet(reason: String) -> MeetError {
    MeetError::NotYet(io::Error::other(reason))
}

async fn ask(cluster: &Cluster, address: &str) -> io::Result<wire::HelloResponse> {
    let (node_id, mut client) = cluster.peers().whoever(address).await?;
    let hello = client.hello(wire::HelloRequest {}).await.map_err(io::Error::other)?.into_inner();
    if hello.node_id != node_id {
        let reason = format!("the certificate says node {node_id}, the node says {}", hello.node_id);
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
    }
    if hello.cluster_id != cluster.config().cluster_id {
        return Err(io::Error::other(format!("it is of the cluster {:?}", hello.cluster_id)));
    }
    for word in [&hello.name, &hello.peer_address, &hello.admin_address] {
        if word.chars().count() > WORD_CHARS_MAX {
            return Err(io::Error::other(format!(
                "a name or address of more than {WORD_CHARS_MAX} characters"
            )));
        }
    }
    Ok(hello)
}

async fn initialize(cluster: &Cluster, mut nodes: BTreeMap<u64, Address>) -> Result<(), FormError> {
    if nodes.len() > VOTERS_MAX {
        return Err(FormError::TooMany { nodes: nodes.len(), voters_max: VOTERS_MAX });
    }
    tracing::info!(nodes = ?nodes.keys(), "making the group");
    let group = rand::random();
    nodes.values_mut().for_each(|node| node.group = group);
    match cluster.raft().initialize(nodes).await {
        // It was made before: by an earlier start, or by a leader that was faster.
        Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
        Err(error) => Err(FormError::Raft { reason: error.to_string() }),
    }
}

/// More voters make every change slower and the group no safer.
const VOTERS_MAX: usize = 5;
/// What a node may say of itself goes into the membership, so into every snapshot.
const WORD_CHARS_MAX: usize = 256;
const HELLO_TIMEOUT: Duration = Duration::from_secs(2);
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
