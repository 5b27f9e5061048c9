//! The events in the nodes' logs, with their fields: what an administrator's monitor reads.

use crate::support::cluster::TestCluster;
use crate::support::http::Request;
use crate::support::lab::{Account, Node};
use crate::support::log::{await_event, events, events_about, field};
use crate::support::simulator::Simulator;
use crate::support::soap::ACQUIRE_LICENSE;
use crate::support::{processes, wait};
use rustix::process::Signal;
use serde_json::Value;
use std::time::{Duration, Instant};

#[track_caller]
fn sid(cluster: &TestCluster, account: &Account) -> String {
    let sid = cluster.rmsc(&["authz", "test", &account.name, "-o", "json"]).field("sid");
    sid.as_str().expect("a SID is a text").to_owned()
}

/// Checks the three fields that say who it was.
#[track_caller]
fn check_who(cluster: &TestCluster, event: &Value, account: &Account) {
    assert_eq!(field(event, "sid"), sid(cluster, account));
    assert_eq!(field(event, "account"), account.name);
    assert_eq!(field(event, "computer"), "127.0.0.1");
}

/// What is logged is logged in order: once this event is there, nothing before it is missing.
#[track_caller]
fn await_all_before(cluster: &TestCluster, node: &Node) {
    cluster.call(node, &cluster.mallory(), &Request::soap(&ACQUIRE_LICENSE));
    await_event(node, 2001, |event| event["account"] == r"LAB\mallory");
}

#[test]
fn event_1000_says_that_a_node_serves() {
    let cluster = TestCluster::shared();
    for node in cluster.nodes() {
        let event = await_event(&node, 1000, |_| true);
        assert_eq!(
            (field(&event, "node"), field(&event, "version")),
            (&*node.name, env!("CARGO_PKG_VERSION"))
        );
        assert_eq!(field(&event, "level"), "INFO");
    }
}

#[test]
fn event_1001_says_that_a_node_stopped_in_order() {
    let cluster = TestCluster::start(1);
    let node = cluster.any_node();
    cluster.signal(&node.name, Signal::TERM);
    let event = await_event(&node, 1001, |_| true);
    assert_eq!(field(&event, "node"), node.name);
}

#[test]
fn event_1002_says_once_that_an_account_was_let_in() {
    let cluster = TestCluster::start(1);
    let (node, account) = (cluster.any_node(), cluster.exchange());
    for _ in 0..3 {
        cluster.call(&node, &account, &Request::soap(&ACQUIRE_LICENSE)).check(200, &[]);
    }
    await_all_before(&cluster, &node);
    let seen = events_about(&node, 1002, &account.name);
    assert_eq!(seen.len(), 1, "{seen:?}");
    check_who(&cluster, &seen[0], &account);
}

#[test]
fn event_1002_comes_again_for_an_account_that_is_authorized_again() {
    let cluster = TestCluster::start(1);
    let (node, account) = (cluster.any_node(), cluster.account("svc-sharepoint"));
    let call = || cluster.call(&node, &account, &Request::soap(&ACQUIRE_LICENSE));
    call().check(200, &[]);
    cluster.rmsc(&["authz", "remove", &account.name]).check_code(0);
    call().check(500, &[]);
    cluster.rmsc(&["authz", "add", "--role", "sharepoint", &account.name]).check_code(0);
    for _ in 0..2 {
        call().check(200, &[]);
    }
    await_all_before(&cluster, &node);
    let seen = events_about(&node, 1002, &account.name);
    assert_eq!(seen.len(), 2, "{seen:?}");
    check_who(&cluster, &seen[1], &account);
}

/// Calls over HTTPS.
#[track_caller]
fn call_by_https(cluster: &TestCluster, node: &Node, account: &Account) {
    let ca = cluster.lab().ca.display().to_string();
    let url = format!("{}/_wmcs/licensing/license.asmx", node.https_localhost());
    assert_eq!(crate::support::program::curl_ntlm(account, &["--cacert", &ca, &url]).status, 200);
}

