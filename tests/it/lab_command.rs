//! `rmsc dev`: it starts, shares out its traffic, and leaves nothing behind.

use crate::support::cluster::{NewDir, TestCluster};
use crate::support::lab::Lab;
use crate::support::log::{await_event, field};
use crate::support::processes;
use crate::support::program::{rmsc, run};
use crate::support::turn::Turn;
use crate::support::wait::{self, PATIENCE};
use rustix::process::Signal;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A lab as a user starts it, and what it says about itself.
fn start(command: &mut Command, dir: &NewDir) -> (Child, Lab) {
    start_within(PATIENCE, command, dir)
}

fn start_within(patience: Duration, command: &mut Command, dir: &NewDir) -> (Child, Lab) {
    let mut child = command
        .arg("--dir")
        .arg(dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program was built with the tests");
    let lab = wait::until("the lab writes lab.json", patience, || {
        assert!(matches!(child.try_wait(), Ok(None)), "the lab ended at once");
        let text = fs::read_to_string(dir.path().join("lab.json")).ok()?;
        serde_json::from_str(&text).ok()
    });
    (child, lab)
}

fn pids(lab: &Lab) -> Vec<u32> {
    lab.nodes.iter().filter_map(|node| node.pid).collect()
}

#[test]
fn ends_by_itself_with_equal_shares_and_no_failure() {
    let _turn = Turn::alone();
    let dir = NewDir::new();
    let (child, lab) = start(rmsc().args(["dev", "--for", "8s", "-o", "json"]), &dir);
    let output = child.wait_with_output().unwrap();
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{summary}");
    assert_eq!(summary["failed"], 0, "{summary}");
    assert_eq!(summary["duplicates"], 0, "{summary}");
    assert_eq!(summary["passed"], true, "{summary}");
    assert!(summary["requests"].as_u64().unwrap() >= 600, "{summary}");
    let shares = summary["shares"].as_object().unwrap();
    assert_eq!(shares.len(), 3, "{summary}");
    for (name, share) in shares {
        let share = share.as_f64().unwrap();
        assert!((share - 1.0 / 3.0).abs() <= 1.0 / 300.0, "{name} has {share}");
    }
    processes::check_gone(&pids(&lab), PATIENCE);
}

/// Without an accounts file: whoever is let in has come with a ticket.
#[test]
fn makes_a_domain_whose_servers_call_with_tickets() {
    let _turn = Turn::alone();
    let dir = NewDir::new();
    let mut dev = rmsc();
    dev.args(["dev", "--ad", "--for", "8s", "-o", "json"]);
    let (child, lab) = start_within(DOMAIN_WITHIN + PATIENCE, &mut dev, &dir);
    let welcome = r"CONTOSO\EXCH01$";
    let node = lab.nodes.first().expect("a lab has a node");
    await_event(node, 1002, |event| field(event, "account") == welcome);
    // As the lab says it to people.
    let curl = format!(
        "kinit 'EXCH01$' <<<'Passw0rd.1' && curl --negotiate -u : -sS --resolve rms.contoso.test:{0}:127.0.0.1 \
         -H 'Content-Type: text/xml; charset=utf-8' -H 'SOAPAction: \"http://microsoft.com/DRM/\
         TemplateDistributionService/AcquireTemplateInformation\"' --data-binary @{1}/request.xml \
         http://rms.contoso.test:{0}/_wmcs/licensing/templatedistribution.asmx",
        node.http.rsplit_once(':').expect("a port").1,
        dir.path().display(),
    );
    let settings = dir.path().join("domain/state/krb5.conf");
    let tickets = dir.path().join("tickets");
    let ran = run(Command::new("bash")
        .args(["-c", &curl])
        .env("KRB5_CONFIG", settings)
        .env("KRB5CCNAME", tickets)
        .env("no_proxy", "*"));
    assert!(ran.check_code(0).stdout.contains("AcquireTemplateInformationResponse"), "{ran:?}");
    let output = child.wait_with_output().unwrap();
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{summary}");
    assert_eq!(summary["passed"], true, "{summary}");
    assert!(summary["requests"].as_u64().unwrap() >= 300, "{summary}");
    processes::check_gone(&pids(&lab), PATIENCE);
    assert!(!dir.path().join("domain/state").exists(), "the domain is still there");
}

#[test]
fn says_what_to_install_for_a_domain() {
    let tools = NewDir::made();
    for tool in ["bash", "dirname", "id", "realpath", "rm"] {
        let from = run(Command::new("which").arg(tool)).check_code(0).stdout.trim().to_owned();
        std::os::unix::fs::symlink(from, tools.path().join(tool)).unwrap();
    }
    let ran = run(rmsc().args(["dev", "--ad"]).env("PATH", tools.path()));
    ran.check_code(1).check_says(&["apt-get install -y --no-install-recommends", "samba-ad-dc", "krb5-user"]);
}

#[test]
fn prints_a_verdict_for_people() {
    let ran = run(rmsc().args(["dev", "--nodes", "1", "--for", "1s"]));
    ran.check_code(0);
    assert!(ran.stdout.contains("0 failed") && ran.stdout.contains("\nPASS: "), "{ran:?}");
}

#[test]
fn comes_up_with_one_node() {
    check_nodes(1);
}

#[test]
fn comes_up_with_two_nodes() {
    check_nodes(2);
}

#[test]
fn comes_up_with_five_nodes() {
    check_nodes(5);
}

#[track_caller]
fn check_nodes(count: usize) {
    let cluster = TestCluster::start(count);
    cluster.await_rotation();
    let status = cluster.rmsc(&["status", "-o", "json"]);
    assert_eq!(status.field("nodes").as_array().map(Vec::len), Some(count));
}

#[test]
fn an_interrupted_lab_leaves_no_process() {
    check_end(Signal::INT);
}

#[test]
fn a_killed_lab_leaves_no_process() {
    check_end(Signal::KILL);
}

#[track_caller]
fn check_end(signal: Signal) {
    let _turn = Turn::beside_others();
    let dir = NewDir::new();
    let (mut child, lab) = start(rmsc().args(["dev"]), &dir);
    assert_eq!(pids(&lab).len(), 3);
    processes::signal(child.id(), signal);
    child.wait().expect("a child can be waited for");
    processes::check_gone(&pids(&lab), PATIENCE);
}

#[test]
fn refuses_a_folder_that_is_in_use() {
    let cluster = TestCluster::shared();
    run(rmsc().args(["dev", "--dir"]).arg(cluster.dir()))
        .check_code(1)
        .check_says(&["a lab is or was there", "name a new folder"]);
}

#[test]
fn refuses_to_start_a_node_that_runs_or_is_not_there() {
    let cluster = TestCluster::shared();
    let restart = |name: &str| run(rmsc().args(["dev", "restart", name, "--dir"]).arg(cluster.dir()));
    restart("node-1").check_code(1).check_says(&["node-1 runs already"]);
    restart("node-9").check_code(1).check_says(&["there is no node \"node-9\"", "node-1 node-2 node-3"]);
}

#[test]
fn keeps_its_files_from_others() {
    use std::os::unix::fs::MetadataExt;
    let cluster = TestCluster::shared();
    for name in [
        "lab.json",
        "accounts.toml",
        "admin.key",
        "node-1/front.key",
        "node-1/seal.key",
        "node-1/data/identity",
    ] {
        let mode = fs::metadata(cluster.dir().join(name)).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
}

#[test]
fn says_how_to_start_a_lab_where_none_runs() {
    let ran = run(rmsc().args(["dev", "restart", "node-1", "--dir", "/nonexistent"]));
    ran.check_code(1).check_says(&["no lab runs in /nonexistent", "rmsc dev --dir"]);
}

#[test]
fn waits_for_nothing_when_told_to_end_at_once() {
    let ran = run(rmsc().args(["dev", "--nodes", "1", "--no-traffic", "--for", "0s", "-o", "json"]));
    ran.check_code(0);
    assert_eq!(ran.json::<serde_json::Value>()["requests"], 0);
}

/// How long the lab waits for a domain controller that has never been there.
const DOMAIN_WITHIN: Duration = Duration::from_secs(120);
