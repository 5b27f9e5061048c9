//! Disks that fill up or fail under running nodes, and damage that a node finds when it starts.

use crate::support::cluster::TestCluster;
use crate::support::disk::{Injected, Tmpfs, give_disks, may_mount};
use crate::support::http::Request;
use crate::support::lab::Node;
use crate::support::program::{Ran, rmsc, run};
use crate::support::soap::ACQUIRE_LICENSE;
use crate::support::{log, processes, wait};
use rustix::process::Signal;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const DISK_BYTES: u64 = 128 << 20;
/// A node that cannot sync ends at once: R20 gives it a second, and a loaded machine another.
const END_TIMEOUT: Duration = Duration::from_secs(2);
fn add(cluster: &TestCluster, rid: u32) -> Ran {
    let sid = format!("S-1-5-21-7-7-7-{rid}");
    cluster.rmsc(&[
        "authz",
        "add",
        "--role",
        "exchange",
        "--computer",
        &format!("LAB\\D{rid}$"),
        "--sid",
        &sid,
        "--yes",
    ])
}

/// Waits until a change is taken.
#[track_caller]
fn add_when_taken(cluster: &TestCluster, rid: u32) {
    wait::until_true("a change is taken", wait::PATIENCE, || {
        // 3: it acts, but a node is down.
        matches!(add(cluster, rid).code, Some(0 | 3))
    });
}

#[track_caller]
fn check_relays(cluster: &TestCluster, names: &[String]) {
    for name in names {
        cluster
            .call(&cluster.node(name), &cluster.exchange(), &Request::soap(&ACQUIRE_LICENSE))
            .check(200, &[]);
    }
}

fn names(cluster: &TestCluster) -> Vec<String> {
    cluster.others(&[])
}

/// Fills the disks of some nodes to the last byte, checks that changes are refused and relaying goes on, makes room.
#[track_caller]
fn check_full(nodes: usize, full: impl FnOnce(&TestCluster) -> Vec<String>, refused: bool) {
    if !may_mount("A full disk") {
        return;
    }
    let cluster = TestCluster::start(nodes);
    let all = names(&cluster);
    let disks = give_disks(&cluster, &all, DISK_BYTES);
    cluster.await_rotation();
    add_when_taken(&cluster, 1);
    let full = full(&cluster);
    let pids = cluster.pids();
    let filled: Vec<&Tmpfs> =
        all.iter().zip(&disks).filter(|(name, _)| full.contains(name)).map(|(_, disk)| disk).collect();
    for disk in &filled {
        disk.fill(0);
    }
    for name in &full {
        log::await_event(&cluster.node(name), 4010, |_| true);
    }
    if refused {
        let ran = add(&cluster, 2);
        ran.check_code(5).check_says(&[
            "the disk of node-",
            "0 MiB free of 128 MiB",
            "until 20 MiB are free",
        ]);
    } else {
        add_when_taken(&cluster, 2);
    }
    check_relays(&cluster, &all);
    for disk in &filled {
        disk.make_room();
    }
    add_when_taken(&cluster, 3);
    for name in &full {
        log::await_event(&cluster.node(name), 4011, |_| true);
    }
    for name in &all {
        let node = cluster.node(name);
        wait::until_true("every node has every change", wait::PATIENCE, || {
            cluster.monitor(&node, "/readyz").field("entries") == entries(&cluster)
        });
    }
    assert_eq!(cluster.pids(), pids, "no node was started again");
}

fn entries(cluster: &TestCluster) -> serde_json::Value {
    cluster.rmsc(&["status", "--output", "json"]).field("entries")
}

#[test]
fn a_node_alone_with_a_full_disk_refuses_changes_relays_on_and_heals() {
    check_full(1, names, true);
}

#[test]
fn a_follower_with_a_full_disk_disturbs_nothing_and_heals() {
    check_full(3, |cluster| cluster.others(&[&cluster.leader()])[..1].to_vec(), false);
}

#[test]
fn a_leader_with_a_full_disk_hands_over_and_heals() {
    check_full(3, |cluster| vec![cluster.leader()], false);
}

#[test]
fn nodes_with_full_disks_refuse_changes_relay_on_and_heal() {
    check_full(3, names, true);
}

#[test]
fn a_node_starts_on_a_full_disk() {
    if !may_mount("The start on a full disk") {
        return;
    }
    let cluster = TestCluster::start(1);
    let disks = give_disks(&cluster, &names(&cluster), DISK_BYTES);
    cluster.await_rotation();
    disks[0].fill(0);
    log::await_event(&cluster.node("node-1"), 4010, |_| true);
    // A second one does not take the room that the first one holds for its next start.
    run(rmsc().args(["server", "--config"]).arg(&cluster.any_node().config)).check_code(1);
    cluster.kill("node-1");
    cluster.restart("node-1");
    cluster.await_rotation();
    check_relays(&cluster, &names(&cluster));
    add(&cluster, 1).check_says(&["the disk of node-1 is full"]);
    disks[0].make_room();
    add_when_taken(&cluster, 1);
}

