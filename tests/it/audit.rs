//! One audit record for every SOAP request, whatever came of it; and the roles act.

use crate::support::cluster::TestCluster;
use crate::support::http::{Request, Session};
use crate::support::lab::Account;
use crate::support::log::{audit_record, field, lines};
use crate::support::simulator::Simulator;
use crate::support::soap::{ACQUIRE_LICENSE, ACQUIRE_PRE_LICENSE, CERTIFY, SERVER_INFO, named};
use crate::support::wait;
use serde_json::Value;
use std::fs;

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

#[track_caller]
fn sid(cluster: &TestCluster, account: &Account) -> String {
    let sid = cluster.rmsc(&["authz", "test", &account.name, "-o", "json"]).field("sid");
    sid.as_str().expect("a SID is a text").to_owned()
}

#[test]
fn a_request_has_one_record_with_who_what_how_long_and_where() {
    let cluster = TestCluster::start(3);
    let (account, mut relays) = (cluster.exchange(), Vec::new());
    let request = Request::soap_with_body(&ACQUIRE_LICENSE, with_ids());
    for _ in 0..6 {
        let answer = cluster.call(&cluster.any_node(), &account, &request);
        answer.check(200, &[]);
        let record = audit_record(&cluster, &answer);
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
            ("content_id", CONTENT_ID),
            ("account_certificate_id", ACCOUNT_CERTIFICATE_ID),
            ("result", "answered"),
            ("trouble", ""),
            ("front_node", "node-1"),
        ] {
            assert_eq!(field(&record, name), expected, "{record}");
        }
        assert_eq!(record["status"], 200);
        let time = |name: &str| record[name].as_f64().unwrap_or_else(|| panic!("no {name} in {record}"));
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
        let record = audit_record(&cluster, &answer);
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
}

/// What a request for a license can be told by.
const CONTENT_ID: &str = "{9257669d-2753-4f8f-94c6-028987c0434b}";
const ACCOUNT_CERTIFICATE_ID: &str = "{f39c5f0b-b861-460c-8a21-b8a0b9a9c568}";

/// The request for a license that has them.
fn with_ids() -> String {
    let certificate = format!(
        "<BODY type=\"LICENSE\"><DESCRIPTOR><OBJECT type=\"Group-Identity-Credential\"><ID type=\"MS-GUID\">\
        {ACCOUNT_CERTIFICATE_ID}</ID></OBJECT></DESCRIPTOR><WORK><OBJECT><ID type=\"MS-GUID\">{CONTENT_ID}</ID>\
        </OBJECT></WORK></BODY>"
    );
    String::from_utf8(ACQUIRE_LICENSE.body()).expect("text").replacen(
        "<BODY type=\"LICENSE\" version=\"3.0\">",
        &format!("{certificate}<BODY>"),
        1,
    )
}

#[test]
fn the_record_tells_the_groups_entry_and_the_account_apart() {
    let cluster = TestCluster::start(1);
    let (simulator, node, mallory) = (Simulator::start(), cluster.any_node(), cluster.mallory());
    let own = sid(&cluster, &mallory);
    let (domain_sid, _) = own.rsplit_once('-').expect("it ends with a relative id");
    let group = format!("{domain_sid}-1999");
    let accounts = cluster.dir().join("accounts.toml");
    let text = fs::read_to_string(&accounts).expect("the lab has accounts");
    let (before, of_mallory) = text.split_once("name = \"mallory\"").expect("she has one");
    let changed = format!(
        "{before}name = \"mallory\"{}\n[[group]]\nname = \"Web servers\"\nrid = 1999\n",
        of_mallory.replacen("groups = []", "groups = [\"Web servers\"]", 1)
    );
    fs::write(&accounts, changed).expect("the lab's folder can be written");
    simulator.serve(&cluster, &node.name);
    let add =
        ["authz", "add", "--yes", "--role", "sharepoint", "--group", "LAB\\Web servers", "--sid", &group];
    cluster.rmsc(&add).check_code(0);
    let answer = cluster.call(&node, &mallory, &Request::soap(&ACQUIRE_LICENSE));
    answer.check(200, &[]);
    let record = audit_record(&cluster, &answer);
    assert_eq!((field(&record, "sid"), field(&record, "entry")), (own.as_str(), group.as_str()), "{record}");
    let counts = simulator.counts();
    assert_eq!((&counts["by_caller"][&own], &counts["by_entry"][&group]), (&1.into(), &1.into()), "{counts}");
}

#[test]
fn long_requests_and_those_without_a_soap_action_are_told_as_well() {
    let cluster = TestCluster::start(1);
    let (node, exchange) = (cluster.any_node(), cluster.exchange());
    let padding = format!("<!--{}--></soap:Body>", "x".repeat(2 << 20));
    let long = with_ids().replacen("</soap:Body>", &padding, 1);
    let answer = cluster.call(&node, &exchange, &Request::soap_with_body(&ACQUIRE_LICENSE, long));
    answer.check(200, &[]);
    let record = audit_record(&cluster, &answer);
    assert_eq!(field(&record, "content_id"), CONTENT_ID, "{record}");
    // SOAP 1.2 needs none, and has two requests here.
    let message = named("soap12_acquire_license.xml");
    let text = String::from_utf8(message.body()).expect("text");
    let begin = text.find("<AcquireLicenseParams>").expect("it has one");
    let end = text.find("</RequestParams>").expect("it ends");
    let (before, after) = text.split_at(end);
    let batch = format!("{before}{}{after}", &text[begin..end]);
    let request = Request::post(message.path, batch).with("Content-Type", message.content_type);
    for (account, status, result) in
        [(cluster.exchange(), 200, "answered"), (cluster.mallory(), 500, "not-authorized")]
    {
        let answer = cluster.call(&node, &account, &request);
        answer.check(status, &[]);
        let record = audit_record(&cluster, &answer);
        assert_eq!((field(&record, "result"), field(&record, "operation")), (result, "AcquireLicense"));
        assert_eq!(record["batched"], true, "{record}");
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
