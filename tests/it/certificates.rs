//! Certificates: who is refused at which port and why, who is refused once removed, and renewal while
//! servers call.

use crate::support::certificates::{self, Issued, administrator, call, node};
use crate::support::cluster::TestCluster;
use crate::support::host::Host;
use crate::support::http::{self, Request};
use crate::support::load::Load;
use crate::support::log::{await_event, events, field};
use crate::support::soap::ACQUIRE_LICENSE;
use crate::support::wait::{self, PATIENCE};
use rmsc::tls::{Authority, Credentials, Membership};
use std::fs;
use std::time::{Duration, Instant};
use time::{Duration as Span, OffsetDateTime};
use tokio::io::AsyncReadExt;
use tokio::net::TcpSocket;

const STATUS: &str = "rmsc.peer.v1.Node/Status";
const LIST: &str = "rmsc.control.v1.Authorizations/List";

/// A cluster of one node whose authority the test has, as a thief would.
struct Stolen {
    host: Host,
    authority: Authority,
    cluster_id: String,
    _lab: TestCluster,
}

impl Stolen {
    fn new() -> Self {
        let lab = TestCluster::start(1);
        let mut host = Host::new(&lab, "alone");
        host.rmsc(&["init"]).check_code(0);
        let identity = certificates::identity(&host.node);
        let key = identity.authority_key.expect("a founder has it until the cluster does");
        let authority = Authority::of_parts(&identity.authority, &key).expect("it was kept whole");
        host.start();
        wait::until_true("the node answers as one that is founded", PATIENCE, || {
            host.certificate().call(host.node.peer, STATUS).is_ok_and(|status| status == 200)
        });
        Stolen { host, authority, cluster_id: identity.cluster_id, _lab: lab }
    }

    fn issue(&self, node_id: u64) -> Issued {
        self.issue_from(node_id, OffsetDateTime::now_utc(), Span::hours(1))
    }

    fn issue_from(&self, node_id: u64, from: OffsetDateTime, life: Span) -> Issued {
        Issued::by(&self.authority, &node(&self.cluster_id, node_id), from, life)
    }

    /// Checks that a call as this one is answered by nothing, and that the event says why.
    #[track_caller]
    fn check_refused(&self, who: &Issued, port: &str, event: u16, words: &str) {
        let (address, method) = match port {
            "peer" => (self.host.node.peer, STATUS),
            _ => (self.host.node.admin, LIST),
        };
        // One that is known by its certificate is told why.
        if let Ok(status) = who.call(address, method) {
            assert_eq!(status, 403);
        }
        let wanted = |event: &serde_json::Value| event["port"] == port && field(event, "who").contains(words);
        let event = await_event(&self.host.node, event, wanted);
        assert_eq!(field(&event, "level"), "WARN");
        assert!(field(&event, "remote").starts_with("127.0.0.1:"), "{event}");
        assert!(!field(&event, "remedy").is_empty());
    }
}

