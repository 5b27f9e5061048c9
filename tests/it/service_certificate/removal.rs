//! The cluster's certificate is taken away, and the nodes show those of their own files.

use super::{Folder, SERVICE, await_shown, import_issued, lines_of_files, show, shown, without_files};
use crate::support::cluster::TestCluster;
use crate::support::log::{await_event, events, field};
use crate::support::terminal::{Said, Terminal};
use crate::support::wait::{self, PATIENCE};
use serde_json::{Value, json};
use std::fs;

fn typed(cluster: &TestCluster, words: &str) -> Said {
    let mut command = cluster.administrator();
    command.args(["cert", "remove"]);
    let mut terminal = Terminal::start(&mut command);
    terminal.await_words("Type the name again to go on:");
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
    assert!(again.check_code(0).stdout.contains("the cluster had none; nothing was changed"), "{again:?}");
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
    wait::until_true("it shows none", PATIENCE, || !shakes_hands());
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
