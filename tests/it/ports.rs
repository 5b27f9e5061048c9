//! The other three ports: who may talk to the peer and admin ports, and what the ops port says.

use crate::support::certificates::{Issued, call};
use crate::support::cluster::{NewDir, TestCluster};
use crate::support::http::{self, Request};
use crate::support::load::Load;
use crate::support::program::{Ran, rmsc, run};
use crate::support::soap::ACQUIRE_LICENSE;
use crate::support::wait::{self, PATIENCE};
use rustix::process::Signal;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

const STATUS: &str = "rmsc.peer.v1.Node/Status";
const APPEND: &str = "rmsc.peer.v1.Raft/Append";
const HANDLE: &str = "rmsc.peer.v1.Relay/Handle";
const JOIN: &str = "rmsc.peer.v1.Join/Join";
const LIST: &str = "rmsc.control.v1.Authorizations/List";

struct Certificates {
    cluster: std::sync::Arc<TestCluster>,
}

impl Certificates {
    fn check(&self, port: SocketAddr, method: &str, who: &str) -> Result<u16, Ran> {
        let cluster = self.cluster.dir();
        match who {
            "nobody" => call(port, method, None),
            "node" => {
                let files = Issued::of_node(&self.cluster.any_node());
                call(port, method, Some((&files.certificate(), &files.key())))
            }
            _ => call(port, method, Some((&cluster.join("admin.pem"), &cluster.join("admin.key")))),
        }
    }
}

#[test]
fn the_peer_port_takes_nodes_alone() {
    let certificates = Certificates { cluster: TestCluster::shared() };
    let port = certificates.cluster.any_node().peer;
    assert_eq!(certificates.check(port, STATUS, "node").unwrap(), 200);
    certificates.check(port, STATUS, "admin").unwrap_err();
    // Whoever has no certificate can join, and nothing else.
    for method in [STATUS, APPEND, HANDLE] {
        // The answer comes before the request is read, which curl sometimes takes for an error.
        let answer = certificates.check(port, method, "nobody").unwrap_or(403);
        assert_eq!(answer, 403, "{method}");
    }
    assert_eq!(certificates.check(port, JOIN, "nobody").unwrap(), 200);
}

#[test]
fn the_admin_port_takes_administrators_alone() {
    let certificates = Certificates { cluster: TestCluster::shared() };
    let port = certificates.cluster.any_node().admin;
    assert_eq!(certificates.check(port, LIST, "admin").unwrap(), 200);
    certificates.check(port, LIST, "node").unwrap_err();
    certificates.check(port, LIST, "nobody").unwrap_err();
}

/// Whoever could import one could stand in for the service.
#[test]
fn the_certificate_for_calling_servers_is_for_administrators_alone() {
    let certificates = Certificates { cluster: TestCluster::shared() };
    let port = certificates.cluster.any_node().admin;
    for method in ["Import", "Show", "Renew", "Remove"] {
        let method = format!("rmsc.control.v1.Certificates/{method}");
        assert_eq!(certificates.check(port, &method, "admin").unwrap(), 200);
        for who in ["node", "nobody"] {
            let answer = certificates.check(port, &method, who);
            assert!(answer.is_err(), "{method}, {who}: {answer:?}");
        }
    }
}

/// Our own program with the certificate of someone else.
#[track_caller]
fn administrate(cluster: &TestCluster, certificate: &Path, key: &Path) -> Ran {
    let folder = NewDir::made();
    let context = folder.path().join("context.toml");
    let text = format!(
        "endpoints = [\"{}\"]\nauthority = {:?}\ncertificate = {certificate:?}\nkey = {key:?}\n",
        cluster.any_node().admin,
        cluster.dir().join("cluster-ca.pem"),
    );
    fs::write(&context, text).expect("the temporary folder can be written");
    run(rmsc().arg("--context").arg(&context).args(["authz", "list"]))
}

#[test]
fn a_node_is_no_administrator() {
    let cluster = TestCluster::shared();
    let node = Issued::of_node(&cluster.any_node());
    let ran = administrate(&cluster, &node.certificate(), &node.key());
    assert!(!matches!(ran.code, Some(0)) && ran.stdout.is_empty(), "{ran:?}");
}

#[test]
fn an_administrator_of_another_cluster_is_none_of_this_one() {
    let (cluster, other) = (TestCluster::shared(), TestCluster::start(1));
    let ran = administrate(&cluster, &other.dir().join("admin.pem"), &other.dir().join("admin.key"));
    assert!(!matches!(ran.code, Some(0)) && ran.stdout.is_empty(), "{ran:?}");
    let foreign = other.rmsc(&["--endpoint", &cluster.any_node().admin.to_string(), "status"]);
    foreign.check_code(1).check_says(&["the node there is of another cluster than the context"]);
    let ours = administrate(&cluster, &cluster.dir().join("admin.pem"), &cluster.dir().join("admin.key"));
    ours.check_code(0);
}

#[test]
fn an_administrator_who_calls_the_peer_port_is_told_which_port_is_meant() {
    let cluster = TestCluster::shared();
    let peer = cluster.any_node().peer.to_string();
    let ran = cluster.rmsc(&["--endpoint", &peer, "status"]);
    ran.check_code(1).check_says(&["check that the address is a node's admin address", "--endpoint"]);
}

