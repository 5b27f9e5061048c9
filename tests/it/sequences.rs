//! Whole conversations, as the products have them, by clients that are not ours.

use crate::support::cluster::TestCluster;
use crate::support::http::{Answer, Connection, Request, Session};
use crate::support::program::{manifest_dir, python};

/// Does what Exchange does; gives the operations that it called, in their order.
#[track_caller]
fn exchange(cluster: &TestCluster, sequence: &str) -> Vec<String> {
    let (node, account) = (cluster.any_node(), cluster.exchange());
    let folder = manifest_dir().join("tests/golden/requests").display().to_string();
    let steps: Vec<(String, String)> =
        python("exchange.py", &[&node.http, &account.name, &account.password, &folder, sequence]);
    steps.into_iter().map(|(operation, _)| operation).collect()
}

#[test]
fn exchange_begins_to_use_the_connector() {
    let cluster = TestCluster::shared();
    let steps = exchange(&cluster, "first-use");
    let expected = [
        "GetServerInfo",
        "Certify",
        "GetClientLicensorCert",
        "AcquireTemplateInformation",
        "AcquireTemplates",
        "AcquirePreLicense",
        "AcquireLicense",
    ];
    assert_eq!(steps, expected);
}

#[test]
fn test_irm_configuration_passes_every_step() {
    let cluster = TestCluster::shared();
    let steps = exchange(&cluster, "test-irm");
    let expected = [
        "GetServerInfo",
        "Certify",
        "GetClientLicensorCert",
        "AcquireTemplateInformation",
        "AcquireTemplates",
        "GetServerInfo",
        "AcquirePreLicense",
        "AcquirePreLicense",
        "AcquireLicense",
    ];
    assert_eq!(steps, expected);
}

/// .NET's WebClient with default credentials, byte for byte: nothing but these headers.
fn web_client(host: &str, authorization: &str) -> String {
    format!(
        "GET /_wmcs/GetRmsoUri.aspx HTTP/1.1\r\n{authorization}Host: {host}\r\nConnection: Keep-Alive\r\n\r\n"
    )
}

#[test]
fn gen_connector_config_reads_the_tenants_url() {
    let cluster = TestCluster::shared();
    let node = cluster.any_node();
    let host = node.front().to_string();
    let mut connection = Connection::open(node.front()).unwrap();
    connection.send(web_client(&host, "").as_bytes()).unwrap();
    let challenged = connection.answer(false).unwrap();
    assert_eq!((challenged.status, challenged.all("www-authenticate")), (401, vec!["Negotiate", "NTLM"]));
    assert_eq!(challenged.header("connection"), None, "the next leg comes on the same connection");
    // The administrator who runs the script is no authorized account.
    let mut session = Session::open(node.front(), &cluster.mallory()).unwrap();
    let get = Request::get("/_wmcs/GetRmsoUri.aspx").with("Connection", "Keep-Alive");
    let answer: Answer = session.call(&get).unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    // No byte order mark, no line end: the script puts paths behind it.
    assert_eq!(answer.body, cluster.lab().simulator.as_bytes());
    assert!(!answer.text().ends_with('/'));
}
