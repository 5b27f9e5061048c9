//! The cluster's certificate is taken away, and the nodes show those of their own files.

use super::{Folder, SERVICE, await_shown, import_issued, lines_of_files, show, shown, without_files};
use crate::support::certificates::put_secret;
use crate::support::cluster::TestCluster;
use crate::support::log::{await_event, events, field};
use crate::support::terminal::{Said, Terminal};
use crate::support::wait::{self, PATIENCE};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;

/// It asks for the name.
fn asked(cluster: &TestCluster, more: &[&str]) -> Terminal {
    let mut command = cluster.administrator();
    let terminal = Terminal::start(command.args(["cert", "remove"]).args(more));
    terminal.await_words("Type the name again to go on:");
    terminal
}

fn typed(cluster: &TestCluster, words: &str) -> Said {
    let mut terminal = asked(cluster, &[]);
    terminal.keys(&format!("{words}\n"));
    terminal.end()
}

#[test]
fn nodes_go_back_to_their_files_and_one_without_is_named_first() {
    let cluster = TestCluster::start(2);
    let (folder, nodes) = (Folder::new(), cluster.nodes());
    let lines = lines_of_files(&nodes[1]);
    cluster.reconfigure("node-2", &lines, "");
    cluster.await_rotation();
    folder.issue("first", &[SERVICE]);
    import_issued(&cluster, &folder, "first").check_code(3);
    let remove = ["cert", "remove", "--yes"];
    let refused = ["node-2 has no certificate and key in [listen] of its file", "--force"];
    cluster
        .rmsc(&["cert", "remove"])
        .check_code(4)
        .check_says(&["Not confirmed; nothing was changed", "--yes"]);
    cluster.rmsc(&remove).check_code(4).check_says(&refused);
    typed(&cluster, SERVICE).check(4, &refused);
    cluster.reconfigure("node-2", "[listen]\n", &format!("[listen]\n{lines}"));
    cluster.await_rotation();
    // A file that is not there is none.
    let file = nodes[0].config.with_file_name("front.pem");
    let aside = file.with_extension("aside");
    fs::rename(&file, &aside).expect("the lab's folder can be written");
    let is_named =
        || show(&cluster)["problems"].to_string().contains("node-1: a new certificate cannot be used");
    wait::until_true("the file is missed", PATIENCE, is_named);
    cluster.rmsc(&remove).check_code(4).check_says(&["node-1 has files that it cannot use", "front.pem"]);
    fs::rename(&aside, &file).expect("the lab's folder can be written");
    wait::until_true("the file is there again", PATIENCE, || !is_named());
    typed(&cluster, "rms.example").check(4, &["go out of the cluster", "Not confirmed; nothing was changed"]);
    assert_eq!(show(&cluster)["imported_by"], "lab");
    typed(&cluster, SERVICE)
        .check(0, &["the cluster's certificate was taken away", "in effect on 2/2 nodes"]);
    for node in &nodes {
        await_event(node, 4116, |event| field(event, "reason") == "removed by lab");
        assert_eq!(events(node, 4116).len(), 1);
    }
    let said = show(&cluster);
    assert_eq!(
        (&said["chain"], &said["removed_by"], &said["problems"]),
        (&json!([]), &json!("lab"), &json!([])),
        "{said}"
    );
    for node in said["nodes"].as_array().expect("nodes") {
        assert_eq!(node["source"], "file", "{said}");
    }
    assert!(cluster.rmsc(&["cert", "show"]).stdout.contains("the cluster has none since lab took it away"));
    let again = cluster.rmsc(&remove);
    let words = "the cluster has no certificate; nothing was changed";
    assert!(again.check_code(0).stdout.contains(words), "{again:?}");
    // Where there is one again, nobody took it away, whatever an earlier build left there.
    put_secret(&cluster, "front-certificate", &[7; 200]);
    let said = show(&cluster);
    assert_eq!((&said["unreadable"], &said["removed_by"]), (&json!(true), &Value::Null), "{said}");
    cluster.kill("node-2");
    let unknown =
        "No leader could be asked, so which certificate there is now is not known; nothing was changed";
    cluster.rmsc(&remove).check_code(5).check_says(&[unknown]);
}

#[test]
fn one_that_came_while_it_was_asked_stays_and_a_node_that_may_show_it_still_is_named() {
    let cluster = without_files(3);
    let folder = Folder::new();
    let [first, second] = ["first", "second"].map(|name| folder.issue(name, &[SERVICE]));
    import_issued(&cluster, &folder, "first").check_code(0);
    let mut terminal = asked(&cluster, &["--force"]);
    terminal.await_words(&first);
    import_issued(&cluster, &folder, "second").check_code(0);
    terminal.keys(&format!("{SERVICE}\n"));
    let words = format!("the certificate is another one by now (SHA-256 {second}); look at rmsc cert show");
    terminal.end().check(4, &[&words]);
    assert_eq!(show(&cluster)["chain"][0]["fingerprint"], second);
    // One that is frozen says nothing.
    let silent = cluster.others(&[&cluster.leader()]).pop().expect("three nodes");
    cluster.signal(&silent, Signal::STOP);
    let removed = cluster.rmsc(&["cert", "remove", "--yes", "--force", "-o", "json"]);
    removed.check_code(3);
    assert_eq!(removed.field("still"), json!([{ "node": silent, "reason": "it does not answer" }]));
    assert_eq!(removed.field("without"), json!(cluster.others(&[&silent])));
    cluster.signal(&silent, Signal::CONT);
    let none =
        || show(&cluster)["nodes"].as_array().is_some_and(|it| it.iter().all(|it| it["source"].is_null()));
    wait::until_true("the frozen one has heard of it", PATIENCE, none);
}

#[test]
fn without_files_it_is_taken_away_by_force_alone_and_comes_back_by_an_import() {
    let cluster = without_files(1);
    let (folder, nodes) = (Folder::new(), cluster.nodes());
    let first = folder.issue("first", &[SERVICE]);
    import_issued(&cluster, &folder, "first").check_code(0);
    await_shown(&nodes, &folder, &first);
    cluster.rmsc(&["cert", "remove", "--yes"]).check_code(4);
    // It answers no question.
    cluster.rmsc(&["cert", "remove", "--force"]).check_code(4).check_says(&["Not confirmed"]);
    let missing = events(&nodes[0], 4114).len();
    let removed = cluster.rmsc(&["cert", "remove", "--yes", "--force", "-o", "json"]);
    removed.check_code(3);
    assert_eq!((removed.field("without"), removed.field("changed")), (json!(["node-1"]), json!(true)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let shakes_hands = || runtime.block_on(shown(&nodes[0], &folder)).is_ok();
    assert!(!shakes_hands(), "it was waited for");
    wait::until_true("it says so", PATIENCE, || events(&nodes[0], 4114).len() > missing);
    cluster.kill("node-1");
    cluster.restart("node-1");
    cluster.await_rotation();
    assert!(!shakes_hands());
    assert_eq!(show(&cluster)["nodes"][0]["source"], Value::Null);
    import_issued(&cluster, &folder, "first").check_code(0);
    await_shown(&cluster.nodes(), &folder, &first);
    let said = show(&cluster);
    assert_eq!((&said["removed_by"], &said["problems"]), (&Value::Null, &json!([])), "{said}");
}
