//! What a connection remembers of its caller: nothing.

use crate::support::cluster::TestCluster;
use crate::support::http::{Request, Session, Trust};
use crate::support::program::python;
use crate::support::soap::ACQUIRE_LICENSE;

#[test]
fn nobody_is_remembered_on_a_connection_without_tls() {
    let cluster = TestCluster::shared();
    let account = cluster.account("FS01$");
    let mut session = Session::open(cluster.any_node().front(), &account).unwrap();
    let page = Request::get("/_wmcs/licensing/license.asmx");
    assert_eq!(session.call(&page).unwrap().status, 200);
    assert_eq!(session.call_silently(&page).unwrap().status, 401);
    // The connection is as good as a new one.
    assert_eq!(session.call(&page).unwrap().status, 200);
}

/// Not even one that has bound itself to the certificate: a balancer may have the same one.
#[test]
fn nobody_is_remembered_on_a_connection_that_is_bound() {
    let cluster = TestCluster::shared();
    let (url, account) = (cluster.any_node().https_localhost(), cluster.exchange());
    let ca = cluster.lab().ca.display().to_string();
    let statuses: Vec<u16> = python("silent_requests.py", &[&url, &account.name, &account.password, &ca]);
    assert_eq!(statuses, [200, 401]);
}

#[test]
fn each_request_of_a_connection_is_of_the_account_that_proves_itself_with_it() {
    let cluster = TestCluster::shared();
    let lab = cluster.lab();
    let address = crate::support::lab::address(&cluster.any_node().https);
    let trust = Trust::new(&lab.ca, "localhost");
    let mut session = Session::open_tls(address, &trust, &cluster.exchange()).unwrap();
    let request = Request::soap(&ACQUIRE_LICENSE);
    session.call(&request).unwrap().check(200, &[]);
    assert!(session.connection().is_idle());
    session.log_on(&cluster.mallory());
    session.call(&request).unwrap().check(500, &["System.UnauthorizedAccessException"]);
    session.log_on(&cluster.exchange());
    session.call(&request).unwrap().check(200, &[]);
}
