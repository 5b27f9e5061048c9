//! More than a node takes: what is over a limit is refused at once, with a word on when to come again, and nobody can
//! take everything.

use crate::limits::report;
use crate::support::cluster::TestCluster;
use crate::support::http::{Answer, Connection, Request, Session};
use crate::support::lab::{Account, Node};
use crate::support::log;
use crate::support::sink::{Sink, When};
use crate::support::soap::ACQUIRE_LICENSE;
use crate::support::{processes, wait};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const PAGE: &str = "/_wmcs/licensing/license.asmx";
/// What the tests' own machine may add to 50 ms.
const REFUSED_WITHIN: Duration = Duration::from_millis(50);

/// A node with these limits, whose service is this one.
fn cluster_with(limits: &str, sink: &Sink) -> TestCluster {
    let cluster = TestCluster::start(1);
    cluster.kill("node-1");
    cluster.edit("node-1", &cluster.lab().simulator, &sink.url());
    cluster.edit("node-1", "[upstream]\n", &format!("[limits]\n{limits}\n[upstream]\n"));
    cluster.restart("node-1");
    cluster.await_rotation();
    cluster
}

fn asks(node: &Node, account: &Account) -> JoinHandle<Answer> {
    let (front, account) = (node.front(), account.clone());
    thread::spawn(move || {
        let mut session = Session::open(front, &account).expect("it listens");
        session.call(&Request::soap(&ACQUIRE_LICENSE)).expect("an answer")
    })
}

/// The fastest of a few: what it takes when nothing else runs on this machine.
#[track_caller]
fn check_refused_at_once(what: &str, mut ask: impl FnMut() -> (Answer, Duration)) {
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let (answer, elapsed) = ask();
        assert_eq!((answer.status, answer.header("retry-after")), (429, Some("2")), "{what}: {answer:?}");
        fastest = fastest.min(elapsed);
    }
    assert!(fastest <= REFUSED_WITHIN, "{what}: {fastest:?}");
}

/// Asks without a word about who asks.
fn ask_silently(front: SocketAddr) -> (Answer, Duration) {
    let begun = Instant::now();
    let mut connection = Connection::open(front).expect("it listens");
    connection
        .send(format!("GET {PAGE} HTTP/1.1\r\nHost: rms\r\n\r\n").as_bytes())
        .expect("it takes the head");
    (connection.answer(false).expect("a refusal is an answer"), begun.elapsed())
}

fn shed(cluster: &TestCluster, limit: &str) -> u64 {
    let metrics = cluster.monitor(&cluster.any_node(), "/metrics").text();
    let line = format!("rmsc_front_shed_total{{limit=\"{limit}\"}} ");
    metrics.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok()).unwrap_or(0)
}

#[test]
fn requests_beyond_a_limit_get_429_at_once_and_one_account_leaves_room() {
    let sink = Sink::start(When::Together(8));
    let cluster =
        cluster_with("requests_max = 8\nrequests_per_source_max = 8\nrequests_per_account_max = 5", &sink);
    let (node, account, other) = (cluster.any_node(), cluster.exchange(), cluster.account("svc-sharepoint"));
    let mut asked: Vec<_> = (0..5).map(|_| asks(&node, &account)).collect();
    wait::until_true("they are on their way", wait::PATIENCE, || sink.arrived() == 5);
    check_refused_at_once("the account", || {
        let mut session = Session::open(node.front(), &account).unwrap();
        session.timed(&Request::soap(&ACQUIRE_LICENSE)).unwrap()
    });
    let event = log::await_event(&node, 4101, |event| event["key"] == "limits.requests_per_account_max");
    assert_eq!((&event["value"], event["who"].as_str().unwrap().starts_with("S-1-5-21-")), (&5.into(), true));
    assert_eq!((shed(&cluster, "requests-per-account"), shed(&cluster, "requests")), (5, 0));
    // Another account has room, but for one place.
    asked.extend((0..2).map(|_| asks(&node, &other)));
    wait::until_true("they are on their way too", wait::PATIENCE, || sink.arrived() == 7);
    assert_eq!(ask_silently(node.front()).0.status, 401);
    // The last place is of one whose body has not come.
    let mut slow = Session::open(node.front(), &other).unwrap();
    let body = ACQUIRE_LICENSE.body();
    let length = format!("Content-Length: {}", body.len());
    let connection = slow.begin(&Request::soap(&ACQUIRE_LICENSE), &length).unwrap();
    wait::until_true("it has the last place", wait::PATIENCE, || ask_silently(node.front()).0.status == 429);
    check_refused_at_once("all", || ask_silently(node.front()));
    assert!(shed(&cluster, "requests") >= 5);
    // Nobody is told to send a body that nobody takes.
    let mut waits = Connection::open(node.front()).unwrap();
    let head = Request::soap(&ACQUIRE_LICENSE).with("Expect", "100-continue").head("rms", None);
    waits.send(format!("{head}{length}\r\n\r\n").as_bytes()).unwrap();
    let answer = waits.answer(false).unwrap();
    assert_eq!((answer.status, answer.header("connection")), (429, Some("close")));
    assert!(waits.is_at_end());
    connection.send(&body).unwrap();
    connection.answer(false).unwrap().check(200, &[]);
    asked.into_iter().for_each(|asked| asked.join().unwrap().check(200, &[]));
    let (answer, elapsed) = slow.timed(&Request::soap(&ACQUIRE_LICENSE)).unwrap();
    answer.check(200, &[]);
    assert!(elapsed <= Duration::from_secs(2), "{elapsed:?}");
}

