//! How a host becomes a node, and one no more: init, join, leave, and what each says when it cannot.

use crate::support::cluster::{NewDir, TestCluster};
use crate::support::disk::may_mount;
use crate::support::host::{Host, token};
use crate::support::http::Request;
use crate::support::lab::Node;
use crate::support::log::{await_event, field};
use crate::support::program::{rmsc, run};
use crate::support::soap::ACQUIRE_LICENSE;
use crate::support::wait::{self, PATIENCE};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

#[track_caller]
fn await_rotation(cluster: &TestCluster, names: &[&str]) {
    let ready: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    cluster.await_rotation_of(&cluster.others(&[]), &ready);
}

#[track_caller]
fn await_voters(cluster: &TestCluster, count: usize) {
    wait::until_true("all nodes vote", PATIENCE, || {
        let status = cluster.rmsc(&["status", "-o", "json"]).field("nodes");
        let vote = |nodes: &Vec<_>| nodes.iter().all(|it: &serde_json::Value| it["voter"] == true);
        status.as_array().is_some_and(|nodes| nodes.len() == count && vote(nodes))
    });
}

#[test]
fn a_host_that_joins_relays_and_votes() {
    let cluster = TestCluster::start(2);
    let mut host = Host::new(&cluster, "node-3");
    let joined = host.join(&cluster.any_node(), &token(&cluster, &[]));
    joined.check_code(0);
    assert!(joined.stdout.contains("✔ cluster") && joined.stdout.contains("(node-3)"), "{joined:?}");
    assert!(joined.stderr.contains("seal key lies in the plain file"), "{joined:?}");
    host.start();
    await_rotation(&cluster, &["node-1", "node-2", "node-3"]);
    await_voters(&cluster, 3);
    cluster.call(&host.node, &cluster.exchange(), &Request::soap(&ACQUIRE_LICENSE)).check(200, &[]);
    let event = await_event(&cluster.any_node(), 1010, |event| event["name"] == "node-3");
    assert_eq!(event["node_id"], host.node_id());
    await_event(&host.node, 4041, |_| true);
}

#[test]
fn joining_twice_is_harmless() {
    let cluster = TestCluster::start(1);
    let host = Host::new(&cluster, "node-2");
    let text = token(&cluster, &[]);
    host.join(&cluster.any_node(), &text).check_code(0);
    let (id, identity) = (host.node_id(), fs::read(host.identity_file()).unwrap());
    for text in [text, token(&cluster, &[])] {
        let again = host.join(&cluster.any_node(), &text);
        again.check_code(0);
        assert!(again.stdout.contains(&format!("node {id} (node-2)")), "{again:?}");
        assert!(again.stdout.contains("already; nothing was changed"), "{again:?}");
    }
    assert_eq!(fs::read(host.identity_file()).unwrap(), identity);
}

#[test]
fn a_join_that_was_broken_off_is_taken_up_with_the_same_token() {
    let cluster = TestCluster::start(1);
    let host = Host::new(&cluster, "node-2");
    let text = token(&cluster, &[]);
    host.join(&cluster.any_node(), &text).check_code(0);
    let id = host.node_id();
    // As if the answer had never come: what was kept before asking is all that is left.
    let joining = host.node.data_dir.join("joining");
    let other = Host::new(&cluster, "node-2");
    drop(other);
    assert!(!joining.exists());
    let first = Host::new(&cluster, "node-3");
    let text = token(&cluster, &[]);
    let nobody = first.rmsc(&["join", "127.0.0.1:1", "--token", &text]);
    nobody.check_code(1).check_says(&["cannot join through 127.0.0.1:1; nothing listens there"]);
    let node = cluster.any_node();
    let front = node.https.trim_start_matches("https://").to_owned();
    for (address, words) in [
        (node.monitor().to_string(), "does not speak as a node's peer port does"),
        (front, "does not speak as a node's peer port does"),
        (node.admin.to_string(), "or it is another port of a node"),
        ("127.0.0.1".into(), "write HOST:PORT"),
        ("http://127.0.0.1:8700".into(), "write HOST:PORT, without a scheme"),
    ] {
        let ran = first.rmsc(&["join", &address, "--token", &text]);
        ran.check_code(1).check_says(&[&format!("cannot join through {address}; "), words]);
    }
    assert!(first.node.data_dir.join("joining").exists() && !first.identity_file().exists());
    let kept = fs::read(first.node.data_dir.join("joining")).unwrap();
    first.join(&cluster.any_node(), &text).check_code(0);
    let given = first.node_id();
    // The answer is lost, and asked for again.
    for file in ["identity", "format"] {
        fs::remove_file(first.node.data_dir.join(file)).unwrap();
    }
    fs::write(first.node.data_dir.join("joining"), kept).unwrap();
    first.join(&cluster.any_node(), &text).check_code(0);
    assert_eq!(first.node_id(), given);
    assert_ne!(given, id);
}

