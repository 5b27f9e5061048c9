//! One audit record for every SOAP request, whatever came of it; and the roles act.

use crate::support::cluster::TestCluster;
use crate::support::http::{Answer, Request, Session};
use crate::support::lab::Account;
use crate::support::log::{field, lines};
use crate::support::simulator::Simulator;
use crate::support::soap::{ACQUIRE_LICENSE, ACQUIRE_PRE_LICENSE, CERTIFY, SERVER_INFO};
use crate::support::wait;
use serde_json::Value;

/// The one record with this result.
#[track_caller]
fn record_with(cluster: &TestCluster, result: &str) -> Value {
    let mut found = wait::until("the audit record", wait::PATIENCE, || {
        let all = cluster.nodes().into_iter().flat_map(|node| lines(&node));
        let found: Vec<_> =
            all.filter(|line| line["record"] == "audit" && line["result"] == result).collect();
        Some(found).filter(|found| !found.is_empty())
    });
    assert_eq!(found.len(), 1, "{found:?}");
    found.swap_remove(0)
}

/// Every record of this request, from all nodes.
fn records(cluster: &TestCluster, answer: &Answer) -> Vec<Value> {
    let id = answer.header("x-rmsc-request-id").expect("every answer has it");
    let all = cluster.nodes().into_iter().flat_map(|node| lines(&node));
    all.filter(|line| line["record"] == "audit" && line["request_id"] == id).collect()
}

#[track_caller]
fn record(cluster: &TestCluster, answer: &Answer) -> Value {
    let mut found = wait::until("the audit record", wait::PATIENCE, || {
        Some(records(cluster, answer)).filter(|records| !records.is_empty())
    });
    assert_eq!(found.len(), 1, "{found:?}");
    found.swap_remove(0)
}

#[track_caller]
fn sid(cluster: &TestCluster, account: &Account) -> String {
    let sid = cluster.rmsc(&["authz", "test", &account.name, "-o", "json"]).field("sid");
    sid.as_str().expect("a SID is a text").to_owned()
}

#[test]
fn a_request_has_one_record_with_who_what_how_long_and_where() {
    let cluster = TestCluster::start(3);
    let (account, mut relays) = (cluster.exchange(), Vec::new());
    let certificate = "<BODY type=\"LICENSE\"><DESCRIPTOR><OBJECT type=\"Group-Identity-Credential\">\
        <ID type=\"MS-GUID\">{f39c5f0b-b861-460c-8a21-b8a0b9a9c568}</ID></OBJECT></DESCRIPTOR>\
        <WORK><OBJECT><ID type=\"MS-GUID\">{9257669d-2753-4f8f-94c6-028987c0434b}</ID></OBJECT></WORK></BODY>";
    let body = String::from_utf8(ACQUIRE_LICENSE.body()).expect("text").replacen(
        "<BODY type=\"LICENSE\" version=\"3.0\">",
        &format!("{certificate}<BODY>"),
        1,
    );
    let request = Request::soap_with_body(&ACQUIRE_LICENSE, body);
    for _ in 0..6 {
        let answer = cluster.call(&cluster.any_node(), &account, &request);
        answer.check(200, &[]);
        let record = record(&cluster, &answer);
        let sid = sid(&cluster, &account);
        for (name, expected) in [
            ("sid", sid.as_str()),
            ("entry", &sid),
            ("account", &account.name),
            ("computer", "127.0.0.1"),
            ("mechanism", "ntlm"),
            ("role", "exchange"),
            ("operation", "AcquireLicense"),
            ("path", ACQUIRE_LICENSE.path),
            ("content_id", "{9257669d-2753-4f8f-94c6-028987c0434b}"),
            ("account_certificate_id", "{f39c5f0b-b861-460c-8a21-b8a0b9a9c568}"),
            ("result", "answered"),
            ("trouble", ""),
            ("front_node", "node-1"),
        ] {
            assert_eq!(field(&record, name), expected, "{record}");
        }
        assert_eq!(record["status"], 200);
        let time = |name: &str| record[name].as_f64().unwrap_or_else(|| panic!("no {name} in {record}"));
        assert!(time("service_ms") > 0.0 && time("connector_ms") > 0.0, "{record}");
        assert!((time("total_ms") - time("service_ms") - time("connector_ms")).abs() < 0.01, "{record}");
        assert!(field(&record, "timestamp").ends_with('Z'), "{record}");
        assert_eq!(answer.header("x-rmsc-served-by"), record["relay_node"].as_str());
        relays.push(field(&record, "relay_node").to_owned());
        let text = record.to_string();
        assert!(
            !text.contains(&account.password) && !text.contains("NTLM ") && !text.contains("base64"),
            "{text}"
        );
    }
    relays.sort();
    relays.dedup();
    assert_eq!(relays, ["node-1", "node-2", "node-3"]);
}

