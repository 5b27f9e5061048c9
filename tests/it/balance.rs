//! Every node does as many requests as any other, whoever takes them; who cannot do them gets none.

use crate::support::cluster::TestCluster;
use crate::support::http::{Request, Session};
use crate::support::lab::Node;
use crate::support::load::Load;
use crate::support::log::await_event;
use crate::support::simulator::Simulator;
use crate::support::soap::ACQUIRE_LICENSE;
use crate::support::uploads::{MEBIBYTE, padded};
use crate::support::wait;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A probe comes every 250 ms.
const OUT_WITHIN: Duration = Duration::from_millis(500);
const BACK_WITHIN: Duration = Duration::from_secs(3);

fn report(cluster: &TestCluster) -> Value {
    cluster.rmsc(&["lb", "report", "-o", "json"]).json()
}

/// How one front sees one node.
fn seen(cluster: &TestCluster, front: &str, node: &str) -> Value {
    let shown: Value = cluster.rmsc(&["lb", "show", "-o", "json"]).json();
    let named = |list: Option<&Value>, key: &str, name: &str| {
        let list = list.and_then(Value::as_array);
        list.and_then(|list| list.iter().find(|item| item.get(key).is_some_and(|it| it == name)).cloned())
    };
    let front = named(shown.get("fronts"), "front", front).unwrap_or_default();
    named(front.get("nodes"), "node", node).unwrap_or_default()
}

/// So many requests on connections that are kept, or on a new one each time.
#[track_caller]
fn send(cluster: &TestCluster, entries: &[Node], requests: usize, keep: bool) {
    let (account, request) = (cluster.exchange(), Request::soap(&ACQUIRE_LICENSE));
    let open = |entry: &Node| Session::open(entry.front(), &account).expect("it listens");
    let mut sessions: Vec<Session> = entries.iter().map(open).collect();
    for _ in 0..requests / entries.len() {
        for (entry, session) in entries.iter().zip(&mut sessions) {
            let answer = if keep {
                session.call(&request).expect("the connection goes on")
            } else {
                cluster.call(entry, &account, &request)
            };
            answer.check(200, &[]);
        }
    }
}

/// What the service counted, node by node.
#[track_caller]
fn check_equal(cluster: &TestCluster, requests: u64, off_max: u64) {
    let counts = cluster.counts();
    let shares: Vec<u64> = counts.by_node.values().copied().collect();
    assert_eq!((counts.total, shares.len()), (requests, cluster.nodes().len()), "{:?}", counts.by_node);
    let (least, most) = (shares.iter().min(), shares.iter().max());
    assert!(most.zip(least).is_some_and(|(most, least)| most - least <= off_max), "{:?}", counts.by_node);
}

#[test]
fn every_node_has_an_equal_share_through_whichever_entries() {
    let cluster = TestCluster::start(3);
    cluster.await_rotation();
    let nodes = cluster.nodes();
    assert_eq!(report(&cluster)["verdict"], "too-few");
    for (entries, keep) in [(1, true), (1, false), (2, true), (3, true), (3, false)] {
        cluster.reset_counts();
        send(&cluster, &nodes[..entries], 120, keep);
        // A front is off by one request at most.
        check_equal(&cluster, 120, entries as u64);
    }
    let (before, account) = (report(&cluster)["requests"].as_u64().unwrap(), cluster.exchange());
    assert_eq!(before, 5 * 120);
    cluster.reset_counts();
    let load = Load::start(&nodes, &account, &ACQUIRE_LICENSE, 2);
    load.await_more(600);
    let sent = load.stop();
    sent.check_nothing_failed();
    check_equal(&cluster, sent.requests, 3);

    let report = report(&cluster);
    assert_eq!((&report["verdict"], &report["requests"]), (&json!("equal"), &json!(before + sent.requests)));
    assert!(report["deviation_max"].as_f64().unwrap() <= 0.01, "{report}");
    assert!(report["chi_square"].as_f64().unwrap() <= 13.8, "{report}");
    // Every front says what it has handed to whom, and the columns are what the service counted.
    let fronts = report["fronts"].as_array().unwrap();
    assert_eq!(fronts.len(), 3);
    for share in report["shares"].as_array().unwrap() {
        let of_node = |front: &Value| {
            let nodes = front["nodes"].as_array().unwrap().clone();
            nodes.iter().find(|node| node["id"] == share["id"]).unwrap()["turns"].as_u64().unwrap()
        };
        assert_eq!(fronts.iter().map(of_node).sum::<u64>(), share["requests"].as_u64().unwrap(), "{report}");
    }
    let words = cluster.rmsc(&["lb", "report"]);
    words.check_code(0);
    assert!(words.stdout.contains("✔ equal:"), "{}", words.stdout);
}

#[test]
fn a_node_that_was_away_has_its_share_again() {
    let cluster = TestCluster::start(3);
    cluster.await_rotation();
    let nodes = cluster.nodes();
    send(&cluster, &nodes, 30, true);
    cluster.rmsc(&["node", "drain", "node-2"]).check_code(0);
    cluster.await_rotation_of(&cluster.others(&[]), &cluster.others(&["node-2"]));
    cluster.reset_counts();
    send(&cluster, &nodes, 60, true);
    assert_eq!(cluster.counts().by_node.get("node-2"), None);
    let drained = seen(&cluster, "node-1", "node-2");
    assert_eq!((&drained["drained"], &drained["in_rotation"]), (&json!(true), &json!(false)), "{drained}");
    cluster.rmsc(&["lb", "show"]).check_code(0);
    cluster.rmsc(&["node", "undrain", "node-2"]).check_code(0);
    cluster.await_rotation();
    cluster.reset_counts();
    send(&cluster, &nodes, 120, true);
    check_equal(&cluster, 120, 3);
    // What it missed is not made up for, and not held against anybody.
    assert_eq!(report(&cluster)["requests"], 120);
}

