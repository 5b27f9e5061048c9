//! Answers up to 64 MiB pass through a node, its own or another one, without being kept.

use crate::support::cluster::TestCluster;
use crate::support::http::{Answer, Connection, Request, Session};
use crate::support::log::{events, field};
use crate::support::processes;
use crate::support::sink::{self, Sink, When};
use crate::support::soap::ACQUIRE_LICENSE;
use crate::support::wait;
use std::io;
use std::time::Duration;

const MEBIBYTE: u64 = 1 << 20;
/// The longest answer there may be.
const ANSWER_BYTES_MAX: u64 = 64 * MEBIBYTE;

/// Two nodes with this service: half of the requests are relayed by the other one.
fn cluster_with(sink: &Sink) -> TestCluster {
    let cluster = TestCluster::alone(2);
    for node in cluster.nodes() {
        cluster.reconfigure(&node.name, &cluster.lab().simulator, &sink.url());
    }
    cluster.await_rotation();
    cluster
}

/// Sends a request through the first node.
fn ask(cluster: &TestCluster) -> Session {
    let session = Session::open(cluster.any_node().front(), &cluster.exchange());
    let mut session = session.expect("the node listens");
    let request = Request::soap(&ACQUIRE_LICENSE);
    let length = format!("Content-Length: {}", request.body.len());
    let begun = session.begin(&request, &length);
    begun.and_then(|connection| connection.send(&request.body)).expect("the account is known");
    session
}

/// What came, and whether it is whole.
fn read(connection: &mut Connection) -> (Vec<u8>, io::Result<()>) {
    let head = connection.answer_head().expect("there is an answer");
    assert_eq!(head.status, 200, "{head:?}");
    let mut body = Vec::new();
    let whole = connection.pieces(&head, |piece| body.extend_from_slice(piece));
    (body, whole)
}

#[test]
fn answers_up_to_64_mebibytes_come_as_they_are_by_every_node_and_longer_ones_break_off() {
    let sink = Sink::start(When::Together(0));
    let cluster = cluster_with(&sink);
    for bytes in [60 * MEBIBYTE, ANSWER_BYTES_MAX] {
        sink.answer_with(bytes);
        let (body, whole) = read(ask(&cluster).connection());
        whole.unwrap();
        assert!(body == sink::answer(bytes), "{} of {bytes} bytes, or others", body.len());
    }
    // In turn: one of them was relayed by the node that took it, the other one was not.
    assert_eq!(sink.relays(), ["node-1", "node-2"]);
    sink.answer_with(ANSWER_BYTES_MAX + 1);
    let (body, whole) = read(ask(&cluster).connection());
    assert!(whole.is_err() && body.len() as u64 <= ANSWER_BYTES_MAX, "{} {whole:?}", body.len());
    wait::until_true("event 4095", wait::PATIENCE, || {
        let all = cluster.nodes().into_iter().flat_map(|node| events(&node, 4095));
        all.filter(|event| field(event, "reason").contains("longer than 67108864 bytes")).count() == 1
    });
}

#[test]
fn long_answers_that_nobody_reads_are_not_kept() {
    const ANSWERS: usize = 20;
    const GROWTH_MAX: u64 = 300_000_000;
    let sink = Sink::start(When::Together(0));
    let cluster = cluster_with(&sink);
    read(ask(&cluster).connection()).1.unwrap();
    sink.answer_with(60 * MEBIBYTE);
    let resident = || -> Vec<u64> {
        cluster.nodes().iter().map(|node| processes::resident_bytes(node.running_pid())).collect()
    };
    let before = resident();
    let mut sessions: Vec<Session> = (0..ANSWERS).map(|_| ask(&cluster)).collect();
    let heads: Vec<Answer> =
        sessions.iter_mut().map(|session| session.connection().answer_head().unwrap()).collect();
    assert!(heads.iter().all(|head| head.status == 200), "{heads:?}");
    // Nobody reads on, so the service comes to a stand, wherever the bytes are.
    let (mut sent, mut times) = (0, 0);
    wait::until_true("the service can send no more", Duration::from_secs(25), || {
        let now = sink.sent_bytes();
        times = if now == sent { times + 1 } else { 0 };
        sent = now;
        times == 25
    });
    let grown: Vec<u64> = before
        .into_iter()
        .zip(cluster.nodes())
        .map(|(before, node)| processes::resident_bytes_max(node.running_pid()).saturating_sub(before))
        .collect();
    assert!(grown.iter().all(|grown| *grown <= GROWTH_MAX), "{grown:?} bytes");
    let sent = sink.sent_bytes();
    // The rest of it is in the buffers of the kernel's connections.
    assert!(sent < ANSWERS as u64 * 60 * MEBIBYTE / 4 * 3, "{} MB were taken", sent / 1_000_000);
    let line = format!("{ANSWERS} answers of 60 MiB, {} MB taken: {grown:?} bytes more", sent / 1_000_000);
    super::limits::report(&line);
}
