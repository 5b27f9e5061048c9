//! `rmsc witness`: a third vote for two nodes that relay.

use crate::support::cluster::TestCluster;
use crate::support::http::{self, Request};
use crate::support::load::Load;
use crate::support::soap::ACQUIRE_LICENSE;
use crate::support::wait;
use crate::support::witness::Witness;
use serde_json::{Value, json};

#[test]
fn two_nodes_and_a_witness_lose_any_one_and_go_on() {
    let cluster = TestCluster::start(2);
    let mut witness = Witness::join(&cluster, "witness-1");
    let relays = cluster.others(&[]);
    cluster.await_rotation_of(&relays, &relays);
    let status: Value = cluster.rmsc(&["status", "-o", "json"]).json();
    // Of the lab's NTLM, by both nodes; the witness takes no callers.
    assert_eq!(status["warnings"].as_array().map(Vec::len), Some(2), "{status}");
    assert_eq!((&status["relay_survives"], &status["changes_survive"]), (&json!(1), &json!(1)), "{status}");
    let node: Value = cluster.rmsc(&["node", "show", "witness-1", "-o", "json"]).check_code(0).json();
    assert_eq!(
        (&node["kind"], &node["state"], &node["ready"]),
        (&json!("witness"), &json!("witness"), &json!(false)),
        "{node}"
    );

    // A change waits for relays alone.
    let added: Value = cluster
        .rmsc(&["authz", "add", "--role", "sharepoint", r"LAB\mallory", "-o", "json"])
        .check_code(0)
        .json();
    assert_eq!((&added["in_effect"], &added["nodes"]), (&json!(2), &json!(2)), "{added}");

    // What only relays do.
    cluster
        .rmsc(&["node", "drain", "witness-1"])
        .check_code(4)
        .check_says(&["witness-1 is a witness: it takes no requests"]);
    cluster
        .rmsc(&["cluster", "transfer", "witness-1"])
        .check_code(4)
        .check_says(&["witness-1 is a witness, which leads only when nobody else can", "--force"]);
    cluster.rmsc(&["cluster", "transfer", "witness-1", "--force"]).check_code(0);
    wait::until_true("the witness leads", wait::PATIENCE, || cluster.leader() == "witness-1");
    let ran = cluster.rmsc(&["cluster", "step-down", "-o", "json"]);
    assert_ne!(ran.check_code(0).field("to"), "witness-1");

    let leader = cluster.leader();
    let live = cluster.others(&[&leader]).remove(0);
    let load = Load::start(&[cluster.node(&live)], &cluster.exchange(), &ACQUIRE_LICENSE, 2);
    load.await_more(50);
    cluster.kill(&leader);
    load.await_more(100);
    cluster.rmsc(&["authz", "remove", r"LAB\mallory"]).check_code(3);
    load.stop().check_nothing_failed();
    cluster.restart(&leader);
    cluster.await_rotation_of(&relays, &relays);
    witness.kill();
    let ran = cluster.rmsc(&["authz", "add", "--role", "sharepoint", r"LAB\mallory"]);
    ran.check_code(0);
    let status: Value = cluster.rmsc(&["status", "-o", "json"]).check_code(3).json();
    assert_eq!((&status["relay_survives"], &status["changes_survive"]), (&json!(1), &json!(0)), "{status}");
    assert!(status["warnings"].to_string().contains("witness-1, a witness, does not answer"), "{status}");
}

#[test]
fn a_witness_says_what_it_is_and_is_started_as_nothing_else() {
    let cluster = TestCluster::start(2);
    let witness = Witness::join(&cluster, "witness-1");
    let ready = http::exchange(witness.monitor(), &Request::get("/readyz"));
    assert_eq!(ready.status, 503, "nobody may send it requests");
    assert_eq!((ready.field("witness"), ready.field("ready")), (json!(true), json!(false)));
    assert_eq!(ready.field("reason"), "a witness: it votes and relays nothing");
    wait::until_true("the witness knows a leader", wait::PATIENCE, || {
        http::exchange(witness.monitor(), &Request::get("/clusterz")).status == 200
    });
    witness.run(&["config", "check", "--witness"]).check_code(0);
    // The file of a witness lacks what a relay needs.
    witness.run(&["config", "check"]).check_code(2).check_says(&["listen.https: is missing"]);
    witness.run(&["server"]).check_code(2).check_says(&["listen.https: is missing"]);
    let relay = cluster.any_node().config;
    let relay = relay.to_str().expect("a path is a text");
    let ran = cluster.rmsc(&["witness", "--config", relay]);
    ran.check_code(2).check_says(&["listen.https: a witness takes and relays no requests"]);
}
