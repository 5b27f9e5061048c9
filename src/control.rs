//! What administrators call: one gRPC service a file. Each parses, makes one call to the cluster, and replies.

mod authorization;
mod client;
mod cluster_status;
mod context;
mod convert;
mod entry;
mod status;
mod tokens;

pub use client::{Client, ConnectError};
pub use context::{CONTEXT_FILE, Context, WriteContextError};

use crate::cluster::Cluster;
use crate::directory::Directory;
use crate::enrolment::Enrolment;
use crate::proto::control::v1::authorizations_server::AuthorizationsServer;
use crate::proto::control::v1::cluster_server::ClusterServer;
use crate::proto::control::v1::tokens_server::TokensServer;
use std::sync::Arc;
use tonic::server::NamedService;
use tonic::service::Routes;

/// What the control plane says about the cluster without asking it.
#[derive(Clone, Debug)]
pub struct Config {
    /// The cluster's id.
    pub cluster_id: String,
    /// The name that calling servers use.
    pub service_name: String,
    /// The kind of service behind the connector.
    pub upstream_kind: &'static str,
    /// Where the service is.
    pub upstream_address: String,
    /// This node's peer address, for who joins through it.
    pub peer_address: String,
}

/// Who calls, as the certificate says. The listener puts it into the extensions of every request;
/// a request without it is refused.
#[derive(Clone, Debug)]
pub struct Administrator(pub String);

/// The services of the admin port, with health and reflection.
///
/// # Errors
/// The descriptors do not fit reflection.
pub async fn routes(
    config: Config,
    cluster: Cluster,
    enrolment: Enrolment,
    directory: Arc<Directory>,
) -> Result<Routes, tonic_reflection::server::Error> {
    let authorizations = authorization::Service::new(cluster.clone(), directory);
    let tokens = tokens::Service::new(enrolment, cluster.clone(), config.peer_address.clone());
    let status = cluster_status::Service::new(config, cluster);
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<AuthorizationsServer<authorization::Service>>().await;
    reporter.set_serving::<ClusterServer<cluster_status::Service>>().await;
    reporter.set_serving::<TokensServer<tokens::Service>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(crate::proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        // The descriptors hold what nodes say to each other too, which is not to be found here.
        .with_service_name(AuthorizationsServer::<authorization::Service>::NAME)
        .with_service_name(ClusterServer::<cluster_status::Service>::NAME)
        .with_service_name(TokensServer::<tokens::Service>::NAME)
        .with_service_name(HEALTH)
        .build_v1()?;
    Ok(Routes::new(AuthorizationsServer::new(authorizations))
        .add_service(ClusterServer::new(status))
        .add_service(TokensServer::new(tokens))
        .add_service(health)
        .add_service(reflection))
}

/// The administrator of a call.
fn administrator<T>(request: &tonic::Request<T>) -> Result<String, tonic::Status> {
    request.extensions().get::<Administrator>().map(|administrator| administrator.0.clone()).ok_or_else(
        || tonic::Status::unauthenticated("the admin port takes administrators' certificates alone"),
    )
}

/// The name of the health service, which the crate keeps to itself.
const HEALTH: &str = "grpc.health.v1.Health";