/// The others would go on calling the node that has it.
#[test]
fn a_host_with_the_peer_address_of_another_node_is_not_let_in_until_it_has_its_own() {
    let cluster = TestCluster::start(1);
    let (host, node) = (Host::new(&cluster, "node-2"), cluster.any_node());
    let [own, taken] = [host.node.peer, node.peer].map(|peer| format!("peer = \"{peer}\""));
    let text = token(&cluster, &[]);
    host.edit(&own, &taken);
    let ran = host.join(&node, &text);
    ran.check_code(4).check_says(&[&format!("the peer address {} is that of node-1", node.peer), "[listen]"]);
    host.edit(&taken, &own);
    host.join(&node, &text).check_code(0);
}

/// `rmsc join`, killed when it comes to a system call for a file.
#[track_caller]
fn killed_join(host: &Host, through: &Node, token: &str, moment: (&str, &str)) {
    let (call, file) = moment;
    let join = host.command(&["join", &through.peer.to_string(), "--token", token]);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    strace.args(["-e", &format!("inject={call}:signal=KILL:when=1")]);
    if !file.is_empty() {
        strace.arg("-P").arg(host.node.data_dir.join(file));
    }
    let ran = run(strace.arg(join.get_program()).args(join.get_args()));
    assert_eq!(ran.code, None, "{call} of {file:?}: {ran:?}");
}

#[test]
fn a_join_that_is_killed_at_any_moment_is_taken_up_with_a_new_token() {
    let cluster = TestCluster::start(1);
    let node = cluster.any_node();
    let moments = [
        ("write", ""),
        ("write", "joining.tmp"),
        ("write", "format.tmp"),
        ("write", "identity.tmp"),
        ("unlink", "joining"),
    ];
    for (number, moment) in moments.into_iter().enumerate() {
        let name = format!("node-{}", number + 2);
        let host = Host::new(&cluster, &name);
        killed_join(&host, &node, &token(&cluster, &[]), moment);
        let text = token(&cluster, &[]);
        host.join(&node, &text).check_code(0);
        assert!(!host.node.data_dir.join("joining").exists(), "{moment:?}");
        // It is the node that was let in before.
        let list = cluster.rmsc(&["node", "list", "-o", "json"]).field("nodes");
        let named: Vec<_> = list.as_array().unwrap().iter().filter(|node| node["name"] == *name).collect();
        assert_eq!(named.len(), 1, "{moment:?}: {list}");
        assert_eq!(named[0]["id"], host.node_id(), "{moment:?}: {list}");
    }
}

#[test]
fn a_host_that_was_removed_before_its_first_start_joins_with_a_new_token() {
    let cluster = TestCluster::start(1);
    let node = cluster.any_node();
    for (name, moment) in [("node-2", Some(("write", "identity.tmp"))), ("node-3", None)] {
        let host = Host::new(&cluster, name);
        let first = token(&cluster, &[]);
        match moment {
            Some(moment) => killed_join(&host, &node, &first, moment),
            None => drop(host.join(&node, &first).check_code(0)),
        }
        let id = || {
            let list = cluster.rmsc(&["node", "list", "-o", "json"]).field("nodes");
            let found = list.as_array().unwrap().iter().find(|node| node["name"] == name).cloned();
            found.map(|node| node["id"].clone())
        };
        let before = id().unwrap();
        let removed = cluster.rmsc(&["node", "remove", name, "--yes"]);
        assert!(matches!(removed.code, Some(0 | 3)), "{removed:?}");
        host.join(&node, &first).check_code(4).check_says(&["was used by node", "each lets in one node"]);
        host.join(&node, &token(&cluster, &[])).check_code(0);
        assert_ne!(id(), Some(before));
        assert_eq!(id().unwrap(), host.node_id());
    }
}

