//! A session of TLS is resumed at every node, until the certificate is another one or a node that knew the keys is gone.

use super::{Folder, SERVICE, Talking, at, await_shown, import_issued, without_files};
use crate::support::cluster::TestCluster;
use crate::support::lab::Node;
use crate::support::wait::{self, PATIENCE};
use serde_json::{Value, json};

/// An Exchange server that speaks one version of TLS.
struct Client(Talking);

impl Client {
    fn start(cluster: &TestCluster, folder: &Folder, version: &str) -> Self {
        let (account, ca) = (cluster.exchange(), folder.text("ca.pem"));
        Client(Talking::start("elsewhere.py", &[SERVICE, &ca, &account.name, &account.password, version]))
    }

    /// Whether its session is resumed at each of these nodes. Whatever comes of that, the client sees this certificate
    /// and is let in as who it is: its proof is bound to what it sees.
    #[track_caller]
    fn shows(&mut self, what: &str, nodes: &[&Node], fingerprint: &str) -> Vec<bool> {
        let addresses = nodes.iter().map(|node| node.https.trim_start_matches("https://"));
        self.0.say(&format!("{what} {}", addresses.collect::<Vec<_>>().join(" ")));
        let told = self.0.line();
        let told = told.as_array().cloned().unwrap_or_default();
        for told in &told {
            let expected = (Value::from(fingerprint), json!([401, 200]));
            assert_eq!((at(told, "/seen"), at(told, "/statuses")), expected, "{told}");
        }
        told.iter().map(|told| at(told, "/resumed") == true).collect()
    }

    /// A session of the first of these nodes is resumed at the others.
    #[track_caller]
    fn await_resumed(&mut self, nodes: &[&Node], fingerprint: &str) {
        let all = vec![true; nodes.len() - 1];
        wait::until_true("a session is resumed at other nodes", PATIENCE, || {
            self.shows("new", nodes, fingerprint) == all
        });
    }
}

#[test]
fn a_session_is_resumed_at_every_node_while_certificate_and_nodes_are_the_same() {
    let cluster = without_files(3);
    let (folder, nodes) = (Folder::new(), cluster.nodes());
    let nodes: Vec<&Node> = nodes.iter().collect();
    let first = folder.issue("first", &[SERVICE, "localhost"]);
    import_issued(&cluster, &folder, "first").check_code(0);
    await_shown(&cluster.nodes(), &folder, &first);
    let mut clients = ["TLSv1_3", "TLSv1_2"].map(|version| Client::start(&cluster, &folder, version));
    for client in &mut clients {
        client.await_resumed(&nodes, &first);
        assert_eq!(client.shows("old", &nodes, &first), [true; 3]);
    }
    let second = folder.issue("second", &[SERVICE, "localhost"]);
    import_issued(&cluster, &folder, "second").check_code(0);
    await_shown(&cluster.nodes(), &folder, &second);
    for client in &mut clients {
        // A ticket of the old one lets nobody claim the new one, at whichever node.
        assert_eq!(client.shows("old", &nodes, &second), [false; 3]);
        assert_eq!(client.shows("new", &nodes, &second), [true; 2]);
        assert_eq!(client.shows("old", &nodes, &second), [true; 3]);
    }
    // It knows the keys.
    cluster.rmsc(&["node", "remove", "node-3", "--yes"]).check_code(0);
    let left: Vec<&Node> = nodes.into_iter().filter(|node| node.name != "node-3").collect();
    for client in &mut clients {
        wait::until_true("the keys that it knows are none", PATIENCE, || {
            client.shows("old", &left, &second) == [false; 2]
        });
        client.await_resumed(&left, &second);
        assert_eq!(client.shows("old", &left, &second), [true; 2]);
    }
    // Keys are made once, and once more: nobody writes again and again.
    let written = cluster.rmsc(&["cluster", "show", "-o", "json"]).field("last_log_index");
    assert!(written.as_u64() < Some(60), "{written}");
    cluster.check_no_panic();
}
