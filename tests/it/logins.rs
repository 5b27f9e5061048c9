//! NTLM logins that fail: how many reach whoever knows the passwords, whom that shuts out, and what a stranger can
//! tell from the answers.

use crate::support::cluster::TestCluster;
use crate::support::http::{Answer, Request, Session};
use crate::support::lab::{Account, Node};
use crate::support::log::{await_event, events, field};
use crate::support::program::curl_ntlm;
use crate::support::soap::ACQUIRE_LICENSE;
use std::time::Duration;

const PAGE: &str = "/_wmcs/licensing/license.asmx";
/// Tests call from 127.0.0.1 unless they say otherwise.
const ELSEWHERE: &str = "127.0.0.2";

/// Gives a node the threshold of a domain; that of a lab is far higher.
#[track_caller]
fn limit(cluster: &TestCluster, node: &str) {
    cluster.reconfigure(node, "lockout_threshold = 999", "lockout_threshold = 10");
    cluster.await_rotation();
}

#[track_caller]
fn call_from_elsewhere(node: &Node, name: &str, password: &str) -> u16 {
    let account = Account { name: name.into(), password: password.into() };
    curl_ntlm(&account, &["--interface", ELSEWHERE, &format!("{}{PAGE}", node.http)]).status
}

/// How many logins were not taken, by reason.
#[track_caller]
fn failed(cluster: &TestCluster, node: &Node, reason: &str) -> u64 {
    let metrics = cluster.monitor(node, "/metrics").text();
    let name = format!("rmsc_front_failed_logins_total{{reason=\"{reason}\"}} ");
    metrics
        .lines()
        .find_map(|line| line.strip_prefix(&name))
        .map_or(0, |count| count.parse().expect("a counter is a number"))
}

#[test]
fn an_account_is_asked_about_a_few_times_however_it_is_written() {
    let cluster = TestCluster::start(1);
    limit(&cluster, "node-1");
    let (node, account) = (cluster.any_node(), cluster.exchange());
    for round in 0..7 {
        for (place, name) in [r"LAB\EXCH01$", r"lab.test\exch01$", "EXCH01$@lab.test"].into_iter().enumerate()
        {
            let expected = if round == 0 && place < 2 { 401 } else { LIMITED };
            assert_eq!(call_from_elsewhere(&node, name, "wrong"), expected, "{round}");
        }
        // As Active Directory would find it; curl has no such letters.
        let accented = Account { name: "LAB\\e\u{301}xch01".into(), password: "wrong".into() };
        assert_eq!(cluster.call(&node, &accented, &Request::get(PAGE)).status, LIMITED);
    }
    // Two of ten: less than a quarter for those who have never logged in.
    assert_eq!((failed(&cluster, &node, "Wrong"), failed(&cluster, &node, "AccountLimit")), (2, 26));
    // So the right password is of no use either; but it may be right, and mail must not bounce.
    assert_eq!(call_from_elsewhere(&node, &account.name, &account.password), LIMITED);
    let event = await_event(&node, 4053, |_| true);
    assert_eq!((field(&event, "computer"), field(&event, "level")), (ELSEWHERE, "WARN"));
    assert!(field(&event, "account").to_lowercase().contains("exch01"), "{event}");
    assert!(field(&event, "reason").contains("for 600s"), "{event}");
    assert_eq!(events(&node, 4053).len(), 1);
    // Another account is another matter.
    let other = cluster.account("FS01$");
    assert_eq!(call_from_elsewhere(&node, &other.name, &other.password), 200);
}

#[test]
fn nobody_shuts_a_server_out_by_failing_as_it() {
    let cluster = TestCluster::start(1);
    limit(&cluster, "node-1");
    let (node, account) = (cluster.any_node(), cluster.exchange());
    let call = || cluster.call(&node, &account, &Request::soap(&ACQUIRE_LICENSE)).check(200, &[]);
    call();
    for round in 0..5 {
        let expected = if round < 2 { 401 } else { LIMITED };
        assert_eq!(call_from_elsewhere(&node, &account.name, "wrong"), expected);
        call();
    }
    assert_eq!(call_from_elsewhere(&node, &account.name, &account.password), LIMITED);
    // Where the server itself is, more may fail; what succeeds there forgives.
    let wrong = Account { password: "wrong".into(), ..account.clone() };
    for _ in 0..3 {
        for _ in 0..6 {
            assert_eq!(cluster.call(&node, &wrong, &Request::get(PAGE)).status, 401);
        }
        call();
    }
    for round in 0..20 {
        let expected = if round < 7 { 401 } else { LIMITED };
        assert_eq!(cluster.call(&node, &wrong, &Request::get(PAGE)).status, expected);
    }
    assert_eq!(failed(&cluster, &node, "Wrong"), 2 + 3 * 6 + 7);
    assert_eq!(cluster.call(&node, &account, &Request::get(PAGE)).status, LIMITED);
}

