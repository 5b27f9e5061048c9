//! Raft's messages to the other nodes.

use super::codec;
use super::medium;
use super::peers::{Lane, Peers};
use super::snapshot::SnapshotFile;
use super::types::{Address, DecodeError, Snapshot, TypeConfig, Vote};
use crate::proto::peer::v1 as wire;
use crate::proto::peer::v1::raft_client::RaftClient;
use futures::future::{self, BoxFuture, Either};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use openraft::OptionalSend;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{
    Backoff, NetBackoff, NetSnapshot, NetStreamAppend, NetTransferLeader, NetVote, RPCOption,
    RaftNetworkFactory,
};
use openraft::raft::{
    AppendEntriesRequest, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Status;
use tonic::transport::Channel;
use wire::snapshot_part::Part;

type Result<T> = std::result::Result<T, RPCError<TypeConfig>>;

/// Makes the way to each node.
pub(super) struct Network {
    pub(super) cluster_id: String,
    pub(super) node_id: u64,
    pub(super) incarnation: u128,
    pub(super) peers: Arc<Peers>,
}

/// The way to one node.
pub(super) struct Way {
    route: wire::Route,
    address: String,
    append_lane: Lane,
    peers: Arc<Peers>,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Way;

    async fn new_client(&mut self, target: u64, node: &Address) -> Way {
        self.way(target, node, Lane::Append)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &Address) -> Way {
        self.way(target, node, Lane::Urgent)
    }
}

impl Network {
    fn way(&self, target: u64, node: &Address, append_lane: Lane) -> Way {
        let route = wire::Route {
            cluster_id: self.cluster_id.clone(),
            from: self.node_id,
            to: target,
            from_incarnation: codec::random_to(self.incarnation),
            to_incarnation: codec::random_to(node.incarnation),
            group: codec::random_to(node.group),
        };
        Way { route, address: node.peer.clone(), append_lane, peers: self.peers.clone() }
    }
}

impl Way {
    fn client(&self, lane: Lane) -> RaftClient<Channel> {
        self.peers.raft(self.route.to, &self.address, lane)
    }
}

impl Way {
    /// Asks what the other node has of the snapshot, and sends the rest.
    async fn send_snapshot(
        &self,
        vote: &Vote,
        snapshot: Snapshot,
    ) -> std::result::Result<tonic::Response<wire::SnapshotResponse>, Status> {
        let identity = snapshot.snapshot.identity(&snapshot.meta);
        let identity = identity.ok_or_else(|| Status::internal("the snapshot is of no entry"))?;
        let mut head = wire::SnapshotHead {
            route: Some(self.route.clone()),
            vote: Some(codec::vote_to(vote)),
            ..identity.to_head()
        };
        let mut client = self.client(Lane::Snapshot);
        head.offset = client.ask_snapshot(head.clone()).await?.into_inner().bytes.min(head.bytes);
        let (to, bytes, offset) = (self.route.to, head.bytes, head.offset);
        tracing::info!(to, bytes, offset, "sending a snapshot");
        let sent = client.install_snapshot(parts(head, snapshot.snapshot)).await;
        sent.inspect_err(|status| tracing::warn!(to, error = status.message(), "a snapshot did not arrive"))
    }
}

impl NetBackoff<TypeConfig> for Way {
    fn backoff(&self) -> Option<Backoff> {
        None
    }
}

impl NetVote<TypeConfig> for Way {
    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>> {
        let request = codec::vote_request_to(&request, self.route.clone());
        let mut client = self.client(Lane::Urgent);
        let response = within(option.hard_ttl(), client.vote(request)).await?;
        codec::vote_response_from(response).map_err(unreadable)
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>> {
        let request = codec::vote_request_to(&request, self.route.clone());
        let mut client = self.client(Lane::Urgent);
        let response = within(option.hard_ttl(), client.pre_vote(request)).await?;
        codec::vote_response_from(response).map_err(unreadable)
    }
}

impl NetStreamAppend<TypeConfig> for Way {
    #[expect(clippy::result_large_err, reason = "the error is Raft's, and has an address in it")]
    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>>>>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        let route = self.route.clone();
        let mut client = self.client(self.append_lane);
        Box::pin(async move {
            let requests = input.map(move |request| codec::append_to(&request, route.clone()));
            let begun = within(APPEND_TIMEOUT, client.append(requests)).await;
            if begun.is_err() {
                // Raft's own pause comes when it is asked for entries, which a stream that does not
                // begin never does: it would try a node that is down again and again, at once.
                tokio::time::sleep(APPEND_PAUSE).await;
            }
            let answers = begun?;
            let answers: BoxStream<'s, _> = Box::pin(answers.map(|answer| {
                let answer = answer.map_err(|status| unreachable(&status))?;
                codec::append_result_from(answer).map_err(unreadable)
            }));
            Ok(answers)
        })
    }
}