#[test]
fn a_long_body_that_is_refused_is_not_waited_for() {
    let sink = Sink::start(When::Together(1));
    let cluster = cluster_with("buffered_mebibytes_max = 2", &sink);
    let (node, account) = (cluster.any_node(), cluster.exchange());
    let stuck: Vec<_> = (0..2)
        .map(|_| {
            let mut session = Session::open(node.front(), &account).unwrap();
            session.begin(&Request::soap(&ACQUIRE_LICENSE), "Transfer-Encoding: chunked").unwrap();
            session
        })
        .collect();
    // They hold all the room once they are proven.
    wait::until_true("there is no room", wait::PATIENCE, || {
        cluster.monitor(&node, "/metrics").text().contains("rmsc_front_buffered_bytes 2097152\n")
    });
    cluster.call(&node, &account, &Request::soap(&ACQUIRE_LICENSE)).check(429, &[]);
    check_refused_at_once("bytes", || {
        let mut session = Session::open(node.front(), &account).unwrap();
        let connection = session.begin(&Request::soap(&ACQUIRE_LICENSE), "Content-Length: 16000000").unwrap();
        let begun = Instant::now();
        let answer = connection.answer(false).unwrap();
        let elapsed = begun.elapsed();
        assert!(connection.is_at_end());
        (answer, elapsed)
    });
    assert!(shed(&cluster, "buffered-bytes") >= 6);
    drop(stuck);
    wait::until_true("there is room again", wait::PATIENCE, || {
        cluster.call(&node, &account, &Request::soap(&ACQUIRE_LICENSE)).status == 200
    });
}

/// A connection from another address of this machine.
///
/// # Errors
/// Nobody listens.
pub fn from(last: u8, to: SocketAddr) -> std::io::Result<TcpStream> {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&socket, &SocketAddr::from((Ipv4Addr::new(127, 0, 1, last), 0)))?;
    connect(&socket, &to)?;
    Ok(socket.into())
}

#[test]
fn one_source_has_so_many_connections_and_others_have_room() {
    let sink = Sink::start(When::Together(1));
    let cluster = cluster_with("connections_max = 10", &sink);
    let node = cluster.any_node();
    let open: Vec<_> = (0..5).map(|_| from(1, node.front()).unwrap()).collect();
    wait::until_true("each has its place", wait::PATIENCE, || {
        cluster.monitor(&node, "/metrics").text().contains("rmsc_front_connections 5\n")
    });
    let is_served = |from_address: u8| {
        use std::io::{Read, Write};
        let mut stream = from(from_address, node.front()).unwrap();
        stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
        let begun = Instant::now();
        stream.write_all(format!("GET {PAGE} HTTP/1.1\r\nHost: rms\r\n\r\n").as_bytes()).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        (String::from_utf8_lossy(&answer).into_owned(), begun.elapsed())
    };
    assert_eq!(is_served(1).0, "HTTP/1.1 429");
    let fastest = (0..5).map(|_| is_served(1).1).min().unwrap();
    assert!(fastest <= REFUSED_WITHIN, "{fastest:?}");
    assert_eq!(is_served(2).0, "HTTP/1.1 401");
    let event = log::await_event(&node, 4101, |event| event["key"] == "limits.connections_per_source_max");
    assert_eq!((&event["value"], &event["who"]), (&5.into(), &"127.0.1.1".into()));
    let mut more = Vec::new();
    wait::until_true("all are taken", wait::PATIENCE, || {
        more.push(from(2, node.front()).unwrap());
        is_served(3).0 == "HTTP/1.1 429"
    });
    drop((open, more));
    wait::until_true("there is room again", wait::PATIENCE, || is_served(1).0 == "HTTP/1.1 401");
}

/// What came of so many clients that call on, each at once, or when it was told to come again.
struct Measured {
    answered: usize,
    answer_p99: Duration,
    refused: usize,
    refusal_p50: Duration,
}

