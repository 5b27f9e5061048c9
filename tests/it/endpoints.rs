//! Every path of the connector, for people and for servers.

use crate::support::cluster::TestCluster;
use crate::support::http::{self, Answer, Request};
use crate::support::soap::{LOCATIONS_MSDRM, LOCATIONS_MSIPC, Message};

/// Paths and the service's name on their page.
const PAGES: [(&str, &str); 11] = [
    ("/_wmcs/certification/servercertification.asmx", "ServerCertificationWebService"),
    ("/_wmcs/certification/certification.asmx", "CertificationWebService"),
    ("/_wmcs/certification/server.asmx", "Server"),
    ("/_wmcs/certification/ServiceLocator.asmx", "ServiceLocator"),
    ("/_wmcs/licensing/license.asmx", "License"),
    ("/_wmcs/licensing/publish.asmx", "Publish"),
    ("/_wmcs/licensing/templatedistribution.asmx", "TemplateDistributionWebService"),
    ("/_wmcs/licensing/server.asmx", "Server"),
    ("/_wmcs/licensing/ServiceLocator.asmx", "ServiceLocator"),
    ("/_wmcs/certification/", "Certification"),
    ("/_wmcs/licensing", "Licensing"),
];
const TENANT_URL: &str = "/_wmcs/GetRmsoUri.aspx";

/// Every second letter in the other case.
fn mixed_case(path: &str) -> String {
    let turned =
        |(at, c): (usize, char)| if at % 2 == 0 { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
    path.chars().enumerate().map(turned).collect()
}

#[track_caller]
fn get(cluster: &TestCluster, path: &str) -> Answer {
    cluster.call(&cluster.any_node(), &cluster.exchange(), &Request::get(path))
}

#[test]
fn every_service_has_a_page_with_its_name_in_any_case() {
    let cluster = TestCluster::shared();
    for (path, name) in PAGES {
        for path in [path.to_owned(), mixed_case(path), path.to_uppercase()] {
            let answer = get(&cluster, &path);
            answer.check(200, &[&format!("<h1>{name}</h1>"), "operational", "node-1"]);
            assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
        }
    }
}

#[test]
fn the_tenant_url_is_the_whole_body() {
    let cluster = TestCluster::shared();
    let simulator = cluster.lab().simulator;
    for path in [TENANT_URL.to_owned(), mixed_case(TENANT_URL)] {
        let answer = get(&cluster, &path);
        assert_eq!((answer.status, answer.text()), (200, simulator.clone()));
    }
}

#[test]
fn head_has_the_headers_of_get_and_no_body() {
    let cluster = TestCluster::shared();
    for (path, _) in PAGES {
        let head = cluster.call(&cluster.any_node(), &cluster.exchange(), &Request::get(path).method("HEAD"));
        let get = get(&cluster, path);
        assert_eq!(
            (head.status, head.header("content-length")),
            (200, get.header("content-length")),
            "{path}"
        );
    }
}

#[test]
fn pages_need_an_account_but_no_authorization() {
    let cluster = TestCluster::shared();
    for (path, _) in PAGES.into_iter().chain([(TENANT_URL, "")]) {
        let (node, request) = (cluster.any_node(), Request::get(path));
        assert_eq!(cluster.call(&node, &cluster.mallory(), &request).status, 200, "{path}");
        assert_eq!(http::exchange(node.front(), &request).status, 401, "{path}");
    }
}

#[track_caller]
fn check_locations(message: &Message) {
    let cluster = TestCluster::shared();
    let node = cluster.any_node();
    let request = Request::soap(message).with("X-Forwarded-Host", "elsewhere.example");
    let answer = cluster.call(&node, &cluster.exchange(), &request);
    let here = format!("http://{}/_wmcs/", node.front());
    answer.check(200, &["FindServiceLocationsForUserResponse", &here]);
    for elsewhere in [cluster.lab().simulator.as_str(), "elsewhere.example"] {
        assert!(!answer.text().contains(elsewhere), "{}", answer.text());
    }
}

#[test]
fn service_locations_are_the_connector_itself_for_msdrm() {
    check_locations(&LOCATIONS_MSDRM);
}

#[test]
fn service_locations_are_the_connector_itself_for_msipc() {
    check_locations(&LOCATIONS_MSIPC);
}

#[test]
fn service_locations_answer_in_the_namespace_of_the_question() {
    let cluster = TestCluster::shared();
    for (message, namespace) in [
        (LOCATIONS_MSDRM, "http://microsoft.com/DRM/ServerService"),
        (LOCATIONS_MSIPC, "http://microsoft.com/DRM/ServiceLocatorService"),
    ] {
        let answer = cluster.call(&cluster.any_node(), &cluster.exchange(), &Request::soap(&message));
        answer.check(200, &[namespace]);
    }
}