impl NetSnapshot<TypeConfig> for Way {
    type SnapshotData = SnapshotFile;

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> std::result::Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let sending = within(option.hard_ttl(), self.send_snapshot(&vote, snapshot));
        let response = match future::select(Box::pin(sending), Box::pin(cancel)).await {
            Either::Left((response, _)) => response?,
            Either::Right((closed, _)) => return Err(closed.into()),
        };
        let vote = codec::vote_from(response.vote).map_err(unreadable)?;
        Ok(SnapshotResponse::new(vote))
    }
}

impl NetTransferLeader<TypeConfig> for Way {
    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>> {
        let request = wire::TransferLeaderRequest {
            route: Some(self.route.clone()),
            vote: Some(codec::vote_to(request.from_leader())),
            last: request.last_log_id().map(codec::log_id_to),
            next: *request.to_node_id(),
        };
        let mut client = self.client(Lane::Urgent);
        let response = within(option.hard_ttl(), client.transfer_leader(request)).await?;
        match response.refusal.as_str() {
            "" => Ok(Ok(())),
            reason => Err(unreachable(&Status::failed_precondition(reason))),
        }
    }
}

/// The head, then the file in chunks from where the head says, no faster than other messages can bear. A
/// file that cannot be read ends the stream early, and the receiver refuses what is too short.
fn parts(head: wire::SnapshotHead, file: SnapshotFile) -> impl Stream<Item = wire::SnapshotPart> + Send {
    let (begun, offset) = (Instant::now(), head.offset);
    let head = wire::SnapshotPart { part: Some(Part::Head(head)) };
    let data = stream::unfold((file, offset), move |(file, at)| async move {
        tokio::time::sleep_until(begun + due(at - offset)).await;
        let reading = file.clone();
        let chunk = medium::blocking(move || reading.chunk(at)).await;
        match chunk.map_err(io::Error::other).flatten() {
            Ok(chunk) if chunk.is_empty() => None,
            Ok(chunk) => {
                let next = at + chunk.len() as u64;
                Some((wire::SnapshotPart { part: Some(Part::Data(chunk)) }, (file, next)))
            }
            Err(error) => {
                tracing::error!(%error, "cannot read the snapshot that another node needs");
                None
            }
        }
    });
    stream::once(future::ready(head)).chain(data)
}

/// How long after the beginning so many bytes may have been sent.
fn due(bytes: u64) -> Duration {
    Duration::from_micros(bytes.saturating_mul(1_000_000) / SNAPSHOT_BYTES_A_SECOND)
}

async fn within<T>(
    timeout: Duration,
    call: impl Future<Output = std::result::Result<tonic::Response<T>, Status>>,
) -> Result<T> {
    match tokio::time::timeout(timeout, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(unreachable(&status)),
        Err(_) => Err(unreachable(&Status::deadline_exceeded(format!("no answer within {timeout:?}")))),
    }
}

/// Raft waits a little before it tries again, whatever the reason was.
fn unreachable(status: &Status) -> RPCError<TypeConfig> {
    RPCError::Unreachable(Unreachable::new(status))
}

fn unreadable(error: DecodeError) -> RPCError<TypeConfig> {
    unreachable(&error.into())
}

/// How long a stream of appends may take to begin; after that the pings of the connection tell
/// whether it still lives.
const APPEND_TIMEOUT: Duration = Duration::from_secs(1);
/// How long to leave a node alone to which no stream of appends could be begun.
const APPEND_PAUSE: Duration = Duration::from_millis(100);
/// Half of what a gigabit carries: entries and heartbeats have ways of their own, but share the link.
const SNAPSHOT_BYTES_A_SECOND: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_leaves_half_of_the_link() {
        let second = SNAPSHOT_BYTES_A_SECOND;
        for (bytes, millis) in [(0, 0), (second / 4, 250), (second * 60, 60_000)] {
            assert_eq!(due(bytes), Duration::from_millis(millis));
        }
    }
}
