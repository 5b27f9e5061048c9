//! `rmsc node`: what administrators do with nodes, while servers call.

mod removal;

use crate::support::cluster::TestCluster;
use crate::support::host::Host;
use crate::support::http::{self, Request};
use crate::support::load::Load;
use crate::support::soap::ACQUIRE_LICENSE;
use crate::support::{log, wait};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;

const CLIENTS_PER_FRONT: usize = 2;

#[track_caller]
fn nodes(cluster: &TestCluster) -> Vec<Value> {
    let list = cluster.rmsc(&["node", "list", "-o", "json"]);
    list.check_code(0);
    list.field("nodes").as_array().cloned().unwrap_or_default()
}

#[track_caller]
fn node(cluster: &TestCluster, name: &str) -> Value {
    let found = nodes(cluster).into_iter().find(|node| node["name"] == name);
    found.unwrap_or_else(|| panic!("no node {name}"))
}

/// What a node says on its ops port about why it takes no requests.
fn reason(cluster: &TestCluster, name: &str) -> Option<String> {
    let answer = http::try_exchange(cluster.node(name).monitor(), &Request::get("/readyz")).ok()?;
    answer.field("reason").as_str().map(str::to_owned)
}

#[track_caller]
fn await_reason(cluster: &TestCluster, name: &str, words: &str) {
    wait::until_true(&format!("{name} says {words:?}"), wait::PATIENCE, || {
        reason(cluster, name).is_some_and(|reason| reason == words)
    });
}

fn load(cluster: &TestCluster) -> Load {
    Load::start(&cluster.nodes(), &cluster.exchange(), &ACQUIRE_LICENSE, CLIENTS_PER_FRONT)
}

#[test]
fn list_and_show_tell_what_a_node_is_and_does() {
    let cluster = TestCluster::shared();
    let listed = nodes(&cluster);
    assert_eq!(listed.len(), 3);
    assert_eq!(listed.iter().filter(|node| node["role"] == "leader").count(), 1, "{listed:?}");
    for node in &listed {
        let said = [&node["kind"], &node["state"], &node["ready"], &node["drained"]];
        assert_eq!(said, [&json!("relay"), &json!("ready"), &json!(true), &Value::Null], "{node}");
        assert!(node["table_age_ms"].as_u64().is_some_and(|age| age < 5_000), "{node}");
        assert_eq!((&node["build"], &node["stale_after_ms"]), (&json!(2), &json!(60_000)), "{node}");
        for key in ["certificate_expires_at", "joined_at", "peer_address", "admin_address", "version"] {
            assert!(node[key].as_str().is_some_and(|text| !text.is_empty()), "{key} of {node}");
        }
    }
    let shown: Value = cluster.rmsc(&["node", "show", "node-2", "-o", "json"]).check_code(0).json();
    assert_eq!(shown["name"], "node-2", "{shown}");
    let by_id: Value =
        cluster.rmsc(&["node", "show", &shown["id"].to_string(), "-o", "json"]).check_code(0).json();
    assert_eq!(by_id["name"], "node-2", "{by_id}");
    let ran = cluster.rmsc(&["node", "show", "node-2"]);
    for words in ["Certificate  expires", "Table        revision", "Kind         relay"] {
        assert!(ran.stdout.contains(words), "no {words:?} in {}", ran.stdout);
    }
    cluster
        .rmsc(&["node", "show", "node-9"])
        .check_code(1)
        .check_says(&["no node \"node-9\"", "it has node-1, node-2, node-3"]);
}