#[test]
fn every_certificate_that_is_not_a_members_is_refused_and_the_event_says_which() {
    let stolen = Stolen::new();
    let now = OffsetDateTime::now_utc();
    let expired = stolen.issue_from(1, now - Span::days(2), Span::days(1));
    let future = stolen.issue_from(1, now + Span::days(1), Span::days(1));
    let admin = Issued::by(&stolen.authority, &administrator(&stolen.cluster_id), now, Span::hours(1));
    let other_authority = Authority::new("rmsc cluster other", now).unwrap();
    let other = Issued::by(&other_authority, &node("othercluster", 1), now, Span::hours(1));
    let forged = Issued::by(&other_authority, &node(&stolen.cluster_id, 1), now, Span::hours(1));
    let (own, foreign) = (stolen.host.certificate(), Issued::foreign());
    for port in ["peer", "admin"] {
        stolen.check_refused(&other, port, 4020, "rmsc://othercluster/node/1, of another cluster");
        stolen.check_refused(&expired, port, 4023, "has expired");
        stolen.check_refused(&future, port, 4024, "not valid yet");
        stolen.check_refused(&forged, port, 4025, "authority that is not this cluster's");
        stolen.check_refused(&foreign, port, 4025, "authority that is not this cluster's");
    }
    stolen.check_refused(&admin, "peer", 4021, "/admin/alice is an administrator");
    stolen.check_refused(&own, "admin", 4022, "/node/1 is a node");
    stolen.check_refused(&stolen.issue(2), "peer", 4027, "node 2 is not in the cluster");
    stolen.check_refused(&stolen.issue(1), "peer", 4028, "node 1 has another key");
    // Whoever has the authority's key can make an administrator's certificate, and is none by that.
    stolen.check_refused(&admin, "admin", 4019, "alice is no administrator");
    call(stolen.host.node.admin, LIST, None).unwrap_err();
    await_event(&stolen.host.node, 4029, |event| field(event, "who").contains("shows no certificate"));
    // One stranger with many names has one line.
    let third = Issued::by(&other_authority, &node("thirdcluster", 1), now, Span::hours(1));
    third.call(stolen.host.node.peer, STATUS).unwrap_err();
    stolen.check_refused(&stolen.issue(3), "peer", 4027, "node 3 is not in the cluster");
    let of_others = events(&stolen.host.node, 4020);
    assert_eq!(of_others.iter().filter(|event| event["port"] == "peer").count(), 1, "{of_others:?}");
    // An id that nobody has had yet may be one of a node that this one will hear of.
    let minted = stolen.issue(u64::MAX);
    let methods =
        [STATUS, "rmsc.peer.v1.Node/ReadIndex", "rmsc.peer.v1.Relay/Handle", "rmsc.peer.v1.Raft/Vote"];
    for method in methods {
        assert_eq!(minted.call(stolen.host.node.peer, method).unwrap(), 403, "{method}");
    }
    let words = "no member that is known here vouches for it";
    await_event(&stolen.host.node, 4027, |event| field(event, "who").contains(words));
    // The right ones are as welcome as before.
    assert_eq!(own.call(stolen.host.node.peer, STATUS).unwrap(), 200);
    let folder = stolen.host.path();
    let files = (folder.join("admin.pem"), folder.join("admin.key"));
    let answered = call(stolen.host.node.admin, LIST, Some((&files.0, &files.1)));
    assert_eq!(answered.unwrap(), 200);
}