#[track_caller]
fn check_failing_sync(fault: &str) {
    let cluster = TestCluster::start(1);
    let node = cluster.node("node-1");
    add(&cluster, 1).check_code(0);
    let failing = Injected::into(&node, fault);
    let begun = Instant::now();
    let mut adding = cluster.administrator();
    let refused = run(adding.args(["authz", "add", "--role", "exchange", "--computer", "LAB\\D2$"]).args([
        "--sid",
        "S-1-5-21-7-7-7-2",
        "--yes",
    ]));
    assert_ne!(refused.code, Some(0), "nothing may be acknowledged: {refused:?}");
    processes::check_gone(&[node.running_pid()], END_TIMEOUT);
    let ended_in = begun.elapsed();
    drop(failing);
    let said = fs::read_to_string(&node.log).expect("a node has a log");
    assert!(said.contains("the process ends, because what is on disk is not known any more"), "{ended_in:?}");
    cluster.restart("node-1");
    cluster.await_rotation();
    add_when_taken(&cluster, 3);
    let table = cluster.rmsc(&["authz", "list"]);
    assert!(table.stdout.contains("D1$") && table.stdout.contains("D3$"), "{table:?}");
}

#[test]
fn a_disk_that_cannot_sync_ends_the_node_and_nothing_is_acknowledged() {
    check_failing_sync("fdatasync:error=EIO");
}

/// Makes the disk of the leader stand still, and checks that it goes on leading and all relay.
#[track_caller]
fn check_standing_still(nodes: usize, meanwhile: impl FnOnce(&TestCluster)) {
    let cluster = TestCluster::start(nodes);
    add_when_taken(&cluster, 1);
    let (leader, node, pids) = (cluster.leader(), cluster.node(&cluster.leader()), cluster.pids());
    let standing = Injected::into(&node, "fdatasync,fsync:delay_enter=60000000");
    meanwhile(&cluster);
    let event = log::await_event(&node, 4013, |_| true);
    assert_eq!(log::field(&event, "reason"), "nothing was taken for 4 s");
    check_relays(&cluster, &names(&cluster));
    for node in cluster.nodes() {
        assert_eq!(cluster.monitor(&node, "/clusterz").field("leader"), leader.as_str(), "{}", node.name);
    }
    drop(standing);
    log::await_event(&node, 4014, |_| true);
    add_when_taken(&cluster, 9);
    assert_eq!(cluster.pids(), pids, "no node was started again");
}

#[test]
fn of_three_nodes_the_leader_takes_changes_while_its_disk_stands_still() {
    check_standing_still(3, |cluster| {
        for (rid, name) in (2..).zip(names(cluster)) {
            let sid = format!("S-1-5-21-7-7-7-{rid}");
            let computer = format!("LAB\\D{rid}$");
            let endpoint = cluster.node(&name).admin.to_string();
            let add = ["--endpoint", &endpoint, "authz", "add", "--role", "exchange", "--yes"];
            run(cluster.administrator().args(add).args(["--computer", &computer, "--sid", &sid]))
                .check_code(0);
        }
    });
}

#[test]
fn of_two_nodes_both_relay_while_the_leaders_disk_stands_still() {
    check_standing_still(2, |cluster| {
        let ran = add(cluster, 2);
        assert!(!matches!(ran.code, Some(0 | 3)), "one disk is not enough: {ran:?}");
    });
}

/// Ends a node, does something to its data, and gives what it says when it is started again.
struct Stopped {
    cluster: TestCluster,
    node: Node,
}

impl Stopped {
    fn new() -> Self {
        let cluster = TestCluster::start(3);
        add_when_taken(&cluster, 1);
        let victim = cluster.others(&[&cluster.leader()]).remove(0);
        let node = cluster.node(&victim);
        wait::until_true("the node has the change", wait::PATIENCE, || {
            cluster.monitor(&node, "/readyz").field("entries") == entries(&cluster)
        });
        cluster.signal(&victim, Signal::TERM);
        processes::check_gone(&[node.running_pid()], wait::PATIENCE);
        Stopped { cluster, node }
    }

    fn wal(&self) -> PathBuf {
        let files = fs::read_dir(self.node.data_dir.join("log")).expect("a node has a log");
        let paths = files.filter_map(|file| Some(file.ok()?.path()));
        let newest = paths.filter(|path| path.extension().is_some_and(|end| end == "wal")).max();
        newest.expect("a log has a file")
    }

    /// Runs the node in the foreground, where it has to end by itself.
    fn refused(&self) -> Ran {
        run(Command::new("timeout")
            .arg("30")
            .arg(rmsc().get_program())
            .args(["server", "--config"])
            .arg(&self.node.config))
    }
}

#[test]
fn a_damaged_log_keeps_the_node_out_and_says_what_to_do() {
    let stopped = Stopped::new();
    let path = stopped.wal();
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    for _ in 0..2 {
        let ran = stopped.refused();
        let remove = format!("rmsc node remove {}", stopped.node.name);
        ran.check_code(1).check_says(&["is damaged", "log.damaged-1", &remove, "rmsc join"]);
    }
    assert!(stopped.node.data_dir.join("log.damaged-1").join(path.file_name().unwrap()).exists());
    add_when_taken(&stopped.cluster, 2);
}

#[test]
fn a_log_that_lost_its_end_keeps_the_node_out() {
    let stopped = Stopped::new();
    let path = stopped.wal();
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    stopped.refused().check_code(1).check_says(&["acknowledged up to byte", "rmsc join"]);
}

#[test]
fn a_damaged_store_is_kept_aside_and_made_again() {
    let stopped = Stopped::new();
    let data_dir = &stopped.node.data_dir;
    fs::write(data_dir.join("tree/conf"), "damaged, all of it").unwrap();
    stopped.cluster.restart(&stopped.node.name);
    stopped.cluster.await_rotation();
    let event = log::await_event(&stopped.node, 4012, |_| true);
    assert_eq!(log::field(&event, "kept"), data_dir.join("tree.damaged-1").to_str().unwrap());
    assert_eq!(stopped.cluster.monitor(&stopped.node, "/readyz").field("entries"), entries(&stopped.cluster));
}