#[test]
fn a_node_is_drained_under_load_and_put_back_and_no_request_fails() {
    let cluster = TestCluster::alone(3);
    cluster.await_rotation();
    let leader = cluster.leader();
    let load = load(&cluster);
    load.await_more(100);
    let ran = cluster.rmsc(&["node", "drain", &leader, "-o", "json"]);
    let drained: Value = ran.check_code(0).json();
    assert_eq!((&drained["empty"], &drained["in_flight"]), (&json!(true), &json!(0)), "{drained}");
    assert!(drained["handed_to"].as_str().is_some_and(|name| name != leader), "{drained}");
    let before = cluster.counts();
    load.await_more(100);
    let after = cluster.counts();
    assert_eq!(before.by_node.get(&leader), after.by_node.get(&leader), "it got requests after it was empty");
    let status: Value = cluster.rmsc(&["status", "-o", "json"]).check_code(3).json();
    assert_eq!((&status["relay_survives"], &status["changes_survive"]), (&json!(1), &json!(1)), "{status}");
    assert!(status["warnings"].to_string().contains(&format!("rmsc node undrain {leader}")), "{status}");
    log::await_event(&cluster.node(&leader), 4035, |event| event["node"] == leader.as_str());

    let back: Value = cluster.rmsc(&["node", "undrain", &leader, "-o", "json"]).check_code(0).json();
    assert_eq!((&back["ready"], &back["already"]), (&json!(true), &json!(false)), "{back}");
    cluster.await_rotation();
    load.await_more(100);
    load.stop().check_nothing_failed();
    let again: Value = cluster.rmsc(&["node", "undrain", &leader, "-o", "json"]).check_code(0).json();
    assert_eq!(again["already"], true, "{again}");
}

#[test]
fn a_drain_outlives_restarts_and_leaders() {
    let cluster = TestCluster::start(3);
    cluster.rmsc(&["node", "drain", "node-2"]).check_code(0);
    await_reason(&cluster, "node-2", "drained by lab");
    cluster.kill("node-2");
    cluster.restart("node-2");
    await_reason(&cluster, "node-2", "drained by lab");
    cluster.rmsc(&["cluster", "step-down"]).check_code(0);
    await_reason(&cluster, "node-2", "drained by lab");
    for node in cluster.nodes() {
        cluster.kill(&node.name);
    }
    for node in cluster.nodes() {
        cluster.restart(&node.name);
    }
    let others = cluster.others(&["node-2"]);
    cluster.await_rotation_of(&others, &others);
    assert_eq!(reason(&cluster, "node-2").as_deref(), Some("drained by lab"));
    let node = node(&cluster, "node-2");
    assert_eq!((&node["state"], &node["drained"]["by"]), (&json!("drained"), &json!("lab")), "{node}");
}

#[test]
fn the_last_node_that_takes_requests_is_drained_only_by_force() {
    let cluster = TestCluster::start(1);
    cluster
        .rmsc(&["node", "drain", "node-1"])
        .check_code(4)
        .check_says(&["node-1 is the last node that takes requests: nothing would be relayed", "--force"]);
    assert_eq!(reason(&cluster, "node-1").as_deref(), Some(""));
    cluster.rmsc(&["node", "drain", "node-1", "--force"]).check_code(0);
    cluster.rmsc(&["node", "undrain", "node-1"]).check_code(0);
}

#[test]
fn a_frozen_node_is_not_taken_for_empty() {
    let cluster = TestCluster::start(3);
    let follower = cluster.others(&[&cluster.leader()]).remove(0);
    cluster.signal(&follower, Signal::STOP);
    let ran = cluster.rmsc(&["node", "drain", &follower, "--deadline", "2s"]);
    ran.check_code(3).check_says(&["does not answer, so nobody knows"]);
    assert!(ran.stdout.contains("is not known to be empty"), "{ran:?}");
    cluster.signal(&follower, Signal::CONT);
    await_reason(&cluster, &follower, "drained by lab");
    cluster.rmsc(&["node", "drain", &follower]).check_code(0);
}

#[test]
fn a_renamed_node_keeps_its_requests_and_its_id() {
    let cluster = TestCluster::alone(3);
    cluster.await_rotation();
    let id = node(&cluster, "node-2")["id"].clone();
    let load = load(&cluster);
    load.await_more(60);
    let ran = cluster.rmsc(&["node", "rename", "node-2", "berlin-2", "-o", "json"]);
    assert_eq!(ran.check_code(0).field("in_effect"), 3);
    load.await_more(60);
    load.stop().check_nothing_failed();
    assert_eq!(node(&cluster, "berlin-2")["id"], id);
    let names: Vec<String> = ["node-1", "berlin-2", "node-3"].map(str::to_owned).into();
    cluster.await_rotation_of(&cluster.others(&[]), &names);
    cluster
        .rmsc(&["node", "rename", "node-1", "node-3"])
        .check_code(4)
        .check_says(&["has the name \"node-3\" already"]);
    cluster.rmsc(&["node", "rename", "node-1", "a b"]).check_code(1).check_says(&["write letters, digits"]);
    cluster.rmsc(&["node", "rename", "node-1", "17"]).check_code(1).check_says(&["not digits alone"]);
}

