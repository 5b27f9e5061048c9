//! Requests that no client of ours sends: each gets a clear answer, and the node goes on.

use crate::support::cluster::TestCluster;
use crate::support::http::{self, Answer, Connection, Request, Session};
use crate::support::soap::{ACQUIRE_LICENSE, CERTIFY, SERVER_INFO};
use crate::support::{log, processes, wait};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::time::Duration;

const MEBIBYTE: usize = 1 << 20;
const NAMESPACE: &str = "http://microsoft.com/DRM/LicensingService";

#[track_caller]
fn send(cluster: &TestCluster, request: &Request) -> Answer {
    cluster.call(&cluster.any_node(), &cluster.exchange(), request)
}

/// Sends a body to AcquireLicense.
#[track_caller]
fn check_body(body: impl Into<Vec<u8>>, status: u16, words: &[&str]) {
    let answer = send(&TestCluster::shared(), &Request::soap_with_body(&ACQUIRE_LICENSE, body));
    answer.check(status, words);
}

/// A good envelope with something before its operation, and something in it.
fn envelope(prolog: &str, header: &str, body: &str) -> String {
    format!(
        "{prolog}<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Header>{header}</s:Header>\
         <s:Body><AcquireLicense xmlns=\"{NAMESPACE}\">{body}</AcquireLicense></s:Body></s:Envelope>"
    )
}

#[test]
fn a_document_type_is_refused_by_name() {
    check_body(envelope("<!DOCTYPE x>", "", ""), 400, &["DOCTYPE", "SOAP forbids"]);
}

#[test]
fn an_external_entity_is_refused() {
    let prolog = "<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>";
    check_body(envelope(prolog, "&e;", ""), 400, &["DOCTYPE"]);
}

#[test]
fn an_entity_bomb_is_refused() {
    let mut prolog = String::from("<!DOCTYPE b [<!ENTITY l0 \"lol\">");
    for level in 1..10 {
        let references = format!("&l{};", level - 1).repeat(10);
        prolog.push_str(&format!("<!ENTITY l{level} \"{references}\">"));
    }
    prolog.push_str("]>");
    check_body(envelope(&prolog, "&l9;", ""), 400, &["DOCTYPE"]);
}

#[test]
fn an_entity_that_nobody_declared_is_refused_by_name() {
    check_body(envelope("", "<a>&lol;</a>", ""), 400, &["the entity \"lol\""]);
}

#[test]
fn a_processing_instruction_is_refused_by_name() {
    let prolog = "<?xml version=\"1.0\"?><?xml-stylesheet href=\"x\"?>";
    check_body(envelope(prolog, "", ""), 400, &["xml-stylesheet", "SOAP forbids"]);
}

#[test]
fn deep_nesting_in_the_header_is_refused() {
    let depth = 10 * MEBIBYTE / 7;
    let nested = "<a>".repeat(depth) + &"</a>".repeat(depth);
    check_body(envelope("", &nested, ""), 400, &["the message has more than"]);
}

#[test]
fn a_body_that_is_no_xml_is_refused() {
    for body in ["hello", "{\"a\": 1}", "<html></html>"] {
        check_body(body, 400, &["Bad request"]);
    }
    check_body(vec![0xff; 4_096], 400, &["Bad request"]);
    check_body("", 400, &["the request has no body"]);
}

#[test]
fn an_unknown_operation_is_refused_by_name() {
    let body = envelope("", "", "").replace("AcquireLicense", "DecommissionService");
    check_body(body, 400, &["\"DecommissionService\"", "is not an operation of this service"]);
}

#[test]
fn an_action_that_disagrees_with_the_body_is_refused() {
    let request = Request::soap(&ACQUIRE_LICENSE).with("SOAPAction", &CERTIFY.action());
    send(&TestCluster::shared(), &request).check(400, &["CertificationService/Certify", "AcquireLicense"]);
}

#[test]
fn a_request_without_an_action_is_refused() {
    let request = Request::soap(&ACQUIRE_LICENSE).with("SOAPAction", "");
    send(&TestCluster::shared(), &request).check(400, &["no SOAPAction"]);
}

#[test]
fn an_operation_of_another_endpoint_is_refused() {
    let request = Request { path: CERTIFY.path.into(), ..Request::soap(&ACQUIRE_LICENSE) };
    send(&TestCluster::shared(), &request)
        .check(400, &["AcquireLicense is not an operation of /_wmcs/certification/servercertification.asmx"]);
}

