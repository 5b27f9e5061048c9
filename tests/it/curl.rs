//! curl, as a client that is not ours, over HTTP and HTTPS.

use crate::support::cluster::TestCluster;
use crate::support::lab::Account;
use crate::support::program::{Curled, curl, curl_ntlm};
use crate::support::soap::{self, ACQUIRE_LICENSE, Message};

/// The arguments that make curl send a message.
fn arguments(base: &str, message: &Message) -> Vec<String> {
    vec![
        "--header".into(),
        format!("Content-Type: {}", message.content_type),
        "--header".into(),
        format!("SOAPAction: {}", message.action()),
        "--data-binary".into(),
        format!("@{}", message.file().display()),
        format!("{base}{}", message.path),
    ]
}

#[track_caller]
fn post(base: &str, account: &Account, message: &Message, more: &[&str]) -> Curled {
    let arguments = arguments(base, message);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
    curl_ntlm(account, &arguments)
}

#[track_caller]
fn check_served(curled: &Curled, message: &Message) {
    assert_eq!(curled.status, 200, "{}: {curled:?}", message.file);
    assert!(curled.body.contains(&message.response_element()), "{}: {curled:?}", message.file);
}

#[test]
fn serves_a_request_in_every_shape_over_http() {
    let cluster = TestCluster::shared();
    let (node, account) = (cluster.any_node(), cluster.exchange());
    for message in &soap::ALL {
        check_served(&post(&node.http, &account, message, &[]), message);
    }
}

#[test]
fn serves_over_https_by_a_certificate_that_curl_checks() {
    let cluster = TestCluster::shared();
    let ca = cluster.lab().ca.display().to_string();
    for node in cluster.nodes() {
        let curled = post(&node.https_localhost(), &cluster.exchange(), &ACQUIRE_LICENSE, &["--cacert", &ca]);
        check_served(&curled, &ACQUIRE_LICENSE);
    }
}

#[test]
fn serves_each_role() {
    let cluster = TestCluster::shared();
    for name in ["EXCH01$", "svc-sharepoint", "FS01$"] {
        let curled = post(&cluster.any_node().http, &cluster.account(name), &ACQUIRE_LICENSE, &[]);
        check_served(&curled, &ACQUIRE_LICENSE);
    }
}

#[test]
fn refuses_another_role_what_only_exchange_may() {
    let cluster = TestCluster::shared();
    let account = cluster.account("svc-sharepoint");
    let curled = post(&cluster.any_node().http, &account, &soap::ACQUIRE_PRE_LICENSE, &[]);
    assert_eq!(curled.status, 500, "{curled:?}");
    assert!(curled.body.contains("System.UnauthorizedAccessException"), "{curled:?}");
}

#[test]
fn refuses_a_wrong_password() {
    let cluster = TestCluster::shared();
    let account = Account { password: "wrong".into(), ..cluster.exchange() };
    let curled = post(&cluster.any_node().http, &account, &ACQUIRE_LICENSE, &[]);
    assert_eq!(curled.status, 401, "{curled:?}");
}

#[test]
fn refuses_an_unknown_account() {
    let cluster = TestCluster::shared();
    let account = Account { name: "LAB\\nobody".into(), ..cluster.exchange() };
    let curled = post(&cluster.any_node().http, &account, &ACQUIRE_LICENSE, &[]);
    assert_eq!(curled.status, 401, "{curled:?}");
}

#[test]
fn answers_an_unlisted_account_with_the_fault_of_the_service() {
    let cluster = TestCluster::shared();
    let curled = post(&cluster.any_node().http, &cluster.mallory(), &ACQUIRE_LICENSE, &[]);
    assert_eq!(curled.status, 500, "{curled:?}");
    assert_eq!(curled.all("content-type"), ["text/xml; charset=utf-8"], "{curled:?}");
    for words in ["Fault", "System.UnauthorizedAccessException"] {
        assert!(curled.body.contains(words), "{curled:?}");
    }
}

#[test]
fn offers_negotiate_and_ntlm_and_nothing_else() {
    let cluster = TestCluster::shared();
    let arguments = arguments(&cluster.any_node().http, &ACQUIRE_LICENSE);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let curled = curl(&arguments);
    assert_eq!(curled.status, 401, "{curled:?}");
    assert_eq!(curled.all("www-authenticate"), ["Negotiate", "NTLM"]);
}

#[test]
fn refuses_basic_authentication() {
    let cluster = TestCluster::shared();
    let (node, user) = (cluster.any_node(), cluster.exchange().with_password());
    let curled = curl(&["--basic", "--user", &user, &format!("{}/_wmcs/licensing/license.asmx", node.http)]);
    assert_eq!(curled.status, 401, "{curled:?}");
}
