//! One id across both hops: in the answer, in the log of the node that took the request and of the one that relayed it.

use crate::support::cluster::TestCluster;
use crate::support::http::Request;
use crate::support::log::{audit_record, field, lines};
use crate::support::soap::ACQUIRE_LICENSE;
use crate::support::wait::{self, PATIENCE};
use serde_json::Value;

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

#[test]
fn the_log_of_front_and_relay_has_the_ids_of_the_client() {
    let cluster = TestCluster::start(2);
    for node in cluster.nodes() {
        cluster.reconfigure(&node.name, "level = \"info\"", "level = \"debug\"");
    }
    cluster.await_rotation();
    let (front, account) = (cluster.node("node-1"), cluster.exchange());
    let parent = format!("00-{TRACE_ID}-{PARENT}-01");
    let mut relays = Vec::new();
    for traceparent in [Some(&*parent), Some(&*parent), None, Some("00-0-0-01"), Some("ff-x"), None] {
        let request = Request::soap(&ACQUIRE_LICENSE);
        let request = traceparent.iter().fold(request, |it, text| it.with("traceparent", text));
        let answer = cluster.call(&front, &account, &request);
        answer.check(200, &[]);
        let id = answer.header("x-rmsc-request-id").expect("every answer has it").to_owned();
        let record = audit_record(&cluster, &answer);
        // What is not valid is made anew; the request's own id is never the client's.
        let expected = if traceparent == Some(&parent) { TRACE_ID } else { &id };
        assert_eq!(field(&record, "trace_id"), expected, "{record}");
        assert_ne!(id, TRACE_ID);
        let relay = cluster.node(field(&record, "relay_node"));
        let line = wait::until("the relay's line", PATIENCE, || {
            let of_request = |it: &Value| it["message"] == "relayed" && it["request_id"] == id;
            lines(&relay).into_iter().find(of_request)
        });
        assert_eq!((field(&line, "trace_id"), field(&line, "front_node")), (expected, "node-1"), "{line}");
        let spans = [field(&line, "span_id"), field(&record, "span_id"), PARENT];
        assert!(spans[0] != spans[1] && spans[1] != spans[2] && spans[0] != spans[2], "{spans:?}");
        relays.push(relay.name);
    }
    relays.sort();
    relays.dedup();
    assert_eq!(relays, ["node-1", "node-2"], "here and over the hop");
}

/// What is said about a request names it, on the node that says it.
#[test]
fn an_event_about_a_request_has_its_ids() {
    let cluster = TestCluster::start(1);
    let node = cluster.any_node();
    let request = Request::soap(&ACQUIRE_LICENSE).with("traceparent", &format!("00-{TRACE_ID}-{PARENT}-01"));
    let answer = cluster.call(&node, &cluster.mallory(), &request);
    answer.check(500, &["System.UnauthorizedAccessException"]);
    let event = crate::support::log::await_event(&node, 2001, |_| true);
    let span = &event["span"];
    assert_eq!(span["trace_id"], TRACE_ID, "{event}");
    assert_eq!(span["request_id"].as_str(), answer.header("x-rmsc-request-id"), "{event}");
}
