//! What a member of the cluster could do to the peer and the admin port with HTTP/2 itself: its connection ends, or it
//! costs next to nothing.

use crate::limits::report;
use crate::support::certificates;
use crate::support::cluster::TestCluster;
use crate::support::lab::Node;
use crate::support::processes;
use rmsc::secret::Secret;
use rmsc::tls::{Credentials, Membership};
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// A build for debugging needs ten times as long.
const PROCESSOR_TIME_MAX: Duration = Duration::from_millis(if cfg!(debug_assertions) { 2_000 } else { 100 });
const GROWTH_BYTES_MAX: u64 = 5 << 20;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("frames are short");
    let [_, length @ ..] = length.to_be_bytes();
    let mut frame = length.to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// POST https with a path that no port has.
fn headers() -> Vec<u8> {
    let mut block = vec![0x83, 0x87];
    for (name, value) in [(0x04, "/nothing"), (0x01, "x")] {
        block.extend([name, u8::try_from(value.len()).expect("texts are short")]);
        block.extend(value.as_bytes());
    }
    block
}

fn each(times: u32, frames: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    (0..times).flat_map(|at| frames(2 * at + 1)).collect()
}

/// What is sent, and whether the connection must end.
fn floods() -> Vec<(&'static str, bool, Vec<u8>)> {
    let opened = |flags: u8| frame(HEADERS, flags, 1, &headers());
    let open = |stream: u32| frame(HEADERS, END_HEADERS, stream, &headers());
    let whole = |stream: u32| frame(HEADERS, END_HEADERS | END_STREAM, stream, &headers());
    let behind = |first: Vec<u8>, times: usize, then: Vec<u8>| [first, then.repeat(times)].concat();
    let reset = |stream| frame(RESET, 0, stream, &8_u32.to_be_bytes());
    vec![
        ("rapid reset", true, each(20_000, |stream| [open(stream), reset(stream)].concat())),
        (
            "rapid reset of whole requests",
            true,
            each(20_000, |stream| [whole(stream), reset(stream)].concat()),
        ),
        (
            "resets that we are made to send",
            true,
            each(20_000, |stream| [open(stream), frame(WINDOW, 0, stream, &[0; 4])].concat()),
        ),
        (
            "windows that overflow",
            true,
            each(20_000, |stream| {
                [open(stream), frame(WINDOW, 0, stream, &[0x7f, 0xff, 0xff, 0xff])].concat()
            }),
        ),
        ("continuations", true, behind(opened(0), 2_000, frame(CONTINUATION, 0, 1, &[0; 16_000]))),
        ("empty continuations", true, behind(opened(0), 100_000, frame(CONTINUATION, 0, 1, &[]))),
        ("empty data", true, behind(opened(END_HEADERS), 100_000, frame(DATA, 0, 1, &[]))),
        ("settings", false, frame(SETTINGS, 0, 0, &[]).repeat(100_000)),
        ("pings", false, frame(PING, 0, 0, &[7; 8]).repeat(100_000)),
        ("streams", false, each(20_000, open)),
    ]
}

/// Sends all of it, or as much as is taken; whether the connection ended.
async fn flood(membership: &Membership, port: SocketAddr, bytes: &[u8]) -> bool {
    let (stream, _) = membership.client().connect(&port.to_string()).await.expect("it is a member");
    let (mut reader, mut writer) = tokio::io::split(stream);
    let receive = async {
        let mut room = vec![0; 1 << 16];
        while reader.read(&mut room).await.is_ok_and(|read| read > 0) {}
    };
    let send = async {
        let begin = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &[])].concat();
        for piece in [&begin[..], bytes].concat().chunks(1 << 14) {
            if writer.write_all(piece).await.is_err() {
                break;
            }
        }
        let _ = writer.flush().await;
        // Open until the other end has had time for all of it.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = receive => true,
        () = send => false,
        ended = timeout(QUIET_AFTER, std::future::pending::<()>()) => ended.is_ok(),
    }
}

/// For how long a connection that stays open is watched.
const QUIET_AFTER: Duration = Duration::from_secs(2);

fn memberships(cluster: &TestCluster, node: &Node) -> [(SocketAddr, &'static str, Membership); 2] {
    let identity = certificates::identity(node);
    let membership = |certificate: String, key: Secret<Vec<u8>>| {
        let authority = identity.authority.clone();
        Membership::new(Credentials { certificate, authority, key, path: "test".into() })
            .expect("they belong together")
    };
    let read = |name: &str| fs::read_to_string(cluster.dir().join(name)).expect("a lab has it");
    [
        (node.peer, "peer", membership(identity.certificate.clone(), identity.node_key.clone())),
        (node.admin, "admin", membership(read("admin.pem"), certificates::key_of(&read("admin.key")))),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_floods_a_port_is_cut_off_or_does_no_harm() {
    let cluster = TestCluster::alone(1);
    cluster.await_rotation();
    let node = cluster.any_node();
    let pid = node.running_pid();
    for (port, name, membership) in memberships(&cluster, &node) {
        // What any connection needs is there before.
        flood(&membership, port, &[]).await;
        for (what, ends, bytes) in floods() {
            let (cost, held) = (processes::processor_time(pid), processes::resident_bytes(pid));
            let ended = flood(&membership, port, &bytes).await;
            let cost = processes::processor_time(pid).saturating_sub(cost);
            let grown = processes::resident_bytes(pid).saturating_sub(held);
            report(&format!("{name}: {what}: ended {ended}, {cost:?}, {} KiB more", grown >> 10));
            assert!(ended || !ends, "{name}: {what} goes on");
            assert!(cost <= PROCESSOR_TIME_MAX, "{name}: {what} took {cost:?}");
            assert!(grown <= GROWTH_BYTES_MAX, "{name}: {what} took {} KiB", grown >> 10);
        }
    }
    cluster.rmsc(&["authz", "list"]).check_code(0);
    assert_eq!(cluster.monitor(&node, "/readyz").status, 200);
}
