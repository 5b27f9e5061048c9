//! `rmsc admin`: who may use the admin port, and who may no more.

use crate::support::cluster::{NewDir, TestCluster};
use crate::support::lab::Node;
use crate::support::log::{await_event, field};
use crate::support::program::{Ran, rmsc, run};
use crate::support::wait::PATIENCE;
use rmsc::tls::{Files, Membership};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;

/// A folder for an administrator's context.
struct Person(NewDir);

impl Person {
    fn new() -> Self {
        Person(NewDir::made())
    }

    fn folder(&self) -> &str {
        self.0.path().to_str().expect("a path of the test is a text")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn rmsc(&self, arguments: &[&str]) -> Ran {
        run(rmsc().args(arguments).arg("--context").arg(self.file("context.toml")))
    }

    /// A connection to a node's admin port that stays open as long as the other end likes; ends with how
    /// long that was.
    async fn connection(&self, node: &Node) -> impl Future<Output = Duration> + use<> {
        let files = Files { certificate: self.file("admin.pem"), key: self.file("admin.key") };
        let member = Membership::load(&files, &self.file("cluster-ca.pem")).expect("it was written");
        let (mut stream, _) = member.client().connect(&node.admin.to_string()).await.expect("it listens");
        async move {
            let begun = Instant::now();
            let mut bytes = [0; 1_024];
            while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
            begun.elapsed()
        }
    }
}

/// Adds one whose key is made here.
#[track_caller]
fn added(cluster: &TestCluster, name: &str) -> Person {
    let person = Person::new();
    cluster.rmsc(&["admin", "add", name, "--context-dir", person.folder()]).check_code(0);
    person
}

#[track_caller]
fn check_private(folder: &Path, names: &[&str]) {
    let mut found: Vec<_> = fs::read_dir(folder).expect("it is there").flatten().collect();
    found.sort_by_key(fs::DirEntry::file_name);
    assert_eq!(found.iter().map(fs::DirEntry::file_name).collect::<Vec<_>>(), names);
    for file in found {
        assert_eq!(file.metadata().expect("it is there").permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_removed_is_out_within_a_second_everywhere_and_is_told_so() {
    let cluster = TestCluster::start(3);
    let alice = added(&cluster, "alice");
    check_private(alice.0.path(), &["admin.key", "admin.pem", "cluster-ca.pem", "context.toml"]);
    alice.rmsc(&["authz", "add", "--role", "sharepoint", r"LAB\mallory"]).check_code(0);
    let list = alice.rmsc(&["admin", "list", "-o", "json"]).field("administrators");
    let names: Vec<_> = list.as_array().into_iter().flatten().map(|it| (&it["name"], &it["self"])).collect();
    assert_eq!(names, [(&json!("alice"), &json!(true)), (&json!("lab"), &json!(false))]);
    let nodes = cluster.nodes();
    let mut open = Vec::new();
    for node in &nodes {
        await_event(node, 4037, |event| event["administrator"] == "alice" && event["by"] == "lab");
        open.push(alice.connection(node).await);
    }
    let removed = cluster.rmsc(&["admin", "remove", "alice", "-o", "json"]);
    assert_eq!(removed.check_code(0).field("in_effect"), 3);
    let closed = tokio::time::timeout(PATIENCE, futures::future::join_all(open)).await;
    for closed in closed.expect("every connection is closed") {
        assert!(closed <= Duration::from_secs(1), "closed after {closed:?}");
    }
    for node in &nodes {
        let refused = alice.rmsc(&["status", "--endpoint", &node.admin.to_string()]);
        refused.check_code(6).check_says(&["this administrator (alice) was removed by lab at 20"]);
        await_event(node, 4038, |event| event["administrator"] == "alice" && event["by"] == "lab");
        let event = await_event(node, 4018, |_| true);
        assert!(field(&event, "who").contains("was removed by lab"), "{event}");
    }
    let again = cluster.rmsc(&["admin", "remove", "alice"]);
    assert!(again.check_code(0).stdout.contains("was removed before"), "{again:?}");
    cluster.rmsc(&["admin", "remove", "carol"]).check_code(1).check_says(&["no administrator \"carol\""]);
    // The log says so, so a restart changes nothing.
    cluster.kill("node-1");
    cluster.restart("node-1");
    cluster.await_rotation();
    let endpoint = cluster.node("node-1").admin.to_string();
    alice.rmsc(&["status", "--endpoint", &endpoint]).check_code(6).check_says(&["was removed by lab"]);
}

#[test]
fn a_key_that_stays_on_its_host_is_added_with_a_request() {
    let cluster = TestCluster::start(1);
    let (bob, given) = (Person::new(), Person::new());
    run(rmsc().args(["admin", "request", "--context-dir", bob.folder()])).check_code(0);
    check_private(bob.0.path(), &["admin.csr", "admin.key"]);
    let again = run(rmsc().args(["admin", "request", "--context-dir", bob.folder()]));
    again.check_code(4).check_says(&["admin.key", "nothing is written over it"]);
    let request = bob.file("admin.csr").display().to_string();
    let add = ["admin", "add", "bob", "--request", &request, "--context-dir"];
    cluster.rmsc(&[&add[..], &[given.folder()]].concat()).check_code(0);
    check_private(given.0.path(), &["admin.pem", "cluster-ca.pem", "context.toml"]);
    for name in ["admin.pem", "cluster-ca.pem", "context.toml"] {
        fs::copy(given.file(name), bob.file(name)).expect("the temporary folder can be written");
    }
    bob.rmsc(&["authz", "list"]).check_code(0);
    // The same again is the same administrator; another key under that name is none.
    let repeated = Person::new();
    cluster.rmsc(&[&add[..], &[repeated.folder()]].concat()).check_code(0);
    let other = cluster.rmsc(&["admin", "add", "bob", "--context-dir", Person::new().folder()]);
    other.check_code(4).check_says(&["\"bob\" with another key already"]);
    fs::write(bob.file("admin.csr"), "nonsense").expect("the temporary folder can be written");
    let nonsense = cluster.rmsc(&["admin", "add", "eve", "--request", &request, "--context-dir", "none"]);
    nonsense.check_code(1).check_says(&["the request for a certificate cannot be used"]);
    assert!(!Path::new("none").exists());
}

#[test]
fn somebody_stays_and_oneself_is_removed_on_purpose_alone() {
    let cluster = TestCluster::start(1);
    cluster
        .rmsc(&["admin", "remove", "lab", "--force"])
        .check_code(4)
        .check_says(&["the last administrator"]);
    let alice = added(&cluster, "alice");
    alice.rmsc(&["admin", "remove", "alice"]).check_code(4).check_says(&["is yourself", "--force"]);
    let gone = alice.rmsc(&["admin", "remove", "alice", "--force", "-o", "json"]);
    assert_eq!(gone.check_code(0).field("already"), false);
    alice.rmsc(&["status"]).check_code(6).check_says(&["was removed by alice"]);
    cluster.rmsc(&["admin", "remove", "lab", "--force"]).check_code(4);
}
