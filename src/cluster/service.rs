//! Raft's messages from the other nodes: who they come from is checked before Raft sees them.

use super::peers::MESSAGE_BYTES_MAX;
use super::snapshot::{Identity, Incoming, SnapshotError};
use super::state_machine::Snapshots;
use super::types::{Raft, Snapshot, TypeConfig};
use super::{codec, disk};
use crate::proto::peer::v1 as wire;
use crate::proto::peer::v1::raft_server::{Raft as RaftRpc, RaftServer};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use openraft::async_runtime::WatchReceiver;
use openraft::raft::{AppendEntriesRequest, TransferLeaderRequest};
use std::future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming};
use wire::snapshot_part::Part;

/// Who is at the other end of a connection, as its certificate says. The listener of the peer port
/// puts it into the extensions of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerNode(pub u64);

/// When this node last heard from whom as a leader.
#[derive(Clone, Default)]
pub(super) struct Heard(Arc<Mutex<Option<(u64, Instant)>>>);

impl Heard {
    fn note(&self, node_id: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((node_id, Instant::now()));
    }

    pub(super) fn last(&self) -> Option<(u64, Instant)> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone)]
pub(super) struct RaftService {
    pub(super) raft: Raft,
    pub(super) gate: Gate,
    pub(super) heard: Heard,
    pub(super) snapshots: Snapshots,
}

/// Lets in what is meant for this node, from whom the certificate says.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) cluster_id: Arc<str>,
    pub(super) node_id: u64,
    pub(super) incarnation: u128,
    /// What a node was told that has nothing of the log yet.
    pub(super) group: Option<u128>,
    /// Whose metrics have the members.
    pub(super) raft: Raft,
}

impl Gate {
    /// The node at the other end.
    pub(super) fn peer<T>(request: &Request<T>) -> Result<PeerNode, Status> {
        let peer = request.extensions().get::<PeerNode>().copied();
        peer.ok_or_else(|| Status::unauthenticated("the connection says no node"))
    }

    fn check(
        &self,
        peer: PeerNode,
        route: Option<wire::Route>,
        vote: Option<wire::Vote>,
    ) -> Result<(), Status> {
        let route = route.ok_or_else(|| Status::invalid_argument("the request has no route"))?;
        if route.cluster_id != *self.cluster_id || route.to != self.node_id {
            return Err(Status::permission_denied(format!(
                "meant for node {} of {:?}; this is node {} of {:?}",
                route.to, route.cluster_id, self.node_id, self.cluster_id
            )));
        }
        // A candidate asks for itself, a leader speaks for itself.
        let speaker = vote.map_or(route.from, |vote| vote.node_id);
        if route.from != peer.0 || speaker != peer.0 {
            return Err(Status::permission_denied(format!(
                "node {} speaks as node {} for node {speaker}",
                peer.0, route.from
            )));
        }
        self.check_disks(&route)
    }

    /// A node that lost its disk forgot what it granted and acknowledged: it may do neither again
    /// under its old id. And two groups never mix.
    fn check_disks(&self, route: &wire::Route) -> Result<(), Status> {
        if codec::random_from(&route.to_incarnation)? != self.incarnation {
            return Err(Status::permission_denied(format!(
                "meant for node {} with another disk; the group must remove it, and a new node must join",
                self.node_id
            )));
        }
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let members = metrics.membership_config.membership();
        let (incarnation, group) =
            (codec::random_from(&route.from_incarnation)?, codec::random_from(&route.group)?);
        if members.get_node(&route.from).is_some_and(|known| known.incarnation != incarnation) {
            return Err(Status::permission_denied(format!(
                "node {} speaks with a disk that the group does not know",
                route.from
            )));
        }
        if !is_of(members.nodes().map(|(_, known)| known.group), self.group, group) {
            return Err(Status::permission_denied("the message is of another group"));
        }
        Ok(())
    }
}

/// Whether a message is of the group of the members; before there are any, of the one that was announced.
fn is_of(members: impl Iterator<Item = u128>, announced: Option<u128>, group: u128) -> bool {
    let mut members = members.peekable();
    let announced = announced.filter(|_| members.peek().is_none());
    members.chain(announced).all(|known| known == group)
}

