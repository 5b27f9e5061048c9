//! What asks for the name to be typed again, at a terminal: the wrong one changes nothing.

use crate::support::cluster::TestCluster;
use crate::support::host::{Host, token};
use crate::support::program::rmsc;
use crate::support::terminal::{Said, Terminal};
use crate::support::wait;
use std::process::Command;

const AGAIN: &str = "Type the name again to go on:";
const REFUSED: [&str; 2] = ["Not confirmed; nothing was changed", "--yes"];

/// Runs a command at a terminal, and types something when it asks.
#[track_caller]
fn answered(command: &mut Command, asks: &str, keys: &str) -> Said {
    let mut terminal = Terminal::start(command);
    terminal.await_words(asks);
    terminal.keys(keys);
    terminal.end()
}

fn names(cluster: &TestCluster) -> Vec<String> {
    let listed = cluster.rmsc(&["node", "list", "-o", "json"]).check_code(0).field("nodes");
    let listed = listed.as_array().cloned().unwrap_or_default();
    listed.iter().filter_map(|node| node["name"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_node_is_removed_when_its_name_is_typed_again() {
    let cluster = TestCluster::start(3);
    let node = cluster.others(&[&cluster.leader()]).remove(0);
    let remove = || {
        let mut command = cluster.administrator();
        command.args(["node", "remove", &node]);
        command
    };
    // Another name, nothing, the end of the input, and one letter too few.
    let short = &node[..node.len() - 1];
    for keys in ["node-9\n", "\n", "\u{4}", "yes\n", &format!("{short}\n")] {
        let said = answered(&mut remove(), AGAIN, keys);
        said.check(4, &[&format!("{node} goes out of the cluster for ever")]).check(4, &REFUSED);
        assert_eq!(names(&cluster).len(), 3, "{keys:?}");
    }
    let said = answered(&mut remove(), AGAIN, &format!("{node}\n"));
    said.check(0, &[&format!("removed {node}")]);
    assert!(!names(&cluster).contains(&node));
}

#[test]
fn a_host_leaves_when_its_name_is_typed_again() {
    let cluster = TestCluster::start(1);
    let mut host = Host::new(&cluster, "node-2");
    host.join(&cluster.any_node(), &token(&cluster, &[])).check_code(0);
    host.start();
    cluster.await_rotation_of(&cluster.others(&[]), &["node-1".to_owned(), "node-2".to_owned()]);
    let leave = || {
        let mut command = cluster.administrator();
        command.args(["leave", "--config"]).arg(&host.node.config);
        command
    };
    let asks = "Type its name to go on:";
    answered(&mut leave(), asks, "node-1\n").check(4, &["leaves its cluster for ever"]).check(4, &REFUSED);
    assert!(host.identity_file().exists() && names(&cluster).len() == 2);
    answered(&mut leave(), asks, "node-2\n").check(0, &["(node-2) is removed from the cluster"]);
    assert_eq!(host.await_end(), Some(0));
    assert_eq!(names(&cluster), ["node-1"]);
}

#[test]
fn a_super_user_is_made_when_the_name_is_typed_again() {
    let cluster = TestCluster::start(1);
    let add = || {
        let mut command = cluster.administrator();
        command.args(["authz", "add", "--role", "exchange", r"LAB\mallory"]);
        command
    };
    let listed = || cluster.rmsc(&["authz", "list", "-o", "json"]).check_code(0).stdout.contains("mallory");
    answered(&mut add(), AGAIN, "mallory\n").check(4, &["SUPER USER"]).check(4, &REFUSED);
    assert!(!listed());
    answered(&mut add(), AGAIN, "lab\\MALLORY\n").check(0, &[r"LAB\mallory"]);
    assert!(listed());
}

#[test]
fn a_recovery_asks_for_the_clusters_id_and_force_does_not_answer_for_anybody() {
    let cluster = TestCluster::start(1);
    let config = cluster.any_node().config;
    let id = cluster.rmsc(&["cluster", "show", "-o", "json"]).check_code(0).field("cluster_id");
    let id = id.as_str().expect("an id is a text");
    let before = cluster.rmsc(&["authz", "list", "-o", "json"]).check_code(0).field("entries");
    let group = || cluster.rmsc(&["cluster", "show", "-o", "json"]).check_code(0).field("group");
    let first = group();
    cluster.kill("node-1");
    let recover = |more: &[&str]| {
        let mut command = rmsc();
        command.args(["cluster", "recover", "--config"]).arg(&config).args(more);
        command
    };
    // Nothing speaks for it, so it is refused before it asks.
    let said = Terminal::start(&mut recover(&[])).end();
    said.check(4, &["this node votes alone", "Nothing was changed. --force goes on nevertheless."]);
    assert!(!said.screen.contains(AGAIN), "{said:?}");
    let said = answered(&mut recover(&["--force"]), AGAIN, "node-1\n");
    said.check(4, &["this node votes alone", "A new lineage of the cluster"]).check(4, &REFUSED);
    cluster.restart("node-1");
    wait::until_true("the cluster is as it was", wait::PATIENCE, || {
        cluster.rmsc(&["cluster", "show"]).code == Some(0)
    });
    assert_eq!(group(), first);
    cluster.kill("node-1");
    let said = answered(&mut recover(&["--force"]), AGAIN, &format!("{id}\n"));
    said.check(0, &["new lineage", "systemctl start rmsc"]);
    cluster.restart("node-1");
    wait::until_true("the new lineage answers", wait::PATIENCE, || {
        cluster.rmsc(&["cluster", "show"]).code == Some(0)
    });
    assert_ne!(group(), first);
    assert_eq!(cluster.rmsc(&["authz", "list", "-o", "json"]).check_code(0).field("entries"), before);
}
