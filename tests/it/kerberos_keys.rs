//! `rmsc kerberos`: keys that one node was given open tickets on every node, and how they go again.

use crate::support::cluster::{NewDir, TestCluster};
use crate::support::domain::{Domain, PASSWORD, Tickets};
use crate::support::host::{Host, token};
use crate::support::keytab;
use crate::support::lab::Node;
use crate::support::log::await_event;
use crate::support::program::{Curled, Ran, curl_with, rmsc, run};
use crate::support::soap::ACQUIRE_LICENSE;
use crate::support::wait::{self, PATIENCE};
use serde_json::{Value, json};
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Lets the servers of the domain in.
#[track_caller]
fn authorize(cluster: &TestCluster, domain: &Domain) {
    let (group, sid) = (r"CONTOSO\RMS Everything", domain.sid("RMS Everything"));
    let arguments = ["authz", "add", "--yes", "--role", "exchange", "--group", group, "--sid", &sid];
    cluster.rmsc(&arguments).check_code(0);
}

#[track_caller]
fn kerberos(cluster: &TestCluster, arguments: &[&str], file: &Path) -> Ran {
    let more = ["--", file.to_str().expect("a path of the test is a text")];
    cluster.rmsc(&[&["kerberos"], arguments, &more].concat())
}

/// A call with a ticket for the host in the address.
#[track_caller]
fn post(tickets: &Tickets<'_>, node: &Node, host: &str) -> Curled {
    let url = format!("{}{}", node.http.replace("127.0.0.1", host), ACQUIRE_LICENSE.path);
    let content_type = format!("Content-Type: {}", ACQUIRE_LICENSE.content_type);
    let action = format!("SOAPAction: {}", ACQUIRE_LICENSE.action());
    let body = format!("@{}", ACQUIRE_LICENSE.file().display());
    let call = ["--negotiate", "--user", ":", "--header", &content_type, "--header", &action];
    curl_with(&mut tickets.command("curl"), &[&call[..], &["--data-binary", &body, &url]].concat())
}

fn statuses(tickets: &Tickets<'_>, nodes: &[Node], host: &str) -> Vec<u16> {
    nodes.iter().map(|node| post(tickets, node, host).status).collect()
}

/// Service, version and whether it goes, of every key of the cluster.
#[track_caller]
fn shown(cluster: &TestCluster) -> Vec<(String, u64, bool)> {
    let keys = cluster.rmsc(&["kerberos", "show", "-o", "json"]).check_code(0).field("keys");
    let keys = keys.as_array().expect("a list").iter();
    let text = |key: &Value| key["service"].as_str().expect("a text").to_owned();
    keys.map(|key| (text(key), key["kvno"].as_u64().expect("a number"), !key["retires_at"].is_null()))
        .collect()
}