impl RaftService {
    pub(super) fn into_server(self) -> RaftServer<Self> {
        RaftServer::new(self)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The appends up to the first that must not come in, which is left in `refusal`.
    fn appends(
        &self,
        peer: PeerNode,
        requests: Streaming<wire::AppendRequest>,
        refusal: Arc<Mutex<Option<Status>>>,
    ) -> impl Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + 'static {
        let (gate, heard, space) = (self.gate.clone(), self.heard.clone(), self.snapshots.space.clone());
        stream::unfold(requests, move |mut requests| {
            let (gate, heard, space, refusal) = (gate.clone(), heard.clone(), space.clone(), refusal.clone());
            async move {
                let request = match requests.message().await {
                    Ok(None) => return None,
                    Ok(Some(request)) => admit(&gate, peer, request),
                    Err(status) => Err(status),
                };
                match request {
                    Ok(request) => {
                        heard.note(peer.0);
                        if let Some(full) = disk::refuses(&space, &request.entries) {
                            let reason = format!("the disk of node {} is full: {full}", gate.node_id);
                            *refusal.lock().unwrap_or_else(PoisonError::into_inner) =
                                Some(Status::resource_exhausted(reason));
                            return None;
                        }
                        Some((request, requests))
                    }
                    Err(status) => {
                        *refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
                        None
                    }
                }
            }
        })
    }

    /// Takes the parts of a snapshot, and checks all of it before Raft sees it. What has come stays when
    /// the transfer breaks off.
    async fn receive(
        &self,
        identity: &Identity,
        head: &wire::SnapshotHead,
        parts: &mut Streaming<wire::SnapshotPart>,
        alone: OwnedMutexGuard<()>,
    ) -> Result<(Snapshot, OwnedMutexGuard<()>), Status> {
        // It is written once as it comes, and its rows into the store.
        if !self.snapshots.space.takes(3 * head.bytes) {
            let node_id = self.gate.node_id;
            let reason = format!("the disk of node {node_id} has no room for {} bytes", head.bytes);
            return Err(Status::resource_exhausted(reason));
        }
        let mut incoming = Incoming::open(&self.snapshots.folder, identity)?;
        if head.offset != incoming.offset() {
            let reason = format!("{} bytes are here; they come from {} on", incoming.offset(), head.offset);
            return Err(Status::failed_precondition(reason));
        }
        while let Some(part) = next_part(parts).await? {
            let Some(Part::Data(data)) = part.part else {
                return Err(Status::invalid_argument("a second head"));
            };
            self.check_term(head.vote)?;
            incoming.put(data).await?;
        }
        if incoming.offset() != head.bytes {
            let reason = format!("{} bytes came in place of {}", incoming.offset(), head.bytes);
            return Err(Status::aborted(reason));
        }
        let snapshots = self.snapshots.clone();
        // It goes on when the sender is gone, and until it ends, or is installed, no other comes in.
        let reading = super::medium::blocking(move || {
            let snapshot = incoming.finish()?;
            let meta = snapshot.read_ahead(&snapshots.cluster_id, &snapshots.known())?;
            Ok::<_, SnapshotError>((Snapshot { meta, snapshot }, alone))
        });
        let read = reading.await.map_err(|error| Status::internal(error.to_string()))?;
        let (snapshot, alone) = read.map_err(|error| {
            tracing::error!(%error, "a snapshot from another node is thrown away");
            Status::data_loss(error.to_string())
        })?;
        if snapshot.meta.last_log_id.as_ref() != Some(identity.last()) {
            return Err(Status::data_loss("it is not the snapshot that was announced"));
        }
        Ok((snapshot, alone))
    }

    /// Who lost the leadership meanwhile does not keep the way closed for the next.
    fn check_term(&self, vote: Option<wire::Vote>) -> Result<(), Status> {
        let term = self.raft.metrics().borrow_watched().current_term;
        match vote {
            Some(vote) if vote.term < term => {
                Err(Status::aborted(format!("the term is {term}, the snapshot is of {}", vote.term)))
            }
            _ => Ok(()),
        }
    }

    fn identity(&self, peer: PeerNode, head: &mut wire::SnapshotHead) -> Result<Identity, Status> {
        self.gate.check(peer, head.route.take(), head.vote)?;
        if head.bytes > SNAPSHOT_BYTES_MAX {
            let reason = format!("{} bytes; at most {SNAPSHOT_BYTES_MAX} are taken", head.bytes);
            return Err(Status::resource_exhausted(reason));
        }
        Ok(Identity::of(head)?)
    }
}

/// The next part. A sender that is silent for long is gone, or as good as that.
async fn next_part(parts: &mut Streaming<wire::SnapshotPart>) -> Result<Option<wire::SnapshotPart>, Status> {
    match tokio::time::timeout(PART_TIMEOUT, parts.message()).await {
        Ok(part) => part,
        Err(_) => Err(Status::deadline_exceeded(format!("no part came within {PART_TIMEOUT:?}"))),
    }
}

fn admit(
    gate: &Gate,
    peer: PeerNode,
    request: wire::AppendRequest,
) -> Result<AppendEntriesRequest<TypeConfig>, Status> {
    gate.check(peer, request.route.clone(), request.vote)?;
    Ok(codec::append_from(request)?)
}

#[tonic::async_trait]
impl RaftRpc for RaftService {
    type AppendStream = BoxStream<'static, Result<wire::AppendResponse, Status>>;

