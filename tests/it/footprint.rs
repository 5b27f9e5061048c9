//! How quickly a lab is there, and how little an idle node needs: of a release build.

use crate::support::cluster::TestCluster;
use crate::support::{processes, wait};
use std::time::Duration;

const READY_WITHIN: Duration = Duration::from_secs(5);
/// A build for debugging has more code, and less is asked of it.
const RESIDENT_BYTES_MAX: u64 = if cfg!(debug_assertions) { 120 << 20 } else { 60 << 20 };
/// Whatever a node does once after its start, it has done by then.
const IDLE: Duration = Duration::from_secs(3);

#[test]
fn a_lab_is_ready_within_5_seconds() {
    let cluster = TestCluster::alone(3);
    assert!(cluster.started_in() <= READY_WITHIN, "{:?}", cluster.started_in());
}

#[test]
fn an_idle_node_needs_60_mib_at_most() {
    let cluster = TestCluster::alone(3);
    cluster.await_rotation();
    wait::stays("every node runs", IDLE, || cluster.pids().iter().all(|pid| processes::is_alive(*pid)));
    for node in cluster.nodes() {
        let resident = processes::resident_bytes(node.running_pid());
        assert!(resident <= RESIDENT_BYTES_MAX, "{} needs {} KiB", node.name, resident >> 10);
    }
}
