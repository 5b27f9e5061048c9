//! `rmsc node remove`: who goes, what becomes of its callers, and what the others say.

use super::{CLIENTS_PER_FRONT, await_reason, nodes};
use crate::support::cluster::TestCluster;
use crate::support::http::{Request, Session};
use crate::support::load::{Load, Report};
use crate::support::soap::ACQUIRE_LICENSE;
use crate::support::{processes, wait};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

/// As the leader counts.
const SILENT_AFTER: Duration = Duration::from_secs(1);
/// Nodes ask each other every two seconds, and one that was missed twice may not know what is decided about it.
const UNHEARD_AFTER: Duration = Duration::from_secs(6);

#[track_caller]
fn remove_under_load(cluster: &TestCluster, name: &str) -> Report {
    let others = cluster.others(&[name]);
    let fronts: Vec<_> = others.iter().map(|name| cluster.node(name)).collect();
    let load = Load::start(&fronts, &cluster.exchange(), &ACQUIRE_LICENSE, CLIENTS_PER_FRONT);
    load.await_more(100);
    let ran = cluster.rmsc(&["node", "remove", name, "--yes", "-o", "json"]);
    ran.check_code(0);
    assert_eq!((ran.field("left"), ran.field("in_effect")), (json!(true), json!(2)), "{ran:?}");
    load.await_more(100);
    load.stop()
}

#[test]
fn the_leader_is_removed_and_no_request_fails() {
    let cluster = TestCluster::alone(3);
    cluster.await_rotation();
    let leader = cluster.leader();
    let pid = cluster.node(&leader).running_pid();
    remove_under_load(&cluster, &leader).check_nothing_failed();
    processes::check_gone(&[pid], wait::PATIENCE);
    let others = cluster.others(&[&leader]);
    cluster.await_rotation_of(&others, &others);
    let shown: Value = cluster.rmsc(&["cluster", "show", "-o", "json"]).check_code(0).json();
    assert_eq!(shown["voters"].as_array().map(Vec::len), Some(2), "{shown}");

    let again: Value = cluster.rmsc(&["node", "remove", &leader, "--yes", "-o", "json"]).check_code(0).json();
    assert_eq!(again["already"], true, "{again}");
    let ran = cluster.rmsc(&["node", "remove", &leader]);
    assert!(ran.check_code(0).stdout.contains("was removed before, by lab at"), "{ran:?}");
    let ran = cluster.rmsc(&["node", "list"]);
    assert!(ran.stdout.contains("removed:") && ran.stdout.contains(&format!("{leader} (id ")), "{ran:?}");
    let ran = cluster.rmsc(&["node", "show", &leader, "-o", "json"]);
    assert_eq!(ran.check_code(3).field("removed_by"), "lab");
}

/// It has begun to send a request when its node is removed, and ends it when that one has closed its port.
#[test]
fn who_calls_a_node_that_is_removed_is_answered_before_it_goes() {
    let cluster = TestCluster::start(3);
    cluster.await_rotation();
    let leader = cluster.leader();
    let front = cluster.node(&leader).front();
    let request = Request::soap(&ACQUIRE_LICENSE);
    let (most, rest) = request.body.split_at(request.body.len() - 10);
    let length = format!("Content-Length: {}", request.body.len());
    let mut session = Session::open(front, &cluster.exchange()).unwrap();
    let calling = session.begin(&request, &length).unwrap();
    calling.send(most).unwrap();
    let remove = ["node", "remove", &leader, "--yes", "-o", "json"];
    thread::scope(|threads| {
        let removal = threads.spawn(|| cluster.rmsc(&remove));
        wait::until_true("new callers are sent away", wait::PATIENCE, || TcpStream::connect(front).is_err());
        calling.send(rest).unwrap();
        let answer = calling.answer(false).unwrap();
        answer.check(200, &[]);
        assert_eq!(answer.header("connection"), Some("close"));
        assert_ne!(answer.header("x-rmsc-served-by"), Some(leader.as_str()));
        let removed = removal.join().unwrap();
        assert_eq!(removed.check_code(0).field("left"), true, "{removed:?}");
    });
}