/// A balancer may send a server to a node at which it never was, while somebody fails there as it all the time.
#[test]
fn a_server_that_comes_from_another_node_is_not_shut_out() {
    let cluster = TestCluster::start(3);
    limit(&cluster, "node-2");
    let (first, second, account) = (cluster.node("node-1"), cluster.node("node-2"), cluster.exchange());
    let soap = Request::soap(&ACQUIRE_LICENSE);
    // Every node relays in turn, and so hears of it.
    for _ in 0..3 {
        cluster.call(&first, &account, &soap).check(200, &[]);
    }
    for round in 0..5 {
        let expected = if round < 1 { 401 } else { LIMITED };
        assert_eq!(call_from_elsewhere(&second, &account.name, "wrong"), expected);
    }
    // A third of what a node alone has.
    assert_eq!(failed(&cluster, &second, "Wrong"), 1);
    assert_eq!(call_from_elsewhere(&second, &account.name, &account.password), LIMITED);
    cluster.call(&second, &account, &soap).check(200, &[]);
}

#[test]
fn a_source_is_limited_whatever_names_it_gives() {
    let cluster = TestCluster::start(1);
    cluster.reconfigure("node-1", "source_failures_max = 1000000", "source_failures_max = 5");
    cluster.await_rotation();
    let node = cluster.any_node();
    let account = cluster.exchange();
    cluster.call(&node, &account, &Request::get(PAGE)).check(200, &[]);
    for number in 0..20 {
        let name = format!(r"LAB\nobody{number}");
        let nobody = Account { name, password: "wrong".into() };
        let expected = if number < 5 { 401 } else { LIMITED };
        assert_eq!(cluster.call(&node, &nobody, &Request::get(PAGE)).status, expected);
    }
    assert_eq!((failed(&cluster, &node, "Wrong"), failed(&cluster, &node, "SourceLimit")), (5, 15));
    assert_eq!(field(&await_event(&node, 4054, |_| true), "computer"), "127.0.0.1");
    // Who is known there goes on, as behind a balancer; a new one has to wait.
    cluster.call(&node, &account, &Request::get(PAGE)).check(200, &[]);
    let other = cluster.account("FS01$");
    assert_eq!(cluster.call(&node, &other, &Request::get(PAGE)).status, LIMITED);
    assert_eq!(call_from_elsewhere(&node, &other.name, &other.password), 200);
}

/// Without what is different each time.
fn comparable(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let changing = ["x-rmsc-request-id", "date"];
    let headers = answer.headers.iter().filter(|(name, _)| !changing.contains(&&*name.to_lowercase()));
    (answer.status, headers.cloned().collect(), answer.text())
}

#[test]
fn nobody_can_tell_why_a_login_fails() {
    let cluster = TestCluster::alone(1);
    let (node, known) = (cluster.any_node(), cluster.account("svc-sharepoint"));
    let login = |name: &str| {
        let account = Account { name: name.into(), password: "wrong".into() };
        let timed = Session::open(node.front(), &account).and_then(|mut it| it.timed(&Request::get(PAGE)));
        timed.unwrap_or_else(|error| panic!("no answer: {error}"))
    };
    // Its password may be wrong a hundred times more often where it was right once.
    cluster.call(&node, &known, &Request::get(PAGE)).check(200, &[]);
    let limited = r"LAB\FS01$";
    while failed(&cluster, &node, "AccountLimit") == 0 {
        (0..50).for_each(|_| drop(login(limited)));
    }
    let before = failed(&cluster, &node, "Wrong");
    let mut times = [const { Vec::new() }; 3];
    let mut answers = Vec::new();
    for round in 0..ROUNDS {
        let unknown = format!(r"LAB\nobody{round}");
        for (times, name) in times.iter_mut().zip([&unknown, &known.name, limited]) {
            let (answer, time) = login(name);
            times.push(time);
            if name == limited {
                assert_eq!(answer.status, LIMITED);
            } else {
                answers.push(comparable(&answer));
            }
        }
    }
    assert!(
        failed(&cluster, &node, "Wrong") - before == 2 * ROUNDS,
        "an account was limited that should not be"
    );
    answers.dedup();
    assert_eq!((answers.len(), answers[0].0), (1, 401), "{answers:#?}");
    let medians = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    println!("medians: unknown account, wrong password, account at its limit: {medians:?}");
    let spread = medians.iter().max().unwrap().abs_diff(*medians.iter().min().unwrap());
    assert!(spread <= Duration::from_millis(1), "{medians:?}");
}

const ROUNDS: u64 = 300;
/// Too many requests: try again later. Nobody was asked, so the password may be right.
const LIMITED: u16 = 429;
