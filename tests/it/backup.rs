//! `rmsc backup`: a copy of everything, proven to be of use, and a cluster out of it when all nodes are gone.

use crate::support::cluster::{NewDir, TestCluster};
use crate::support::host::Host;
use crate::support::http::{self, Request};
use crate::support::keytab;
use crate::support::lab::Node;
use crate::support::log::await_event;
use crate::support::program::{Ran, rmsc, run};
use crate::support::wait;
use std::fs;
use std::path::{Path, PathBuf};

/// A key, and a backup for it.
struct Backup {
    folder: NewDir,
    key: PathBuf,
    file: PathBuf,
    revision: u64,
}

impl Backup {
    #[track_caller]
    fn of(cluster: &TestCluster) -> Self {
        let folder = NewDir::made();
        let key = folder.path().join("backup.key");
        let made = run(rmsc().args(["backup", "key", "-o", "json", "--to"]).arg(&key));
        let recipient = made.check_code(0).field("recipient");
        let recipient = recipient.as_str().expect("a recipient is a text");
        let create = ["backup", "create", "-o", "json", "--recipient", recipient, "--to"];
        let made = run(cluster.administrator().args(create).arg(folder.path()));
        let file = made.check_code(0).field("file").as_str().expect("a file has a name").into();
        let revision = made.field("revision").as_u64().expect("a revision is a number");
        Backup { folder, key, file, revision }
    }

    fn with(&self, verb: &str, file: &Path, key: &Path) -> Ran {
        let scratch = self.folder.path();
        run(rmsc().args(["backup", verb]).arg(file).arg("--identity").arg(key).arg("--scratch").arg(scratch))
    }

    fn restore(&self, config: &Path, more: &[&str]) -> Ran {
        let arguments = ["backup", "restore", "-o", "json", "--identity"];
        run(rmsc().args(arguments).arg(&self.key).arg("--config").arg(config).args(more).arg(&self.file))
    }
}

#[track_caller]
fn await_ready(node: &Node) {
    wait::until_true(&format!("{} is ready", node.name), wait::PATIENCE, || {
        http::try_exchange(node.monitor(), &Request::get("/readyz")).is_ok_and(|answer| answer.status == 200)
    });
}

#[test]
fn a_backup_is_verified_by_booting_a_copy_of_it() {
    let cluster = TestCluster::alone(1);
    let backup = Backup::of(&cluster);
    let verified = backup.with("verify", &backup.file, &backup.key);
    assert!(verified.check_code(0).stdout.contains("booted"), "{verified:?}");
    let bytes = fs::read(&backup.file).expect("the backup is there");
    for canary in ["LAB\\", "EXCH01", "BEGIN CERTIFICATE", "rmscsnap"] {
        assert!(!bytes.windows(canary.len()).any(|part| part == canary.as_bytes()), "{canary}");
    }
    let list = run(rmsc().args(["backup", "list", "-o", "json"]).arg(backup.folder.path()));
    let list: Vec<serde_json::Value> = list.check_code(0).json();
    assert_eq!(list.len(), 1, "{list:?}");
    assert_eq!(list[0]["revision"], backup.revision);

    let other = backup.folder.path().join("other.key");
    run(rmsc().args(["backup", "key", "--to"]).arg(&other)).check_code(0);
    backup.with("verify", &backup.file, &other).check_code(1).check_says(&["none of the keys opens it"]);
    let broken = backup.folder.path().join("broken.age");
    fs::write(&broken, &bytes[..bytes.len() / 2]).expect("a folder of the test can be written");
    backup.with("verify", &broken, &backup.key).check_code(1).check_says(&["damaged or was cut off"]);
    let mut flipped = bytes;
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    fs::write(&broken, &flipped).expect("a folder of the test can be written");
    backup.with("verify", &broken, &backup.key).check_code(1).check_says(&["damaged or was cut off"]);
    // What was unpacked for all this is gone again.
    let left: Vec<_> = fs::read_dir(backup.folder.path()).expect("it is there").flatten().collect();
    assert!(left.iter().all(|file| file.path().is_file()), "{left:?}");
}

#[test]
fn a_backup_is_for_somebody_and_overwrites_nothing() {
    let cluster = TestCluster::shared();
    let folder = NewDir::made();
    let file = folder.path().join("here.age");
    fs::write(&file, "mine").expect("a folder of the test can be written");
    let passphrase = folder.path().join("passphrase");
    fs::write(&passphrase, "correct horse battery\n").expect("a folder of the test can be written");
    let create = |arguments: &[&str]| {
        run(cluster.administrator().args(["backup", "create", "--to"]).arg(&file).args(arguments))
    };
    let nowhere = folder.path().join("nightly");
    let made = run(cluster.administrator().args(["backup", "create", "--to"]).arg(&nowhere));
    made.check_code(1).check_says(&["is no folder", "mkdir -p"]);
    assert!(!nowhere.exists());
    create(&[]).check_code(1).check_says(&["either for recipients or with a passphrase"]);
    create(&["--recipient", "age1nobody"]).check_code(1).check_says(&["is no recipient"]);
    let by_passphrase = ["--passphrase-file", passphrase.to_str().expect("a path of ours is text")];
    create(&by_passphrase).check_code(1).check_says(&["nothing is overwritten"]);
    assert_eq!(fs::read(&file).expect("it is there"), b"mine");
    fs::remove_file(&file).expect("it is there");
    create(&by_passphrase).check_code(0);
    let verify = |passphrase: &Path| {
        run(rmsc().args(["backup", "verify", "--passphrase-file"]).arg(passphrase).arg(&file))
    };
    verify(&passphrase).check_code(0);
    fs::write(&passphrase, "correct horse batterz\n").expect("a folder of the test can be written");
    verify(&passphrase).check_code(1).check_says(&["the passphrase does not open it"]);
}

