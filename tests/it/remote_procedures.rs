//! The admin port as a program calls it, by gRPC.

use crate::support::cluster::TestCluster;
use hyper_util::rt::TokioIo;
use rmsc::control::{Client, Context};
use rmsc::proto::control::v1 as proto;
use rmsc::proto::control::v1::authorizations_client::AuthorizationsClient;
use rmsc::tls::{Files, Membership};
use std::collections::BTreeSet;
use std::time::Duration;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

/// A channel of our own: the product's client gives only its own services.
async fn channel(cluster: &TestCluster) -> Channel {
    let dir = cluster.dir();
    let files = Files { certificate: dir.join("admin.pem"), key: dir.join("admin.key") };
    let member = Membership::load(&files, &dir.join("cluster-ca.pem")).map(|member| member.client());
    let member = member.expect("the lab's certificates are good");
    let address = cluster.any_node().admin.to_string();
    let connector = tower::service_fn(move |_| {
        let (member, address) = (member.clone(), address.clone());
        async move { member.connect(&address).await.map(|(stream, _)| TokioIo::new(stream)) }
    });
    let channel = Endpoint::from_static("http://admin.test").connect_with_connector(connector).await;
    channel.expect("the admin port takes an administrator")
}

#[tokio::test]
async fn reflection_lists_the_services() {
    let cluster = TestCluster::shared();
    let mut reflection = ServerReflectionClient::new(channel(&cluster).await);
    let question = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers =
        reflection.server_reflection_info(tokio_stream::iter([question])).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("no list: {answer:?}");
    };
    let names: BTreeSet<String> = list.service.into_iter().map(|service| service.name).collect();
    for name in [
        "rmsc.control.v1.Authorizations",
        "rmsc.control.v1.Backups",
        "rmsc.control.v1.Cluster",
        "rmsc.control.v1.Directory",
        "rmsc.control.v1.Tokens",
        "grpc.health.v1.Health",
    ] {
        assert!(names.contains(name), "{names:?}");
    }
    assert!(!names.iter().any(|name| name.starts_with("rmsc.peer.")), "{names:?}");
}

#[tokio::test]
async fn health_says_that_the_services_serve() {
    let cluster = TestCluster::shared();
    let mut health = HealthClient::new(channel(&cluster).await);
    for service in ["", "rmsc.control.v1.Authorizations", "rmsc.control.v1.Cluster"] {
        let request = HealthCheckRequest { service: service.into() };
        let status = health.check(request).await.unwrap().into_inner().status();
        assert_eq!(status.as_str_name(), "SERVING", "{service:?}");
    }
}

async fn next(changes: &mut Streaming<proto::ListResponse>) -> proto::ListResponse {
    let next = tokio::time::timeout(Duration::from_secs(10), changes.message()).await;
    next.expect("the table comes in time").expect("the stream is whole").expect("the stream goes on")
}

fn names(table: &proto::ListResponse) -> BTreeSet<&str> {
    table.entries.iter().map(|entry| entry.name.as_str()).collect()
}

#[tokio::test]
async fn watch_sends_the_table_and_then_each_change() {
    let cluster = TestCluster::start(3);
    let context = Context::load(&cluster.dir().join("context.toml")).expect("the lab wrote it");
    let mut authorizations = Client::connect(&context).await.expect("the node answers").authorizations();
    let mut changes = authorizations.watch(proto::WatchRequest {}).await.unwrap().into_inner();
    let first = next(&mut changes).await;
    assert_eq!(names(&first), BTreeSet::from([r"LAB\EXCH01$", r"LAB\FS01$", r"LAB\svc-sharepoint"]));

    // Through another node than the one that is watched.
    let other = cluster.node("node-3").admin.to_string();
    let change = |arguments: &[&str]| {
        cluster.rmsc(&[&["--endpoint", &other, "authz"], arguments].concat()).check_code(0);
    };
    change(&["add", "--role", "sharepoint", r"LAB\mallory"]);
    let second = next(&mut changes).await;
    assert!(second.revision > first.revision && names(&second).contains(r"LAB\mallory"), "{second:?}");
    change(&["remove", r"LAB\mallory"]);
    let third = next(&mut changes).await;
    assert!(third.revision > second.revision && names(&third) == names(&first), "{third:?}");
}

#[tokio::test]
async fn a_change_that_is_sent_twice_acts_once() {
    let cluster = TestCluster::start(1);
    let context = Context::load(&cluster.dir().join("context.toml")).expect("the lab wrote it");
    let mut authorizations = Client::connect(&context).await.expect("the node answers").authorizations();
    let request = proto::AddRequest {
        name: r"LAB\mallory".into(),
        role: proto::Role::Sharepoint.into(),
        request_id: vec![7; 16],
        ..Default::default()
    };
    let first = authorizations.add(request.clone()).await.unwrap().into_inner();
    let again = authorizations.add(request).await.unwrap().into_inner();
    assert!(first.added && again.added, "{first:?} {again:?}");
    let table = authorizations.list(proto::ListRequest {}).await.unwrap().into_inner();
    assert_eq!(table.revision, first.effect.unwrap().revision);
}

