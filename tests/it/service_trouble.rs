//! Everything that can go wrong with the service, and what comes of it: the status and the body that a calling
//! server gets, the event, and the metric. No answer may make mail bounce: never 3xx, 401, 403, 404, 502, 503, 504,
//! nor a fault that the service has not made.

use crate::support::cluster::TestCluster;
use crate::support::http::{Answer, Request, Session};
use crate::support::lab::Node;
use crate::support::log::{await_event, field};
use crate::support::simulator::Simulator;
use crate::support::soap::ACQUIRE_LICENSE;
use crate::support::wait;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// A fault, and what follows.
struct Case {
    fault: &'static str,
    event: u16,
    says: &'static str,
    metric: &'static str,
}

const fn answered(fault: &'static str, event: u16, says: &'static str, metric: &'static str) -> Case {
    Case { fault, event, says, metric }
}

/// Answers that are none, and no answers.
const CASES: &[Case] = &[
    answered("401", 4090, "(401)", "rmsc_relay_bad_answers_total{trouble=\"unauthorized\"}"),
    answered("403", 4090, "(403)", "rmsc_relay_bad_answers_total{trouble=\"forbidden\"}"),
    answered("404", 4091, "(404)", "rmsc_relay_bad_answers_total{trouble=\"not-found\"}"),
    answered("redirect", 4091, "elsewhere (302)", "rmsc_relay_bad_answers_total{trouble=\"redirect\"}"),
    answered("500", 4093, "out of order (500)", "rmsc_relay_bad_answers_total{trouble=\"out-of-order\"}"),
    answered("502", 4093, "out of order (502)", "rmsc_relay_bad_answers_total{trouble=\"out-of-order\"}"),
    answered("503=7", 4093, "out of order (503)", "rmsc_relay_bad_answers_total{trouble=\"out-of-order\"}"),
    answered("504", 4093, "out of order (504)", "rmsc_relay_bad_answers_total{trouble=\"out-of-order\"}"),
    answered("html", 4094, "text/html", "rmsc_relay_bad_answers_total{trouble=\"not-xml\"}"),
    answered("empty", 4094, "empty", "rmsc_relay_bad_answers_total{trouble=\"empty\"}"),
    answered("half-closed", 4095, "broke off", "rmsc_relay_bad_answers_total{trouble=\"broken-off\"}"),
    answered("reset", 3000, "broke off", "rmsc_upstream_failures_total{trouble=\"lost\"}"),
    answered("refused", 3000, "refused", "rmsc_upstream_failures_total{trouble=\"refused\"}"),
];

fn call(cluster: &TestCluster, node: &Node) -> Answer {
    cluster.call(node, &cluster.exchange(), &Request::soap(&ACQUIRE_LICENSE))
}

