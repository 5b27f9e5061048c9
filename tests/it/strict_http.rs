//! Requests that two programs could read in two ways: each is answered 400, and its connection ends, before anybody has
//! made anything of it.

use crate::support::cluster::TestCluster;
use crate::support::http::{Request, Session};
use crate::support::lab::Node;
use crate::support::log;
use crate::support::soap::ACQUIRE_LICENSE;
use rmsc::tls::ServiceClient;
use std::fmt::Write as _;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATH: &str = "/_wmcs/licensing/license.asmx";
const CLOSED_WITHIN: Duration = Duration::from_secs(8);

/// A request with one thing wrong, and what the metric calls it.
fn bad() -> Vec<(&'static str, String)> {
    let with =
        |headers: &str, body: &str| format!("POST {PATH} HTTP/1.1\r\nHost: rms\r\n{headers}\r\n\r\n{body}");
    let chunked = |body: &str| with("Transfer-Encoding: chunked", body);
    let line = |line: &str| format!("{line}\r\nHost: rms\r\n\r\n");
    vec![
        ("length-and-encoding", with("Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n")),
        ("repeated", with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n")),
        ("encoding-unknown", with("Transfer-Encoding: gzip, chunked", "0\r\n\r\n")),
        ("encoding-unknown", with("Transfer-Encoding: xchunked", "0\r\n\r\n")),
        ("encoding-in-version-10", chunked("0\r\n\r\n").replace("HTTP/1.1", "HTTP/1.0")),
        ("repeated", with("Host: rms", "")),
        ("host-missing", format!("GET {PATH} HTTP/1.1\r\n\r\n")),
        ("host-malformed", format!("GET {PATH} HTTP/1.1\r\nHost: a/b\r\n\r\n")),
        ("host-mismatch", line(&format!("GET http://evil{PATH} HTTP/1.1"))),
        ("repeated", with("Content-Length: 5\r\nContent-Length: 5", "hello")),
        ("length-malformed", with("Content-Length: 5, 5", "hello")),
        ("length-malformed", with("Content-Length: +5", "hello")),
        ("length-malformed", with("Content-Length: 5 ", "hello")),
        ("chunk-malformed", chunked("5 \r\nhello\r\n0\r\n\r\n")),
        ("chunk-malformed", chunked("0x5\r\nhello\r\n0\r\n\r\n")),
        ("chunk-malformed", chunked("5\nhello\r\n0\r\n\r\n")),
        ("chunk-malformed", chunked("5\r\nhelloX\r\n0\r\n\r\n")),
        ("trailer-malformed", chunked("0\r\nContent-Length: 5\r\n\r\n")),
        ("bare-line-end", format!("GET {PATH} HTTP/1.1\nHost: rms\n\n")),
        ("bare-line-end", with("X-A: b\nX-B: c", "")),
        ("folded-line", with("X-A: b\r\n c", "")),
        ("control-character", with("X-A: b\0c", "")),
        ("header-name", with("Content-Length : 5", "hello")),
        ("header-too-long", with(&format!("X-A: {}", "b".repeat(64 << 10)), "")),
        ("headers-too-many", with(&"X-A: b\r\n".repeat(70), "")),
        ("request-line-too-long", line(&format!("GET /{} HTTP/1.1", "x".repeat(9_000)))),
        ("request-line", line(&format!("GET {PATH} HTTP/2.0"))),
        ("request-line", line("CONNECT rms:443 HTTP/1.1")),
        ("connection-names", with("Connection: close, Authorization", "")),
    ]
}

/// Sends bytes in pieces, and gives all that comes until the other end closes.
async fn talk<S: AsyncRead + AsyncWrite>(stream: S, bytes: &[u8], piece: usize) -> String {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let send = async {
        for piece in bytes.chunks(piece) {
            // The answer may come before all is sent.
            if writer.write_all(piece).await.is_err() || writer.flush().await.is_err() {
                return;
            }
        }
    };
    let mut answer = Vec::new();
    let receive = timeout(CLOSED_WITHIN, reader.read_to_end(&mut answer));
    let ((), received) = tokio::join!(send, receive);
    let shown = String::from_utf8_lossy(bytes).chars().take(300).collect::<String>();
    received.unwrap_or_else(|_| panic!("not closed after {shown:?}")).expect("an end and no reset");
    String::from_utf8(answer).expect("answers are text")
}

async fn talk_both(cluster: &TestCluster, node: &Node, bytes: &[u8], piece: usize) -> [String; 2] {
    let plain = TcpStream::connect(node.front()).await.expect("it listens");
    plain.set_nodelay(true).expect("a socket takes it");
    let client = ServiceClient::new(&cluster.lab().ca).expect("the lab has an authority");
    let address = node.https_localhost();
    let (_, address) = address.split_once("://").expect("a URL has a scheme");
    let (encrypted, _) = client.connect(address, "localhost").await.expect("it shakes hands");
    [talk(plain, bytes, piece).await, talk(encrypted, bytes, piece).await]
}

/// The statuses of the answers in a row.
fn statuses(answers: &str) -> Vec<u16> {
    let lines = answers.lines().filter(|line| line.starts_with("HTTP/1."));
    lines.map(|line| line["HTTP/1.1 ".len()..][..3].parse().expect("a status has three digits")).collect()
}

#[track_caller]
fn check_400_and_closed(answers: &str, what: &str) {
    assert_eq!(statuses(answers), [400], "{what}: {answers}");
    assert!(answers.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{what}: {answers}");
    assert!(answers.contains("Bad request: "), "{what}: {answers}");
}

#[tokio::test]
async fn each_kind_gets_400_on_both_listeners_and_nothing_is_made_of_it() {
    let cluster = TestCluster::start(1);
    cluster.await_rotation();
    let node = cluster.any_node();
    for (kind, request) in bad() {
        let pieces = if request.len() > 1_000 { vec![usize::MAX, 1_000] } else { vec![usize::MAX, 1] };
        for piece in pieces {
            for answers in talk_both(&cluster, &node, request.as_bytes(), piece).await {
                check_400_and_closed(&answers, kind);
            }
        }
    }
    let metrics = cluster.monitor(&node, "/metrics").text();
    let mut expected = std::collections::BTreeMap::<&str, usize>::new();
    for (kind, _) in bad() {
        *expected.entry(kind).or_default() += 4;
    }
    for (kind, times) in expected {
        let line = format!("rmsc_front_refused_requests_total{{kind=\"{kind}\"}} {times}\n");
        assert!(metrics.contains(&line), "no {line} in {metrics}");
    }
    let said = log::events(&node, 4100);
    assert!(!said.is_empty() && said.len() <= bad().len(), "{}", said.len());
    assert_eq!(log::field(&said[0], "computer"), "127.0.0.1");
    assert_eq!(cluster.counts().total, 0);
    assert_eq!(cluster.monitor(&node, "/readyz").status, 200);
    assert_eq!(log::events(&node, 3000), Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn what_is_refused_is_answered_behind_what_came_before() {
    let cluster = TestCluster::shared();
    let node = cluster.any_node();
    let good = format!("GET {PATH} HTTP/1.1\r\nHost: rms\r\n\r\n");
    let posted = format!("POST {PATH} HTTP/1.1\r\nHost: rms\r\nContent-Length: 5\r\n\r\nhello");
    for (kind, request) in bad() {
        let row = format!("{good}{posted}{request}{good}");
        for answers in talk_both(&cluster, &node, row.as_bytes(), usize::MAX).await {
            assert_eq!(statuses(&answers), [401, 401, 400], "{kind}: {answers}");
        }
    }
}

/// What follows such an answer is the body to one program, and the next request to another.
#[tokio::test]
async fn after_an_answer_in_the_place_of_a_body_nothing_is_read() {
    let cluster = TestCluster::shared();
    let node = cluster.any_node();
    let good = format!("GET {PATH} HTTP/1.1\r\nHost: rms\r\n\r\n");
    for (path, status) in [(PATH, 401), ("/nothing", 404)] {
        for expect in ["100-continue", "100-Continue, x", "x"] {
            for length in [good.len(), 1 << 20] {
                let head = format!("POST {path} HTTP/1.1\r\nHost: rms\r\nExpect: {expect}\r\n");
                let row = format!("{head}Content-Length: {length}\r\n\r\n{good}{good}{good}");
                for answers in talk_both(&cluster, &node, row.as_bytes(), usize::MAX).await {
                    assert_eq!(statuses(&answers), [status], "{expect}, {length}: {answers}");
                    assert!(answers.contains("\r\nconnection: close\r\n"), "{expect}, {length}: {answers}");
                }
            }
        }
    }
    // Without a body there is only one way to read it.
    let head = format!("POST {PATH} HTTP/1.1\r\nHost: rms\r\nExpect: 100-continue\r\n");
    let last = good.replace("GET", "BAD GET");
    let row = format!("{head}Content-Length: 0\r\n\r\n{good}{last}");
    for answers in talk_both(&cluster, &node, row.as_bytes(), usize::MAX).await {
        assert_eq!(statuses(&answers), [401, 401, 400], "{answers}");
    }
}

/// Who wants it closed gets it closed, whatever else was said, and the answer does not say both.
#[tokio::test]
async fn whether_a_connection_goes_on_is_said_in_one_way() {
    let cluster = TestCluster::shared();
    let node = cluster.any_node();
    let end = "BAD GET\r\n\r\n";
    let waits = "Connection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 9";
    for (version, headers, goes_on) in [
        ("1.1", "X-A: b", true),
        ("1.1", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk", true),
        ("1.1", "Connection: keep-alive, close", false),
        ("1.1", "Connection: close\r\nConnection: keep-alive", false),
        ("1.0", "X-A: b", false),
        ("1.0", "Connection: Keep-Alive", true),
        ("1.0", "Connection: keep-alive, close", false),
        ("1.0", "Connection: close\r\nConnection: keep-alive", false),
        ("1.0", "Connection: keep-alive\r\nConnection: close", false),
        ("1.0", waits, false),
        ("1.1", waits, false),
    ] {
        let request = format!("GET {PATH} HTTP/{version}\r\nHost: rms\r\n{headers}\r\n\r\n");
        let row = format!("{request}{request}{end}");
        for answers in talk_both(&cluster, &node, row.as_bytes(), usize::MAX).await {
            let expected = if goes_on { &[401, 401, 400][..] } else { &[401] };
            assert_eq!(statuses(&answers), expected, "{version}, {headers}: {answers}");
            let says_both =
                answers.contains("connection: close") && answers.contains("connection: keep-alive");
            assert!(goes_on || !says_both, "{version}, {headers}: {answers}");
        }
    }
}

/// The account is proven, and the request would be relayed.
#[test]
fn a_request_inside_another_never_runs() {
    let cluster = TestCluster::start(1);
    cluster.await_rotation();
    let (node, account) = (cluster.any_node(), cluster.exchange());
    let body = String::from_utf8(ACQUIRE_LICENSE.body()).unwrap();
    let mut inside = Request::soap(&ACQUIRE_LICENSE).head("rms", None);
    write!(inside, "Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let length = |bytes: usize| format!("Content-Length: {bytes}");
    let tricks = [
        // The service would have read the one, somebody before it the other.
        (format!("{}\r\nTransfer-Encoding: chunked", length(body.len())), format!("0\r\n\r\n{inside}")),
        (
            format!("Transfer-Encoding: chunked\r\n{}", length(4)),
            format!("{:x}\r\n{body}\r\n0\r\n\r\n{inside}", body.len()),
        ),
        ("Transfer-Encoding: xchunked".to_owned(), format!("0\r\n\r\n{inside}")),
        ("Transfer-Encoding : chunked".to_owned(), format!("0\r\n\r\n{inside}")),
        (format!("{}\r\n{}", length(body.len()), length(0)), format!("{body}{inside}")),
        (format!("X-A: b\nTransfer-Encoding: chunked\r\n{}", length(5)), format!("0\r\n\r\n{inside}")),
        (format!("X-A: b\r\n {}\r\n{}", length(9), length(body.len())), format!("{body}{inside}")),
        ("Transfer-Encoding: chunked".to_owned(), format!("{:x}\r\n{body}\n0\r\n\r\n{inside}", body.len())),
        ("Transfer-Encoding: chunked".to_owned(), format!("{:x};\n{body}\r\n0\r\n\r\n{inside}", body.len())),
    ];
    for (headers, sent) in tricks {
        let mut session = Session::open(node.front(), &account).unwrap();
        let connection = session.begin(&Request::soap(&ACQUIRE_LICENSE), &headers).unwrap();
        let _ = connection.send(sent.as_bytes());
        let answer = connection.answer(false).unwrap_or_else(|error| panic!("{headers}: {error}"));
        answer.check(400, &["Bad request"]);
        assert!(connection.is_at_end(), "{headers}");
    }
    assert_eq!(cluster.counts().total, 0);
    // The same connection would have served both, one after the other.
    let mut session = Session::open(node.front(), &account).unwrap();
    let connection = session.begin(&Request::soap(&ACQUIRE_LICENSE), &length(body.len())).unwrap();
    connection.send(format!("{body}{inside}").as_bytes()).unwrap();
    assert_eq!(
        [connection.answer(false).unwrap().status, connection.answer(false).unwrap().status],
        [200, 401]
    );
    assert_eq!(cluster.counts().total, 1);
}

/// Long enough that its beginning is on its way to the service when it breaks.
#[test]
fn a_long_body_that_breaks_is_no_trouble_with_a_node() {
    let cluster = TestCluster::start(3);
    cluster.await_rotation();
    let (node, account) = (cluster.any_node(), cluster.exchange());
    let body = String::from_utf8(ACQUIRE_LICENSE.body()).unwrap();
    let padding = "x".repeat(3 << 20);
    for _ in 0..6 {
        let mut session = Session::open(node.front(), &account).unwrap();
        let connection =
            session.begin(&Request::soap(&ACQUIRE_LICENSE), "Transfer-Encoding: chunked").unwrap();
        let begun = body.replace("<IssuanceLicense>", &format!("<IssuanceLicense>{padding}"));
        let _ = connection.send(format!("{:x}\r\n{begun}", begun.len() + 1).as_bytes());
        let _ = connection.send(b"\n\r\n;\r\n");
        assert_eq!(connection.answer(false).unwrap().status, 400);
        assert!(connection.is_at_end());
    }
    let names = cluster.others(&[]);
    cluster.await_rotation_of(&["node-1".to_owned()], &names);
    for node in cluster.nodes() {
        assert_eq!(log::events(&node, 3000), Vec::<serde_json::Value>::new(), "{}", node.name);
    }
    cluster.call(&node, &account, &Request::soap(&ACQUIRE_LICENSE)).check(200, &[]);
}

/// 48,000 bytes, the most that Windows makes.
#[test]
fn the_longest_ticket_of_windows_comes_through() {
    let cluster = TestCluster::shared();
    let token = "A".repeat(64_000);
    let request = Request::get(PATH).with("Authorization", &format!("Negotiate {token}"));
    assert_eq!(crate::support::http::exchange(cluster.any_node().front(), &request).status, 401);
    let request = Request::get(PATH).with("Authorization", &format!("Negotiate {token}{token}"));
    assert_eq!(crate::support::http::exchange(cluster.any_node().front(), &request).status, 400);
}
