//! What other nodes may ask this one besides Raft's own messages.

use super::forward::{self, Attempt};
use super::service::Gate;
use super::{Cluster, TransferError, codec, rescue, status, transfer};
use crate::proto::peer::v1 as wire;
use crate::proto::peer::v1::node_server::{Node as NodeRpc, NodeServer};
use crate::proto::state::v1 as stored;
use crate::state::KeyHash;
use crate::storage::log::LogId;
use futures::StreamExt;
use futures::stream::BoxStream;
use prost::Message;
use std::time::Duration;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

pub(super) struct NodeService(pub(super) Cluster);

impl NodeService {
    pub(super) fn into_server(self) -> NodeServer<Self> {
        NodeServer::new(self)
    }

    /// A member at the other end.
    fn member<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let peer = Gate::peer(request)?;
        if self.0.members().borrow().iter().any(|member| member.node_id == peer.0) {
            return Ok(());
        }
        Err(Status::permission_denied(format!("node {} is not a member", peer.0)))
    }
}

#[tonic::async_trait]
impl NodeRpc for NodeService {
    type FetchSnapshotStream = BoxStream<'static, Result<wire::FetchSnapshotResponse, Status>>;

    async fn status(
        &self,
        request: Request<wire::StatusRequest>,
    ) -> Result<Response<wire::StatusResponse>, Status> {
        Gate::peer(&request)?;
        Ok(Response::new(status::to_wire(self.0.own_status())))
    }

    async fn vouch(
        &self,
        request: Request<wire::VouchRequest>,
    ) -> Result<Response<wire::VouchResponse>, Status> {
        Gate::peer(&request)?;
        let wire::VouchRequest { node_id, key } = request.into_inner();
        let key = key.try_into().map_err(|_| Status::invalid_argument("a key's hash has 32 bytes"))?;
        Ok(Response::new(wire::VouchResponse { known: self.0.knows(node_id, &KeyHash(key)) }))
    }

    async fn await_applied(
        &self,
        request: Request<wire::AwaitAppliedRequest>,
    ) -> Result<Response<wire::AwaitAppliedResponse>, Status> {
        self.member(&request)?;
        let request = request.into_inner();
        let timeout = Duration::from_millis(request.timeout_ms.into()).min(AWAIT_MAX);
        let applied = self.0.applied_here(request.log_index, Instant::now() + timeout).await;
        Ok(Response::new(wire::AwaitAppliedResponse { applied }))
    }

    async fn propose(
        &self,
        request: Request<wire::ProposeRequest>,
    ) -> Result<Response<wire::ProposeResponse>, Status> {
        self.member(&request)?;
        let bytes = request.into_inner().command;
        // What this build cannot read it must not put into the log either.
        codec::command_from(&bytes)?;
        if bytes.len() > forward::COMMAND_BYTES_MAX {
            return Err(Status::invalid_argument("the command is too large"));
        }
        let written = forward::propose_here(&self.0, bytes, Instant::now() + forward::WRITE_TIMEOUT).await;
        let written = written.map_err(|attempt| to_status(&attempt))?;
        let outcome: stored::Outcome = codec::outcome_to(&written.outcome);
        Ok(Response::new(wire::ProposeResponse {
            log_index: written.log_index,
            outcome: outcome.encode_to_vec(),
        }))
    }

    async fn read_index(
        &self,
        request: Request<wire::ReadIndexRequest>,
    ) -> Result<Response<wire::ReadIndexResponse>, Status> {
        self.member(&request)?;
        let log_index = forward::read_index_here(&self.0).await.map_err(|attempt| to_status(&attempt))?;
        Ok(Response::new(wire::ReadIndexResponse { log_index }))
    }

    async fn transfer(
        &self,
        request: Request<wire::TransferRequest>,
    ) -> Result<Response<wire::TransferResponse>, Status> {
        self.member(&request)?;
        let to = Some(request.into_inner().to).filter(|to| *to != 0);
        let leader = transfer::transfer_here(&self.0, to).await;
        let leader = leader.map_err(|error| match error {
            TransferError::NoLeader => Status::unavailable(error.to_string()),
            other => Status::failed_precondition(other.to_string()),
        })?;
        Ok(Response::new(wire::TransferResponse { leader }))
    }

    async fn fetch_snapshot(
        &self,
        request: Request<wire::FetchSnapshotRequest>,
    ) -> Result<Response<Self::FetchSnapshotStream>, Status> {
        self.member(&request)?;
        let wire::FetchSnapshotRequest { term, index } = request.into_inner();
        let parts = rescue::serve(&self.0, LogId { term, index }).await?;
        Ok(Response::new(parts.boxed()))
    }
}

/// "Failed precondition" and "resource exhausted" promise that nothing was proposed.
fn to_status(attempt: &Attempt) -> Status {
    match attempt {
        Attempt::Refused(reason) => Status::failed_precondition(reason.clone()),
        Attempt::DiskFull(reason) => Status::resource_exhausted(reason.clone()),
        Attempt::Unknown(reason) => Status::unknown(reason.clone()),
    }
}

/// A caller that wants to wait longer asks again.
const AWAIT_MAX: Duration = Duration::from_secs(30);