/// A connection that stays open as long as the other end likes.
async fn connection(membership: &Membership, address: &str) -> impl Future<Output = Duration> + use<> {
    let (mut stream, _) = membership.client().connect(address).await.expect("it was let in");
    async move {
        let begun = Instant::now();
        let mut bytes = [0; 1_024];
        while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
        begun.elapsed()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_node_is_refused_within_a_second_on_open_connections_too() {
    let cluster = TestCluster::start(3);
    let gone = cluster.node("node-3");
    let identity = certificates::identity(&gone);
    cluster.kill("node-3");
    let membership = Membership::new(Credentials {
        certificate: identity.certificate.clone(),
        authority: identity.authority.clone(),
        key: identity.node_key.clone(),
        path: "stolen".into(),
    });
    let membership = membership.unwrap();
    let stolen = Issued::of_node(&gone);
    let staying = [cluster.node("node-1"), cluster.node("node-2")];
    let mut open = Vec::new();
    for node in &staying {
        assert_eq!(stolen.call(node.peer, STATUS).unwrap(), 200);
        open.push(connection(&membership, &node.peer.to_string()).await);
    }
    let config = gone.config.display().to_string();
    // It returns when the removal is committed.
    cluster.rmsc(&["leave", "--yes", "--config", &config]).check_code(0);
    for closed in futures::future::join_all(open).await {
        assert!(closed <= Duration::from_secs(1), "closed after {closed:?}");
    }
    for node in &staying {
        assert_eq!(stolen.call(node.peer, STATUS).unwrap(), 403);
        let event = await_event(node, 4026, |_| true);
        let words = format!("node {} (node-3) was removed by lab", identity.node_id);
        assert!(field(&event, "who").contains(&words), "{event}");
    }
    cluster.await_rotation_of(&cluster.others(&["node-3"]), &cluster.others(&["node-3"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_strangers_do_not_keep_members_out() {
    let cluster = TestCluster::start(1);
    let node = cluster.any_node();
    let mut silent = Vec::new();
    for port in [node.peer, node.admin] {
        for _ in 0..300 {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
            silent.push(socket.connect(port).await.unwrap());
        }
    }
    assert_eq!(Issued::of_node(&node).call(node.peer, STATUS).unwrap(), 200);
    cluster.rmsc(&["authz", "list"]).check_code(0);
}

#[test]
fn a_node_that_was_removed_while_it_was_off_says_so_and_keeps_its_data() {
    let cluster = TestCluster::start(3);
    let gone = cluster.node("node-3");
    cluster.kill("node-3");
    // Not on its own host: nobody puts its data aside.
    let removed = cluster.rmsc(&["node", "remove", "node-3", "--yes"]);
    assert!(matches!(removed.code, Some(0 | 3)), "{removed:?}");
    cluster.restart("node-3");
    wait::until_true("it says that it was removed", PATIENCE, || {
        let readiness = http::try_exchange(gone.monitor(), &Request::get("/readyz"));
        let reason = readiness.map(|answer| answer.field("reason").to_string()).unwrap_or_default();
        reason.contains("another node says: node") && reason.contains("(node-3) was removed by lab")
    });
    let event = await_event(&gone, 4042, |_| true);
    assert!(field(&event, "reason").contains("(node-3) was removed by lab"), "{event}");
    assert!(gone.data_dir.join("identity").exists());
}

#[test]
fn certificates_are_renewed_while_servers_call_and_nothing_fails() {
    let cluster = TestCluster::with_certificate_life(3, "12s");
    cluster.await_rotation();
    let nodes = cluster.nodes();
    let first: Vec<_> = nodes.iter().map(|node| certificates::identity(node).certificate).collect();
    let load = Load::start(&nodes, &cluster.exchange(), &ACQUIRE_LICENSE, 1);
    for node in &nodes {
        wait::until_true("each certificate is renewed twice", Duration::from_secs(60), || {
            events(node, 1011).len() >= 2
        });
    }
    load.await_more(30);
    load.stop().check_nothing_failed();
    for (node, first) in nodes.iter().zip(first) {
        assert!(events(node, 4040).is_empty());
        let now = certificates::identity(node);
        assert_ne!(now.certificate, first);
        // A new connection with the new one, and a change through it.
        assert_eq!(Issued::of_node(node).call(cluster.node("node-1").peer, STATUS).unwrap(), 200);
        let metrics = cluster.monitor(node, "/metrics").text();
        let expires =
            metrics.lines().find_map(|line| line.strip_prefix("rmsc_node_certificate_expires_seconds "));
        let expires: i64 = expires.expect("a gauge").trim().parse().unwrap();
        assert!((expires - OffsetDateTime::now_utc().unix_timestamp()).abs() <= 12, "{expires}");
    }
    cluster.rmsc(&["authz", "add", "--role", "sharepoint", r"LAB\mallory"]).check_code(0);
}

#[test]
fn a_renewal_that_fails_is_told_and_tried_again() {
    let cluster = TestCluster::with_certificate_life(1, "12s");
    let node = cluster.any_node();
    let first = certificates::identity(&node).certificate;
    // In the place where the new identity would be written there is something else.
    let blocked = node.data_dir.join("identity.tmp");
    fs::create_dir(&blocked).expect("a folder of the lab can be written");
    let event = await_event(&node, 4040, |_| true);
    assert_eq!(field(&event, "level"), "WARN");
    assert!(field(&event, "reason").contains("cannot read or write"), "{event}");
    assert!(!field(&event, "until").is_empty() && !field(&event, "remedy").is_empty(), "{event}");
    assert_eq!(certificates::identity(&node).certificate, first);
    fs::remove_dir(&blocked).expect("a folder of the lab can be written");
    await_event(&node, 1011, |_| true);
    assert_ne!(certificates::identity(&node).certificate, first);
}

#[test]
fn a_node_whose_certificate_ended_while_it_was_off_comes_back() {
    let cluster = TestCluster::with_certificate_life(3, "5s");
    cluster.await_rotation();
    cluster.kill("node-3");
    let old = Issued::of_node(&cluster.node("node-3"));
    wait::until_true("the certificate ends", PATIENCE, || {
        old.call(cluster.node("node-1").peer, STATUS).is_err()
    });
    cluster.restart("node-3");
    cluster.await_rotation();
}
