//! A node's log: its events, waited for.

use super::cluster::TestCluster;
use super::http::Answer;
use super::lab::Node;
use super::wait;
use serde_json::Value;
use std::fs;

/// Every line of a node's log so far that is whole.
pub fn lines(node: &Node) -> Vec<Value> {
    let text = fs::read_to_string(&node.log).expect("a node of the lab has a log");
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The events of one number so far.
pub fn events(node: &Node, number: u16) -> Vec<Value> {
    lines(node).into_iter().filter(|line| line["event"] == number).collect()
}

/// The events of one number that are about an account.
pub fn events_about(node: &Node, number: u16, account: &str) -> Vec<Value> {
    events(node, number).into_iter().filter(|event| event["account"] == account).collect()
}

/// Waits for an event.
#[track_caller]
pub fn await_event(node: &Node, number: u16, wanted: impl Fn(&Value) -> bool) -> Value {
    wait::until(&format!("event {number} in the log of {}", node.name), wait::PATIENCE, || {
        events(node, number).into_iter().find(|event| wanted(event))
    })
}

/// The audit record of the request with this answer; there is no second one.
#[track_caller]
pub fn audit_record(cluster: &TestCluster, answer: &Answer) -> Value {
    let id = answer.header("x-rmsc-request-id").expect("every answer has it");
    let mut found = wait::until("the audit record", wait::PATIENCE, || {
        let all = cluster.nodes().into_iter().flat_map(|node| lines(&node));
        let found: Vec<_> =
            all.filter(|line| line["record"] == "audit" && line["request_id"] == id).collect();
        Some(found).filter(|found| !found.is_empty())
    });
    assert_eq!(found.len(), 1, "{found:?}");
    found.swap_remove(0)
}

/// The text of a field.
#[track_caller]
pub fn field<'a>(event: &'a Value, name: &str) -> &'a str {
    event[name].as_str().unwrap_or_else(|| panic!("no {name} in {event}"))
}
