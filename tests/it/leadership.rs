//! `rmsc cluster`: who leads, and what the nodes agree on.

use crate::support::cluster::TestCluster;
use crate::support::load::Load;
use crate::support::soap::ACQUIRE_LICENSE;
use rmsc::control::{Client, Context};
use rmsc::proto::control::v1 as proto;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[test]
fn show_tells_what_the_nodes_agree_on() {
    let cluster = TestCluster::shared();
    let shown: Value = cluster.rmsc(&["cluster", "show", "-o", "json"]).check_code(0).json();
    assert_eq!(shown["service_name"], cluster.lab().service_name.as_str(), "{shown}");
    assert_eq!(shown["voters"], json!(["node-1", "node-2", "node-3"]), "{shown}");
    assert_eq!((&shown["learners"], &shown["witnesses"]), (&json!([]), &json!([])), "{shown}");
    assert_eq!((&shown["version"], &shown["version_known"]), (&json!(2), &json!(2)), "{shown}");
    assert_eq!((&shown["relay_survives"], &shown["changes_survive"]), (&json!(2), &json!(1)), "{shown}");
    assert_eq!(shown["authority_key"].as_str().map(str::len), Some(64), "{shown}");
    assert_eq!(shown["group"].as_str().map(str::len), Some(32), "{shown}");
    assert!(shown["last_log_index"].as_u64() >= shown["applied"].as_u64(), "{shown}");
    let ran = cluster.rmsc(&["cluster", "show"]);
    for words in ["Rules      version 2, the newest", "Voters     node-1 node-2 node-3", "CA key"] {
        assert!(ran.stdout.contains(words), "no {words:?} in {}", ran.stdout);
    }
}

#[test]
fn leadership_goes_where_it_is_told_and_no_request_fails() {
    let cluster = TestCluster::alone(3);
    cluster.await_rotation();
    let load = Load::start(&cluster.nodes(), &cluster.exchange(), &ACQUIRE_LICENSE, 2);
    load.await_more(50);
    let leader = cluster.leader();
    let next = cluster.others(&[&leader]).remove(0);
    let moved: Value = cluster.rmsc(&["cluster", "transfer", &next, "-o", "json"]).check_code(0).json();
    assert_eq!((&moved["from"], &moved["to"]), (&json!(leader), &json!(next)), "{moved}");
    let again: Value = cluster.rmsc(&["cluster", "transfer", &next, "-o", "json"]).check_code(0).json();
    assert_eq!(again["already"], true, "{again}");
    let down: Value = cluster.rmsc(&["cluster", "step-down", "-o", "json"]).check_code(0).json();
    assert!(down["from"] == next.as_str() && down["to"] != next.as_str(), "{down}");
    load.await_more(50);
    load.stop().check_nothing_failed();
}

#[test]
fn nobody_leads_who_cannot() {
    let cluster = TestCluster::start(3);
    let leader = cluster.leader();
    let dead = cluster.others(&[&leader]).remove(0);
    cluster.kill(&dead);
    cluster
        .rmsc(&["cluster", "transfer", &dead])
        .check_code(4)
        .check_says(&[&format!("{dead} does not answer, so it cannot lead")]);
    cluster.rmsc(&["cluster", "transfer", "node-9"]).check_code(1).check_says(&["no node \"node-9\""]);
    assert_eq!(cluster.leader(), leader);
}

#[test]
fn one_node_cannot_step_down_and_has_nothing_to_upgrade() {
    let cluster = TestCluster::start(1);
    cluster.rmsc(&["cluster", "step-down"]).check_code(4).check_says(&["nobody else can lead"]);
    let told: Value = cluster.rmsc(&["cluster", "upgrade", "-o", "json"]).check_code(0).json();
    let nothing = json!({ "before": 2, "now": 2, "oldest": [], "newest": 2, "changed": false });
    assert_eq!(told, nothing);
    let ran = cluster.rmsc(&["cluster", "upgrade"]);
    assert!(ran.check_code(0).stdout.contains("nothing to do: the cluster keeps to version 2"), "{ran:?}");
}

/// The longest time without an acknowledged change around each of some planned transfers.
async fn gaps(cluster: &TestCluster, transfers: usize) -> Vec<Duration> {
    let context = Context::load(&cluster.dir().join("context.toml")).expect("the lab writes a context");
    let client = Client::connect(&context).await.expect("a node answers");
    let (mut authorizations, mut leaders) = (client.authorizations(), client.cluster());
    let mut gaps = Vec::new();
    for _ in 0..transfers {
        let mut transfer = Box::pin(leaders.transfer(proto::TransferRequest::default()));
        let (mut last, mut gap, mut moved, mut after) = (Instant::now(), Duration::ZERO, false, 0);
        // Changes one after the other, until some have come after the transfer.
        while after < 20 {
            let request = proto::AddRequest {
                name: r"LAB\mallory".into(),
                role: proto::Role::Fileserver.into(),
                ..Default::default()
            };
            let mut change = Box::pin(authorizations.add(request));
            loop {
                tokio::select! {
                    done = &mut transfer, if !moved => {
                        done.expect("leadership is handed over");
                        moved = true;
                    }
                    done = &mut change => {
                        done.expect("a change waits for the next leader");
                        break;
                    }
                }
            }
            gap = gap.max(last.elapsed());
            last = Instant::now();
            after += usize::from(moved);
        }
        gaps.push(gap);
    }
    gaps
}

#[tokio::test]
async fn a_planned_transfer_holds_changes_up_for_a_moment_only() {
    let cluster = TestCluster::alone(3);
    cluster.await_rotation();
    let mut gaps = gaps(&cluster, 9).await;
    gaps.sort_unstable();
    println!("the longest wait for a change around a planned transfer: {gaps:?}");
    // The goal is 100 ms on a quiet machine; a loaded one takes its time for everything.
    assert!(gaps[gaps.len() / 2] < Duration::from_secs(1), "{gaps:?}");
}