#[test]
fn replacing_a_node_is_one_line_for_the_new_host() {
    let cluster = TestCluster::start(3);
    let made: Value = cluster.rmsc(&["node", "replace", "node-3", "-o", "json"]).check_code(0).json();
    assert_eq!((&made["replaces"], &made["witness"]), (&json!("node-3"), &json!(false)), "{made}");
    assert!(made["command"].as_str().is_some_and(|line| line.starts_with("rmsc join ")), "{made}");
    assert_eq!(nodes(&cluster).len(), 3);
    cluster.rmsc(&["node", "replace", "node-9"]).check_code(1).check_says(&["no node \"node-9\""]);
}

#[test]
fn a_node_whose_disk_is_gone_is_replaced_and_the_old_one_stays_out() {
    let cluster = TestCluster::start(3);
    let gone = cluster.node("node-3");
    let id = node(&cluster, "node-3")["id"].clone();
    cluster.kill("node-3");
    // The disk is taken out of the host; it will turn up again.
    let aside = cluster.dir().join("taken-out");
    fs::rename(&gone.data_dir, &aside).expect("a folder of the lab can be renamed");
    let made: Value = cluster.rmsc(&["node", "replace", "node-3", "-o", "json"]).check_code(0).json();
    let mut host = Host::new(&cluster, "node-3");
    let token = made["token"].as_str().expect("a token is a text");
    host.join(&cluster.any_node(), token).check_code(0);
    assert_ne!(json!(host.node_id()), id);
    host.start();
    let fronts = cluster.others(&["node-3"]);
    cluster.await_rotation_of(&fronts, &cluster.others(&[]));

    // In the old one's place, with its vote, the table, and requests.
    wait::until_true("the new node votes, and the old one is gone", wait::PATIENCE, || {
        let listed = nodes(&cluster);
        let ids: Vec<&Value> = listed.iter().map(|node| &node["id"]).collect();
        let votes = listed.iter().all(|node| node["voter"] == true);
        ids.len() == 3 && votes && !ids.contains(&&id) && ids.contains(&&json!(host.node_id()))
    });
    let at = |endpoint: &str| {
        cluster.rmsc(&["--endpoint", endpoint, "authz", "list", "-o", "json"]).check_code(0).field("entries")
    };
    let table = at(&cluster.any_node().admin.to_string());
    assert!(table.to_string().contains("EXCH01"), "{table}");
    assert_eq!(at(&host.node.admin.to_string()), table);
    cluster.call(&host.node, &cluster.exchange(), &Request::soap(&ACQUIRE_LICENSE)).check(200, &[]);

    // The token is used up, and who has the old disk is nobody.
    let other = Host::new(&cluster, "node-4");
    other.join(&cluster.any_node(), token).check_code(4).check_says(&["was used"]);
    fs::rename(&aside, &gone.data_dir).expect("a folder of the lab can be renamed");
    cluster.restart("node-3");
    let words = format!("node {id} (node-3) was removed by lab");
    log::await_event(&cluster.any_node(), 4026, |event| log::field(event, "who").contains(&words));
    let removed = cluster.rmsc(&["node", "list", "-o", "json"]).field("removed");
    assert!(removed.as_array().is_some_and(|gone| gone.iter().any(|node| node["id"] == id)), "{removed}");
    assert_eq!(nodes(&cluster).len(), 3);
}

#[test]
fn a_change_says_when_a_frozen_node_refuses_by_itself() {
    let cluster = TestCluster::start(3);
    let follower = cluster.others(&[&cluster.leader()]).remove(0);
    // Through a node that answers.
    let endpoint = cluster.node(&cluster.leader()).admin.to_string();
    // While there were two voters it tolerated more, and what it said last is what counts.
    wait::until_true("the follower knows of three voters", wait::PATIENCE, || {
        let show = ["--endpoint", &endpoint, "node", "show", &follower, "-o", "json"];
        cluster.rmsc(&show).field("stale_after_ms") == 60_000
    });
    cluster.signal(&follower, Signal::STOP);
    let remove = ["--endpoint", &endpoint, "authz", "remove", r"LAB\FS01$"];
    let ran = cluster.rmsc(&remove);
    ran.check_code(3);
    let words = format!("‼ {follower} has not answered; it refuses by itself at ");
    assert!(ran.stdout.contains(&words) && ran.stdout.contains(" at the latest (in 5"), "{ran:?}");
    assert!(ran.stdout.contains("in effect on 2/3 nodes"), "{ran:?}");
    let add = ["--endpoint", &endpoint, "authz", "add", "--role", "fileserver", r"LAB\FS01$", "-o", "json"];
    let added: Value = cluster.rmsc(&add).check_code(3).json();
    assert_eq!((&added["silent"], &added["in_effect"]), (&json!([follower]), &json!(2)), "{added}");
    let in_ms = added["refuses"][0]["in_ms"].as_u64().unwrap_or_default();
    // A minute from the acknowledgement, less the second that was waited for an answer.
    assert!((50_000..=60_000).contains(&in_ms), "{added}");
    cluster.signal(&follower, Signal::CONT);
}

