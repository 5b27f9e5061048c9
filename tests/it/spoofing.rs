//! Headers by which a client says who it is: nobody listens to them.

use crate::support::cluster::TestCluster;
use crate::support::http::Request;
use crate::support::sink::{Sink, When};
use crate::support::soap::{ACQUIRE_LICENSE, ACQUIRE_PRE_LICENSE};
use serde_json::Value;

const SPOOFED_SID: &str = "S-1-5-21-9-9-9-500";
const SPOOFED: [(&str, &str); 11] = [
    ("X-Rmsc-Caller-Sid", SPOOFED_SID),
    ("X-Rmsc-Entry-Sid", SPOOFED_SID),
    ("X-Rmsc-Role", "exchange"),
    ("X-Rmsc-Relay-Node", "node-9"),
    ("X-Rmsc-Front-Node", "node-9"),
    ("X-Rmsc-Request-Id", "00000000000000000000000000000001"),
    ("X-Forwarded-User", r"LAB\EXCH01$"),
    ("X-Remote-User", r"LAB\EXCH01$"),
    ("Remote-User", r"LAB\EXCH01$"),
    ("X-Ms-Client-Principal-Name", r"LAB\EXCH01$"),
    ("Forwarded-User", r"LAB\EXCH01$"),
];

fn spoofed(request: Request) -> Request {
    SPOOFED.iter().fold(request, |request, (name, value)| request.with(name, value))
}

#[test]
fn the_service_sees_the_true_caller_whatever_the_client_says() {
    let cluster = TestCluster::start(1);
    let account = cluster.account("svc-sharepoint");
    let test: Value = cluster.rmsc(&["authz", "test", &account.name, "-o", "json"]).json();
    let sid = test["sid"].as_str().unwrap();
    for _ in 0..3 {
        cluster
            .call(&cluster.any_node(), &account, &spoofed(Request::soap(&ACQUIRE_LICENSE)))
            .check(200, &[]);
    }
    let counts = cluster.counts();
    assert_eq!(counts.total, 3);
    for (what, seen, expected) in [
        ("caller", &counts.by_caller, sid),
        ("role", &counts.by_role, "sharepoint"),
        ("node", &counts.by_node, "node-1"),
    ] {
        assert_eq!(
            seen.iter().map(|(name, times)| (name.as_str(), *times)).collect::<Vec<_>>(),
            [(expected, 3)],
            "{what}"
        );
    }
    assert_eq!((counts.without_id, counts.duplicate_requests), (0, 0));
}

/// Names by which proxies, and programs behind them, know who asks; some are of the connection alone.
const PLANTED: [&str; 22] = [
    "X-Rmsc-Caller-Sid",
    "X-Rmsc-Anything",
    "X_Rmsc_Role",
    "X-Identity",
    "x_identity",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "Forwarded",
    "X-Real-Ip",
    "Via",
    "Cookie",
    "Proxy-Authorization",
    "Proxy-Connection",
    "Keep-Alive",
    "TE",
    "Upgrade",
    "Http2-Settings",
    "Trailer",
    "X-Original-Url",
    "Referer",
    "Content_Length",
];

#[test]
fn no_header_that_is_none_of_the_protocols_comes_to_the_service() {
    let (sink, cluster) = (Sink::start(When::Together(1)), TestCluster::start(3));
    let simulator = cluster.lab().simulator;
    for node in cluster.nodes() {
        cluster.reconfigure(&node.name, &simulator, &sink.url());
    }
    cluster.await_rotation();
    let request =
        PLANTED.iter().fold(Request::soap(&ACQUIRE_LICENSE), |request, name| request.with(name, "planted"));
    // Each node relays one of them.
    for _ in cluster.nodes() {
        let connection = request.clone().with("Connection", "TE, Upgrade, Http2-Settings, Keep-Alive");
        cluster.call(&cluster.any_node(), &cluster.exchange(), &connection).check(200, &[]);
    }
    assert_eq!(sink.relays().len(), 3);
    let came = sink.lines();
    assert!(came.iter().any(|line| line.starts_with("soapaction:")), "{came:?}");
    let planted: Vec<_> =
        came.iter().filter(|line| line.contains("planted") || line.starts_with("connection:")).collect();
    assert!(planted.is_empty(), "{planted:?}");
}

#[test]
fn a_spoofed_role_gives_no_right() {
    let cluster = TestCluster::shared();
    let request = spoofed(Request::soap(&ACQUIRE_PRE_LICENSE));
    let answer = cluster.call(&cluster.any_node(), &cluster.account("svc-sharepoint"), &request);
    answer.check(500, &["System.UnauthorizedAccessException"]);
}

#[test]
fn a_spoofed_account_gives_no_right() {
    let cluster = TestCluster::shared();
    let request = spoofed(Request::soap(&ACQUIRE_LICENSE));
    let answer = cluster.call(&cluster.any_node(), &cluster.mallory(), &request);
    answer.check(500, &["System.UnauthorizedAccessException"]);
}