#[test]
fn a_node_that_lost_its_data_does_not_come_back_as_what_it_was() {
    let cluster = TestCluster::start(2);
    let node = cluster.any_node();
    let mut host = Host::new(&cluster, "node-3");
    let first = token(&cluster, &[]);
    killed_join(&host, &node, &first, ("unlink", "joining"));
    let joining = host.node.data_dir.join("joining");
    let copy = fs::read(&joining).unwrap();
    host.start();
    await_rotation(&cluster, &["node-1", "node-2", "node-3"]);
    await_voters(&cluster, 3);
    host.kill();
    assert!(!joining.exists(), "a node that was started needs it no more");
    // All of it is lost but what it joined with, out of a copy; what it has promised is not there.
    for name in ["identity", "format", "log", "log.guard", "tree", "snapshots"] {
        let path = host.node.data_dir.join(name);
        let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
    }
    fs::write(&joining, copy).unwrap();
    for text in [&first, &token(&cluster, &[])] {
        host.join(&node, text)
            .check_code(4)
            .check_says(&["which has a vote, and has lost its data", "rmsc node replace"]);
    }
    fs::remove_file(&joining).unwrap();
    host.join(&node, &first).check_code(4).check_says(&["was used by node"]);
    host.join(&node, &token(&cluster, &[])).check_code(4).check_says(&["has the name \"node-3\" already"]);
    host.join(&node, &token(&cluster, &["--replaces", "node-3"])).check_code(0);
}

#[test]
fn a_token_of_another_cluster_is_refused_by_a_node_and_by_what_it_pins() {
    let (cluster, other) = (TestCluster::start(1), TestCluster::start(1));
    let host = Host::new(&cluster, "node-2");
    let foreign = token(&other, &[]);
    // The node that answers is not of the cluster that the token names: nothing is proven to it.
    let ran = host.join(&cluster.any_node(), &foreign);
    ran.check_code(1).check_says(&["cannot join through", "not of the cluster that the token is for"]);
    host.join(&cluster.any_node(), &token(&cluster, &[])).check_code(0);
    let ran = host.join(&other.any_node(), &foreign);
    ran.check_code(4).check_says(&[
        "this host is node",
        "token is of another cluster",
        "rmsc leave",
        "data_dir",
    ]);
}

#[test]
fn a_name_that_is_taken_is_refused_and_the_token_stays_good() {
    let cluster = TestCluster::start(1);
    let (host, text) = (Host::new(&cluster, "node-1"), token(&cluster, &[]));
    let ran = host.join(&cluster.any_node(), &text);
    ran.check_code(4).check_says(&["node 1 has the name \"node-1\" already"]);
    let event = await_event(&cluster.any_node(), 4034, |_| true);
    assert!(field(&event, "reason").contains("has the name"), "{event}");
    host.edit("name = \"node-1\"", "name = \"node-2\"");
    host.join(&cluster.any_node(), &text).check_code(0);
}

#[test]
fn a_node_that_lost_its_data_is_told_the_two_commands_and_joins_anew() {
    let cluster = TestCluster::start(2);
    let mut host = Host::new(&cluster, "node-3");
    host.join(&cluster.any_node(), &token(&cluster, &[])).check_code(0);
    let id = host.node_id();
    host.start();
    await_rotation(&cluster, &["node-1", "node-2", "node-3"]);
    host.kill();
    for name in ["format", "log", "tree", "snapshots"] {
        let path = host.node.data_dir.join(name);
        let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
    }
    host.start();
    assert_eq!(host.await_end(), Some(2));
    let said = fs::read_to_string(&host.node.log).unwrap();
    for words in [
        format!("the data of node-3 (node {id})"),
        "rmsc node remove node-3".into(),
        "rmsc join ADDRESS --token TOKEN".into(),
    ] {
        assert!(said.contains(&words), "no {words:?} in {said}");
    }
    // Not beside the old one.
    host.join(&cluster.any_node(), &token(&cluster, &[])).check_code(4).check_says(&["has the name"]);
    host.join(&cluster.any_node(), &token(&cluster, &["--replaces", "node-3"])).check_code(0);
    assert_ne!(host.node_id(), id);
    host.start();
    await_rotation(&cluster, &["node-1", "node-2", "node-3"]);
}

