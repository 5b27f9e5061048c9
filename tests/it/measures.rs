//! What monitors read: how long requests took here and at the service, and how old the table is.

use crate::support::cluster::TestCluster;
use crate::support::http::Request;
use crate::support::lab::Node;
use crate::support::log::audit_record;
use crate::support::simulator::Simulator;
use crate::support::soap::{ACQUIRE_LICENSE, ACQUIRE_PRE_LICENSE, CERTIFY};
use crate::support::wait;

/// The value of the one line of a node's metrics that begins so.
#[track_caller]
fn value(cluster: &TestCluster, node: &Node, begins: &str) -> f64 {
    let metrics = cluster.monitor(node, "/metrics").text();
    let found: Vec<_> = metrics.lines().filter_map(|line| line.strip_prefix(begins)).collect();
    let [found] = found[..] else { panic!("{} lines {begins}: {metrics}", found.len()) };
    found.trim().parse().unwrap_or_else(|_| panic!("{begins} has {found}"))
}

#[test]
fn the_times_of_connector_and_service_are_told_apart() {
    let cluster = TestCluster::start(1);
    let (simulator, node) = (Simulator::start(), cluster.any_node());
    simulator.serve(&cluster, &node.name);
    // Longer than anything that a loaded machine makes of the connector's own time.
    simulator.fail("latency=3s");
    let answer = cluster.call(&node, &cluster.exchange(), &Request::soap(&CERTIFY));
    answer.check(200, &[]);
    let record = audit_record(&cluster, &answer);
    let time = |name: &str| record[name].as_f64().unwrap_or_else(|| panic!("no {name} in {record}"));
    assert!(time("service_ms") >= 3_000.0 && time("connector_ms") < 3_000.0, "{record}");
    assert!(time("connector_ms") > 0.0 && time("total_ms") > time("service_ms"), "{record}");
    let sum = |of: &str, labels: &str| {
        let labels = format!("pipeline=\"certification\",operation=\"certify\",{labels}");
        value(&cluster, &node, &format!("rmsc_front_{of}_seconds_sum{{{labels}}}"))
    };
    let single = "outcome=\"Successful\",batch=\"Single\"";
    let (connector, service) = (sum("connector_processing", single), sum("service_response", single));
    let total = sum("connector_response", single);
    assert!(service >= 3.0 && connector > 0.0 && connector < 3.0, "{service} {connector}");
    assert!((total - service - connector).abs() < 0.001, "{total} {service} {connector}");
    // What did not succeed is counted apart, and so are batches.
    simulator.fail("503");
    cluster.call(&node, &cluster.exchange(), &Request::soap(&CERTIFY)).check(500, &[]);
    simulator.fail("fault=Microsoft.DigitalRightsManagement.Core.X");
    cluster.call(&node, &cluster.exchange(), &Request::soap(&CERTIFY)).check(500, &[]);
    for outcome in ["Failed", "Fault"] {
        let labels = format!("outcome=\"{outcome}\",batch=\"Single\"");
        assert!(sum("connector_response", &labels) < 3.0, "{outcome}");
    }
    simulator.fail("");
    cluster.call(&node, &cluster.exchange(), &Request::soap(&ACQUIRE_PRE_LICENSE)).check(200, &[]);
    let refused = cluster.account("svc-sharepoint");
    cluster.call(&node, &refused, &Request::soap(&ACQUIRE_PRE_LICENSE)).check(500, &[]);
    cluster.call(&node, &cluster.mallory(), &Request::soap(&ACQUIRE_LICENSE)).check(500, &[]);
    let count = |of: &str, operation: &str, labels: &str| {
        let labels = format!("pipeline=\"licensing\",operation=\"{operation}\",{labels}");
        value(&cluster, &node, &format!("rmsc_front_{of}_seconds_count{{{labels}}}"))
    };
    for (of, operation, outcome, batch) in [
        ("service_response", "acquire_pre_license", "Successful", "Batched"),
        ("connector_processing", "acquire_pre_license", "Successful", "Batched"),
        ("connector_response", "acquire_pre_license", "Refused", "Batched"),
        ("connector_response", "acquire_license", "Refused", "Single"),
    ] {
        let labels = format!("outcome=\"{outcome}\",batch=\"{batch}\"");
        assert!((count(of, operation, &labels) - 1.0).abs() < 0.1, "{of} {operation} {labels}");
    }
}

#[test]
fn the_age_of_the_table_begins_anew_with_a_change_on_every_node() {
    let cluster = TestCluster::start(3);
    let age = |node: &Node| value(&cluster, node, "rmsc_table_update_age_seconds ");
    let nodes = cluster.nodes();
    wait::until_true("the table has some age", wait::PATIENCE, || nodes.iter().all(|node| age(node) >= 2.0));
    let before: Vec<_> = nodes.iter().map(age).collect();
    cluster.rmsc(&["authz", "add", "--yes", "--role", "sharepoint", "LAB\\mallory"]).check_code(0);
    // It acts on all of them, so each has seen it.
    let after: Vec<_> = nodes.iter().map(age).collect();
    for (before, after) in before.iter().zip(&after) {
        assert!(after < before, "{before} {after}");
    }
    wait::until_true("it grows again", wait::PATIENCE, || nodes.iter().all(|node| age(node) > 1.0));
}