impl Measured {
    fn words(&self) -> String {
        let Measured { answered, answer_p99, refused, refusal_p50 } = self;
        format!("{answered} answered, p99 {answer_p99:?}; {refused} refused, p50 {refusal_p50:?}")
    }
}

/// Puts a process or a thread, and what it starts from then on, on these processors.
#[track_caller]
fn pin(options: &[&str], id: &str, processors: &str) {
    let mut taskset = Command::new("taskset");
    let ran = taskset.args(options).args(["--cpu-list", "--pid", processors, id]).output();
    let ran = ran.expect("taskset is missing: run tests/run, or: apt-get install -y util-linux");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

/// More clients must not take the node's processor: it is the node that is measured.
#[track_caller]
fn apart(node: &Node) {
    let thread = fs::read_link("/proc/thread-self").expect("Linux has it");
    let thread = thread.file_name().and_then(|id| id.to_str()).expect("a number").to_owned();
    pin(&[], &thread, "1");
    pin(&["--all-tasks"], &node.running_pid().to_string(), "0");
}

fn measure(node: &Node, account: &Account, clients: usize) -> Measured {
    let until = Instant::now() + MEASURED;
    let all: Vec<_> = (0..clients)
        .map(|_| {
            let (front, account) = (node.front(), account.clone());
            thread::spawn(move || {
                let (mut answered, mut refused) = (Vec::new(), Vec::new());
                while Instant::now() < until {
                    let Ok(mut session) = Session::open(front, &account) else { continue };
                    for _ in 0..20 {
                        let begun = Instant::now();
                        match session.call(&Request::soap(&ACQUIRE_LICENSE)) {
                            Ok(answer) if answer.status == 200 => answered.push(begun.elapsed()),
                            // The first leg or the last one.
                            _ => {
                                refused.push(begun.elapsed());
                                // Asleep: so many that look again and again would take the processor of those that call.
                                wait::until_moment(until.min(Instant::now() + RETRY_AFTER));
                                break;
                            }
                        }
                    }
                }
                (answered, refused)
            })
        })
        .collect();
    let (mut answered, mut refused) = (Vec::new(), Vec::new());
    for client in all {
        let (more, no) = client.join().expect("a client goes on");
        answered.extend(more);
        refused.extend(no);
    }
    answered.sort();
    refused.sort();
    let at = |times: &[Duration], percent: usize| {
        times.get(times.len() * percent / 100).copied().unwrap_or_default()
    };
    Measured {
        answered: answered.len(),
        answer_p99: at(&answered, 99),
        refused: refused.len(),
        refusal_p50: at(&refused, 50),
    }
}

const MEASURED: Duration = Duration::from_secs(4);
const RETRY_AFTER: Duration = Duration::from_secs(2);

#[test]
fn ten_times_as_many_clients_get_as_much_done() {
    const GROWTH_BYTES_MAX: u64 = 300 << 20;
    const CLIENTS: usize = 30;
    const ROUNDS: usize = 3;
    let cluster = TestCluster::alone(1);
    cluster.reconfigure(
        "node-1",
        "[upstream]\n",
        "[limits]\nrequests_max = 60\nrequests_per_source_max = 30\n\n[upstream]\n",
    );
    cluster.await_rotation();
    let (node, account) = (cluster.any_node(), cluster.exchange());
    apart(&node);
    measure(&node, &account, 8);
    let before = processes::resident_bytes(node.running_pid());
    // In turns, and the most of each: one run differs from the next by a tenth, on a machine where nothing else runs.
    let mut most = [1, 2, 10].map(|times| (times, 0));
    for _ in 0..ROUNDS {
        for (times, answered) in &mut most {
            let measured = measure(&node, &account, *times * CLIENTS);
            report(&format!("{times} x {CLIENTS} clients: {}", measured.words()));
            *answered = measured.answered.max(*answered);
        }
    }
    let [(_, peak), over @ ..] = most;
    for (times, answered) in over {
        assert!(answered * 100 >= peak * 90, "{answered} by {times} times as many, {peak} before");
    }
    let grown = processes::resident_bytes_max(node.running_pid()).saturating_sub(before);
    report(&format!("{} MiB more", grown >> 20));
    assert!(grown <= GROWTH_BYTES_MAX, "{} MiB", grown >> 20);
    // It is as before at once.
    let mut session = Session::open(node.front(), &account).unwrap();
    let (answer, elapsed) = session.timed(&Request::soap(&ACQUIRE_LICENSE)).unwrap();
    answer.check(200, &[]);
    assert!(elapsed <= RETRY_AFTER, "{elapsed:?}");
}
