//! Tokens for the cloud from one to the next: when a new one is got, and that a service which takes none costs little.

use crate::support::cluster::{NewDir, TestCluster};
use crate::support::files::private;
use crate::support::http::{Answer, Request};
use crate::support::log::events;
use crate::support::sign_in::SignIn;
use crate::support::soap::ACQUIRE_LICENSE;
use crate::support::wait;
use serde_json::Value;

/// A cluster that is signed in.
#[track_caller]
fn signed_in(nodes: usize, token_life: &str) -> (TestCluster, SignIn) {
    let (cluster, folder) = (TestCluster::start(nodes), NewDir::made());
    let sign_in = SignIn::start(&cluster, token_life);
    sign_in.serve(&cluster);
    let file = private(folder.path(), "secret", "simulated-secret");
    let file = file.display().to_string();
    cluster.rmsc(&["cloud", "login", "--client-secret-file", &file]).check_code(0);
    (cluster, sign_in)
}

#[track_caller]
fn number(sign_in: &SignIn, name: &str) -> u64 {
    let counted = sign_in.counted();
    counted.get(name).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {name} in {counted}"))
}

fn ask(cluster: &TestCluster) -> Answer {
    cluster.call(&cluster.any_node(), &cluster.exchange(), &Request::soap(&ACQUIRE_LICENSE))
}

/// The value of a metric, on the node that has it.
fn metric(cluster: &TestCluster, name: &str) -> f64 {
    let values = cluster.nodes().into_iter().filter_map(|node| {
        let text = cluster.monitor(&node, "/metrics").text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse::<f64>().ok())
    });
    values.fold(0.0, f64::max)
}

#[test]
fn a_service_that_takes_no_token_costs_one_more_token_and_one_more_try() {
    let (cluster, sign_in) = signed_in(2, "1h");
    ask(&cluster).check(200, &[]);
    sign_in.order("refuse-all");
    let granted = number(&sign_in, "granted");
    let answer = ask(&cluster);
    answer.check(500, &["cannot be reached", "Try again"]);
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    // No other node tries either: the token is the same there.
    assert_eq!((number(&sign_in, "refused"), number(&sign_in, "granted")), (2, granted + 1));
    let name = "rmsc_upstream_failures_total{trouble=\"token-refused\"}";
    assert!((metric(&cluster, name) - 1.0).abs() < f64::EPSILON, "{}", metric(&cluster, name));
    let said = || cluster.nodes().iter().map(|node| events(node, 4081).len()).sum::<usize>();
    wait::until_true("event 4081", wait::PATIENCE, || said() == 1);
    // Nor does the next request cost more.
    assert_eq!(ask(&cluster).status, 500);
    assert!(number(&sign_in, "refused") <= 4 && number(&sign_in, "granted") <= granted + 2);
    sign_in.order("take-again");
    wait::until_true("the service is used again", wait::PATIENCE, || ask(&cluster).status == 200);
}

#[test]
fn a_token_is_renewed_when_two_thirds_of_its_life_are_over() {
    let (cluster, sign_in) = signed_in(1, "15s");
    assert_eq!(number(&sign_in, "granted"), 1);
    let expires = "rmsc_cloud_token_expires_timestamp_seconds";
    let before = metric(&cluster, expires);
    assert!(before > 1.7e9, "{before}");
    wait::until_true("there is a second token", wait::PATIENCE, || number(&sign_in, "granted") == 2);
    // Two thirds are 10 s, a twentieth sooner or later 0.75 s; a machine may be late, and never early.
    let apart = number(&sign_in, "apart_ms");
    assert!((8_750..14_500).contains(&apart), "{apart}");
    wait::until_true("the node has it", wait::PATIENCE, || metric(&cluster, expires) > before);
    wait::until_true("it is counted", wait::PATIENCE, || {
        metric(&cluster, "rmsc_cloud_renewals_total{outcome=\"Renewed\"}") >= 1.0
    });
    assert!(metric(&cluster, "rmsc_cloud_renewals_total{outcome=\"Failed\"}") < 1.0);
    ask(&cluster).check(200, &[]);
    // Nothing went wrong, so nothing is said.
    assert_eq!(events(&cluster.any_node(), 4082).len(), 0);
}