#[test]
fn an_unsupported_content_type_is_refused() {
    // The last two are UTF-7 to ASP.NET, in which the same bytes can be another operation.
    let charsets =
        ["text/xml; charset=utf-16", "text/xml; charset =utf-7", "text/xml; x=\"; charset=utf-7\""];
    for content_type in ["application/json", ""].into_iter().chain(charsets) {
        let request = Request::soap(&ACQUIRE_LICENSE).with("Content-Type", content_type);
        send(&TestCluster::shared(), &request).check(415, &["text/xml or application/soap+xml"]);
    }
}

#[test]
fn a_path_that_is_none_of_ours_is_not_found() {
    let cluster = TestCluster::shared();
    let front = cluster.any_node().front();
    for path in [
        "/",
        "/_wmcs",
        "/_wmcs/admin/admin.asmx",
        "/_wmcs/licensing/../licensing/license.asmx",
        "/%5fwmcs/licensing",
    ] {
        http::exchange(front, &Request::get(path)).check(404, &["nothing at this path"]);
    }
}

#[test]
fn a_method_that_a_path_does_not_take_is_refused_with_those_that_it_takes() {
    let cluster = TestCluster::shared();
    let front = cluster.any_node().front();
    for (method, path, allowed) in [
        ("PUT", ACQUIRE_LICENSE.path, "GET, HEAD, POST"),
        ("DELETE", ACQUIRE_LICENSE.path, "GET, HEAD, POST"),
        ("OPTIONS", ACQUIRE_LICENSE.path, "GET, HEAD, POST"),
        ("POST", "/_wmcs/GetRmsoUri.aspx", "GET, HEAD"),
        ("POST", "/_wmcs/licensing", "GET, HEAD"),
    ] {
        let answer = http::exchange(front, &Request::get(path).method(method));
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allowed)), "{method} {path}");
    }
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_sent() {
    let cluster = TestCluster::shared();
    let mut session = Session::open(cluster.any_node().front(), &cluster.exchange()).unwrap();
    let length = format!("Content-Length: {}", 17 * MEBIBYTE);
    let connection = session.begin(&Request::soap(&ACQUIRE_LICENSE), &length).unwrap();
    let answer = connection.answer(false).unwrap();
    answer.check(413, &["longer than 16777216 bytes"]);
    assert!(connection.is_at_end());
}

/// Sends a body in pieces until there is an answer or it is all sent.
fn send_chunked(connection: &mut Connection, body: &[u8]) -> Answer {
    connection.send_chunked(body);
    connection.answer(false).expect("a refusal is an answer too")
}

#[test]
fn a_chunked_body_over_the_limit_is_refused() {
    let cluster = TestCluster::shared();
    let mut session = Session::open(cluster.any_node().front(), &cluster.exchange()).unwrap();
    let body = envelope("", "", &"x".repeat(17 * MEBIBYTE));
    let connection = session.begin(&Request::soap(&ACQUIRE_LICENSE), "Transfer-Encoding: chunked").unwrap();
    send_chunked(connection, body.as_bytes()).check(413, &["longer than 16777216 bytes"]);
}

#[test]
fn a_chunked_body_below_the_limit_is_served() {
    let cluster = TestCluster::shared();
    let mut session = Session::open(cluster.any_node().front(), &cluster.exchange()).unwrap();
    let connection = session.begin(&Request::soap(&SERVER_INFO), "Transfer-Encoding: chunked").unwrap();
    send_chunked(connection, &SERVER_INFO.body()).check(200, &["GetServerInfoResponse"]);
}

#[test]
fn a_request_that_says_its_length_twice_is_refused() {
    let cluster = TestCluster::shared();
    let mut connection = Connection::open(cluster.any_node().front()).unwrap();
    let both = "POST /_wmcs/licensing/license.asmx HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello";
    connection.send(both.as_bytes()).unwrap();
    assert_eq!(connection.answer(false).unwrap().status, 400);
}

/// The status for one `Authorization`.
#[track_caller]
fn authorization(value: &str) -> u16 {
    let cluster = TestCluster::shared();
    let request = Request::get(ACQUIRE_LICENSE.path).with("Authorization", value);
    http::exchange(cluster.any_node().front(), &request).status
}

