//! A thousand clients that are as slow as they can, in every way that slowhttptest knows, and what others notice of
//! them; and ten thousand that say nothing.

use crate::limits::report;
use crate::overload::from;
use crate::support::cluster::TestCluster;
use crate::support::http::{Request, Session};
use crate::support::lab::{Account, Node};
use crate::support::soap::ACQUIRE_LICENSE;
use crate::support::{processes, wait};
use rmsc::tls::ServiceClient;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PAGE: &str = "/_wmcs/licensing/license.asmx";
const SLOW: usize = 1_000;
/// Below that a difference is the machine's.
const NOTICED_FROM: Duration = Duration::from_millis(60);

/// The connections of this process are files too.
fn allow_many_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("the soft limit can be raised");
}

/// Calls on until it is told to stop; how long each call took.
fn call_on(node: &Node, account: &Account, stop: &AtomicBool) -> Vec<Duration> {
    let mut session = Session::open(node.front(), account).expect("it listens");
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        session.call(&Request::soap(&ACQUIRE_LICENSE)).expect("an answer").check(200, &[]);
        times.push(begun.elapsed());
        if times.len() % 10 == 0 {
            session = Session::open(node.front(), account).expect("it listens");
        }
    }
    times
}

/// The 99th percentile of calls while something goes on, and how many there were.
fn p99_during(node: &Node, account: &Account, goes_on: impl FnOnce()) -> (Duration, usize) {
    let stop = Arc::new(AtomicBool::new(false));
    let caller = {
        let (node, account, stop) = (node.clone(), account.clone(), stop.clone());
        thread::spawn(move || call_on(&node, &account, &stop))
    };
    goes_on();
    stop.store(true, Ordering::Relaxed);
    let mut times = caller.join().expect("every call is answered");
    times.sort();
    (*times.get(times.len() * 99 / 100).expect("there were some"), times.len())
}

fn slowhttptest(node: &Node, mode: &[&str]) -> Child {
    let url = format!("{}{PAGE}", node.http);
    let slow = Command::new("slowhttptest")
        .args(["-c", &SLOW.to_string(), "-r", "500", "-l", "8", "-i", "2", "-p", "3", "-u", &url])
        .args(mode)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    slow.unwrap_or_else(|error| panic!("slowhttptest: {error}: run tests/run, which installs it"))
}

#[test]
fn a_thousand_slow_clients_are_noticed_by_nobody() {
    allow_many_files();
    let cluster = TestCluster::alone(1);
    cluster.await_rotation();
    let (node, account) = (cluster.any_node(), cluster.exchange());
    let quiet = || assert!(!wait::happens(Duration::from_secs(3), || false));
    p99_during(&node, &account, quiet);
    let (before, calls) = p99_during(&node, &account, quiet);
    report(&format!("alone: p99 {before:?} of {calls}"));
    for (what, mode) in [
        ("heads", &["-H"][..]),
        ("bodies", &["-B", "-s", "8192"]),
        ("ranges", &["-R", "-a", "10", "-b", "3000"]),
        ("reads", &["-X", "-w", "10", "-y", "20", "-n", "5", "-z", "32", "-k", "3"]),
    ] {
        let mut slow = slowhttptest(&node, mode);
        let mut open = 0;
        let (p99, calls) = p99_during(&node, &account, || {
            wait::until_true("it ends", Duration::from_secs(30), || {
                open = open.max(connections(&cluster, &node));
                slow.try_wait().expect("a child can be asked").is_some()
            });
        });
        report(&format!("{what}: p99 {p99:?} of {calls}, with {open} connections"));
        assert!(p99 <= (2 * before).max(NOTICED_FROM), "{what}: {p99:?} instead of {before:?}");
    }
}

fn connections(cluster: &TestCluster, node: &Node) -> u64 {
    let metrics = cluster.monitor(node, "/metrics").text();
    let open = metrics.lines().find_map(|line| line.strip_prefix("rmsc_front_connections ")?.parse().ok());
    open.expect("it is counted")
}

/// Asks once without a word about who asks, and leaves the connection open.
fn ask(stream: &mut (impl Read + Write)) {
    stream.write_all(format!("GET {PAGE} HTTP/1.1\r\nHost: rms\r\n\r\n").as_bytes()).expect("it takes it");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("it answers");
    assert_eq!(&answer, b"HTTP/1.1 401");
}

#[tokio::test]
async fn ten_thousand_idle_connections_need_400_mb_at_most() {
    const CONNECTIONS: u64 = 10_000;
    const ENCRYPTED: u64 = 1_000;
    const BYTES_MAX: u64 = 400_000_000;
    allow_many_files();
    let cluster = TestCluster::alone(1);
    cluster.reconfigure("node-1", "[upstream]\n", "[limits]\nconnections_max = 12000\n\n[upstream]\n");
    cluster.await_rotation();
    let node = cluster.any_node();
    let pid = node.running_pid();
    let before = processes::resident_bytes(pid);
    let client = ServiceClient::new(&cluster.lab().ca).expect("the lab has an authority");
    let address = node.https_localhost();
    let (_, address) = address.split_once("://").expect("a URL has a scheme");
    let mut encrypted = Vec::new();
    for _ in 0..ENCRYPTED {
        let (mut stream, _) = client.connect(address, "localhost").await.expect("it shakes hands");
        stream.write_all(format!("GET {PAGE} HTTP/1.1\r\nHost: rms\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 401");
        encrypted.push(stream);
    }
    let each = processes::resident_bytes(pid).saturating_sub(before) / ENCRYPTED;
    let plain: Vec<_> = (ENCRYPTED..CONNECTIONS)
        .map(|number| {
            let mut stream = from(u8::try_from(number % 5).unwrap(), node.front()).expect("it is accepted");
            ask(&mut stream);
            stream
        })
        .collect();
    assert_eq!(connections(&cluster, &node), CONNECTIONS);
    let resident = processes::resident_bytes(pid);
    report(&format!(
        "{} MB with {CONNECTIONS} connections, {each} bytes for one with TLS",
        resident / 1_000_000
    ));
    assert!(resident <= BYTES_MAX, "{} MB", resident / 1_000_000);
    assert!(before + each * CONNECTIONS <= BYTES_MAX, "{each} bytes for each");
    cluster.call(&node, &cluster.exchange(), &Request::soap(&ACQUIRE_LICENSE)).check(200, &[]);
    drop((encrypted, plain));
}