async fn authorizations_of(cluster: &TestCluster, node: &str) -> AuthorizationsClient<Channel> {
    let mut context = Context::load(&cluster.dir().join("context.toml")).expect("the lab wrote it");
    context.endpoints = vec![cluster.node(node).admin.to_string()];
    Client::connect(&context).await.expect("the node answers").authorizations()
}

fn addition(sid: &str, wait_for: proto::WaitFor) -> proto::AddRequest {
    proto::AddRequest {
        name: r"FAR\server".into(),
        sid: sid.into(),
        kind: proto::Kind::Computer.into(),
        role: proto::Role::Fileserver.into(),
        wait_for: wait_for.into(),
        ..Default::default()
    }
}

async fn entry_of(
    authorizations: &mut AuthorizationsClient<Channel>,
    consistency: proto::Consistency,
) -> proto::GetResponse {
    let request = proto::GetRequest { sid: SID.into(), consistency: consistency.into() };
    authorizations.get(request).await.expect("the entry is there").into_inner()
}

#[tokio::test]
async fn a_change_is_answered_when_the_caller_says() {
    let cluster = TestCluster::start(3);
    let mut authorizations = authorizations_of(&cluster, "node-1").await;
    for (sid, wait_for, nodes) in [
        ("S-1-5-21-1-2-3-1", proto::WaitFor::Unspecified, 3),
        ("S-1-5-21-1-2-3-2", proto::WaitFor::Effect, 3),
        ("S-1-5-21-1-2-3-3", proto::WaitFor::Acknowledgement, 0),
    ] {
        let added = authorizations.add(addition(sid, wait_for)).await.unwrap().into_inner();
        let effect = added.effect.unwrap();
        assert!(added.added && effect.revision > 0, "{wait_for:?}: {effect:?}");
        assert_eq!(effect.nodes.len(), nodes, "{wait_for:?}: {effect:?}");
        let request =
            proto::RemoveRequest { principal: sid.into(), wait_for: wait_for.into(), ..Default::default() };
        let removed = authorizations.remove(request).await.unwrap().into_inner();
        assert_eq!(removed.effect.unwrap().nodes.len(), nodes, "{wait_for:?}");
    }
}

#[tokio::test]
async fn an_acknowledged_entry_is_read_at_once_on_every_node() {
    let cluster = TestCluster::start(3);
    let mut leader = authorizations_of(&cluster, &cluster.leader()).await;
    for node in cluster.nodes() {
        let mut authorizations = authorizations_of(&cluster, &node.name).await;
        assert_eq!(entry_of(&mut authorizations, proto::Consistency::Linearizable).await.entry, None);
        let request = addition(SID, proto::WaitFor::Acknowledgement);
        let revision = leader.add(request).await.unwrap().into_inner().effect.unwrap().revision;
        let read = entry_of(&mut authorizations, proto::Consistency::Linearizable).await;
        assert_eq!(read.entry.expect("it was acknowledged").sid, SID, "{}", node.name);
        assert_eq!(read.revision, revision, "{}", node.name);
        assert!(read.applied >= revision, "{}: {} before {revision}", node.name, read.applied);
        let request = proto::RemoveRequest { principal: SID.into(), ..Default::default() };
        leader.remove(request).await.unwrap();
    }
}

#[tokio::test]
async fn only_a_local_read_needs_no_leader() {
    let cluster = TestCluster::start(3);
    let mut authorizations = authorizations_of(&cluster, "node-1").await;
    authorizations.add(addition(SID, proto::WaitFor::Effect)).await.unwrap();
    cluster.kill("node-2");
    cluster.kill("node-3");
    let read = entry_of(&mut authorizations, proto::Consistency::Local).await;
    assert_eq!(read.entry.expect("it was in effect").sid, SID);
    let request = proto::GetRequest { sid: SID.into(), consistency: proto::Consistency::Linearizable.into() };
    let refused = authorizations.get(request).await.expect_err("nobody leads");
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused:?}");
}

#[tokio::test]
async fn an_entry_is_asked_for_by_a_sid() {
    let cluster = TestCluster::shared();
    let mut authorizations = authorizations_of(&cluster, "node-1").await;
    let request = proto::GetRequest { sid: r"LAB\FS01$".into(), ..Default::default() };
    let refused = authorizations.get(request).await.expect_err("it is a name");
    assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{refused:?}");
}

const SID: &str = "S-1-5-21-1-2-3-4444";
