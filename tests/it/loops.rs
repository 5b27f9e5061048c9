//! Connectors whose service is, in the end, the connector itself: a request ends where it comes back.

use crate::support::cluster::{NewDir, TestCluster};
use crate::support::http::Request;
use crate::support::lab::Account;
use crate::support::log::{await_event, field, lines};
use crate::support::soap::ACQUIRE_LICENSE;
use crate::support::wait;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Has every node of a cluster relay to a connector, with an account of that one.
fn chain(cluster: &TestCluster, url: &str, account: &Account, folder: &Path) {
    let password = folder.join(format!("password-{:08x}", rand::random::<u32>()));
    fs::write(&password, &account.password).expect("the temporary folder can be written");
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).expect("it is ours");
    let section = format!(
        "kind = \"chained\"\nurl = {url:?}\n\n[upstream.account]\nname = '{}'\npassword_file = {:?}\n\
         roles = [\"exchange\"]\nprotocol = \"ntlm\"\n",
        account.name,
        password.display().to_string()
    );
    let before = format!("kind = \"simulated\"\nurl = \"{}\"\n", cluster.lab().simulator);
    for node in cluster.nodes() {
        cluster.reconfigure(&node.name, &before, &section);
    }
    cluster.await_rotation();
}

/// How many requests came to a cluster, and how many of them were told that they came back.
fn told(cluster: &TestCluster) -> (usize, usize) {
    let all = cluster.nodes().into_iter().flat_map(|node| lines(&node));
    let records: Vec<_> = all.filter(|line| line["record"] == "audit").collect();
    (records.len(), records.iter().filter(|record| record["result"] == "loop").count())
}

#[track_caller]
fn check_refused(cluster: &TestCluster) {
    let begun = Instant::now();
    let answer = cluster.call(&cluster.any_node(), &cluster.exchange(), &Request::soap(&ACQUIRE_LICENSE));
    answer.check(500, &["The rights management service cannot be reached now"]);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn a_connector_that_is_its_own_service_refuses_its_request() {
    let (cluster, folder) = (TestCluster::start(1), NewDir::made());
    let node = cluster.any_node();
    chain(&cluster, &node.http, &cluster.exchange(), folder.path());
    check_refused(&cluster);
    wait::until_true("their records", wait::PATIENCE, || told(&cluster) == (2, 1));
    let event = await_event(&node, 4097, |event| field(event, "reason").contains("(508)"));
    assert!(field(&event, "remedy").contains("upstream.url"), "{event}");
    await_event(&node, 4097, |event| field(event, "reason").contains("has sent a request back"));
}

/// The other one has two nodes, so that every other request crosses a hop there: still the first one knows its own.
#[test]
fn two_connectors_that_are_each_others_service_refuse_their_requests() {
    let (own, other, folder) = (TestCluster::start(1), TestCluster::start(2), NewDir::made());
    chain(&own, &other.any_node().http, &other.exchange(), folder.path());
    chain(&other, &own.any_node().http, &own.exchange(), folder.path());
    for _ in 0..4 {
        check_refused(&own);
    }
    // A second node of the other one is not asked for the same again.
    wait::until_true("their records", wait::PATIENCE, || {
        let (own, other) = (told(&own), told(&other));
        assert!(other.1 == 0 && own.0 <= 8, "{own:?} {other:?}");
        (own, other) == ((8, 4), (4, 0))
    });
    await_event(&own.any_node(), 4097, |_| true);
}
