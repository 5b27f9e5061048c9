//! The admin port as a program calls it, by gRPC.

use crate::support::cluster::TestCluster;
use hyper_util::rt::TokioIo;
use rmsc::control::{Client, Context};
use rmsc::proto::control::v1 as proto;
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
        "rmsc.control.v1.Cluster",
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
    let context = Context::load(&cluster.dir().join("context.toml")).unwrap();
    let mut authorizations = Client::connect(&context).await.unwrap().authorizations();
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
    let context = Context::load(&cluster.dir().join("context.toml")).unwrap();
    let mut authorizations = Client::connect(&context).await.unwrap().authorizations();
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