/// The others have a way to the service all the time.
#[test]
fn a_node_without_a_way_to_the_service_gets_nothing_until_it_has_one() {
    let cluster = TestCluster::start(3);
    let mut own_service = Simulator::start();
    own_service.serve(&cluster, "node-1");
    let (node, all) = (cluster.node("node-1"), cluster.others(&[]));
    let load = Load::start(&cluster.nodes(), &cluster.exchange(), &ACQUIRE_LICENSE, 1);
    load.await_more(60);
    own_service.kill();
    let cut = Instant::now();
    cluster.await_rotation_of(&all, &cluster.others(&["node-1"]));
    assert!(cut.elapsed() <= OUT_WITHIN + Duration::from_secs(1), "{:?}", cut.elapsed());
    let event = await_event(&node, 4130, |_| true);
    assert!(event["reason"].as_str().unwrap().contains("refuses connections"), "{event}");
    load.await_more(60);
    for front in &all {
        let standing = seen(&cluster, front, "node-1");
        let expected = (&json!("no-service"), &json!(false), &json!("the service refuses connections"));
        assert_eq!((&standing["state"], &standing["in_rotation"], &standing["reason"]), expected);
    }
    cluster.rmsc(&["lb", "show"]).check_code(3);
    let status = cluster.rmsc(&["status"]);
    assert!(
        status.stdout.contains("node-1 gets no requests while another node is better"),
        "{}",
        status.stdout
    );

    let own_service = own_service.again();
    let healed = Instant::now();
    cluster.await_rotation();
    assert!(healed.elapsed() <= BACK_WITHIN, "{:?}", healed.elapsed());
    await_event(&node, 1021, |_| true);
    load.await_more(60);
    load.stop().check_nothing_failed();
    assert!(own_service.counts()["total"].as_u64().unwrap() > 0);
}

#[test]
fn a_service_that_nobody_reaches_takes_no_node_out() {
    let cluster = TestCluster::start(2);
    let mut service = Simulator::start();
    for name in cluster.others(&[]) {
        service.serve(&cluster, &name);
    }
    let (node, account) = (cluster.any_node(), cluster.exchange());
    service.kill();
    for _ in 0..10 {
        cluster.call(&node, &account, &Request::soap(&ACQUIRE_LICENSE)).check(500, &[]);
    }
    for node in cluster.nodes() {
        await_event(&node, 4130, |_| true);
    }
    cluster.await_rotation();
    let service = service.again();
    cluster.call(&node, &account, &Request::soap(&ACQUIRE_LICENSE)).check(200, &[]);
    assert_eq!(service.counts()["total"], 1);
}

/// It has begun to come to each node before that one is drained, and ends after it.
#[test]
fn an_upload_that_has_begun_survives_a_drain() {
    let cluster = TestCluster::start(2);
    cluster.await_rotation();
    let (node, account) = (cluster.node("node-1"), cluster.exchange());
    let body = padded(&ACQUIRE_LICENSE, 3 * MEBIBYTE);
    let (most, rest) = body.as_bytes().split_at(body.len() - MEBIBYTE);
    let length = format!("Content-Length: {}", body.len());
    let mut sessions: Vec<_> = (0..2).map(|_| Session::open(node.front(), &account).unwrap()).collect();
    let begun: Vec<_> = sessions
        .iter_mut()
        .map(|session| {
            let connection = session.begin(&Request::soap(&ACQUIRE_LICENSE), &length).unwrap();
            connection.send(most).unwrap();
            connection
        })
        .collect();
    for node in cluster.nodes() {
        wait::until_true("each node has one", wait::PATIENCE, || {
            cluster.monitor(&node, "/metrics").text().contains("rmsc_relay_in_flight 1\n")
        });
    }
    cluster.rmsc(&["node", "drain", "node-2", "--deadline", "1s"]).check_code(3);
    cluster.await_rotation_of(&cluster.others(&[]), &["node-1".to_owned()]);
    let mut relays: Vec<String> = Vec::new();
    for connection in begun {
        connection.send(rest).unwrap();
        let answer = connection.answer(false).unwrap();
        answer.check(200, &[]);
        relays.push(answer.header("x-rmsc-served-by").unwrap().to_owned());
    }
    relays.sort();
    assert_eq!(relays, ["node-1", "node-2"]);
    let state = seen(&cluster, "node-1", "node-2");
    assert!(state["drained"] == json!(true) && state["in_flight"] == json!(0), "{state}");
}

/// Its clients hold nearly all requests that it takes; the others do what it would have done.
#[test]
fn a_node_that_has_too_much_to_do_is_relieved_by_the_others() {
    let cluster = TestCluster::start(3);
    let limits = "[limits]\nrequests_max = 10\nrequests_per_source_max = 10\nrequests_per_account_max = 10\n\n[upstream]\n";
    cluster.reconfigure("node-1", "[upstream]\n", limits);
    cluster.await_rotation();
    let (busy, account) = (cluster.node("node-1"), cluster.exchange());
    let mut sessions: Vec<_> = (0..9).map(|_| Session::open(busy.front(), &account).unwrap()).collect();
    for session in &mut sessions {
        session.begin(&Request::soap(&ACQUIRE_LICENSE), "Content-Length: 1000").unwrap();
    }
    let others = cluster.others(&["node-1"]);
    cluster.await_rotation_of(&others, &others);
    for front in &others {
        let standing = seen(&cluster, front, "node-1");
        assert_eq!((&standing["state"], &standing["in_rotation"]), (&json!("overloaded"), &json!(false)));
    }
    drop(sessions);
    cluster.await_rotation();
}