    async fn vote(
        &self,
        request: Request<wire::VoteRequest>,
    ) -> Result<Response<wire::VoteResponse>, Status> {
        let (peer, mut request) = (Gate::peer(&request)?, request.into_inner());
        self.gate.check(peer, request.route.take(), request.vote)?;
        let response = self.raft.vote(codec::vote_request_from(&request)?).await;
        Ok(Response::new(codec::vote_response_to(&response.map_err(|error| stopped(&error))?)))
    }

    async fn pre_vote(
        &self,
        request: Request<wire::VoteRequest>,
    ) -> Result<Response<wire::VoteResponse>, Status> {
        let (peer, mut request) = (Gate::peer(&request)?, request.into_inner());
        self.gate.check(peer, request.route.take(), request.vote)?;
        let response = self.raft.pre_vote(codec::vote_request_from(&request)?).await;
        Ok(Response::new(codec::vote_response_to(&response.map_err(|error| stopped(&error))?)))
    }

    async fn append(
        &self,
        request: Request<Streaming<wire::AppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        let (peer, requests) = (Gate::peer(&request)?, request.into_inner());
        let refusal = Arc::new(Mutex::new(None));
        let appends = self.appends(peer, requests, refusal.clone());
        let answers = self.raft.stream_append(appends).map(|answer| match answer {
            Ok(result) => Ok(codec::append_result_to(&result)),
            Err(fatal) => Err(stopped(&fatal)),
        });
        let end = stream::once(async move { refusal.lock().unwrap_or_else(PoisonError::into_inner).take() })
            .filter_map(|refusal| future::ready(refusal.map(Err)));
        Ok(Response::new(answers.chain(end).boxed()))
    }

    async fn ask_snapshot(
        &self,
        request: Request<wire::SnapshotHead>,
    ) -> Result<Response<wire::SnapshotProgress>, Status> {
        let (peer, mut head) = (Gate::peer(&request)?, request.into_inner());
        let identity = self.identity(peer, &mut head)?;
        let bytes = Incoming::bytes_here(&self.snapshots.folder, &identity)?;
        Ok(Response::new(wire::SnapshotProgress { bytes }))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<wire::SnapshotPart>>,
    ) -> Result<Response<wire::SnapshotResponse>, Status> {
        let (peer, mut parts) = (Gate::peer(&request)?, request.into_inner());
        let Some(Part::Head(mut head)) = parts.message().await?.and_then(|part| part.part) else {
            return Err(Status::invalid_argument("the head is missing"));
        };
        let identity = self.identity(peer, &mut head)?;
        let vote = codec::vote_from(head.vote)?;
        let alone = self
            .snapshots
            .receiving
            .clone()
            .try_lock_owned()
            .map_err(|_| Status::unavailable("another snapshot is coming in"))?;
        let (received, _alone) = self.receive(&identity, &head, &mut parts, alone).await?;
        let response = self.raft.install_full_snapshot(vote, received).await;
        let response = response.map_err(|error| stopped(&error))?;
        Ok(Response::new(wire::SnapshotResponse { vote: Some(codec::vote_to(&response.vote)) }))
    }

    async fn transfer_leader(
        &self,
        request: Request<wire::TransferLeaderRequest>,
    ) -> Result<Response<wire::TransferLeaderResponse>, Status> {
        let (peer, mut request) = (Gate::peer(&request)?, request.into_inner());
        self.gate.check(peer, request.route.take(), request.vote)?;
        let vote = codec::vote_from(request.vote)?;
        let last = request.last.map(codec::log_id_from);
        let asked = TransferLeaderRequest::new(vote, request.next, last);
        let answer = self.raft.handle_transfer_leader(asked).await.map_err(|error| stopped(&error))?;
        let refusal = answer.err().map(|error| error.to_string()).unwrap_or_default();
        Ok(Response::new(wire::TransferLeaderResponse { refusal }))
    }
}

fn stopped(error: &dyn std::error::Error) -> Status {
    Status::unavailable(error.to_string())
}

/// Several times what the largest table takes, and no danger to a disk.
pub(super) const SNAPSHOT_BYTES_MAX: u64 = 4 << 30;
/// A part is sent every few milliseconds.
const PART_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_another_group_is_refused_from_the_first_one_on() {
        let nobody = std::iter::empty;
        assert!(is_of([7, 7].into_iter(), None, 7) && !is_of([7, 7].into_iter(), None, 8));
        assert!(is_of(nobody(), None, 8), "what an older build joined with says no group");
        assert!(is_of(nobody(), Some(7), 7) && !is_of(nobody(), Some(7), 8));
        // A new lineage came with the log.
        assert!(is_of([8].into_iter(), Some(7), 8));
    }
}
