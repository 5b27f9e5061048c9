//! What administrators call: one gRPC service a file. Each parses, makes one call to the cluster, and replies.

mod administrators;
mod authorization;
mod backup;
mod balance;
mod certificates;
mod changes;
mod client;
mod cloud;
mod cluster;
mod conflicts;
mod context;
mod convert;
mod directory;
mod drain;
mod effect;
mod entry;
mod equality;
mod kerberos;
mod leadership;
mod metrics;
mod nodes;
mod parting;
mod removal;
mod settings;
mod status;
mod survey;
mod survival;
mod tested;
mod tokens;
mod warnings;

pub use client::{Client, ConnectError};
pub use cloud::CloudParts;
pub use context::{Context, NewContext, WriteContextError, WrittenContext};
pub use metrics::Metrics;
pub use survey::Survey;
pub use survival::Survivals;

use crate::directory::Directory;
use crate::enrolment::Enrolment;
use crate::proto::control::v1::administrators_server::AdministratorsServer;
use crate::proto::control::v1::authorizations_server::AuthorizationsServer;
use crate::proto::control::v1::backups_server::BackupsServer;
use crate::proto::control::v1::balance_server::BalanceServer;
use crate::proto::control::v1::certificates_server::CertificatesServer;
use crate::proto::control::v1::cloud_server::CloudServer;
use crate::proto::control::v1::cluster_server::ClusterServer;
use crate::proto::control::v1::directory_server::DirectoryServer;
use crate::proto::control::v1::kerberos_keys_server::KerberosKeysServer;
use crate::proto::control::v1::nodes_server::NodesServer;
use crate::proto::control::v1::tokens_server::TokensServer;
use crate::tasks::Tasks;
use std::sync::Arc;
use tonic::server::NamedService;
use tonic::service::Routes;

/// What the control plane says about the cluster without asking it.
#[derive(Clone, Debug)]
pub struct Config {
    /// The cluster's id.
    pub cluster_id: String,
    /// This node.
    pub node_id: u64,
    /// The name that calling servers use.
    pub service_name: String,
    /// The kind of service behind the connector; empty for a witness, which has none.
    pub upstream_kind: &'static str,
    /// Where the service is.
    pub upstream_address: String,
    /// This node's name.
    pub node: String,
    /// This node's peer address, for who joins through it.
    pub peer_address: String,
}

/// What the services call.
pub struct Parts {
    /// The cluster, and how its nodes fare.
    pub survey: Survey,
    /// Tokens and certificates.
    pub enrolment: Enrolment,
    /// Accounts and groups; none at a witness, which authenticates nobody.
    pub directory: Option<Arc<Directory>>,
    /// The service in the cloud; none at a witness, which calls nobody.
    pub cloud: Option<CloudParts>,
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
    parts: Parts,
    tasks: Tasks,
) -> Result<Routes, tonic_reflection::server::Error> {
    let Parts { survey, enrolment, directory, cloud } = parts;
    let in_cloud =
        cloud::Service::new(survey.clone(), enrolment.clone(), cloud, config.node.clone(), tasks.clone());
    let authorizations = authorization::Service::new(survey.clone(), directory.clone());
    let directory = directory::Service::new(directory);
    let nodes = nodes::Service::new(survey.clone(), config.node_id, tasks);
    let raft = survey.cluster().clone();
    let tokens = tokens::Service::new(enrolment.clone(), survey.clone(), config.peer_address.clone());
    let (service_name, node) = (config.service_name.clone(), config.node.clone());
    let administrators = administrators::Service::new(survey.clone(), enrolment.clone());
    let keys = kerberos::Service::new(survey.clone(), enrolment.clone(), service_name.clone());
    let balance = balance::Service::new(survey.clone());
    let certificates = certificates::Service::new(survey.clone(), enrolment.clone(), service_name.clone());
    let backups = backup::Service::new(raft, enrolment.clone(), service_name, node);
    let cluster = cluster::Service::new(config, survey, enrolment);
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<AuthorizationsServer<authorization::Service>>().await;
    reporter.set_serving::<ClusterServer<cluster::Service>>().await;
    reporter.set_serving::<DirectoryServer<directory::Service>>().await;
    reporter.set_serving::<NodesServer<nodes::Service>>().await;
    reporter.set_serving::<TokensServer<tokens::Service>>().await;
    reporter.set_serving::<BackupsServer<backup::Service>>().await;
    reporter.set_serving::<BalanceServer<balance::Service>>().await;
    reporter.set_serving::<AdministratorsServer<administrators::Service>>().await;
    reporter.set_serving::<KerberosKeysServer<kerberos::Service>>().await;
    reporter.set_serving::<CloudServer<cloud::Service>>().await;
    reporter.set_serving::<CertificatesServer<certificates::Service>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(crate::proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        // The descriptors hold what nodes say to each other too, which is not to be found here.
        .with_service_name(AuthorizationsServer::<authorization::Service>::NAME)
        .with_service_name(ClusterServer::<cluster::Service>::NAME)
        .with_service_name(DirectoryServer::<directory::Service>::NAME)
        .with_service_name(NodesServer::<nodes::Service>::NAME)
        .with_service_name(TokensServer::<tokens::Service>::NAME)
        .with_service_name(BackupsServer::<backup::Service>::NAME)
        .with_service_name(BalanceServer::<balance::Service>::NAME)
        .with_service_name(AdministratorsServer::<administrators::Service>::NAME)
        .with_service_name(KerberosKeysServer::<kerberos::Service>::NAME)
        .with_service_name(CloudServer::<cloud::Service>::NAME)
        .with_service_name(CertificatesServer::<certificates::Service>::NAME)
        .with_service_name(HEALTH)
        .build_v1()?;
    Ok(Routes::new(AuthorizationsServer::new(authorizations))
        .add_service(ClusterServer::new(cluster))
        .add_service(DirectoryServer::new(directory))
        .add_service(NodesServer::new(nodes))
        .add_service(TokensServer::new(tokens))
        .add_service(BackupsServer::new(backups))
        .add_service(BalanceServer::new(balance))
        .add_service(AdministratorsServer::new(administrators))
        .add_service(KerberosKeysServer::new(keys))
        .add_service(CloudServer::new(in_cloud))
        .add_service(CertificatesServer::new(certificates))
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