#[test]
fn a_cluster_begins_anew_out_of_a_backup_and_the_old_nodes_are_out() {
    let cluster = TestCluster::alone(3);
    let keys = cluster.dir().join("some.keytab");
    let entry = keytab::entry("HTTP/rmsconnector.lab.test", "LAB.TEST", 2, 18, &[7; 32]);
    fs::write(&keys, keytab::file(&[entry])).expect("the lab's folder can be written");
    run(cluster.administrator().args(["kerberos", "import"]).arg(&keys)).check_code(0);
    let backup = Backup::of(&cluster);
    // What comes after the backup is lost with the nodes; nobody may mistake the table after for the one before.
    let mallory = cluster.mallory().name;
    let added = cluster.rmsc(&["authz", "add", "--role", "sharepoint", &mallory, "-o", "json"]);
    let lost = added.check_code(0).field("revision").as_u64().expect("a revision is a number");
    assert!(lost > backup.revision);

    // A host without data, at the address where the others knew the first node.
    let mut host = Host::new(&cluster, "node-1");
    let address = cluster.node("node-1").peer;
    host.edit(&host.node.peer.to_string(), &address.to_string());
    host.node.peer = address;
    let config = host.node.config.clone();
    backup.restore(&config, &[]).check_code(4).check_says(&["still answer", "node-2"]);
    for name in ["node-1", "node-2", "node-3"] {
        cluster.kill(name);
    }
    // The key of another cluster's administrator is not written over, and the restore goes on elsewhere.
    let precious = host.path().join("admin.key");
    fs::write(&precious, "precious").expect("a folder of the test can be written");
    backup.restore(&config, &[]).check_code(4).check_says(&["admin.key", "--context-dir"]);
    assert_eq!(fs::read_to_string(&precious).expect("it is there"), "precious");
    let elsewhere = host.path().join("context");
    let elsewhere = elsewhere.to_str().expect("a path of the test is a text");
    let restored = backup.restore(&config, &["--context-dir", elsewhere]);
    assert_eq!(restored.field("other_administrators"), serde_json::json!(["lab"]));
    let node_id = restored.check_code(0).field("node_id").as_u64().expect("an id is a number");
    assert!(node_id > lost, "{restored:?}");
    backup.restore(&config, &[]).check_code(4).check_says(&["is not empty"]);

    host.start();
    await_ready(&host.node);
    // The administrators of the old cluster are those of the new one.
    let endpoint = host.node.admin.to_string();
    let administer = |arguments: &[&str]| cluster.rmsc(&[&["--endpoint", &endpoint], arguments].concat());
    let list = administer(&["authz", "list", "-o", "json"]);
    let revision = list.check_code(0).field("revision").as_u64().expect("a revision is a number");
    assert!(revision > lost, "{revision} {lost}");
    let new = host.path().join("context/context.toml");
    run(rmsc().args(["authz", "list", "--context"]).arg(new)).check_code(0);
    assert!(!list.stdout.contains("mallory") && list.stdout.contains("EXCH01"), "{list:?}");
    let added = administer(&["authz", "add", "--role", "sharepoint", &mallory, "-o", "json"]);
    // Whether the old ones know that they are out, nobody can tell.
    let refuses = added.check_code(3).field("refuses");
    let mut old: Vec<&str> = refuses
        .as_array()
        .expect("each is named")
        .iter()
        .filter(|node| node["removed"] == true)
        .filter_map(|node| node["node"].as_str())
        .collect();
    old.sort_unstable();
    assert_eq!(old, ["node-1", "node-2", "node-3"], "{added:?}");

    // Its Kerberos keys are taken.
    administer(&["kerberos", "test"]).check_code(0);
    // The secrets open: the authority issues, so another host can join.
    let mut second = Host::new(&cluster, "node-2");
    let token = administer(&["token", "create", "-o", "json"]);
    let token = token.check_code(0).field("token");
    second.join(&host.node, token.as_str().expect("a token is a text")).check_code(0);
    second.start();
    await_ready(&second.node);
    assert!(second.node_id() > node_id);

    cluster.restart("node-3");
    await_event(&host.node, 4026, |_| true);
    let status = administer(&["status", "-o", "json"]).field("nodes");
    assert_eq!(status.as_array().map(Vec::len), Some(2), "{status}");
}