#[test]
fn keys_given_to_one_node_open_tickets_on_all_at_once_and_on_those_that_come_later() {
    let (cluster, domain) = (TestCluster::start(3), Domain::shared());
    authorize(&cluster, &domain);
    let (tickets, mut nodes) = (domain.login("EXCH01$"), cluster.nodes());
    assert_eq!(statuses(&tickets, &nodes, "localhost"), [401, 401, 401]);
    let imported = kerberos(&cluster, &["import", "-o", "json"], &domain.keytab());
    // The lab's service name has no key, and the command says so.
    imported.check_code(3);
    assert!(imported.field("hints").to_string().contains("no key is of HTTP/rmsconnector.lab.test"));
    assert_eq!((imported.field("in_effect"), imported.field("nodes")), (json!(3), json!(3)));
    // Nothing is waited for, and nothing was restarted.
    assert_eq!(statuses(&tickets, &nodes, "localhost"), [200, 200, 200]);
    for node in &nodes {
        await_event(node, 4050, |event| event["added"].to_string().contains("HTTP/localhost@CONTOSO.TEST"));
    }
    let status = cluster.rmsc(&["status", "-o", "json"]).field("kerberos");
    assert_eq!(status["files"], json!([]));
    assert!(status["cluster_keys"].as_u64() > Some(1), "{status}");
    cluster.kill("node-2");
    cluster.restart("node-2");
    let mut host = Host::new(&cluster, "node-4");
    host.join(&nodes[0], &token(&cluster, &[])).check_code(0);
    host.start();
    wait::until_true("the new node listens", PATIENCE, || TcpStream::connect(host.node.front()).is_ok());
    // It may not relay yet; but it does not refuse whom the others know.
    assert_ne!(post(&tickets, &host.node, "localhost").status, 401);
    nodes.push(host.node.clone());
    wait::until_true("all nodes use the keys", PATIENCE, || {
        let test = cluster.rmsc(&["kerberos", "test", "-o", "json"]).field("nodes");
        let test = test.as_array().cloned().unwrap_or_default();
        test.len() == 4 && test.iter().all(|node| node["up"] == true && node["missing"] == 0)
    });
    wait::until_true("all nodes serve", PATIENCE, || statuses(&tickets, &nodes, "localhost") == [200; 4]);
    // A leaked key is forgotten everywhere, at once.
    let gone = cluster.rmsc(&["kerberos", "remove", "http/localhost@CONTOSO.TEST", "-o", "json"]);
    // The account has one key for all its names: the command says what is still taken.
    assert_eq!(gone.check_code(3).field("in_effect"), 4);
    assert!(gone.field("same").to_string().contains("HTTP/rms.contoso.test@CONTOSO.TEST"), "{gone:?}");
    assert_eq!(statuses(&tickets, &nodes, "localhost"), [401; 4]);
    let again = cluster.rmsc(&["kerberos", "remove", "HTTP/localhost@CONTOSO.TEST"]);
    again.check_code(1).check_says(&["there is no key of HTTP/localhost@CONTOSO.TEST in the cluster"]);
    // It does not come back with the next keytab that still has it.
    let back = kerberos(&cluster, &["import"], &domain.keytab());
    back.check_code(4).check_says(&["removed HTTP/localhost@CONTOSO.TEST version", "--removed-too"]);
    kerberos(&cluster, &["import", "--removed-too"], &domain.keytab()).check_code(3);
    assert_eq!(statuses(&tickets, &nodes, "localhost"), [200; 4]);
    cluster.check_no_panic();
}

/// What went wrong, and how many requests there were.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    answered: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

