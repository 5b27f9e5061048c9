//! `rmsc authz`: what an administrator changes acts on every node at once, and stays.

use crate::support::cluster::TestCluster;
use crate::support::http::{Request, Session};
use crate::support::lab::Account;
use crate::support::program::run;
use crate::support::soap::ACQUIRE_LICENSE;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// The statuses that an account gets through every front from every node.
#[track_caller]
fn statuses(cluster: &TestCluster, account: &Account) -> BTreeSet<u16> {
    let nodes = cluster.nodes();
    let mut statuses = BTreeSet::new();
    for front in &nodes {
        let mut session = Session::open(front.front(), account).expect("every front listens");
        // As many requests in a row as there are nodes: the front gives one to each.
        for _ in &nodes {
            let answer = session.call(&Request::soap(&ACQUIRE_LICENSE)).expect("every request is answered");
            statuses.insert(answer.status);
        }
    }
    statuses
}

/// The table without its revision, which every list names.
#[track_caller]
fn table(cluster: &TestCluster, endpoint: &str) -> Value {
    let ran = cluster.rmsc(&["--endpoint", endpoint, "authz", "list", "-o", "json"]);
    ran.check_code(0);
    ran.field("entries")
}

#[test]
fn an_added_account_is_served_on_every_node_at_once() {
    let cluster = TestCluster::alone(3);
    let mallory = cluster.mallory();
    assert_eq!(statuses(&cluster, &mallory), BTreeSet::from([500]));
    cluster.rmsc(&["authz", "add", "--role", "sharepoint", &mallory.name]).check_code(0);
    let returned = Instant::now();
    assert_eq!(statuses(&cluster, &mallory), BTreeSet::from([200]));
    assert!(returned.elapsed() < Duration::from_secs(1), "{:?}", returned.elapsed());
}

#[test]
fn a_removed_account_is_refused_on_every_node_at_once_even_on_open_connections() {
    let cluster = TestCluster::alone(3);
    let account = cluster.account("FS01$");
    let mut open = Session::open(cluster.any_node().front(), &account).unwrap();
    assert_eq!(open.call(&Request::soap(&ACQUIRE_LICENSE)).unwrap().status, 200);
    cluster.rmsc(&["authz", "remove", &account.name]).check_code(0);
    assert_eq!(statuses(&cluster, &account), BTreeSet::from([500]));
    assert_eq!(open.call(&Request::soap(&ACQUIRE_LICENSE)).unwrap().status, 500);
}

#[test]
fn a_change_is_in_effect_on_every_node_when_the_command_ends() {
    let cluster = TestCluster::alone(3);
    let begun = Instant::now();
    let ran = cluster.rmsc(&["authz", "add", "--role", "fileserver", r"LAB\mallory", "-o", "json"]);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let effect: Value = ran.check_code(0).json();
    assert_eq!((&effect["in_effect"], &effect["nodes"]), (&3.into(), &3.into()), "{effect}");
    assert_eq!(effect["silent"], serde_json::json!([]), "{effect}");
}

#[test]
fn every_node_takes_changes() {
    let cluster = TestCluster::start(3);
    for node in cluster.nodes() {
        let endpoint = node.admin.to_string();
        for change in [&["add", "--role", "fileserver"][..], &["remove"]] {
            let arguments = [&["--endpoint", &endpoint, "authz"], change, &[r"LAB\mallory"]].concat();
            cluster.rmsc(&arguments).check_code(0);
        }
    }
}

#[test]
fn changes_survive_the_death_of_every_node() {
    let cluster = TestCluster::start(3);
    cluster.rmsc(&["authz", "add", "--role", "sharepoint", r"LAB\mallory", "--note", "CHG-1"]).check_code(0);
    cluster.rmsc(&["authz", "remove", r"LAB\FS01$"]).check_code(0);
    let before = table(&cluster, &cluster.any_node().admin.to_string());
    for node in cluster.nodes() {
        cluster.kill(&node.name);
    }
    for node in cluster.nodes() {
        cluster.restart(&node.name);
    }
    cluster.await_rotation();
    for node in cluster.nodes() {
        assert_eq!(table(&cluster, &node.admin.to_string()), before, "{}", node.name);
    }
    assert_eq!(statuses(&cluster, &cluster.mallory()), BTreeSet::from([200]));
    assert_eq!(statuses(&cluster, &cluster.account("FS01$")), BTreeSet::from([500]));
}

#[test]
fn adding_again_renews_the_note() {
    let cluster = TestCluster::start(1);
    let add = |note: &str| {
        let ran = cluster.rmsc(&["authz", "add", "--role", "sharepoint", r"LAB\mallory", "--note", note]);
        ran.check_code(0);
        ran.stdout
    };
    assert!(add("first").starts_with("added sharepoint"));
    assert!(add("second").starts_with("renewed sharepoint"));
    let entries = table(&cluster, &cluster.any_node().admin.to_string());
    let notes: Vec<&Value> = entries
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["name"] == r"LAB\mallory")
        .map(|entry| &entry["note"])
        .collect();
    assert_eq!(notes, ["second"]);
}