#[test]
fn two_voters_lose_changes_with_one_and_no_request() {
    for lost in ["leader", "follower"] {
        let cluster = TestCluster::alone(2);
        cluster.await_rotation();
        let status: Value = cluster.rmsc(&["status", "-o", "json"]).check_code(3).json();
        assert_eq!(
            (&status["relay_survives"], &status["changes_survive"]),
            (&json!(1), &json!(0)),
            "{status}"
        );
        let warnings = status["warnings"].to_string();
        assert!(
            warnings.contains("two voters: changes survive no failure; add a third node or a witness"),
            "{warnings}"
        );
        assert_eq!(status["stale_after_ms"], 900_000, "{status}");
        let leader = cluster.leader();
        let follower = cluster.others(&[&leader]).remove(0);
        let (dead, live) = if lost == "leader" { (leader, follower) } else { (follower, leader) };
        let front = cluster.node(&live);
        let load = Load::start(std::slice::from_ref(&front), &cluster.exchange(), &ACQUIRE_LICENSE, 3);
        load.await_more(100);
        cluster.kill(&dead);
        load.await_more(200);
        let endpoint = front.admin.to_string();
        let add = ["--endpoint", &endpoint, "authz", "add", "--role", "sharepoint", r"LAB\mallory"];
        cluster.rmsc(&add).check_code(5);
        load.await_more(50);
        load.stop().check_nothing_failed();
        let status: Value =
            cluster.rmsc(&["--endpoint", &endpoint, "status", "-o", "json"]).check_code(3).json();
        assert_eq!(
            (&status["relay_survives"], &status["changes_survive"]),
            (&json!(0), &json!(-1)),
            "{status}"
        );
        assert_eq!(status["current"], false, "{status}");
        assert!(status["warnings"].to_string().contains("no leader could be asked"), "{status}");
    }
}

#[test]
fn monitors_read_what_the_cluster_survives() {
    let cluster = TestCluster::start(3);
    let survives = |relay: i32, changes: i32| {
        let node = cluster.node(&cluster.leader());
        wait::until_true(&format!("{relay} and {changes} are shown"), wait::PATIENCE, || {
            let clusterz = cluster.monitor(&node, "/clusterz");
            let metrics = cluster.monitor(&node, "/metrics").text();
            clusterz.field("relay_survives") == relay
                && clusterz.field("changes_survive") == changes
                && metrics.contains(&format!("rmsc_cluster_relay_survives {relay}"))
                && metrics.contains(&format!("rmsc_cluster_changes_survive {changes}"))
        });
    };
    survives(2, 1);
    let follower = cluster.others(&[&cluster.leader()]).remove(0);
    cluster.rmsc(&["node", "drain", &follower]).check_code(0);
    survives(1, 1);
    cluster.kill(&follower);
    survives(1, 0);
}

/// Long enough for a front to have noticed.
const A_WHILE: Duration = Duration::from_secs(1);

#[test]
fn a_drained_node_still_takes_connections_and_hands_them_on() {
    let cluster = TestCluster::start(3);
    cluster.await_rotation();
    cluster.rmsc(&["node", "drain", "node-2"]).check_code(0);
    let drained = cluster.node("node-2");
    let load = Load::start(&[drained], &cluster.exchange(), &ACQUIRE_LICENSE, 2);
    load.await_more(50);
    wait::stays("node-2 is drained", A_WHILE, || {
        reason(&cluster, "node-2").as_deref() == Some("drained by lab")
    });
    load.stop().check_nothing_failed();
}
