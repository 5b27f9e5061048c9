//! What the service said about itself is said again while it cannot be reached: to the same entry, for the same
//! question, of the same service, and not for ever.

use crate::support::cluster::TestCluster;
use crate::support::http::{Answer, Request};
use crate::support::lab::{Account, Node};
use crate::support::log::{await_event, events, field, lines};
use crate::support::simulator::Simulator;
use crate::support::soap::{ACQUIRE_LICENSE, Message, SERVER_INFO, named};
use crate::support::wait;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Every question of which the answer is kept, as a client asks it.
fn questions() -> [Message; 4] {
    [
        SERVER_INFO,
        named("msdrm_get_licensor_certificate.xml"),
        named("exchange_acquire_template_information.xml"),
        named("exchange_acquire_templates.xml"),
    ]
}

fn ask(cluster: &TestCluster, account: &Account, message: &Message) -> Answer {
    cluster.call(&cluster.any_node(), account, &Request::soap(message))
}

fn files(node: &Node) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(node.data_dir.join("kept")) else { return Vec::new() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(|path| path.extension().is_some_and(|it| it == "answer")).collect()
}

/// Writing to the disk is not waited for by anybody.
fn await_files(node: &Node, count: usize) {
    wait::until_true("the answers are on disk", wait::PATIENCE, || files(node).len() == count);
}

/// The age that the record of a request says.
#[track_caller]
fn kept_seconds(cluster: &TestCluster, answer: &Answer) -> Option<u64> {
    let id = answer.header("x-rmsc-request-id").expect("every answer has it");
    let record = wait::until("the audit record", wait::PATIENCE, || {
        let mut all = cluster.nodes().into_iter().flat_map(|node| lines(&node));
        all.find(|line| line["record"] == "audit" && line["request_id"] == id)
    });
    record.get("kept_seconds").and_then(serde_json::Value::as_u64)
}

#[test]
fn kept_answers_outlive_the_service_and_the_node_and_stay_with_their_entry() {
    let cluster = TestCluster::start(1);
    let (simulator, node) = (Simulator::start(), cluster.any_node());
    simulator.serve(&cluster, &node.name);
    let (exchange, other) = (cluster.exchange(), cluster.account("svc-sharepoint"));
    let before: Vec<Answer> = questions().iter().map(|question| ask(&cluster, &exchange, question)).collect();
    assert!(before.iter().all(|answer| answer.status == 200));
    await_files(&node, 4);
    for fault in ["refused", "503", "html", "reset", "cut", "encoded-page", "fault-as-answer"] {
        simulator.fail(fault);
        for (question, before) in questions().iter().zip(&before) {
            let answer = ask(&cluster, &exchange, question);
            assert_eq!((answer.status, &answer.body), (200, &before.body), "{fault} {}", question.operation);
            assert_eq!(answer.header("content-type"), before.header("content-type"));
            // The same question of another entry is another question, and so is another one of the same entry.
            assert_eq!(ask(&cluster, &other, question).status, 500, "{fault} {}", question.operation);
        }
        let changed =
            String::from_utf8(SERVER_INFO.body()).expect("text").replace("VersionInfo", "ServiceLocations");
        let request = Request::soap_with_body(&SERVER_INFO, changed);
        assert_eq!(cluster.call(&node, &exchange, &request).status, 500, "{fault}");
        // What is never kept streams through: HTTP alone tells whether it is whole.
        if !["cut", "fault-as-answer"].contains(&fault) {
            assert_eq!(ask(&cluster, &exchange, &ACQUIRE_LICENSE).status, 500, "{fault}");
        }
    }
    let event = await_event(&node, 4096, |event| event["operation"] == "GetServerInfo");
    assert!(!field(&event, "reason").is_empty(), "{event}");
    let metrics = cluster.monitor(&node, "/metrics").text();
    assert!(metrics.contains("rmsc_relay_kept_answers_total{operation=\"get_server_info\"} 7"), "{metrics}");
    // With its age, in the record of the request and in the event.
    let certificate = &questions()[1];
    simulator.fail("503");
    let age = wait::until("it is a second old", wait::PATIENCE, || {
        kept_seconds(&cluster, &ask(&cluster, &exchange, certificate)).filter(|age| *age >= 1)
    });
    // Who judges nothing leaves Exchange with what it must know, and the others with the word of the service.
    for fault in ["429=3", "redirect"] {
        simulator.fail(fault);
        assert_eq!(ask(&cluster, &exchange, &SERVER_INFO).body, before[0].body, "{fault}");
        assert_ne!(ask(&cluster, &exchange, &questions()[1]).status, 200, "{fault}");
    }
    await_files(&node, 4);
    // What comes back is new.
    simulator.fail("");
    ask(&cluster, &exchange, &SERVER_INFO).check(200, &["GetServerInfoResponse"]);

    simulator.fail("refused");
    cluster.kill(&node.name);
    let damaged = files(&node).into_iter().map(|path| (fs::read(&path).expect("it is there"), path));
    let info = b"GetServerInfoResponse";
    let (mut bytes, path) = damaged
        .into_iter()
        .find(|(bytes, _)| bytes.windows(info.len()).any(|it| it == info))
        .expect("one is it");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).expect("the lab's folder can be written");
    cluster.restart(&node.name);
    cluster.await_rotation();
    let event = await_event(&node, 4012, |_| true);
    assert!(field(&event, "reason").contains("checksum"), "{event}");
    assert_eq!(ask(&cluster, &exchange, &SERVER_INFO).status, 500);
    for (question, before) in questions().iter().zip(&before).skip(1) {
        assert_eq!(ask(&cluster, &exchange, question).body, before.body, "{}", question.operation);
    }
    // The age is not that of the process.
    await_event(&node, 4096, |event| {
        event["operation"] == certificate.operation
            && event["age_seconds"].as_u64().is_some_and(|seconds| seconds >= age)
    });
    let answer = ask(&cluster, &exchange, certificate);
    assert!(kept_seconds(&cluster, &answer).is_some_and(|seconds| seconds >= age));
}