#[test]
fn broken_tokens_are_refused() {
    let negotiate = b"NTLMSSP\0\x01\0\0\0\x07\x82\x08\xa2";
    let huge = STANDARD.encode(vec![0xff; 40_000]);
    for scheme in ["NTLM", "Negotiate"] {
        for token in [
            "!!!!".to_owned(),
            "TlRMTVNTUA".to_owned(),
            STANDARD.encode(&negotiate[..10]),
            STANDARD.encode([0x60, 0x84, 0xff, 0xff, 0xff, 0xff]),
            STANDARD.encode([]),
            huge.clone(),
        ] {
            let shown: String = token.chars().take(40).collect();
            assert_eq!(authorization(&format!("{scheme} {token}")), 401, "{scheme} {shown}");
        }
    }
}

#[test]
fn a_token_over_the_limit_is_refused() {
    let huge = STANDARD.encode(vec![0xff; 60 << 10]);
    for scheme in ["NTLM", "Negotiate"] {
        let status = authorization(&format!("{scheme} {huge}"));
        assert!(matches!(status, 400 | 401), "{status}");
    }
}

#[test]
fn a_third_refusal_ends_the_connection() {
    let cluster = TestCluster::shared();
    let mut connection = Connection::open(cluster.any_node().front()).unwrap();
    let request =
        format!("GET {} HTTP/1.1\r\nHost: x\r\nAuthorization: NTLM AAAA\r\n\r\n", ACQUIRE_LICENSE.path);
    let mut ask = || {
        connection.send(request.as_bytes()).unwrap();
        let answer = connection.answer(false).unwrap();
        (answer.status, answer.header("connection").map(str::to_owned))
    };
    assert_eq!((ask(), ask()), ((401, None), (401, None)));
    assert_eq!(ask(), (401, Some("close".into())));
    assert!(connection.is_at_end());
}

/// The first request of a front that a client breaks off goes to one node, the next to another.
#[test]
fn a_client_that_breaks_off_is_not_taken_for_trouble_with_a_node_or_the_service() {
    let cluster = TestCluster::start(3);
    cluster.await_rotation();
    let node = cluster.any_node();
    let changes = || {
        let lines = log::lines(&node);
        lines.iter().filter(|line| line["message"] == "nodes in rotation").count()
    };
    let before = changes();
    let long = envelope("", "", &"x".repeat(3 * MEBIBYTE));
    for _ in 0..6 {
        let mut session = Session::open(node.front(), &cluster.exchange()).unwrap();
        let length = format!("Content-Length: {}", 2 * long.len());
        session.begin(&Request::soap(&ACQUIRE_LICENSE), &length).unwrap().send(long.as_bytes()).unwrap();
    }
    // What was broken off is logged before this.
    cluster.call(&node, &cluster.mallory(), &Request::soap(&ACQUIRE_LICENSE)).check(500, &[]);
    log::await_event(&node, 2001, |_| true);
    wait::stays("every node is in rotation", Duration::from_secs(1), || changes() == before);
    for node in cluster.nodes() {
        assert_eq!(log::events(&node, 3000), Vec::<serde_json::Value>::new(), "{}", node.name);
    }
}

#[test]
fn long_and_deep_messages_are_taken_in_bounded_memory() {
    let cluster = TestCluster::alone(3);
    let pids = cluster.pids();
    let most = || pids.iter().map(|pid| processes::resident_bytes_max(*pid)).max().unwrap();
    for _ in 0..3 {
        send(&cluster, &Request::soap(&ACQUIRE_LICENSE)).check(200, &[]);
    }
    let before = most();
    let depth = 10 * MEBIBYTE / 7;
    let nested = "<a>".repeat(depth) + &"</a>".repeat(depth);
    let long = "x".repeat(10 * MEBIBYTE);
    for _ in 0..6 {
        let in_header = envelope("", &nested, "");
        send(&cluster, &Request::soap_with_body(&ACQUIRE_LICENSE, in_header)).check(400, &[]);
        // What is in the operation is the service's; it gets every byte.
        let in_body = send(&cluster, &Request::soap_with_body(&ACQUIRE_LICENSE, envelope("", "", &nested)));
        assert!(matches!(in_body.status, 200 | 400 | 500), "{}", in_body.text());
        let in_header = envelope("", &format!("<a>{long}</a>"), "");
        send(&cluster, &Request::soap_with_body(&ACQUIRE_LICENSE, in_header)).check(400, &[]);
    }
    let grown = most().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX as u64, "grown by {} MiB", grown / MEBIBYTE as u64);
}

/// A few messages of 10 MiB in flight, and none of them kept.
const GROWTH_BYTES_MAX: usize = 64 * MEBIBYTE;
