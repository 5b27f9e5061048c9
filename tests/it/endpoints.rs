//! Every path of the connector, for people and for servers.

use crate::support::cluster::TestCluster;
use crate::support::http::{self, Answer, Connection, Request, Session};
use crate::support::lab::Node;
use crate::support::log;
use crate::support::soap::{CERTIFY, LOCATIONS_EXCHANGE, LOCATIONS_MSDRM, LOCATIONS_MSIPC, Message};
use crate::support::wait;
use std::time::Duration;

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

/// What the log of a node says about paths that are none of ours.
fn not_found(node: &Node, path: &str) -> Vec<serde_json::Value> {
    let lines = log::lines(node).into_iter();
    lines.filter(|line| line["message"] == "nothing at this path" && line["path"] == path).collect()
}

#[test]
fn what_must_not_be_there_is_not_found_and_logged_once_with_its_agent() {
    let cluster = TestCluster::start(1);
    let node = cluster.any_node();
    let paths = [
        "/_wmcs/licensing/editissuancelicense.asmx",
        "/_wmcs/certification/precertification.asmx",
        "/_wmcs/certification/MobileCertification.asmx",
        "/_wmcs/certification/Activation.asmx",
        "/_wmcs/certification/SubEnrollService.asmx",
        "/_wmcs/groupexpansion/GroupExpansion.asmx",
        "/_wmcs/DrmRemote/DirectoryServices/DirectoryServices.rem",
        "/_wmcs/decommission/decommission.asmx",
        "/_wmcs/certificationexternal/servercertification.asmx",
        "/_wmcs/licensingexternal/license.asmx",
        "/_wmcs/licensing/license.asmx/mex",
        "/_wmcs/licensing/license.asmx/",
        "/something/else",
    ];
    for path in paths {
        for path in [path.to_owned(), path.to_owned(), path.to_uppercase()] {
            for request in [Request::get(&path), Request::post(&path, "")] {
                let answer = http::exchange(node.front(), &request.with("User-Agent", "MSIPC;version=1.0"));
                answer.check(404, &["nothing at this path"]);
            }
        }
    }
    for path in paths {
        let logged =
            wait::until(path, wait::PATIENCE, || Some(not_found(&node, path)).filter(|it| !it.is_empty()));
        assert_eq!(log::field(&logged[0], "agent"), "MSIPC;version=1.0");
    }
    let all = || paths.iter().map(|path| not_found(&node, path).len()).sum::<usize>();
    wait::stays("each is logged once", Duration::from_millis(200), || all() == paths.len());
    let upper = paths.map(|path| not_found(&node, &path.to_uppercase()).len());
    assert_eq!(upper, [0; 13]);
}

#[test]
fn many_unknown_paths_do_not_fill_the_log() {
    let cluster = TestCluster::start(1);
    let node = cluster.any_node();
    for number in 0..300 {
        http::exchange(node.front(), &Request::get(&format!("/{number}{}", "x".repeat(4_000))))
            .check(404, &[]);
    }
    let lines = log::lines(&node);
    let lines: Vec<_> = lines.iter().filter(|line| line["message"] == "nothing at this path").collect();
    assert!((50..=100).contains(&lines.len()), "{}", lines.len());
    assert!(lines.iter().all(|line| log::field(line, "path").len() <= 200));
}

#[test]
fn a_client_that_waits_may_go_on_only_when_it_has_proven_itself() {
    let cluster = TestCluster::shared();
    let node = cluster.any_node();
    let request = Request::soap(&CERTIFY).with("Expect", "100-continue");
    let length = format!("Content-Length: {}", request.body.len());
    // Without a proof, and with a wrong one, the final answer is the first that comes.
    for authorization in [None, Some("NTLM AAAA"), Some("Basic QTpC")] {
        let mut connection = Connection::open(node.front()).unwrap();
        let head = request.head(&node.front().to_string(), authorization);
        connection.send(format!("{head}{length}\r\n\r\n").as_bytes()).unwrap();
        let answer = connection.answer(false).unwrap();
        assert_eq!((answer.status, answer.header("connection")), (401, Some("close")), "{authorization:?}");
        // It could send the body now, or another request.
        assert!(connection.is_at_end(), "{authorization:?}");
    }
    // In the midst of a handshake the connection must go on.
    let mut session = Session::open(node.front(), &cluster.exchange()).unwrap();
    session.call_when_told(&Request::soap(&CERTIFY)).unwrap().check(200, &["CertifyResponse"]);
    let connection = session.begin(&request, &length).unwrap();
    let interim = connection.answer(true).unwrap();
    assert_eq!((interim.status, interim.headers.len()), (100, 0), "{interim:?}");
    connection.send(&request.body).unwrap();
    connection.answer(false).unwrap().check(200, &["CertifyResponse"]);
}

/// A question with other versions in its header.
fn versions(message: &Message, minimum: &str, maximum: &str) -> Request {
    let mut text = String::from_utf8(message.body()).expect("the requests are UTF-8");
    for (name, version) in [("MinimumVersion", minimum), ("MaximumVersion", maximum)] {
        let end = text.find(&format!("</{name}>")).or_else(|| text.find(&format!("</v:{name}>")));
        let end = end.expect("each has its versions");
        let begin = text[..end].rfind('>').expect("there is a tag before") + 1;
        text.replace_range(begin..end, version);
    }
    Request::soap_with_body(message, text)
}

#[test]
fn versions_are_judged_where_the_question_is_answered() {
    let cluster = TestCluster::shared();
    for message in [LOCATIONS_MSDRM, LOCATIONS_MSIPC, LOCATIONS_EXCHANGE, CERTIFY] {
        let ask = |minimum: &str, maximum: &str| {
            let request = versions(&message, minimum, maximum);
            cluster.call(&cluster.any_node(), &cluster.exchange(), &request)
        };
        ask("1.0.0.0", "1.2.0.0").check(200, &["<MaximumVersion>1.2.0.0</MaximumVersion>"]);
        // Either may be left out.
        for (minimum, maximum) in [("", "1.0.0.0"), ("1.1.0.0", ""), ("", "")] {
            ask(minimum, maximum).check(200, &[&message.response_element()]);
        }
        // What the connector says of itself is the same in every version; what the service says, only it knows.
        let here = message.operation.starts_with("Find");
        let newer = ask("1.0.0.0", "1.3.0.0");
        if here {
            newer.check(200, &[&message.response_element()]);
        } else {
            newer.check(500, &["UnsupportedDataVersionException"]);
        }
        ask("1.2.0.0", "1.1.0.0").check(500, &["MalformedDataVersionException"]);
        let answer = ask("1.0.0.0", "one");
        answer.check(500, &["MalformedDataVersionException"]);
        assert_eq!(cluster.arrived(&answer).times, u32::from(!here), "{}", message.file);
        let text = String::from_utf8(message.body()).unwrap();
        let without = text.replace("VersionData", "Other");
        let answer = cluster.call(
            &cluster.any_node(),
            &cluster.exchange(),
            &Request::soap_with_body(&message, without),
        );
        answer.check(200, &[&message.response_element()]);
    }
}

#[test]
fn a_server_gets_an_empty_url_for_what_nobody_has() {
    let cluster = TestCluster::shared();
    let answer = cluster.call(&cluster.any_node(), &cluster.exchange(), &Request::soap(&LOCATIONS_EXCHANGE));
    let empty = "<URL></URL><Type>ServerLicensingWSService</Type>";
    answer.check(200, &["FindServiceLocationsResponse", empty, "/_wmcs/licensing</URL>"]);
}