#[test]
fn refused_and_failed_requests_have_a_record_too() {
    let cluster = TestCluster::start(1);
    let (simulator, node) = (Simulator::start(), cluster.any_node());
    simulator.serve(&cluster, &node.name);
    let check = |account: &Account, request: &Request, status: u16, fields: &[(&str, &str)]| {
        let answer = cluster.call(&node, account, request);
        assert_eq!(answer.status, status, "{}", answer.text());
        let record = record(&cluster, &answer);
        for (name, expected) in fields {
            assert_eq!(field(&record, name), *expected, "{record}");
        }
        answer
    };
    let soap = |message| Request::soap(message);
    check(
        &cluster.mallory(),
        &soap(&CERTIFY),
        500,
        &[("result", "not-authorized"), ("entry", ""), ("operation", "Certify")],
    );
    let malformed = Request::soap_with_body(&CERTIFY, "<a/>");
    check(&cluster.exchange(), &malformed, 400, &[("result", "malformed"), ("role", "exchange")]);
    simulator.fail("fault=Microsoft.DigitalRightsManagement.Core.X");
    check(&cluster.exchange(), &soap(&CERTIFY), 500, &[("result", "fault")]);
    simulator.fail("403");
    check(
        &cluster.exchange(),
        &soap(&CERTIFY),
        500,
        &[("result", "service-failed"), ("trouble", "forbidden")],
    );
    simulator.fail("429=7");
    check(&cluster.exchange(), &soap(&CERTIFY), 429, &[("result", "throttled"), ("trouble", "throttled")]);
    simulator.fail("");
    check(&cluster.exchange(), &soap(&SERVER_INFO), 200, &[("result", "answered")]);
    simulator.fail("503");
    check(&cluster.exchange(), &soap(&SERVER_INFO), 200, &[("result", "kept"), ("trouble", "out-of-order")]);
    simulator.fail("");
    // The service is told who asked by which entry with which role, and never of what was refused here.
    for account in ["FS01$", "svc-sharepoint"] {
        let account = cluster.account(account);
        let before = simulator.counts()["total"].clone();
        let fields = [
            ("result", "role-refused"),
            ("operation", "AcquirePreLicense"),
            ("entry", &sid(&cluster, &account)),
        ];
        let answer = check(&account, &soap(&ACQUIRE_PRE_LICENSE), 500, &fields);
        answer.check(500, &["<faultcode>soap:Server</faultcode>", "System.UnauthorizedAccessException"]);
        assert_eq!(answer.header("content-type"), Some("text/xml; charset=utf-8"));
        assert_eq!(simulator.counts()["total"], before);
        check(&account, &soap(&ACQUIRE_LICENSE), 200, &[("result", "answered")]);
        assert_eq!(simulator.counts()["by_entry"][sid(&cluster, &account)], 1);
    }
    assert_eq!(simulator.counts()["by_role"]["fileserver"], 1, "{}", simulator.counts());
    check(&cluster.exchange(), &soap(&ACQUIRE_PRE_LICENSE), 200, &[("result", "answered")]);
    let metrics = cluster.monitor(&node, "/metrics").text();
    for (name, labels) in [
        ("service_response", "outcome=\"Successful\",batch=\"Batched\""),
        ("connector_processing", "outcome=\"Successful\",batch=\"Batched\""),
        ("connector_response", "outcome=\"Refused\",batch=\"Batched\""),
    ] {
        let line = format!(
            "rmsc_front_{name}_seconds_count{{pipeline=\"licensing\",operation=\"acquire_pre_license\",{labels}}}"
        );
        assert!(metrics.contains(&line), "no {line} in {metrics}");
    }
}