/// The value of a metric with its labels.
fn metric(cluster: &TestCluster, node: &Node, name: &str) -> u64 {
    let text = cluster.monitor(node, "/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// What Exchange tries again.
#[track_caller]
fn check_passing(what: &str, answer: &Answer) {
    assert_eq!(answer.status, 500, "{what}: {answer:?}");
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"), "{what}");
    assert!(!answer.text().contains("<") && answer.text().contains("Try again"), "{what}: {}", answer.text());
    assert_eq!(answer.header("location"), None, "{what}");
}

#[track_caller]
fn check(cluster: &TestCluster, node: &Node, case: &Case) {
    let before = metric(cluster, node, case.metric);
    // A connection that was kept open may break first.
    wait::until_true(case.fault, wait::PATIENCE, || {
        check_passing(case.fault, &call(cluster, node));
        metric(cluster, node, case.metric) > before
    });
    let event = await_event(node, case.event, |event| {
        event["reason"].as_str().is_some_and(|reason| reason.contains(case.says))
    });
    assert!(!field(&event, "remedy").is_empty(), "{event}");
}

#[test]
fn nothing_that_the_service_does_makes_mail_bounce() {
    let cluster = TestCluster::start(1);
    let (simulator, node) = (Simulator::start(), cluster.any_node());
    simulator.serve(&cluster, &node.name);
    let mut said = "";
    for case in CASES {
        simulator.fail(case.fault);
        if case.metric == said {
            // What lasts is said once in a while, and anew by a node that is started again.
            cluster.kill(&node.name);
            cluster.restart(&node.name);
            cluster.await_rotation();
        }
        said = case.metric;
        check(&cluster, &node, case);
    }
    simulator.fail("fault=Microsoft.DigitalRightsManagement.Licensing.X");
    wait::until_true("it listens again", wait::PATIENCE, || {
        std::net::TcpStream::connect(simulator.address()).is_ok()
    });
    call(&cluster, &node).check(500, &["faultstring", "Microsoft.DigitalRightsManagement.Licensing.X"]);
    simulator.fail("");
    call(&cluster, &node).check(200, &["AcquireLicenseResponse"]);
    check_status(&cluster, &node, &simulator);
}

/// Who looks is told that the service does nothing but fail, until it answers.
#[track_caller]
fn check_status(cluster: &TestCluster, node: &Node, simulator: &Simulator) {
    let told = |words: &str| cluster.rmsc(&["status"]).stdout.contains(words);
    let words = "node-1: the last 3 requests to the service failed, the first of them ";
    simulator.fail("503=7");
    for _ in 0..3 {
        assert!(!told(words));
        check_passing("503", &call(cluster, node));
    }
    let said = cluster.rmsc(&["status"]).stdout;
    assert!(said.contains(words) && said.contains("out of order (503)"), "{said}");
    simulator.fail("");
    call(cluster, node).check(200, &["AcquireLicenseResponse"]);
    assert!(!told("requests to the service failed"));
}

#[test]
fn a_service_that_asks_for_fewer_requests_is_heard_by_the_callers() {
    let (cluster, simulator) = (TestCluster::start(2), Simulator::start());
    for node in cluster.nodes() {
        simulator.serve(&cluster, &node.name);
    }
    cluster.await_rotation();
    simulator.fail("429=7");
    // Here, and over a hop.
    for _ in 0..2 {
        let answer = call(&cluster, &cluster.any_node());
        assert_eq!((answer.status, answer.header("retry-after")), (429, Some("7")), "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    }
    // It is not asked twice for the same.
    assert_eq!(simulator.faulted("429"), 2);
    for node in cluster.nodes() {
        await_event(&node, 4092, |_| true);
        assert_eq!(metric(&cluster, &node, "rmsc_relay_bad_answers_total{trouble=\"throttled\"}"), 1);
    }
}

/// Every node has the same account and asks the same service: what was judged is not asked for again, and what may have
/// been lost is, once.
#[test]
fn only_what_a_second_try_can_mend_is_tried_by_a_second_node() {
    let cluster = TestCluster::start(2);
    let simulator = Simulator::start();
    for node in cluster.nodes() {
        simulator.serve(&cluster, &node.name);
    }
    for (fault, name, times) in [
        ("401", "401", 1),
        ("403", "403", 1),
        ("404", "404", 1),
        ("redirect", "redirect", 1),
        ("429=7", "429", 1),
        ("503", "503", 2),
        ("empty", "empty", 2),
        ("html", "html", 2),
        ("encoded-page", "encoded-page", 2),
    ] {
        simulator.fail(fault);
        let answer = call(&cluster, &cluster.any_node());
        assert_eq!(answer.status, if name == "429" { 429 } else { 500 }, "{fault}");
        assert_eq!(simulator.faulted(name), times, "{fault}");
    }
}

/// The caller reads the beginning and then loses the connection, which it takes for passing.
#[test]
fn an_answer_that_does_not_end_is_cut_off() {
    let cluster = TestCluster::start(1);
    let (simulator, node) = (Simulator::start(), cluster.any_node());
    simulator.serve(&cluster, &node.name);
    simulator.fail("endless");
    let answer = Session::open(node.front(), &cluster.exchange())
        .and_then(|mut session| session.call(&Request::soap(&ACQUIRE_LICENSE)));
    assert!(answer.is_err(), "{}", answer.map(|it| it.body.len()).unwrap_or_default());
    await_event(&node, 4095, |event| event["reason"].as_str().is_some_and(|it| it.contains("67108864")));
    assert_eq!(metric(&cluster, &node, "rmsc_relay_bad_answers_total{trouble=\"too-long\"}"), 1);
}

/// Exchange waits for 30 s.
#[test]
fn whoever_is_too_slow_is_given_up_in_time() {
    let cluster = TestCluster::start(1);
    let (simulator, node) = (Simulator::start(), cluster.any_node());
    simulator.serve(&cluster, &node.name);
    for case in [
        answered(
            "silent",
            3000,
            "did not answer within",
            "rmsc_upstream_failures_total{trouble=\"timed-out\"}",
        ),
        answered(
            "slow=120s",
            4095,
            "did not go on in time",
            "rmsc_relay_bad_answers_total{trouble=\"too-slow\"}",
        ),
    ] {
        simulator.fail(case.fault);
        let begun = Instant::now();
        check(&cluster, &node, &case);
        assert!(begun.elapsed() < Duration::from_secs(28), "{}: {:?}", case.fault, begun.elapsed());
    }
}

#[test]
fn a_service_that_cannot_be_trusted_is_named() {
    let cluster = TestCluster::start(1);
    let (simulator, node) = (Simulator::with_tls(), cluster.any_node());
    simulator.serve(&cluster, &node.name);
    call(&cluster, &node).check(200, &[]);
    for case in [
        answered("certificate-expired", 4071, "", "rmsc_upstream_failures_total{trouble=\"tls-expired\"}"),
        answered(
            "certificate-wrong-name",
            4072,
            "wrong.example.net",
            "rmsc_upstream_failures_total{trouble=\"tls-wrong-name\"}",
        ),
        answered(
            "certificate-unknown-issuer",
            4073,
            "Simulated Inspection Device",
            "rmsc_upstream_failures_total{trouble=\"tls-unknown-issuer\"}",
        ),
    ] {
        simulator.fail(case.fault);
        check(&cluster, &node, &case);
    }
    simulator.fail("");
    call(&cluster, &node).check(200, &[]);
}

#[test]
fn a_name_without_an_address_is_said() {
    let cluster = TestCluster::start(1);
    let (simulator, node) = (Simulator::start(), cluster.any_node());
    simulator.serve_by(&cluster, &node.name, "http://no-such-host.invalid");
    check(
        &cluster,
        &node,
        &answered("name", 4070, "no-such-host.invalid", "rmsc_upstream_failures_total{trouble=\"no-name\"}"),
    );
}

/// A web proxy that answers everything in one way.
fn proxy(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            // What is asked does not matter; a client that is gone neither.
            let _ = stream.read(&mut [0; 4_096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    format!("http://{address}")
}

#[test]
fn a_web_proxy_in_the_way_is_said() {
    let cluster = TestCluster::start(1);
    let node = cluster.any_node();
    let wants_login = proxy("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
    let mut before = cluster.lab().simulator;
    for (proxy, case) in [
        (
            "http://127.0.0.1:9",
            answered("proxy down", 4074, "", "rmsc_upstream_failures_total{trouble=\"proxy-unreachable\"}"),
        ),
        (
            &wants_login,
            answered("proxy 407", 4075, "407", "rmsc_upstream_failures_total{trouble=\"proxy-login\"}"),
        ),
    ] {
        let through = format!(
            "https://rms.example.com\"\nauthority = \"{}\"\n[upstream.proxy]\nurl = \"{proxy}",
            cluster.lab().ca.display()
        );
        cluster.reconfigure(&node.name, &before, &through);
        cluster.await_rotation();
        check(&cluster, &node, &case);
        before = through;
    }
}
