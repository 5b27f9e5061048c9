//! Requests whose bytes take their time, or never end: nothing waits for them for long, and who may not any more when
//! they are whole has not asked.

use crate::support::cluster::{NewDir, TestCluster};
use crate::support::http::{Answer, Request, Session};
use crate::support::lab::{Account, Node};
use crate::support::sink::{Sink, When};
use crate::support::soap::{
    ACQUIRE_LICENSE, ACQUIRE_PRE_LICENSE, LOCATIONS_MSIPC, Message, SERVER_INFO, named,
};
use crate::support::uploads::{MEBIBYTE, padded};
use crate::support::wait;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::{Duration, Instant};

/// Sends these bytes of a chunked body, and waits for an answer.
fn send_chunk(node: &Node, account: &Account, message: &Message, body: &[u8]) -> Answer {
    let mut session = Session::open(node.front(), account).expect("it listens");
    let begun = session.begin(&Request::soap(message), "Transfer-Encoding: chunked");
    let connection = begun.expect("it takes the head");
    connection.send(format!("{:x}\r\n", body.len()).as_bytes()).expect("it takes the beginning");
    // A refusal may come before all is sent.
    let _ = connection.send(body).and_then(|()| connection.send(b"\r\n"));
    connection.answer(false).expect("a refusal is an answer too")
}

fn await_nothing_in_flight(cluster: &TestCluster) {
    for node in cluster.nodes() {
        wait::until_true("nothing is in flight", wait::PATIENCE, || {
            cluster.monitor(&node, "/metrics").text().contains("rmsc_relay_in_flight 0\n")
        });
    }
}

/// Three times, so that each node relays it once.
#[test]
fn what_is_over_its_limit_is_refused_before_its_end_comes() {
    let cluster = TestCluster::start(3);
    cluster.await_rotation();
    let (node, account) = (cluster.any_node(), cluster.exchange());
    for message in [SERVER_INFO, LOCATIONS_MSIPC, named("exchange_acquire_templates.xml")] {
        for bytes in [300 << 10, MEBIBYTE, MEBIBYTE + 4_096] {
            let body = padded(&message, bytes);
            for _ in 0..3 {
                let begun = Instant::now();
                // What is kept of a request is read before it is handed over.
                let is_whole = bytes < MEBIBYTE;
                let answer = if is_whole {
                    cluster.call(&node, &account, &Request::soap_with_body(&message, body.clone()))
                } else {
                    send_chunk(&node, &account, &message, &body.as_bytes()[..bytes])
                };
                answer.check(413, &["longer than 262144 bytes"]);
                assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
                assert_eq!(cluster.arrived(&answer).times, 0);
            }
        }
    }
    await_nothing_in_flight(&cluster);
}

#[test]
fn a_client_that_sends_no_more_is_told_so_and_nothing_stays() {
    let cluster = TestCluster::start(1);
    cluster.await_rotation();
    let (node, account) = (cluster.any_node(), cluster.exchange());
    let long = padded(&ACQUIRE_LICENSE, MEBIBYTE);
    let stalled: Vec<_> = [(ACQUIRE_LICENSE, MEBIBYTE), (ACQUIRE_LICENSE, 9_000), (SERVER_INFO, 200)]
        .map(|(message, bytes)| {
            let body = padded(&message, MEBIBYTE);
            let (node, account) = (node.clone(), account.clone());
            thread::spawn(move || {
                let begun = Instant::now();
                let answer = send_chunk(&node, &account, &message, &body.as_bytes()[..bytes]);
                (answer, begun.elapsed())
            })
        })
        .into();
    for stalled in stalled {
        let (answer, elapsed) = stalled.join().unwrap();
        answer.check(400, &["did not come in time"]);
        assert!((14..19).contains(&elapsed.as_secs()), "{elapsed:?}");
        assert_eq!(cluster.arrived(&answer).times, 0);
    }
    await_nothing_in_flight(&cluster);
    cluster.call(&node, &account, &Request::soap_with_body(&ACQUIRE_LICENSE, long)).check(200, &[]);
}