#[test]
fn a_node_that_was_off_follows_a_leader_that_joined_meanwhile() {
    let cluster = TestCluster::start(3);
    let [first, second, off] = ["node-1", "node-2", "node-3"];
    cluster.rmsc(&["cluster", "transfer", first]).check_code(0);
    cluster.kill(off);
    let mut host = Host::new(&cluster, "node-4");
    host.join(&cluster.node(first), &token(&cluster, &[])).check_code(0);
    host.start();
    let (running, ready) = (cluster.others(&[off]), [first, second, "node-4"].map(str::to_owned));
    cluster.await_rotation_of(&running, &ready);
    // Its vote goes to the new one.
    cluster.rmsc(&["node", "remove", second, "--yes", "--force"]).check_code(3);
    cluster.rmsc(&["cluster", "transfer", "node-4"]).check_code(0);
    cluster.restart(off);
    let (running, ready) = (cluster.others(&[second]), [first, off, "node-4"].map(str::to_owned));
    cluster.await_rotation_of(&running, &ready);
}

#[test]
fn a_host_that_is_no_node_is_told_what_to_do() {
    let cluster = TestCluster::start(1);
    let mut host = Host::new(&cluster, "node-2");
    host.start();
    assert_eq!(host.await_end(), Some(2));
    let said = fs::read_to_string(&host.node.log).unwrap();
    assert!(said.contains("rmsc init") && said.contains("rmsc token create"), "{said}");
    let left = host.rmsc(&["leave", "--yes"]);
    left.check_code(0);
    assert!(left.stdout.contains("this host is no node"), "{left:?}");
}

#[test]
fn a_data_folder_on_another_host_opens_nothing() {
    let cluster = TestCluster::start(1);
    let host = Host::new(&cluster, "node-2");
    host.join(&cluster.any_node(), &token(&cluster, &[])).check_code(0);
    let mut thief = Host::new(&cluster, "node-2");
    fs::create_dir(&thief.node.data_dir).unwrap();
    for file in ["identity", "format"] {
        fs::copy(host.node.data_dir.join(file), thief.node.data_dir.join(file)).unwrap();
    }
    fs::write(thief.path().join("seal.key"), "ab".repeat(32)).unwrap();
    run(Command::new("chmod").arg("600").arg(thief.path().join("seal.key"))).check_code(0);
    thief.start();
    assert_eq!(thief.await_end(), Some(2));
    let said = fs::read_to_string(&thief.node.log).unwrap();
    assert!(said.contains("does not open with this host's seal key"), "{said}");
}

#[test]
fn a_node_that_leaves_ends_by_itself_and_can_join_anew() {
    let cluster = TestCluster::start(2);
    let mut host = Host::new(&cluster, "node-3");
    host.join(&cluster.any_node(), &token(&cluster, &[])).check_code(0);
    let id = host.node_id();
    host.start();
    await_rotation(&cluster, &["node-1", "node-2", "node-3"]);
    let context = cluster.dir().join("context.toml");
    let unsure = run(host.command(&["leave"]).arg("--context").arg(&context));
    unsure.check_code(4).check_says(&["Not confirmed"]);
    let left = run(host.command(&["leave", "--yes"]).arg("--context").arg(&context));
    left.check_code(0);
    assert!(left.stdout.contains("is removed from the cluster"), "{left:?}");
    assert_eq!(host.await_end(), Some(0));
    await_event(&host.node, 1012, |event| event["node_id"] == id && event["by"] == "lab");
    await_rotation(&cluster, &["node-1", "node-2"]);
    let aside = host.node.data_dir.join(format!("removed-node-{id}"));
    assert!(aside.join("log").exists() && !host.identity_file().exists() && !aside.join("identity").exists());
    host.start();
    assert_eq!(host.await_end(), Some(2));
    host.join(&cluster.any_node(), &token(&cluster, &[])).check_code(0);
    assert!(host.node_id() > id);
    host.start();
    await_rotation(&cluster, &["node-1", "node-2", "node-3"]);
}

#[test]
fn a_node_that_does_not_run_can_leave_too_but_the_last_one_cannot() {
    let cluster = TestCluster::start(1);
    let host = Host::new(&cluster, "node-2");
    host.join(&cluster.any_node(), &token(&cluster, &[])).check_code(0);
    let context = cluster.dir().join("context.toml");
    run(host.command(&["leave", "--yes"]).arg("--context").arg(&context)).check_code(0);
    assert!(!host.identity_file().exists());
    let config = cluster.any_node().config;
    let last = cluster.administrator().args(["leave", "--yes", "--config"]).arg(config).output().unwrap();
    assert_eq!(last.status.code(), Some(4));
    let said = String::from_utf8_lossy(&last.stderr).into_owned();
    assert!(said.contains("node 1 is the last one that relays"), "{said}");
}