#[test]
fn kept_answers_are_no_more_once_the_service_has_judged() {
    let cluster = TestCluster::start(1);
    let (simulator, node) = (Simulator::start(), cluster.any_node());
    simulator.serve(&cluster, &node.name);
    let exchange = cluster.exchange();
    for fault in ["401", "403", "404", "fault=System.UnauthorizedAccessException"] {
        simulator.fail("");
        wait::until_true("the service is used again", wait::PATIENCE, || {
            ask(&cluster, &exchange, &SERVER_INFO).status == 200 && files(&node).len() == 1
        });
        simulator.fail(fault);
        assert_eq!(ask(&cluster, &exchange, &SERVER_INFO).status, 500, "{fault}");
        simulator.fail("503");
        assert_eq!(ask(&cluster, &exchange, &SERVER_INFO).status, 500, "{fault}");
        await_files(&node, 0);
    }
}

/// The service is waited for, and whoever may has changed meanwhile.
#[test]
fn kept_answers_are_for_those_who_may_when_they_are_given() {
    let cluster = TestCluster::start(1);
    let (simulator, node) = (Simulator::start(), cluster.any_node());
    simulator.serve(&cluster, &node.name);
    let exchange = cluster.exchange();
    ask(&cluster, &exchange, &SERVER_INFO).check(200, &[]);
    simulator.fail("silent");
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| ask(&cluster, &exchange, &SERVER_INFO));
        wait::until_true("the service is asked", wait::PATIENCE, || simulator.faulted("silent") == 1);
        cluster.rmsc(&["authz", "remove", &exchange.name]).check_code(0);
        let answer = asking.join().expect("it does not panic");
        answer.check(500, &["System.UnauthorizedAccessException"]);
    });
}