/// Whatever follows the message, and whether it ends: a service may act as soon as it has an envelope.
#[test]
fn who_is_removed_while_its_request_comes_has_not_asked() {
    let (sink, cluster) = (Sink::start(When::Together(1)), TestCluster::start(3));
    let simulator = cluster.lab().simulator;
    for node in cluster.nodes() {
        cluster.reconfigure(&node.name, &simulator, &sink.url());
    }
    cluster.await_rotation();
    let account = cluster.exchange();
    let body = padded(&ACQUIRE_PRE_LICENSE, 2 * MEBIBYTE);
    let (most, last) = body.as_bytes().split_at(body.len() - 1_024);
    let endless = " ".repeat(MEBIBYTE);
    let rests = ["", &endless, &format!("<!--{endless}")].map(|after| [last, after.as_bytes()].concat());
    // As many of each as there are nodes, so that each node relays one; and one that is let in.
    let whole = (last.to_vec(), 0);
    let rests = rests.into_iter().map(|rest| if rest.len() < MEBIBYTE { (rest, 0) } else { (rest, 1) });
    let rests: Vec<_> =
        [whole].into_iter().chain(rests.flat_map(|rest| [rest.clone(), rest.clone(), rest])).collect();
    let mut sessions: Vec<_> =
        rests.iter().map(|_| Session::open(cluster.any_node().front(), &account).unwrap()).collect();
    let mut begun: Vec<_> = sessions
        .iter_mut()
        .zip(&rests)
        .map(|(session, (rest, missing))| {
            let length = format!("Content-Length: {}", most.len() + rest.len() + missing);
            let connection = session.begin(&Request::soap(&ACQUIRE_PRE_LICENSE), &length).unwrap();
            connection.send(most).unwrap();
            (connection, rest)
        })
        .collect();
    wait::until_true("the service sees their beginning", wait::PATIENCE, || sink.arrived() == rests.len());
    let (allowed, rest) = begun.remove(0);
    allowed.send(rest).unwrap();
    allowed.answer(false).unwrap().check(200, &["<taken>"]);
    assert_eq!((sink.whole(), sink.envelopes()), (1, 1));
    cluster.rmsc(&["authz", "remove", &account.name]).check_code(0);
    for (connection, rest) in begun {
        // It is refused before all is sent.
        let _ = connection.send(rest);
        connection.answer(false).unwrap().check(500, &["System.UnauthorizedAccessException"]);
    }
    assert_eq!((sink.whole(), sink.envelopes()), (1, 1));
}

/// Three times, so that each node relays it; of the short ones a hop carries the beginning first.
#[test]
fn a_message_without_its_end_never_comes_whole_to_the_service() {
    let cluster = TestCluster::shared();
    let (node, account) = (cluster.any_node(), cluster.exchange());
    for bytes in [0, 20 << 10, 2 * MEBIBYTE] {
        let body = padded(&ACQUIRE_LICENSE, bytes);
        let end = body.rfind("</").expect("an end tag");
        for _ in 0..3 {
            let answer =
                cluster.call(&node, &account, &Request::soap_with_body(&ACQUIRE_LICENSE, &body[..end]));
            answer.check(400, &["the message ends before"]);
            assert_eq!(cluster.arrived(&answer).times, 0);
        }
    }
}

/// Another connector is the service; this one has few connections to it.
#[test]
fn stalled_uploads_of_one_entry_leave_connections_to_the_others() {
    let (own, other, folder) = (TestCluster::start(1), TestCluster::start(1), NewDir::made());
    let account = other.exchange();
    let password = folder.path().join("password");
    fs::write(&password, &account.password).unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    let section = format!(
        "kind = \"chained\"\nurl = {:?}\n\n[upstream.account]\nname = '{}'\npassword_file = {:?}\n\
         roles = [\"exchange\", \"sharepoint\"]\nprotocol = \"ntlm\"\nconnections_max = 2\n",
        other.any_node().http,
        account.name,
        password.display().to_string()
    );
    let before = format!("kind = \"simulated\"\nurl = \"{}\"\n", own.lab().simulator);
    own.reconfigure("node-1", &before, &section);
    own.await_rotation();
    let node = own.any_node();
    // Until the account is known to be taken, one request at a time shows it.
    own.call(&node, &own.exchange(), &Request::soap(&ACQUIRE_LICENSE)).check(200, &[]);
    let body = padded(&ACQUIRE_LICENSE, 2 * MEBIBYTE);
    let stalled: Vec<_> = (0..3)
        .map(|_| {
            let mut session = Session::open(node.front(), &own.account("svc-sharepoint")).unwrap();
            let length = format!("Content-Length: {}", body.len());
            let connection = session.begin(&Request::soap(&ACQUIRE_LICENSE), &length).unwrap();
            connection.send(&body.as_bytes()[..MEBIBYTE + 4_096]).unwrap();
            session
        })
        .collect();
    wait::until_true("they are on their way", wait::PATIENCE, || {
        own.monitor(&node, "/metrics").text().contains("rmsc_relay_in_flight 3\n")
    });
    let begun = Instant::now();
    let answer = own.call(&node, &own.exchange(), &Request::soap(&ACQUIRE_LICENSE));
    answer.check(200, &[]);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    drop(stalled);
}
