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
    // Whether they know that they are out, nobody can tell: they refuse by themselves within a minute.
    let added = add_at(&cluster, Some(&endpoint), 6);
    assert_eq!(added.check_code(3).field("refuses")[0]["removed"], true, "{added:?}");

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

#[test]
fn every_objection_is_said_and_a_lost_key_or_administrator_does_not_end_it() {
    let cluster = TestCluster::alone(2);
    cluster.kill("node-2");
    wait::until_true("its data can be opened", wait::PATIENCE, || {
        recover(&cluster, "node-2", &["--inspect"]).code == Some(0)
    });
    let survey = cluster.dir().join("survey.json");
    let mut other = inspect(&cluster, "node-2", &survey);
    let last = other["last"]["index"].as_u64().expect("a log index is a number");
    let first = other["nodes"].as_array().into_iter().flatten().find(|node| node["name"] == "node-1");
    let first = first.expect("it is in the roster")["node_id"].clone();
    (other["last"]["index"], other["name"], other["node_id"]) = ((last + 1).into(), "node-1".into(), first);
    fs::write(&survey, other.to_string()).expect("a folder of the lab can be written");
    let survey = survey.to_str().expect("a path of the lab is a text");
    let both = recover(&cluster, "node-2", &["--yes", "--compare", survey]);
    both.check_code(4).check_says(&["node-1 has more than this node", "node-1", "runs"]);
    // As where a credential of the service holds the key: a shell has none.
    let key = cluster.node("node-2").data_dir.with_file_name("seal.key");
    let away = key.with_extension("away");
    fs::rename(&key, &away).expect("the lab makes one for each");
    recover(&cluster, "node-2", &["--yes"]).check_code(4).check_says(&["could not be asked", "seal key"]);
    let context = cluster.dir().join("carol");
    let folder = context.to_str().expect("a path of the lab is a text");
    let make = ["--yes", "--force", "--administrator", "carol", "--context-dir", folder];
    recover(&cluster, "node-2", &make).check_code(1).check_says(&["seal key"]);
    recover(&cluster, "node-2", &["--yes", "--force"]).check_code(0);
    fs::rename(&away, &key).expect("it was moved there");
    // Whose administrators have all lost their keys gets a new one in the same way.
    assert_eq!(
        recover(&cluster, "node-2", &make).check_code(0).field("context"),
        format!("{folder}/context.toml")
    );
    cluster.kill("node-1");
    cluster.restart("node-2");
    wait::until_true("the new administrator is let in", wait::PATIENCE, || {
        let list = run(rmsc().args(["admin", "list", "--context"]).arg(context.join("context.toml")));
        list.code == Some(0) && list.stdout.contains("carol (you)")
    });
}