#[test]
fn a_node_that_runs_is_not_started_a_second_time() {
    let cluster = TestCluster::shared();
    let node = cluster.any_node();
    let ran = run(rmsc().args(["server", "--config"]).arg(&node.config));
    ran.check_code(1).check_says(&["is in use: this node runs already; stop that process first"]);
    assert_eq!(cluster.monitor(&node, "/livez").status, 200);
}

#[test]
fn the_ops_port_says_that_all_is_well() {
    let cluster = TestCluster::shared();
    cluster.await_rotation();
    for node in cluster.nodes() {
        for path in ["/livez", "/readyz", "/clusterz"] {
            assert_eq!(cluster.monitor(&node, path).status, 200, "{path} of {}", node.name);
        }
        let ready = cluster.monitor(&node, "/readyz").json();
        assert_eq!(ready["rotation"], serde_json::json!(["node-1", "node-2", "node-3"]), "{ready}");
        assert_eq!(cluster.monitor(&node, "/clusterz").json()["nodes"], 3);
    }
}

#[test]
fn the_ops_port_has_metrics_of_every_part() {
    let cluster = TestCluster::shared();
    let node = cluster.any_node();
    // Each node relays one of them.
    for _ in cluster.nodes() {
        cluster.call(&node, &cluster.exchange(), &Request::soap(&ACQUIRE_LICENSE)).check(200, &[]);
    }
    let metrics = cluster.monitor(&node, "/metrics");
    metrics.check(200, &["rmsc_front_requests_total", "rmsc_relay_", "rmsc_upstream_", "# EOF"]);
    // Whoever reads metrics must not learn who calls.
    assert!(!metrics.text().contains("S-1-5-21"), "{}", metrics.text());
}

#[test]
fn the_ops_port_is_read_only_and_knows_no_other_path() {
    let cluster = TestCluster::shared();
    let monitor = cluster.any_node().monitor();
    http::exchange(monitor, &Request::get("/nothing")).check(404, &["/readyz"]);
    http::exchange(monitor, &Request::post("/readyz", "")).check(405, &["read-only"]);
}

#[test]
fn a_node_that_is_told_to_stop_says_first_that_it_is_not_ready() {
    let cluster = TestCluster::start(3);
    let node = cluster.node("node-3");
    cluster.signal("node-3", Signal::TERM);
    let answer = wait::until("node-3 is not ready", PATIENCE, || {
        let answer = http::try_exchange(node.monitor(), &Request::get("/readyz")).ok()?;
        (answer.status == 503).then_some(answer)
    });
    assert_eq!(answer.json()["reason"], "draining");
}

#[test]
fn a_node_that_hears_no_leader_is_not_ready_at_its_start() {
    let cluster = TestCluster::start(3);
    for node in cluster.nodes() {
        cluster.kill(&node.name);
    }
    cluster.restart("node-1");
    let monitor = cluster.any_node().monitor();
    let answer = wait::until("node-1 answers its monitor", PATIENCE, || {
        http::try_exchange(monitor, &Request::get("/readyz")).ok()
    });
    answer.check(503, &["no leader was heard"]);
    http::exchange(monitor, &Request::get("/livez")).check(200, &[]);
    http::exchange(monitor, &Request::get("/clusterz")).check(503, &[]);
}

/// Two of three nodes are dead, and someone calls through the third all the time.
struct Survivor {
    cluster: TestCluster,
    load: Load,
}

impl Survivor {
    fn new() -> Self {
        let cluster = TestCluster::alone(3);
        cluster.await_rotation();
        let load = Load::start(&[cluster.any_node()], &cluster.exchange(), &ACQUIRE_LICENSE, 2);
        load.await_more(30);
        for name in ["node-2", "node-3"] {
            cluster.kill(name);
        }
        Survivor { cluster, load }
    }
}

#[test]
fn the_last_node_relays_on_without_a_quorum() {
    let Survivor { cluster, load } = Survivor::new();
    let monitor = cluster.any_node().monitor();
    wait::until_true("the cluster takes no changes", PATIENCE, || {
        http::exchange(monitor, &Request::get("/clusterz")).status == 503
    });
    load.await_more(200);
    load.stop().check_nothing_failed();
    assert_eq!(http::exchange(monitor, &Request::get("/readyz")).status, 200);
}

#[test]
fn a_change_without_a_quorum_is_refused_and_says_so() {
    let Survivor { cluster, load } = Survivor::new();
    let begun = Instant::now();
    let ran = cluster.rmsc(&["authz", "add", "--role", "sharepoint", r"LAB\mallory"]);
    ran.check_code(5);
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    // A survivor that led does not know; one that followed found no leader.
    let words = ["it was not committed in time", "no leader", "majority"];
    assert!(words.iter().any(|words| ran.stderr.contains(words)), "{ran:?}");
    load.stop().check_nothing_failed();
}

#[test]
fn a_change_right_after_the_leader_died_succeeds() {
    let cluster = TestCluster::alone(3);
    cluster.kill(&cluster.leader());
    let begun = Instant::now();
    let ran = cluster.rmsc(&["authz", "add", "--role", "sharepoint", r"LAB\mallory"]);
    // 3: it is in effect, but not on the dead node.
    ran.check_code(3);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
