//! `rmsc status`: the cluster on one screen.

use crate::support::cluster::TestCluster;
use crate::support::program::run;
use serde_json::Value;
use std::net::TcpListener;
use std::process::Command;

#[test]
fn a_healthy_lab_warns_of_its_ntlm_alone() {
    let cluster = TestCluster::shared();
    let ran = cluster.rmsc(&["status", "-o", "json"]);
    let status: Value = ran.check_code(3).json();
    let warnings = status["warnings"].as_array().unwrap();
    // Curl binds nothing, and a lab is for trying; nobody should learn it from there.
    let words =
        |node: usize| format!("node-{node} lets Exchange servers in by NTLM that is not bound to TLS");
    assert_eq!(warnings.len(), 3, "{status}");
    for (at, warning) in warnings.iter().enumerate() {
        assert!(warning.as_str().unwrap().contains(&words(at + 1)), "{warning}");
    }
    let metrics = cluster.monitor(&cluster.any_node(), "/metrics").text();
    assert!(metrics.contains("rmsc_relay_exchange_ntlm_unbound 1"), "{metrics}");
    assert_eq!((&status["relay_survives"], &status["changes_survive"]), (&2.into(), &1.into()), "{status}");
    assert_eq!(status["service_name"], cluster.lab().service_name.as_str());
    assert_eq!(status["upstream"]["kind"], "simulated");
    let nodes = status["nodes"].as_array().unwrap();
    let names: Vec<&str> = nodes.iter().map(|node| node["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["node-1", "node-2", "node-3"]);
    assert_eq!(nodes.iter().filter(|node| node["leader"] == true).count(), 1, "{status}");
    for node in nodes {
        let said = [&node["up"], &node["ready"], &node["voter"]];
        assert_eq!(said, [&Value::Bool(true); 3], "{node}");
    }
}

#[test]
fn a_node_that_is_down_is_named_in_a_warning() {
    let cluster = TestCluster::start(3);
    cluster.kill("node-2");
    let others = cluster.others(&["node-2"]);
    cluster.await_rotation_of(&others, &others);
    let ran = cluster.rmsc(&["status", "-o", "json"]);
    let status: Value = ran.check_code(3).json();
    let warnings = status["warnings"].to_string();
    assert!(warnings.contains("node-2 takes no requests: does not answer"), "{warnings}");
    assert!(warnings.contains("changes survive no further failure"), "{warnings}");
    let node = &status["nodes"][1];
    assert_eq!((&node["name"], &node["up"]), (&"node-2".into(), &false.into()), "{node}");
    let ran = cluster.rmsc(&["status"]);
    ran.check_code(3);
    for words in ["NODE", "does not answer", "‼ node-2"] {
        assert!(ran.stdout.contains(words), "no {words:?} in {}", ran.stdout);
    }
}

#[test]
fn a_reader_that_has_read_enough_is_no_error() {
    let cluster = TestCluster::shared();
    let status = format!(
        "set -o pipefail; '{}' status --context '{}' | true",
        env!("CARGO_BIN_EXE_rmsc"),
        cluster.dir().join("context.toml").display(),
    );
    let ran = run(Command::new("bash").args(["-c", &status]));
    // A lab has a warning.
    ran.check_code(3);
    assert_eq!(ran.stderr, "");
}

#[test]
fn a_cluster_with_no_node_up_is_said_so() {
    let cluster = TestCluster::start(1);
    cluster.kill("node-1");
    let ran = cluster.rmsc(&["status"]);
    let address = cluster.any_node().admin.to_string();
    ran.check_code(1).check_says(&[
        &format!("no node answers at {address} (Connection refused (os error 111))"),
        "check that one runs there, that these are admin addresses",
    ]);
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("it is bound").to_string();
    let ran = cluster.rmsc(&["--endpoint", &address, "status"]);
    ran.check_code(1).check_says(&[&format!("{address} (no answer for 2 s)")]);
    silent.set_nonblocking(true).expect("a socket can be");
    assert_eq!(std::iter::from_fn(|| silent.accept().ok()).count(), 2, "it was tried again");
}

#[test]
fn a_node_whose_file_says_something_else_is_named() {
    let cluster = TestCluster::start(2);
    let said = cluster.rmsc(&["status"]).stdout;
    assert!(
        said.contains("rmsconnector.lab.test   2 nodes   leader") && !said.contains("in the file of"),
        "{said}"
    );
    cluster.reconfigure("node-2", "rmsconnector.lab.test", "rmsconnector.lab.example");
    cluster.await_rotation();
    let said = cluster.rmsc(&["status"]).stdout;
    for words in [
        "service_name of [cluster] in the file of node-",
        "is rmsconnector.lab.",
        "make the node files alike",
    ] {
        assert!(said.contains(words), "{said}");
    }
}