#[test]
fn another_role_for_the_same_account_is_refused() {
    let cluster = TestCluster::shared();
    let ran = cluster.rmsc(&["authz", "add", "--role", "fileserver", r"LAB\svc-sharepoint"]);
    ran.check_code(4).check_says(&["authorized already, with the role sharepoint", "rmsc authz remove"]);
}

#[test]
fn an_unknown_name_is_refused() {
    let cluster = TestCluster::shared();
    let ran = cluster.rmsc(&["authz", "add", "--role", "sharepoint", r"LAB\nobody"]);
    ran.check_code(1).check_says(&[
        r#"the directory does not know "LAB\nobody""#,
        "or give the SID",
        "[directory]",
    ]);
    let sid = "S-1-5-21-1-2-3-9999";
    let ran = cluster.rmsc(&["authz", "add", "--role", "sharepoint", sid]);
    let words = format!("no account, computer or group with the SID {sid}");
    ran.check_code(1).check_says(&[&words, &format!("--sid {sid} --group")]);
    assert!(!ran.stderr.contains("or give the SID"), "{ran:?}");
}

#[test]
fn a_bad_sid_is_refused() {
    let cluster = TestCluster::shared();
    let add = ["authz", "add", "--role", "sharepoint", "--account", r"LAB\x", "--sid", "S-1-five"];
    cluster.rmsc(&add).check_code(1).check_says(&["S-1-five"]);
}

#[test]
fn an_exchange_entry_needs_a_confirmation() {
    let cluster = TestCluster::start(1);
    let ran = cluster.rmsc(&["authz", "add", "--role", "exchange", r"LAB\mallory"]);
    ran.check_code(4).check_says(&["SUPER USER", "Give --yes"]);
    cluster.rmsc(&["authz", "test", r"LAB\mallory"]).check_code(4);
    cluster.rmsc(&["authz", "add", "--role", "exchange", r"LAB\mallory", "--yes"]).check_code(0);
    let told = cluster.rmsc(&["authz", "test", r"LAB\mallory"]);
    assert!(
        told.check_code(0).stdout.contains("Kerberos, or NTLM that is bound to the TLS connection"),
        "{told:?}"
    );
}

#[test]
fn removing_what_is_not_there_is_refused() {
    let cluster = TestCluster::shared();
    cluster.rmsc(&["authz", "remove", r"LAB\mallory"]).check_code(1).check_says(&["is not in the table"]);
}

#[test]
fn an_account_out_of_the_directory_is_added_and_removed_by_its_sid() {
    let cluster = TestCluster::start(1);
    let sid = "S-1-5-21-1-2-3-4444";
    let add = ["authz", "add", "--role", "sharepoint", "--account", r"FAR\server", "--sid", sid];
    cluster.rmsc(&add).check_code(0);
    let test: Value = cluster.rmsc(&["authz", "test", sid, "-o", "json"]).json();
    assert_eq!(test["matched"]["name"], r"FAR\server", "{test}");
    assert_eq!(test["known"], false, "{test}");
    cluster.rmsc(&["authz", "remove", sid]).check_code(0);
    cluster.rmsc(&["authz", "test", sid]).check_code(4);
}

#[test]
fn list_has_every_entry_with_who_when_and_why() {
    let cluster = TestCluster::shared();
    let list: Value = cluster.rmsc(&["authz", "list", "-o", "json"]).json();
    assert!(list["revision"].is_u64(), "{list}");
    let entries = list["entries"].as_array().unwrap();
    let names: BTreeSet<&str> = entries.iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    assert_eq!(names, BTreeSet::from([r"LAB\EXCH01$", r"LAB\svc-sharepoint", r"LAB\FS01$"]));
    for entry in entries {
        for key in ["sid", "name", "kind", "role", "note", "added_by", "added_at"] {
            assert!(entry[key].as_str().is_some_and(|text| !text.is_empty()), "{key} of {entry}");
        }
    }
}

#[test]
fn list_is_a_table_for_people() {
    let cluster = TestCluster::shared();
    let ran = cluster.rmsc(&["authz", "list"]);
    let heading: Vec<&str> = ran.stdout.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(heading, ["NAME", "KIND", "ROLE", "SID", "ADDED", "BY", "ADDED", "AT", "NOTE"]);
}

#[test]
fn test_tells_who_would_be_let_in() {
    let cluster = TestCluster::shared();
    let ran = cluster.rmsc(&["authz", "test", r"lab\exch01$", "-o", "json"]);
    let test: Value = ran.check_code(0).json();
    assert_eq!(test["name"], r"LAB\EXCH01$", "{test}");
    assert_eq!((&test["authorized"], &test["known"]), (&true.into(), &true.into()), "{test}");
    assert_eq!(test["matched"]["role"], "exchange", "{test}");
    let ran = cluster.rmsc(&["authz", "test", r"LAB\mallory", "-o", "json"]);
    let test: Value = ran.check_code(4).json();
    assert_eq!((&test["authorized"], &test["matched"]), (&false.into(), &Value::Null), "{test}");
}

#[test]
fn an_administrator_without_a_context_learns_what_to_give() {
    let ran = run(crate::support::program::rmsc().args(["--context", "/nonexistent", "authz", "list"]));
    ran.check_code(1).check_says(&["/nonexistent", "--context"]);
}
