//! WSDL: what a SOAP client that knows nothing else builds itself from.

use crate::support::cluster::TestCluster;
use crate::support::http::{self, Request};
use crate::support::program::{curl, python};
use std::collections::BTreeSet;

const LICENSE: &str = "/_wmcs/Licensing/License.asmx?wsdl";

#[test]
fn zeep_builds_itself_from_every_service_and_calls_every_operation_in_both_versions() {
    let cluster = TestCluster::shared();
    let (node, account) = (cluster.any_node(), cluster.exchange());
    let called: Vec<(String, String, String)> =
        python("described.py", &[&node.http, &account.name, &account.password]);
    // Three services have one operation, three have two, two have three, and one operation has two namespaces.
    assert_eq!(called.len(), 2 * (2 + 2 * 3 + 3 * 2 + 2 * 2), "{called:?}");
    let operations: BTreeSet<_> = called.iter().map(|(_, _, operation)| operation.as_str()).collect();
    assert_eq!(operations.len(), 11, "{operations:?}");
    for operation in operations {
        let of = |version: &str| {
            called.iter().any(|(_, port, called)| called == operation && port.ends_with(version))
        };
        assert!(of("Soap") && of("Soap12"), "{operation}: {called:?}");
    }
}

#[test]
fn the_address_is_the_url_that_the_caller_used() {
    let cluster = TestCluster::shared();
    let (node, account) = (cluster.any_node(), cluster.exchange());
    let answer = cluster.call(&node, &account, &Request::get(LICENSE));
    assert_eq!(answer.header("content-type"), Some("text/xml; charset=utf-8"));
    let here = format!("location=\"http://{}/_wmcs/Licensing/License.asmx\"", node.front());
    answer.check(200, &["<wsdl:service name=\"License\">", "LicenseSoap12", &here]);
    assert_eq!(answer.text().matches("location=").count(), 2);
    // Whoever writes another host gets it back, as text.
    let forwarded = Request::get(LICENSE).with("X-Forwarded-Host", "elsewhere.example");
    let answer = cluster.call(&node, &account, &forwarded);
    answer.check(200, &[&here]);
    let (ca, user) = (cluster.lab().ca.display().to_string(), account.with_password());
    let url = format!("{}{LICENSE}", node.https_localhost());
    let curled = curl(&["--ntlm", "--user", &user, "--cacert", &ca, &url]);
    let secure = format!("location=\"{}\"", url.trim_end_matches("?wsdl"));
    assert!(curled.status == 200 && curled.body.contains(&secure), "{curled:?}");
}

#[test]
fn a_description_needs_an_account_but_no_authorization() {
    let cluster = TestCluster::shared();
    let (node, request) = (cluster.any_node(), Request::get(LICENSE));
    assert_eq!(http::exchange(node.front(), &request).status, 401);
    cluster.call(&node, &cluster.mallory(), &request).check(200, &["wsdl:definitions"]);
}

#[test]
fn head_has_the_headers_of_a_description_and_no_body() {
    let cluster = TestCluster::shared();
    let (node, account) = (cluster.any_node(), cluster.exchange());
    let get = cluster.call(&node, &account, &Request::get(LICENSE));
    let head = cluster.call(&node, &account, &Request::get(LICENSE).method("HEAD"));
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(
        (get.header("cache-control"), get.header("vary")),
        (Some("no-store"), Some("Authorization, Host"))
    );
    for name in ["content-type", "content-length", "cache-control"] {
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
}

#[test]
fn a_directory_and_the_tenant_url_have_no_description() {
    let cluster = TestCluster::shared();
    let get = |path: &str| cluster.call(&cluster.any_node(), &cluster.exchange(), &Request::get(path));
    get("/_wmcs/licensing?wsdl").check(200, &["<h1>Licensing</h1>"]);
    assert_eq!(get("/_wmcs/GetRmsoUri.aspx?wsdl").text(), cluster.lab().simulator);
}
