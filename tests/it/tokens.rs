//! Tokens: made, shown, used once, taken back, and every way in which one is not good.

use crate::support::cluster::TestCluster;
use crate::support::host::{Host, token};
use crate::support::log::{await_event, field};
use crate::support::wait;
use std::time::Duration;

#[track_caller]
fn id(text: &str) -> String {
    text.rsplit('-').next().and_then(|tail| tail.get(..16)).expect("a token has an id").to_owned()
}

/// What the list says about a token.
#[track_caller]
fn listed(cluster: &TestCluster, id: &str) -> serde_json::Value {
    let tokens = cluster.rmsc(&["token", "list", "-o", "json"]).field("tokens");
    let found = tokens.as_array().and_then(|tokens| tokens.iter().find(|it| it["id"] == id)).cloned();
    found.unwrap_or_else(|| panic!("no {id} in {tokens}"))
}

#[test]
fn create_prints_the_whole_command() {
    let cluster = TestCluster::start(1);
    let ran = cluster.rmsc(&["token", "create"]);
    ran.check_code(0).check_says(&["lets one node in", "expires at"]);
    let expected = format!("rmsc join {} --token RMSC1-", cluster.any_node().peer);
    assert!(ran.stdout.starts_with(&expected) && ran.stdout.trim().lines().count() == 1, "{ran:?}");
    cluster.rmsc(&["token", "create", "--ttl", "8d"]).check_code(2);
    cluster.rmsc(&["token", "create", "--ttl", "169h"]).check_code(1).check_says(&["7 days"]);
    let none = cluster.rmsc(&["token", "create", "--replaces", "node-9"]);
    none.check_code(1).check_says(&["there is no node \"node-9\""]);
}

#[test]
fn a_token_is_used_once_and_the_list_says_by_whom() {
    let cluster = TestCluster::start(1);
    let node = cluster.any_node();
    let text = token(&cluster, &[]);
    assert_eq!(listed(&cluster, &id(&text))["state"], "open");
    Host::new(&cluster, "node-2").join(&node, &text).check_code(0);
    let used = listed(&cluster, &id(&text));
    assert_eq!((&used["state"], &used["used_by"]), (&"used".into(), &"node-2".into()));
    assert_eq!(used["created_by"], "lab");
    let late = Host::new(&cluster, "node-3").join(&node, &text);
    late.check_code(4).check_says(&["was used by node", "each lets in one node"]);
    let event = await_event(&node, 4032, |_| true);
    assert_eq!(field(&event, "token"), id(&text));
    let ran = cluster.rmsc(&["token", "revoke", &id(&text)]);
    ran.check_code(4).check_says(&["was used by node", "rmsc node remove"]);
}

#[test]
fn two_hosts_with_one_token_become_one_node() {
    let cluster = TestCluster::start(1);
    let (node, text) = (cluster.any_node(), token(&cluster, &[]));
    let hosts: Vec<Host> = (2..6).map(|number| Host::new(&cluster, &format!("node-{number}"))).collect();
    let address = node.peer.to_string();
    let racing: Vec<_> = hosts
        .iter()
        .map(|host| host.command(&["join", &address, "--token", &text]).spawn().expect("it was built"))
        .collect();
    let codes: Vec<_> = racing.into_iter().map(|mut child| child.wait().expect("a child").code()).collect();
    assert_eq!(codes.iter().filter(|code| **code == Some(0)).count(), 1, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == Some(4)).count(), 3, "{codes:?}");
}

#[test]
fn a_revoked_token_says_so() {
    let cluster = TestCluster::start(1);
    let text = token(&cluster, &[]);
    cluster.rmsc(&["token", "revoke", &id(&text)]).check_code(0);
    assert_eq!(listed(&cluster, &id(&text))["state"], "revoked");
    let ran = Host::new(&cluster, "node-2").join(&cluster.any_node(), &text);
    ran.check_code(4).check_says(&["was revoked"]);
    await_event(&cluster.any_node(), 4033, |_| true);
    cluster.rmsc(&["token", "revoke", "0000000000000000"]).check_code(1).check_says(&["is not known here"]);
    cluster.rmsc(&["token", "revoke", "nonsense"]).check_code(1).check_says(&["is no token id"]);
}

#[test]
fn an_expired_token_says_so_at_once() {
    let cluster = TestCluster::start(1);
    let text = token(&cluster, &["--ttl", "1s"]);
    wait::until_true("the token expires", Duration::from_secs(10), || {
        listed(&cluster, &id(&text))["state"] == "expired"
    });
    let ran = Host::new(&cluster, "node-2").join(&cluster.any_node(), &text);
    ran.check_code(4).check_says(&["has expired"]);
    await_event(&cluster.any_node(), 4031, |_| true);
}

/// The check part is right, so that the slip is not noticed before the proof.
fn with_another_secret(text: &str) -> String {
    let pin: Vec<u8> =
        (0..32).map(|at| u8::from_str_radix(&text[6 + 2 * at..8 + 2 * at], 16).expect("a pin")).collect();
    let mut other = rmsc::enrolment::TokenText::new(pin.try_into().expect("32 bytes"));
    let given: rmsc::enrolment::TokenText = text.parse().expect("a token");
    other.id = given.id;
    other.text().expose().clone()
}

#[test]
fn a_wrong_secret_is_refused_as_an_unknown_token_is_and_not_for_ever_looked_at() {
    let cluster = TestCluster::start(1);
    let (node, text) = (cluster.any_node(), token(&cluster, &[]));
    let host = Host::new(&cluster, "node-2");
    let wrong = host.join(&node, &with_another_secret(&text));
    wrong.check_code(4).check_says(&["the token is not one of this cluster"]);
    let pin: rmsc::enrolment::TokenText = text.parse().unwrap();
    let unknown = rmsc::enrolment::TokenText::new(pin.pin).text();
    let unknown = host.join(&node, unknown.expose());
    unknown.check_code(4).check_says(&["the token is not one of this cluster"]);
    await_event(&node, 4030, |_| true);
    for _ in 0..8 {
        host.join(&node, &with_another_secret(&text)).check_code(4);
    }
    let limited = host.join(&node, &with_another_secret(&text));
    limited.check_code(5).check_says(&["too many wrong tokens"]);
}

#[test]
fn a_slip_of_the_hand_is_noticed_before_anything_is_sent() {
    let cluster = TestCluster::start(1);
    let text = token(&cluster, &[]);
    let host = Host::new(&cluster, "node-2");
    let ran = host.join(&cluster.any_node(), &text[..text.len() - 1]);
    ran.check_code(2).check_says(&["not whole or has a wrong letter"]);
    host.join(&cluster.any_node(), "hunter2").check_code(2).check_says(&["this is no token"]);
    assert!(!host.node.data_dir.exists());
}

#[test]
fn a_token_for_a_witness_makes_one() {
    let cluster = TestCluster::start(2);
    let host = Host::new(&cluster, "witness");
    let joined = host.join(&cluster.any_node(), &token(&cluster, &["--witness"]));
    joined.check_code(0);
    assert!(joined.stdout.contains("a witness"), "{joined:?}");
}