#[test]
fn kept_answers_are_found_on_whichever_node_they_are() {
    let cluster = TestCluster::start(3);
    let simulator = Simulator::start();
    for node in cluster.nodes() {
        simulator.serve(&cluster, &node.name);
    }
    let exchange = cluster.exchange();
    let before = ask(&cluster, &exchange, &SERVER_INFO);
    before.check(200, &["GetServerInfoResponse"]);
    assert_eq!(cluster.nodes().iter().map(|node| files(node).len()).sum::<usize>().max(1), 1);
    for fault in ["503", "refused"] {
        simulator.fail(fault);
        for node in cluster.nodes().iter().cycle().take(6) {
            let answer = cluster.call(node, &exchange, &Request::soap(&SERVER_INFO));
            assert_eq!((answer.status, &answer.body), (200, &before.body), "{fault} {}", answer.text());
        }
    }
    // Its age is that of the node which has it.
    wait::until_true("it is a second old", wait::PATIENCE, || {
        kept_seconds(&cluster, &ask(&cluster, &exchange, &SERVER_INFO)).is_some_and(|seconds| seconds >= 1)
    });
    for node in cluster.nodes().iter().cycle().take(6) {
        let answer = cluster.call(node, &exchange, &Request::soap(&SERVER_INFO));
        assert!(kept_seconds(&cluster, &answer).is_some_and(|seconds| seconds >= 1), "{}", node.name);
    }
    // Of a service that says nothing too, before Exchange has gone.
    simulator.fail("silent");
    wait::until_true("it listens again", wait::PATIENCE, || {
        std::net::TcpStream::connect(simulator.address()).is_ok()
    });
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| (ask(&cluster, &exchange, &SERVER_INFO), begun.elapsed())))
            .collect();
        for asking in asking {
            let (answer, time) = asking.join().expect("it does not panic");
            assert_eq!((answer.status, &answer.body), (200, &before.body), "{}", answer.text());
            assert!(time < Duration::from_secs(26), "{time:?}");
        }
    });
    // Others are given nothing.
    let mallory = cluster.mallory();
    simulator.fail("503");
    ask(&cluster, &mallory, &SERVER_INFO).check(500, &["System.UnauthorizedAccessException"]);
    assert_eq!(ask(&cluster, &cluster.account("svc-sharepoint"), &SERVER_INFO).status, 500);
}

#[test]
fn kept_answers_are_not_for_another_service_nor_older_than_is_said_nor_kept_against_the_setting() {
    let cluster = TestCluster::start(1);
    let (mut first, node) = (Simulator::start(), cluster.any_node());
    first.serve(&cluster, &node.name);
    let exchange = cluster.exchange();
    ask(&cluster, &exchange, &SERVER_INFO).check(200, &[]);
    await_files(&node, 1);
    first.kill();
    ask(&cluster, &exchange, &SERVER_INFO).check(200, &[]);
    let nowhere = "http://127.0.0.1:9";
    cluster.reconfigure(&node.name, first.url(), nowhere);
    cluster.await_rotation();
    assert_eq!(ask(&cluster, &exchange, &SERVER_INFO).status, 500);
    cluster.reconfigure(&node.name, nowhere, first.url());
    cluster.await_rotation();
    ask(&cluster, &exchange, &SERVER_INFO).check(200, &[]);
    let (limits, a_second) = ("[upstream]", "[relay]\nkept_answers = \"1s\"\n[upstream]");
    cluster.reconfigure(&node.name, limits, a_second);
    cluster.await_rotation();
    // A quick machine comes here in less than a second.
    wait::until_true("what was kept is too old", wait::PATIENCE, || {
        ask(&cluster, &exchange, &SERVER_INFO).status == 500
    });
    cluster.reconfigure(&node.name, "\"1s\"", "\"never\"");
    cluster.await_rotation();
    assert_eq!(files(&node), Vec::<PathBuf>::new());
    assert_eq!(ask(&cluster, &exchange, &SERVER_INFO).status, 500);
    let _second = first.again();
    let files_before = files(&node);
    wait::until_true("the service is used again", wait::PATIENCE, || {
        ask(&cluster, &exchange, &named("msdrm_get_licensor_certificate.xml")).status == 200
    });
    assert_eq!(files(&node), files_before);
    assert_eq!(events(&node, 4012).len(), 0);
}