impl Load {
    /// Calls on and on, with the tickets that each call is to have.
    fn call_on<'a>(&self, nodes: &[Node], tickets: impl Fn() -> Option<Tickets<'a>>, kept: &Tickets<'_>) {
        for node in nodes.iter().cycle() {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let fresh = tickets();
            let answer = post(fresh.as_ref().unwrap_or(kept), node, "127.0.0.1");
            if answer.status != 200 {
                let failed = format!("{} fresh {}: {answer:?}", node.name, fresh.is_some());
                self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(failed);
            }
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[track_caller]
    fn await_more(&self, requests: usize) {
        let wanted = self.answered.load(Ordering::Relaxed) + requests;
        wait::until_true("more requests are answered", 3 * PATIENCE, || {
            self.answered.load(Ordering::Relaxed) >= wanted
        });
    }
}

#[test]
fn a_rotation_under_load_fails_no_request_and_old_keys_go_when_they_are_told() {
    let (cluster, domain) = (TestCluster::start(3), Domain::shared());
    authorize(&cluster, &domain);
    let (old, nodes) = (domain.login("EXCH01$"), cluster.nodes());
    let version = old.version(SPN);
    let first = domain.keytab_of("svc-keys", SPN, PASSWORD, version);
    kerberos(&cluster, &["import"], &first).check_code(3);
    assert_eq!(statuses(&old, &nodes, "127.0.0.1"), [200; 3]);

    let load = Load::default();
    std::thread::scope(|threads| {
        threads.spawn(|| load.call_on(&nodes, || None, &old));
        threads.spawn(|| load.call_on(&nodes, || Some(domain.login("EXCH01$")), &old));
        load.await_more(10);
        let second = domain.keytab_of("svc-keys", SPN, SECOND, version + 1);
        // Tools leave the older keys in the file: they are what is to go.
        let both = [fs::read(&second).unwrap(), fs::read(&first).unwrap()[2..].to_vec()].concat();
        fs::write(&second, both).unwrap();
        let rotated = kerberos(&cluster, &["rotate", "-o", "json"], &second);
        assert_eq!(rotated.check_code(3).field("in_effect"), 3);
        assert_eq!(rotated.field("retiring")[0]["kvno"], version);
        load.await_more(10);
        domain.set_password("svc-keys", SECOND);
        wait::until_true("the new key is used", PATIENCE, || {
            let keys = cluster.rmsc(&["kerberos", "show", "-o", "json"]).field("keys");
            let new = keys.as_array().into_iter().flatten().find(|key| key["kvno"] == version + 1).cloned();
            new.is_some_and(|key| !key["used_at"].is_null())
        });
        load.await_more(30);
        load.stop.store(true, Ordering::Relaxed);
    });
    let failures = load.failures.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert!(failures.is_empty(), "{} of {:?} failed: {failures:#?}", failures.len(), load.answered);

    let new = domain.login("EXCH01$");
    assert_eq!((old.version(SPN), new.version(SPN)), (version, version + 1));
    assert_eq!(
        (statuses(&old, &nodes, "127.0.0.1"), statuses(&new, &nodes, "127.0.0.1")),
        (vec![200; 3], vec![200; 3])
    );
    let older = kerberos(&cluster, &["rotate"], &first);
    older.check_code(4).check_says(&["it is older", &format!("has version {} already", version + 1)]);
    let service = format!("{SPN}@CONTOSO.TEST");
    cluster.rmsc(&["kerberos", "remove", &service, "--kvno", &version.to_string()]).check_code(0);
    assert_eq!(
        (statuses(&old, &nodes, "127.0.0.1"), statuses(&new, &nodes, "127.0.0.1")),
        (vec![401; 3], vec![200; 3])
    );

    // One that is to go soon goes by itself, on every node.
    let third = domain.keytab_of("svc-keys", SPN, "Third.Passw0rd", version + 2);
    kerberos(&cluster, &["rotate", "--keep", "3s"], &third).check_code(3);
    let next = u64::from(version);
    assert!(shown(&cluster).contains(&(service.clone(), next + 1, true)), "{:?}", shown(&cluster));
    assert_eq!(statuses(&new, &nodes, "127.0.0.1"), [200; 3]);
    wait::until_true("the old key is forgotten", PATIENCE, || {
        shown(&cluster) == [(service.clone(), next + 2, false)]
    });
    assert_eq!(statuses(&new, &nodes, "127.0.0.1"), [401; 3]);
    cluster.check_no_panic();
}

#[test]
fn what_is_no_use_is_refused_and_says_why() {
    let (cluster, folder) = (TestCluster::start(1), NewDir::made());
    let file = folder.path().join("some.keytab");
    let import = |bytes: &[u8]| {
        fs::write(&file, bytes).expect("the temporary folder can be written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("it is ours");
        kerberos(&cluster, &["import"], &file)
    };
    import(b"no keytab")
        .check_code(1)
        .check_says(&["the keytab cannot be used", "no keytab of format 0x0502"]);
    let weak = keytab::file(&[keytab::entry("HTTP/rmsconnector.lab.test", "LAB.TEST", 2, 23, &[1; 16])]);
    import(&weak).check_code(1).check_says(&["RC4 and DES keys are not taken", "give the account AES keys"]);
    let entry = |realm: &str, version, key: u8| {
        keytab::entry("HTTP/rmsconnector.lab.test", realm, version, 18, &[key; 32])
    };
    let mixed = keytab::file(&[entry("LAB.TEST", 2, 1), weak[2..].to_vec()]);
    let taken = import(&mixed);
    assert!(
        taken
            .check_code(0)
            .stdout
            .contains("left out: HTTP/rmsconnector.lab.test@LAB.TEST version 2 (arcfour")
    );
    assert!(taken.stdout.contains("in effect on 1/1 nodes"), "{taken:?}");
    assert!(import(&mixed).check_code(0).stdout.contains("nothing was changed"));
    let other = import(&keytab::file(&[entry("LAB.TEST", 2, 9)]));
    other.check_code(4).check_says(&["has another key as HTTP/rmsconnector.lab.test@LAB.TEST version 2"]);
    let realms = import(&keytab::file(&[entry("OTHER.TEST", 2, 1)]));
    realms.check_code(4).check_says(&["keys of LAB.TEST and OTHER.TEST", "could be anybody of the other"]);
    // Beside the old one, for good: the command says how it goes.
    let newer = import(&keytab::file(&[entry("LAB.TEST", 3, 2)]));
    assert!(newer.check_code(3).stdout.contains("rmsc kerberos rotate"), "{newer:?}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("it is ours");
    kerberos(&cluster, &["import"], &file).check_says(&["has mode 0644", "set another password"]);
    let piped = run_with_input(&cluster, &fs::read(&file).expect("it is there"));
    assert!(piped.check_code(3).stdout.contains("nothing was changed"), "{piped:?}");
    cluster.rmsc(&["kerberos", "test"]).check_code(0);
    let lines = cluster.rmsc(&["kerberos", "spn-commands", "--account", r"LAB\svc-rmsc"]);
    for line in [
        r"setspn -S HTTP/rmsconnector.lab.test LAB\svc-rmsc",
        "ktpass -princ HTTP/rmsconnector.lab.test@LAB.TEST -mapuser",
    ] {
        assert!(lines.check_code(0).stdout.contains(line), "{lines:?}");
    }
    let rotation = cluster.rmsc(&["kerberos", "spn-commands", "--rotate"]);
    assert!(rotation.check_code(0).stdout.contains("-k 4 -e aes256-cts-hmac-sha1-96"), "{rotation:?}");
    // A key out of a node's own file is not the cluster's to forget.
    let settings = format!("[identity.kerberos]\nkeytab = {:?}\n\n[upstream]", file.display().to_string());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("it is ours");
    cluster.reconfigure("node-1", "[upstream]", &settings);
    cluster.await_rotation();
    let check = run(rmsc().args(["config", "check", "--config"]).arg(cluster.any_node().config));
    assert!(check.check_code(0).stdout.contains(&format!("and those of {}", file.display())), "{check:?}");
    let status = cluster.rmsc(&["status"]);
    assert!(status.stdout.contains("2 keys of the cluster; a keytab file on node-1"), "{status:?}");
    let other = folder.path().join("other.keytab");
    fs::write(&other, keytab::file(&[entry("OTHER.TEST", 2, 1)]))
        .expect("the temporary folder can be written");
    kerberos(&cluster, &["import"], &other).check_code(4);
    let removed = cluster.rmsc(&["kerberos", "remove", "HTTP/rmsconnector.lab.test@LAB.TEST"]);
    assert!(
        removed.check_code(3).stdout.contains("node-1 still take it out of their own file"),
        "{removed:?}"
    );
    cluster.rmsc(&["kerberos", "test"]).check_code(3);
    let foreign = kerberos(&cluster, &["import"], &other);
    foreign.check_code(4).check_says(&["node-1 would have keys of LAB.TEST and OTHER.TEST"]);
}

#[track_caller]
fn run_with_input(cluster: &TestCluster, bytes: &[u8]) -> Ran {
    use std::io::Write;
    let mut command = cluster.administrator();
    command
        .args(["kerberos", "import", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut process = command.spawn().expect("the program was built with the tests");
    process.stdin.take().expect("it is a pipe").write_all(bytes).expect("it reads its input");
    let output = process.wait_with_output().expect("a child can be waited for");
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

const SPN: &str = "HTTP/127.0.0.1";
const SECOND: &str = "Second.Passw0rd";
