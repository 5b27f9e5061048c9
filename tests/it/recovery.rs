//! `rmsc cluster recover`: what is left when most voters are lost, and a cluster that goes on with it. And the
//! lesser accident: every node off at once, and on again.

use crate::support::cluster::TestCluster;
use crate::support::http::{self, Request};
use crate::support::log::await_event;
use crate::support::program::{Ran, rmsc, run};
use crate::support::wait;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

fn recover(cluster: &TestCluster, name: &str, arguments: &[&str]) -> Ran {
    let config = cluster.node(name).config;
    run(rmsc().args(["cluster", "recover", "-o", "json", "--config"]).arg(config).args(arguments))
}

#[track_caller]
fn inspect(cluster: &TestCluster, name: &str, into: &Path) -> Value {
    let survey = recover(cluster, name, &["--inspect"]);
    fs::write(into, &survey.check_code(0).stdout).expect("a folder of the lab can be written");
    survey.json()
}

/// Adds an account that the directory does not know, through a node or any.
fn add_at(cluster: &TestCluster, endpoint: Option<&str>, rid: u32) -> Ran {
    let (sid, name) = (format!("S-1-5-21-77-77-77-{rid}"), format!("LAB\\host{rid}$"));
    let through = endpoint.map(|endpoint| ["--endpoint", endpoint]);
    let add = ["authz", "add", "--sid", &sid, "--computer", &name, "--role", "sharepoint", "-o", "json"];
    cluster.rmsc(&[through.as_ref().map_or(&[][..], |through| through), &add].concat())
}

#[track_caller]
fn add(cluster: &TestCluster, rid: u32) -> u64 {
    let added = add_at(cluster, None, rid);
    // 3: not every node has it yet, since one is off.
    assert!(matches!(added.code, Some(0 | 3)), "{added:?}");
    added.field("revision").as_u64().expect("a revision is a number")
}

fn has(list: &Ran, rid: u32) -> bool {
    list.stdout.contains(&format!("S-1-5-21-77-77-77-{rid}\""))
}

#[test]
fn a_cluster_that_lost_its_quorum_goes_on_with_the_survivor_that_has_most() {
    let cluster = TestCluster::alone(3);
    let leader = cluster.leader();
    let others = cluster.others(&[&leader]);
    let [behind, survivor] = others.as_slice() else { panic!("{others:?}") };
    recover(&cluster, &leader, &["--yes"]).check_code(1).check_says(&["stopped first"]);
    cluster.kill(behind);
    let revisions: Vec<u64> = (1..=5).map(|rid| add(&cluster, rid)).collect();
    let newest = *revisions.last().expect("five were made");
    cluster.kill(survivor);
    // With one voter of three nothing is accepted, and a recovery is refused while one runs that is not known.
    recover(&cluster, survivor, &["--yes"]).check_code(4).check_says(&[&leader, "runs"]);
    cluster.kill(&leader);

    let (of_behind, of_survivor) = (cluster.dir().join("behind.json"), cluster.dir().join("survivor.json"));
    inspect(&cluster, behind, &of_behind);
    let survey = inspect(&cluster, survivor, &of_survivor);
    assert_eq!(survey["revision"], newest, "{survey}");
    // The leader's disk is lost. The one that is behind must not be the one to go on.
    let given = of_survivor.to_str().expect("a path of ours is text");
    let refused = recover(&cluster, behind, &["--yes", "--compare", given]);
    refused.check_code(4).check_says(&[&format!("{survivor} has more")]);
    // Both together are a majority: nothing is lost, and they need no recovery.
    let given = of_behind.to_str().expect("a path of ours is text");
    recover(&cluster, survivor, &["--yes", "--compare", given]).check_code(4).check_says(&["start them all"]);
    // Nobody is there to confirm.
    let asked = recover(&cluster, survivor, &[]);
    asked.check_code(4).check_says(&["Lost could be", &leader, "Not confirmed"]);

    let recovered = recover(&cluster, survivor, &["--yes"]);
    assert_ne!(recovered.check_code(0).field("group"), survey["group"]);
    cluster.restart(survivor);
    let endpoint = cluster.node(survivor).admin.to_string();
    let list = wait::until("the survivor leads", wait::PATIENCE, || {
        let list = cluster.rmsc(&["--endpoint", &endpoint, "authz", "list", "-o", "json"]);
        (list.code == Some(0)).then_some(list)
    });
    assert!((1..=5).all(|rid| has(&list, rid)), "{list:?}");
    assert!(list.field("revision").as_u64() > Some(newest), "{list:?}");
    add_at(&cluster, Some(&endpoint), 6).check_code(0);

    // The old ones are not let in, and the log says so.
    cluster.restart(behind);
    await_event(&cluster.node(survivor), 4026, |_| true);
    let status = cluster.rmsc(&["--endpoint", &endpoint, "status", "-o", "json"]).field("nodes");
    assert_eq!(status.as_array().map(Vec::len), Some(1), "{status}");
    wait::stays("the old node has no part in it", Duration::from_secs(2), || {
        let known = cluster.rmsc(&["--endpoint", &endpoint, "authz", "list", "-o", "json"]);
        known.code == Some(0) && has(&known, 6)
    });
}

#[test]
fn all_nodes_off_and_on_serve_and_accept_changes_within_ten_seconds() {
    let cluster = TestCluster::alone(3);
    add(&cluster, 1);
    let names = cluster.others(&[]);
    for name in &names {
        cluster.kill(name);
    }
    let begun = Instant::now();
    for name in &names {
        cluster.restart(name);
    }
    let monitors: Vec<_> = cluster.nodes().iter().map(|node| node.monitor()).collect();
    for monitor in monitors {
        wait::until_true("every node serves", Duration::from_secs(10), || {
            http::try_exchange(monitor, &Request::get("/readyz")).is_ok_and(|answer| answer.status == 200)
        });
    }
    add(&cluster, 2);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    let list = cluster.rmsc(&["authz", "list", "-o", "json"]);
    assert!(has(&list, 1) && has(&list, 2), "{list:?}");
}