#[test]
fn a_removal_needs_its_name_and_a_majority_of_those_left() {
    let cluster = TestCluster::start(3);
    let leader = cluster.leader();
    let others = cluster.others(&[&leader]);
    let (dead, live) = (&others[0], &others[1]);
    let ran = cluster.rmsc(&["node", "remove", live]);
    ran.check_code(4).check_says(&["goes out of the cluster for ever", "Give --yes"]);
    cluster.kill(dead);
    let remove = ["node", "remove", live, "--yes"];
    cluster.rmsc(&remove).check_code(4).check_says(&[
        &format!(
            "without {live} the cluster has 2 voters, of which 2 would be a majority, and only 1 answers"
        ),
        &format!("Bring {dead} back, or remove it, first"),
        "--force",
        "rmsc cluster recover",
    ]);
    // The host itself may not go either.
    let config = cluster.node(live).config.display().to_string();
    cluster
        .rmsc(&["leave", "--yes", "--config", &config])
        .check_code(4)
        .check_says(&["the cluster has 2 voters, of which 2 would be a majority", "--force"]);
    assert_eq!(nodes(&cluster).len(), 3);
    // The dead one can go.
    // It may be cut off, and not dead: then it goes on for a while.
    let words = format!("{dead} was removed, and may not know; it refuses by itself at ");
    for change in
        [&["node", "remove", dead, "--yes"][..], &["authz", "add", "--role", "sharepoint", r"LAB\mallory"]]
    {
        let ran = cluster.rmsc(change);
        assert!(ran.check_code(3).stdout.contains(&words), "{ran:?}");
    }
    let shown: Value = cluster.rmsc(&["cluster", "show", "-o", "json"]).check_code(0).json();
    assert_eq!(shown["voters"].as_array().map(Vec::len), Some(2), "{shown}");
    cluster.rmsc(&["node", "remove", "node-9", "--yes"]).check_code(1).check_says(&["no node \"node-9\""]);
}

#[test]
fn who_is_removed_by_force_votes_until_the_others_have_a_majority() {
    let cluster = TestCluster::start(3);
    let leader = cluster.leader();
    let others = cluster.others(&[&leader]);
    let (dead, live) = (&others[0], &others[1]);
    cluster.kill(dead);
    let killed = Instant::now();
    wait::until_true("Raft takes it for silent", wait::PATIENCE, || killed.elapsed() > SILENT_AFTER * 2);
    let remove = ["node", "remove", live, "--yes"];
    cluster.rmsc(&remove).check_code(4);
    cluster.rmsc(&[&remove[..], &["--force"]].concat());
    // Changes go on, though the dead one does not know them, and it relays nothing.
    cluster.rmsc(&["authz", "add", "--role", "sharepoint", r"LAB\mallory"]).check_code(3);
    await_reason(&cluster, live, "leaving the cluster, removed by lab");
    cluster.restart(dead);
    wait::until_true("the removed node is gone", wait::PATIENCE, || nodes(&cluster).len() == 2);
    // Through one that heard it until then: the other was not there, and would say that it may not know.
    let endpoint = cluster.node(&leader).admin.to_string();
    cluster.rmsc(&["--endpoint", &endpoint, "authz", "remove", r"LAB\mallory"]).check_code(0);
}

#[test]
fn the_last_node_cannot_be_removed() {
    let cluster = TestCluster::start(1);
    cluster.rmsc(&["node", "remove", "node-1", "--yes"]).check_code(4);
}

#[test]
fn every_node_names_one_that_was_removed_unheard() {
    let cluster = TestCluster::start(3);
    let leader = cluster.leader();
    let others = cluster.others(&[&leader]);
    let (frozen, other) = (&others[0], cluster.node(&others[1]));
    cluster.signal(frozen, Signal::STOP);
    let stopped = Instant::now();
    wait::until_true("nobody has heard of it", wait::PATIENCE, || stopped.elapsed() > UNHEARD_AFTER);
    let removed = cluster.rmsc(&[
        "--endpoint",
        &cluster.node(&leader).admin.to_string(),
        "node",
        "remove",
        frozen,
        "--yes",
    ]);
    assert!(
        removed.check_code(3).stdout.contains(&format!("{frozen} was removed, and may not know")),
        "{removed:?}"
    );
    // Through a node that has not removed it, for a minute and not for ever.
    let endpoint = other.admin.to_string();
    let named = wait::until("the other node names it", wait::PATIENCE, || {
        let add =
            ["--endpoint", &endpoint, "authz", "add", "--role", "sharepoint", r"LAB\mallory", "-o", "json"];
        let ran = cluster.rmsc(&add);
        cluster.rmsc(&["authz", "remove", r"LAB\mallory"]);
        Some(ran).filter(|ran| ran.field("silent") == json!([frozen]))
    });
    assert_eq!(
        (named.check_code(3).field("in_effect"), named.field("nodes")),
        (json!(2), json!(2)),
        "{named:?}"
    );
    let refuses = named.field("refuses");
    assert_eq!(refuses[0]["removed"], true, "{refuses}");
    assert!(refuses[0]["in_ms"].as_u64().is_some_and(|left| left <= 60_000), "{refuses}");
    // Nor does it forget, though nobody tells it who was heard.
    cluster.kill(&others[1]);
    cluster.restart(&others[1]);
    wait::until_true("the other node names it again", wait::PATIENCE, || {
        let add =
            ["--endpoint", &endpoint, "authz", "add", "--role", "sharepoint", r"LAB\mallory", "-o", "json"];
        let ran = cluster.rmsc(&add);
        cluster.rmsc(&["authz", "remove", r"LAB\mallory"]);
        ran.code == Some(3) && ran.field("silent") == json!([frozen])
    });
}
