//! What a connection remembers of its caller.

use crate::support::cluster::TestCluster;
use crate::support::http::{Request, Session};
use crate::support::program::python;

#[test]
fn nobody_is_remembered_on_a_connection_without_tls() {
    let cluster = TestCluster::shared();
    let account = cluster.account("FS01$");
    let mut session = Session::open(cluster.any_node().front(), &account).unwrap();
    let page = Request::get("/_wmcs/licensing/license.asmx");
    assert_eq!(session.call(&page).unwrap().status, 200);
    assert_eq!(session.call_silently(&page).unwrap().status, 401);
}

/// The statuses of an authenticated request over TLS, and of two after it without a word about who sends
/// them, the last one with this header.
#[track_caller]
fn check_silent_requests(header: &str, expected: [u16; 3]) {
    let cluster = TestCluster::shared();
    let (url, account) = (cluster.any_node().https_localhost(), cluster.exchange());
    let ca = cluster.lab().ca.display().to_string();
    let statuses: Vec<u16> =
        python("silent_requests.py", &[&url, &account.name, &account.password, &ca, header]);
    assert_eq!(statuses, expected, "{header}");
}

#[test]
fn a_caller_is_remembered_on_its_connection_with_tls() {
    check_silent_requests("X-Nothing: 1", [200, 200, 200]);
}

#[test]
fn nobody_is_remembered_on_a_connection_that_a_proxy_shares() {
    for header in ["Via: 1.1 proxy", "X-Forwarded-For: 10.0.0.9", "Forwarded: for=10.0.0.9"] {
        check_silent_requests(header, [200, 200, 401]);
    }
}
