//! One entry of the table: after everything that was acknowledged before, or as this node has it.

use super::{convert, status};
use crate::cluster::Cluster;
use crate::principal::Sid;
use crate::proto::control::v1 as proto;
use crate::proto::control::v1::Consistency;
use std::sync::Arc;
use tonic::Status;

pub(super) async fn get(
    cluster: &Cluster,
    request: &proto::GetRequest,
) -> Result<proto::GetResponse, Status> {
    let sid: Sid = request.sid.parse().map_err(|error| Status::invalid_argument(format!("{error}")))?;
    match request.consistency() {
        Consistency::Unspecified | Consistency::Linearizable => {
            cluster.read_barrier().await.map_err(|error| status::of_read(&error))?;
        }
        Consistency::Local => {}
    }
    // In this order: the state may have more than the index says, never less.
    let applied = cluster.standing().applied;
    let table = Arc::clone(&cluster.state().borrow().table);
    let entry = table.entries.get(&sid).map(|entry| convert::entry(entry));
    Ok(proto::GetResponse { entry, revision: table.revision, applied })
}