#[test]
fn event_1003_says_that_an_account_went_over_to_https() {
    let cluster = TestCluster::start(1);
    let (node, account, other) = (cluster.any_node(), cluster.exchange(), cluster.account("FS01$"));
    let call_by_http = || cluster.call(&node, &account, &Request::soap(&ACQUIRE_LICENSE)).check(200, &[]);
    call_by_http();
    for _ in 0..2 {
        call_by_https(&cluster, &node, &account);
        call_by_https(&cluster, &node, &other);
    }
    // And 2002 again, as it falls back.
    call_by_http();
    await_all_before(&cluster, &node);
    let seen = events_about(&node, 1003, &account.name);
    assert_eq!(seen.len(), 1, "{seen:?}");
    check_who(&cluster, &seen[0], &account);
    assert_eq!((field(&seen[0], "level"), &seen[0]["left_out"]), ("INFO", &Value::from(0)));
    assert_eq!(events_about(&node, 2002, &account.name).len(), 2);
    // It never used HTTP.
    assert_eq!(events_about(&node, 1003, &other.name), Vec::<Value>::new());
}

#[test]
fn event_1004_has_the_new_table_on_every_node() {
    let cluster = TestCluster::start(3);
    let ran = cluster.rmsc(&["authz", "add", "--role", "sharepoint", r"LAB\mallory", "-o", "json"]);
    let revision = ran.json::<Value>()["revision"].clone();
    for node in cluster.nodes() {
        let event = await_event(&node, 1004, |event| event["revision"] == revision);
        for entry in [r"sharepoint LAB\mallory (S-1-5-21-", r"exchange LAB\EXCH01$ (S-1-5-21-"] {
            assert!(field(&event, "accounts").contains(entry), "{event}");
        }
    }
}

#[test]
fn event_1004_is_not_repeated_for_each_of_many_changes() {
    let cluster = TestCluster::start(1);
    let node = cluster.any_node();
    let add = |note: &str| {
        let add = ["authz", "add", "--role", "sharepoint", r"LAB\mallory", "--note", note, "-o", "json"];
        cluster.rmsc(&add).json::<Value>()["revision"].clone()
    };
    let first = add("first");
    await_event(&node, 1004, |event| event["revision"] == first);
    let (before, begun) = (events(&node, 1004).len(), Instant::now());
    let mut last = Value::Null;
    for change in 0..30 {
        last = add(&change.to_string());
    }
    await_event(&node, 1004, |event| event["revision"] == last);
    let (seconds, more) = (begun.elapsed().as_secs(), events(&node, 1004).len() - before);
    assert!(more as u64 <= seconds + 2, "{more} events in {seconds} s");
}

#[test]
fn event_2000_says_that_a_request_had_no_valid_identity() {
    let cluster = TestCluster::start(1);
    let node = cluster.any_node();
    let wrong = Account { password: "wrong".into(), ..cluster.exchange() };
    assert_eq!(cluster.call(&node, &wrong, &Request::soap(&ACQUIRE_LICENSE)).status, 401);
    let event = await_event(&node, 2000, |_| true);
    assert_eq!((field(&event, "computer"), field(&event, "level")), ("127.0.0.1", "WARN"));
    assert!(!field(&event, "reason").is_empty() && !field(&event, "remedy").is_empty(), "{event}");
}

#[test]
fn event_2001_names_the_account_that_was_refused() {
    let cluster = TestCluster::shared();
    let (node, mallory) = (cluster.any_node(), cluster.mallory());
    cluster.call(&node, &mallory, &Request::soap(&ACQUIRE_LICENSE)).check(500, &[]);
    let event = await_event(&node, 2001, |event| event["account"] == mallory.name.as_str());
    check_who(&cluster, &event, &mallory);
    assert!(field(&event, "reason").contains("not authorized"), "{event}");
    assert!(field(&event, "remedy").contains("rmsc authz add"), "{event}");
}

#[test]
fn event_2001_comes_once_a_minute_and_not_for_pages() {
    let cluster = TestCluster::start(1);
    let (node, mallory, other) = (cluster.any_node(), cluster.mallory(), cluster.account("svc-sharepoint"));
    cluster.rmsc(&["authz", "remove", &other.name]).check_code(0);
    cluster.call(&node, &other, &Request::get("/_wmcs/licensing/license.asmx")).check(200, &[]);
    for _ in 0..5 {
        cluster.call(&node, &mallory, &Request::soap(&ACQUIRE_LICENSE)).check(500, &[]);
    }
    cluster.rmsc(&["authz", "add", "--role", "sharepoint", &other.name]).check_code(0);
    cluster.call(&node, &other, &Request::soap(&ACQUIRE_LICENSE)).check(200, &[]);
    // All before it is in the log.
    await_event(&node, 1002, |event| event["account"] == other.name.as_str());
    let seen = events(&node, 2001);
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!((field(&seen[0], "account"), &seen[0]["left_out"]), (&*mallory.name, &Value::from(0)));
}