#[test]
fn a_request_whose_client_leaves_while_another_node_relays_it_is_told_with_entry_and_role() {
    let cluster = TestCluster::start(2);
    let simulator = Simulator::start();
    for node in cluster.nodes() {
        simulator.serve(&cluster, &node.name);
    }
    simulator.fail("silent");
    let (node, account) = (cluster.any_node(), cluster.exchange());
    let request = Request::soap(&ACQUIRE_LICENSE);
    // One is relayed here, one there.
    let sessions: Vec<_> = (0..2)
        .map(|_| {
            let mut session = Session::open(node.front(), &account).expect("it listens");
            let connection = session.begin(&request, &format!("Content-Length: {}", request.body.len()));
            connection.and_then(|connection| connection.send(&request.body)).expect("it takes the request");
            session
        })
        .collect();
    wait::until_true("the service is asked", wait::PATIENCE, || simulator.faulted("silent") == 2);
    drop(sessions);
    let found = wait::until("their records", wait::PATIENCE, || {
        let found: Vec<_> = lines(&node).into_iter().filter(|line| line["result"] == "client-gone").collect();
        Some(found).filter(|found| found.len() == 2)
    });
    for record in found {
        assert_eq!(field(&record, "entry"), sid(&cluster, &account), "{record}");
        assert_eq!((field(&record, "role"), field(&record, "operation")), ("exchange", "AcquireLicense"));
    }
}

/// The request was carried out: that its client has not waited for it changes nothing.
#[test]
fn a_request_whose_client_leaves_has_a_record_and_so_has_an_answer_that_breaks() {
    let cluster = TestCluster::start(1);
    let (simulator, node) = (Simulator::start(), cluster.any_node());
    simulator.serve(&cluster, &node.name);
    simulator.fail("silent");
    let request = Request::soap(&ACQUIRE_LICENSE);
    let mut session = Session::open(node.front(), &cluster.exchange()).expect("it listens");
    let connection = session.begin(&request, &format!("Content-Length: {}", request.body.len()));
    connection.and_then(|connection| connection.send(&request.body)).expect("it takes the request");
    wait::until_true("the service is asked", wait::PATIENCE, || simulator.faulted("silent") == 1);
    drop(session);
    let record = record_with(&cluster, "client-gone");
    for (name, expected) in [
        ("account", cluster.exchange().name.as_str()),
        ("operation", "AcquireLicense"),
        ("role", "exchange"),
        ("front_node", "node-1"),
    ] {
        assert_eq!(field(&record, name), expected, "{record}");
    }
    assert_eq!(record["status"], 0, "{record}");
    // What goes wrong behind the first megabyte.
    simulator.fail("endless");
    let answer = Session::open(node.front(), &cluster.exchange()).and_then(|mut it| it.call(&request));
    assert!(answer.is_err());
    let record = record_with(&cluster, "answer-broken");
    assert_eq!((field(&record, "trouble"), &record["status"]), ("too-long", &Value::from(200)), "{record}");
    // Who does not read it to its end.
    let mut session = Session::open(node.front(), &cluster.exchange()).expect("it listens");
    let connection = session.begin(&request, &format!("Content-Length: {}", request.body.len()));
    connection.and_then(|connection| connection.send(&request.body)).expect("it takes the request");
    wait::until_true("the answer goes on", wait::PATIENCE, || simulator.faulted("endless") == 2);
    drop(session);
    wait::until_true("its record", wait::PATIENCE, || {
        lines(&node).iter().filter(|line| line["result"] == "client-gone").count() == 2
    });
    let metrics = cluster.monitor(&node, "/metrics").text();
    assert!(metrics.contains("operation=\"acquire_license\",outcome=\"Gone\""), "{metrics}");
}