/// Whom a service runs as.
const SERVICE: u32 = 61_234;

/// The owners of all that is in a folder.
fn owners(folder: &Path) -> BTreeSet<u32> {
    let mut owners = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("the folder is there").map(Result::unwrap) {
        owners.insert(entry.metadata().expect("it is there").uid());
        if entry.path().is_dir() {
            owners.append(&mut self::owners(&entry.path()));
        }
    }
    owners
}

#[test]
fn what_root_writes_belongs_to_the_service_whose_folder_it_is() {
    if !may_mount("Whether what root writes belongs to the service") {
        return;
    }
    let cluster = TestCluster::start(1);
    let host = Host::new(&cluster, "node-2");
    let data_dir = &host.node.data_dir;
    fs::create_dir(data_dir).unwrap();
    chown(data_dir, Some(SERVICE), Some(SERVICE)).unwrap();
    host.join(&cluster.any_node(), &token(&cluster, &[])).check_code(0);
    assert_eq!(owners(data_dir), [SERVICE].into());
    // What leads elsewhere is left alone.
    let other = host.path().join("rmsc.toml");
    symlink(&other, data_dir.join("elsewhere")).unwrap();
    fs::hard_link(&other, data_dir.join("shared")).unwrap();
    let context = cluster.dir().join("context.toml");
    run(host.command(&["leave", "--yes"]).arg("--context").arg(&context)).check_code(0);
    assert_eq!(fs::metadata(&other).unwrap().uid(), 0);
    assert!(!host.identity_file().exists());
    let mut aside = fs::read_dir(data_dir).unwrap().map(Result::unwrap);
    let aside = aside.find(|entry| entry.file_name().to_string_lossy().starts_with("removed-node-"));
    let aside = aside.expect("its data are put aside");
    assert_eq!(aside.metadata().unwrap().uid(), SERVICE);
}

#[test]
fn init_founds_a_cluster_and_says_what_comes_next() {
    let lab = TestCluster::start(1);
    let mut host = Host::new(&lab, "alone");
    let ran = host.rmsc(&["init"]);
    ran.check_code(0);
    for words in ["✔ cluster", "alone (node 1)", "context.toml", "Next:", "rmsc server", "rmsc token create"]
    {
        assert!(ran.stdout.contains(words), "no {words:?} in {ran:?}");
    }
    let context = host.path().join("context.toml");
    host.start();
    let as_admin = |arguments: &[&str]| run(rmsc().args(arguments).arg("--context").arg(&context));
    wait::until_true("the cluster makes tokens", PATIENCE, || as_admin(&["token", "create"]).code == Some(0));
    host.rmsc(&["init"]).check_code(4).check_says(&["this host is node 1", "nothing was changed"]);
    // Another cluster is not founded over this administrator's context.
    host.kill();
    fs::remove_dir_all(&host.node.data_dir).unwrap();
    host.rmsc(&["init"]).check_code(4).check_says(&["context.toml", "--context-dir"]);
    // Nor over what is left when somebody moves that one file away.
    fs::rename(&context, context.with_extension("moved")).unwrap();
    let key = fs::read(host.path().join("admin.key")).unwrap();
    host.rmsc(&["init"]).check_code(4).check_says(&["--context-dir"]);
    assert_eq!(fs::read(host.path().join("admin.key")).unwrap(), key);
    assert!(!host.identity_file().exists());
    let elsewhere = NewDir::new();
    let folder = elsewhere.path().display().to_string();
    host.rmsc(&["init", "--context-dir", &folder, "-o", "json"]).check_code(0);
}

#[test]
fn a_token_can_come_from_a_file_or_standard_input() {
    let cluster = TestCluster::start(1);
    let (host, text) = (Host::new(&cluster, "node-2"), token(&cluster, &[]));
    let file = host.path().join("token");
    fs::write(&file, format!("{text}\n")).unwrap();
    let address = cluster.any_node().peer.to_string();
    let file = file.display().to_string();
    let ran = host.rmsc(&["join", &address, "--token-file", &file, "-o", "json"]);
    ran.check_code(0);
    assert_eq!((ran.field("name"), ran.field("already")), ("node-2".into(), false.into()));
    let mut piped = host.command(&["join", &address, "--token-file", "-"]);
    let mut child = piped.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