#[test]
fn event_2001_comes_also_for_a_role_that_is_too_low() {
    let cluster = TestCluster::start(1);
    let (node, account) = (cluster.any_node(), cluster.account("FS01$"));
    let request = Request::soap(&crate::support::soap::ACQUIRE_PRE_LICENSE);
    cluster.call(&node, &account, &request).check(500, &[]);
    let event = await_event(&node, 2001, |_| true);
    check_who(&cluster, &event, &account);
}

#[test]
fn event_2002_comes_once_for_each_account_that_uses_http() {
    let cluster = TestCluster::start(1);
    let node = cluster.any_node();
    let accounts = [cluster.exchange(), cluster.account("FS01$")];
    for _ in 0..2 {
        for account in &accounts {
            cluster.call(&node, account, &Request::soap(&ACQUIRE_LICENSE)).check(200, &[]);
        }
    }
    await_all_before(&cluster, &node);
    for account in &accounts {
        let seen = events_about(&node, 2002, &account.name);
        assert_eq!(seen.len(), 1, "{seen:?}");
        check_who(&cluster, &seen[0], account);
    }
}

#[test]
fn event_2002_does_not_come_for_https() {
    let cluster = TestCluster::start(1);
    let (node, account) = (cluster.any_node(), cluster.exchange());
    call_by_https(&cluster, &node, &account);
    await_all_before(&cluster, &node);
    assert_eq!(events_about(&node, 2002, &account.name), Vec::<Value>::new());
}

#[test]
fn event_2003_warns_of_an_empty_table() {
    let cluster = TestCluster::start(1);
    let node = cluster.any_node();
    for name in [r"LAB\EXCH01$", r"LAB\svc-sharepoint", r"LAB\FS01$"] {
        cluster.rmsc(&["authz", "remove", name]).check_code(0);
    }
    let list: Value = cluster.rmsc(&["authz", "list", "-o", "json"]).json();
    let event = await_event(&node, 2003, |event| event["revision"] == list["revision"]);
    assert!(field(&event, "remedy").contains("rmsc authz add"), "{event}");
}

#[test]
fn event_3000_says_that_the_service_is_gone() {
    let cluster = TestCluster::start(1);
    let mut simulator = Simulator::start();
    simulator.serve(&cluster, "node-1");
    let node = cluster.any_node();
    let request = Request::soap(&ACQUIRE_LICENSE);
    cluster.call(&node, &cluster.exchange(), &request).check(200, &[]);
    assert_eq!(events(&node, 3000), Vec::<Value>::new());
    simulator.kill();
    let answer = cluster.call(&node, &cluster.exchange(), &request);
    answer.check(500, &["cannot be reached now"]);
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    let event = await_event(&node, 3000, |_| true);
    assert_eq!(
        (field(&event, "level"), field(&event, "doing")),
        ("ERROR", "relaying a request to the service")
    );
    assert!(!field(&event, "reason").is_empty() && !field(&event, "remedy").is_empty(), "{event}");
}

/// Exchange gives up after 30 s, and takes its own time-out for worse than our answer.
#[test]
fn a_service_that_does_not_answer_is_given_up_before_the_client_gives_up() {
    let cluster = TestCluster::start(1);
    let simulator = Simulator::start();
    simulator.serve(&cluster, "node-1");
    let node = cluster.any_node();
    processes::signal(simulator.pid(), Signal::STOP);
    let begun = Instant::now();
    let answer = cluster.call(&node, &cluster.exchange(), &Request::soap(&ACQUIRE_LICENSE));
    assert!(begun.elapsed() < Duration::from_secs(28), "{:?}", begun.elapsed());
    assert_eq!((answer.status, answer.header("content-type")), (500, Some("text/plain; charset=utf-8")));
}

#[test]
fn a_service_that_comes_back_is_used_again_at_once() {
    let cluster = TestCluster::start(1);
    let mut first = Simulator::start();
    first.serve(&cluster, "node-1");
    let node = cluster.any_node();
    let request = Request::soap(&ACQUIRE_LICENSE);
    first.kill();
    cluster.call(&node, &cluster.exchange(), &request).check(500, &[]);
    let _second = first.again();
    wait::until_true("the service is used again", Duration::from_secs(5), || {
        cluster.call(&node, &cluster.exchange(), &request).status == 200
    });
}
